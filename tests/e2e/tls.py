#!/usr/bin/python3
"""TLS: HTTPS, clients known by their certificates (promise 10), and associations in both
directions."""
import contextlib
import os
import select
import signal
import socket
import ssl
import subprocess
import tempfile
import time

import harness
from delivery_common import analyse, peer
from harness import images
from harness.clients import associate_request, echoscu, ours, run, storescu, wado
from harness.daemon import PATIENCE, Daemon, wait_until
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
    assert status_of(d, "/api/v1/studies", *ask, "--cert", bad[0], "--key", bad[1]) in (403, "curl 35", "curl 52", "curl 55", "curl 56")
    assert status_of(d, "/healthz", *ask) == 200, "open to all"
    d.stop()


def refused(settings):
    d = Daemon(settings)
    process = d.launch()
    assert process.wait(20 * PATIENCE) == 2, d.log()
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


# ---- associations that come to us ----

def node(authority, **more):
    """Settings of a node that takes associations by TLS."""
    certificate, key = authority.issue("node")
    return {"dicom.tls_certificate": certificate, "dicom.tls_key": key, **{f"dicom.{k}": v for k, v in more.items()}}


def as_peer(authority, trusts, name="modality"):
    """Options of DCMTK's clients: who they are, and whom they trust."""
    certificate, key = authority.issue(name)
    return "+tls", key, certificate, "+cf", trusts.certificate


def handshake(d, *options):
    """What openssl says of a handshake with the DICOM port."""
    return run("openssl", "s_client", "-connect", f"127.0.0.1:{d.dicom_port}", *options)[1]


def test_associations_come_by_tls_and_in_no_other_way():
    authority = Authority()
    with Daemon(node(authority)) as d:
        who = as_peer(Authority("Somebody"), authority)
        status, said = echoscu(d, *who)
        assert status == 0, said
        source = images.series(rows=512, columns=512, slices=8, SeriesDescription="T2")
        status, said = storescu(d, images.save(source, tempfile.mkdtemp()), *who)
        assert status == 0 and said.count("Store Response (Success)") == 8, said
        assert d.study(source[0].StudyInstanceUID)["series"][0]["instances"] == 8
        first = source[0]
        got = wado(d, first.StudyInstanceUID, first.SeriesInstanceUID, first.SOPInstanceUID).body
        assert got.endswith(first.PixelData), "the pixels are not what was sent"
        assert echoscu(d)[0] != 0, "a plain association was taken"
        wait_until(lambda: "SSL" in d.log() or "TLS" in d.log(), 5, "a word in the log of why the plain one was not")
        with_others = as_peer(Authority("Somebody"), Authority("Another"))
        assert echoscu(d, *with_others)[0] != 0, "a client could not tell us from another"


def test_peers_are_known_by_their_certificates():
    authority, modalities = Authority(), Authority("Modalities")
    with Daemon(node(authority, tls_ca=modalities.certificate)) as d:
        status, said = echoscu(d, *as_peer(modalities, authority))
        assert status == 0, said
        assert echoscu(d, *as_peer(Authority("Strangers"), authority))[0] != 0
        assert echoscu(d, "+tla", "+cf", authority.certificate)[0] != 0, "one without a certificate was taken"
        wait_until(lambda: d.log().count("TLS: ") >= 2, 5, "both refusals in the log")
        assert echoscu(d, *as_peer(modalities, authority), called="OTHER")[0] != 0
        assert "Called AE Title" in echoscu(d, *as_peer(modalities, authority), called="OTHER")[1]


def test_the_profile_is_that_of_bcp_195():
    authority = Authority()
    with Daemon(node(authority)) as d:
        trust = ("-CAfile", authority.certificate)
        assert "TLSv1.3" in handshake(d, *trust, "-tls1_3")
        modern = handshake(d, *trust, "-tls1_2")
        assert "TLSv1.2" in modern and "ECDHE" in modern, modern
        weak = "DEFAULT@SECLEVEL=0"
        for refused in (("-tls1", "-cipher", weak), ("-tls1_1", "-cipher", weak), ("-tls1_2", "-cipher", "AES128-GCM-SHA256"),
                        ("-tls1_2", "-cipher", "ECDHE+AES128+SHA")):
            said = handshake(d, *trust, *refused)
            assert "Cipher is (NONE)" in said, f"{refused}: {said}"
        assert echoscu(d, *as_peer(authority, authority))[0] == 0


def begun_handshakes(d):
    """Connections of which half say the first bytes of a ClientHello, and nothing more."""
    holders = [socket.create_connection(("127.0.0.1", d.dicom_port), 10 * PATIENCE) for _ in range(20)]
    for holder in holders[:10]:
        holder.sendall(b"\x16\x03\x01\x02\x00\x01")
    return holders


def test_a_handshake_that_never_ends_blocks_nobody():
    authority = Authority()
    with Daemon(node(authority, association_timeout="1h")) as d:
        holders = begun_handshakes(d)
        assert echoscu(d, *as_peer(authority, authority))[0] == 0
        assert not select.select(holders, [], [], 0)[0], "one of them was given up"


def test_a_handshake_that_never_ends_is_ended():
    with Daemon(node(Authority(), association_timeout="1s")) as d:
        for holder in begun_handshakes(d):
            with contextlib.suppress(ConnectionError):
                assert holder.recv(100) == b"", "it is still held"


def test_a_node_that_was_stopped_for_a_while_goes_on():
    """As by a debugger or a freezer: to a socket with a time limit that is no reason to give up (signal(7))."""
    command = b"".join(tag + len(value).to_bytes(4, "little") + value for tag, value in (
        (b"\0\0\x02\0", b"1.2.840.10008.1.1\0"), (b"\0\0\0\x01", b"\x30\0"), (b"\0\0\x10\x01", b"\1\0"),
        (b"\0\0\0\x08", b"\1\1")))
    pdv = (len(command) + 2).to_bytes(4, "big") + b"\1\3" + command
    authority = Authority()
    context = ssl.create_default_context(cafile=authority.certificate)
    with Daemon(node(authority)) as d, socket.create_connection(("127.0.0.1", d.dicom_port), 10) as plain:
        with context.wrap_socket(plain, server_hostname="localhost") as peer:
            peer.sendall(associate_request())
            assert peer.recv(1) == b"\2" and len(peer.recv(4096)) > 0, "no association"
            for _ in range(3):
                time.sleep(0.1)
                os.kill(d.children("lamina-dimse")[0], signal.SIGSTOP)
                os.kill(d.children("lamina-dimse")[0], signal.SIGCONT)
            time.sleep(0.1)
            peer.sendall(b"\4\0" + len(pdv).to_bytes(4, "big") + pdv)
            assert peer.recv(1) == b"\4", "the echo has no answer"


def test_what_is_missing_for_associations_is_said():
    authority = Authority()
    settings = node(authority)
    assert "go together" in refused({"dicom.tls_key": settings["dicom.tls_key"]})
    assert "needs dicom.tls_certificate" in refused({"dicom.tls_ca": authority.certificate})
    assert "cannot read dicom.tls_ca" in refused({**settings, "dicom.tls_ca": "/nowhere"})
    os.chmod(settings["dicom.tls_key"], 0o644)
    assert "accessible to everyone" in refused(settings)


# ---- associations that we open ----

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
        assert not scp.stores() and {v["state"] for v in deliveries(d)} <= {"queued", "sending"} and len(uids)


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
