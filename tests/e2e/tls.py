#!/usr/bin/python3
"""TLS: HTTPS, clients known by their certificates (promise 10), and associations that we open."""
import os
import subprocess
import tempfile

import harness
from delivery_common import analyse, peer
from harness import images
from harness.clients import ours, run
from harness.daemon import Daemon, wait_until
from harness.peers import StoreScp, deliveries, wait_for


class Authority:
    """A certificate authority of one's own: PEM files by openssl."""

    def __init__(self, name="Lamina Test CA"):
        self.folder = tempfile.mkdtemp(prefix="lamina-ca-")
        self.certificate, self.key = self.path("ca.pem"), self.path("ca.key")
        self.openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                     "-subj", f"/CN={name}", "-keyout", self.key, "-out", self.certificate)

    def path(self, name):
        return os.path.join(self.folder, name)

    def openssl(self, *arguments):
        subprocess.run(["openssl", *arguments], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def issue(self, name):
        """(certificate, key) for a host or a client."""
        certificate, key, request, extensions = (self.path(f"{name}.{e}") for e in ("pem", "key", "csr", "ext"))
        with open(extensions, "w", encoding="ascii") as file:
            file.write("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
        self.openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={name}",
                     "-keyout", key, "-out", request)
        self.openssl("x509", "-req", "-in", request, "-CA", self.certificate, "-CAkey", self.key, "-CAcreateserial",
                     "-days", "2", "-extfile", extensions, "-out", certificate)
        os.chmod(key, 0o600)
        return certificate, key


def https(settings):
    """A daemon that speaks HTTPS, started; curl finds out when it does."""
    d = Daemon(settings)
    d.launch()
    wait_until(lambda: status_of(d, "/healthz", "-k") == 200, 15, "the server to answer")
    return d


def status_of(d, path, *options):
    status, said = run("curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", *options,
                       f"https://localhost:{d.http_port}{path}")
    return int(said) if status == 0 else f"curl {status}"


def server(authority, **more):
    certificate, key = authority.issue("server")
    return {"http.tls_certificate": certificate, "http.tls_key": key,
            **{f"http.{key}": value for key, value in more.items()}}


def test_https_with_a_certificate_that_the_client_can_check():
    authority = Authority()
    d = https(server(authority))
    assert status_of(d, "/api/v1/status", "--cacert", authority.certificate) == 200
    assert status_of(d, "/api/v1/status", "--cacert", Authority().certificate) == "curl 60"
    assert run("curl", "-s", f"http://localhost:{d.http_port}/healthz")[0] != 0, "plain HTTP was answered"
    assert status_of(d, "/healthz", "-k", "--tlsv1.1", "--tls-max", "1.1", "--ciphers", "DEFAULT@SECLEVEL=0") != 200
    d.stop()


def test_mtls_lets_in_who_is_known():
    authority, clients, strangers = Authority(), Authority("Clients"), Authority("Strangers")
    d = https(server(authority, auth="mtls", tls_client_ca=clients.certificate))
    good, bad = clients.issue("viewer"), strangers.issue("viewer")
    ask = ("--cacert", authority.certificate)
    assert status_of(d, "/api/v1/studies", *ask, "--cert", good[0], "--key", good[1]) == 200
    assert status_of(d, "/api/v1/studies", *ask) == 403
    assert status_of(d, "/api/v1/studies", *ask, "--cert", bad[0], "--key", bad[1]) in (403, "curl 56", "curl 35")
    assert status_of(d, "/healthz", *ask) == 200, "open to all"
    d.stop()


def refused(settings):
    d = Daemon(settings)
    process = d.launch()
    assert process.wait(20) == 1, d.log()
    d.process = None
    return d.log()


def test_what_is_missing_is_said():
    assert "mtls needs" in refused({"http.auth": "mtls"})
    certificate, key = Authority().issue("server")
    assert "go together" in refused({"http.tls_certificate": certificate})
    os.chmod(key, 0o644)
    assert "accessible to everyone" in refused({"http.tls_certificate": certificate, "http.tls_key": key})


def test_other_addresses_need_authentication_also_with_tls():
    said = refused({**server(Authority()), "http.listen": "0.0.0.0:20999"})
    assert "not a loopback address" in said, said


# ---- DICOM ----

def tls_scp(authority, *options):
    certificate, key = authority.issue("pacs")
    return StoreScp("+tls", key, certificate, *options)


def test_results_are_delivered_by_tls():
    authority = Authority()
    with tls_scp(authority, "-ic") as scp, Daemon(peer(scp.port, tls="yes", tls_ca=authority.certificate)) as d:
        _, uids = analyse(d)
        wait_for(d, "delivered", len(uids))
        assert scp.uids() == uids


def test_a_peer_that_wants_our_certificate_gets_it():
    authority = Authority()
    certificate, key = authority.issue("lamina")
    settings = {"tls": "yes", "tls_ca": authority.certificate, "tls_certificate": certificate, "tls_key": key}
    with tls_scp(authority, "-rc", "+cf", authority.certificate) as scp, Daemon(peer(scp.port, **settings)) as d:
        _, uids = analyse(d)
        wait_for(d, "delivered", len(uids))
        assert scp.uids() == uids


def test_a_peer_with_a_strange_certificate_gets_nothing():
    with tls_scp(Authority(), "-ic") as scp, Daemon(peer(scp.port, tls="yes", tls_ca=Authority().certificate)) as d:
        _, uids = analyse(d)
        wait_until(lambda: all(v["last_error"] for v in deliveries(d)), 10, "an attempt")
        assert all("certificate" in v["last_error"] for v in deliveries(d)), deliveries(d)
        assert not scp.stores() and len(deliveries(d, state="queued")) == len(uids)


def test_the_commands_echo_and_send_by_tls():
    authority = Authority()
    with tls_scp(authority, "-ic") as scp:
        node = f"127.0.0.1:{scp.port}/PACS"
        wait_until(lambda: ours("lamina", "echo", "--tls-ca", authority.certificate, node)[0] == 0, 5, "an echo")
        assert ours("lamina", "echo", "--tls-ca", Authority().certificate, node)[0] == 1
        files = images.save(images.series(slices=2), tempfile.mkdtemp())
        status, said = ours("lamina", "send", "--tls-ca", authority.certificate, node, *files)
        assert status == 0 and len(scp.uids()) == 2, said


harness.run(globals())
