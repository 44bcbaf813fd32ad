#!/usr/bin/python3
"""The Debian package under a live systemd: install, analyse, reload, hang, upgrade, stop, remove, purge, in this order
on one machine (debian.py), as an administrator would. `make test-package` builds both versions and runs it."""
import glob
import json
import os
import re
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "e2e"))

import debian
import harness
from harness import images
from harness.clients import run
from harness.daemon import BUILD, wait_until

OLD = run(os.path.join(BUILD, "lamina"), "--version")[1].split()[1]
NEW = OLD + "+next"
CONF = "/etc/lamina/lamina.conf"
STUDY = images.series()
machine = None


def package(version):
    """The path of a package, seen from the booted machine."""
    (path,) = glob.glob(os.path.join(BUILD, f"package/lamina_{version}_*.deb"))
    return "/mnt/" + os.path.relpath(path, BUILD)


def settle():
    """The daemon is up and takes objects."""
    wait_until(lambda: machine.unit("ActiveState") == "active", 60, "laminad to be active")
    wait_until(lambda: "is ready" in machine.run("lamina", "doctor", status=None), 60, "laminad to be ready")


def configure(old, new):
    text = machine.read(CONF)
    assert old in text, old
    machine.write(CONF, text.replace(old, new))


class Sender:
    """storescu over a folder of images that are named as images.save does, under way."""

    def __init__(self, datasets):
        self.log = tempfile.TemporaryFile("w+")
        folder = os.path.join(tempfile.mkdtemp(), "study")
        paths = images.save(datasets, folder)
        self.uids = {path: ds.SOPInstanceUID for path, ds in zip(paths, datasets)}
        self.process = machine.beside("storescu", "-v", "+sd", "+r", "-nh", "-aec", "LAMINA", "127.0.0.1", "11112", folder,
                                      stdout=self.log, env=dict(os.environ, TCP_NODELAY="1"))

    def acknowledged(self):
        """SOP Instance UIDs that the receiver has answered for with success, once all is sent or the sender gave up."""
        self.process.wait()
        self.log.seek(0)
        found, path = set(), None
        for line in self.log:
            path = line.split("Sending file: ")[1].strip() if "Sending file: " in line else path
            if "Received Store Response (Success)" in line:
                found.add(self.uids[path])
        return found


def send(datasets):
    """Sends images, all of which must be taken."""
    taken = Sender(datasets).acknowledged()
    assert len(taken) == len(datasets), f"{len(taken)} of {len(datasets)} were taken"


def stored(study):
    """SOP Instance UIDs of a study, by QIDO-RS."""
    answer = machine.beside("curl", "-s", f"http://127.0.0.1:8080/dicom-web/studies/{study}/instances?limit=10000")
    text = answer.communicate()[0]
    return {item["00080018"]["Value"][0] for item in json.loads(text)} if text else set()


def results(study):
    return json.loads(machine.run("lamina", "results", "--wait", "300", "--json", study))


def journal(*options):
    return machine.run("journalctl", "-u", "laminad", "--no-pager", "-o", "cat", *options)


def test_a_debian_boots():
    global machine
    debian.make_tree(package(OLD))
    machine = debian.Machine()


def need_machine():
    harness.need(machine, "no Debian was booted")


def test_the_package_installs_and_the_service_is_up():
    need_machine()
    machine.run("apt-get", "install", "-y", "-qq", package(OLD))
    settle()
    assert machine.unit("UnitFileState") == "enabled"
    assert machine.unit("NRestarts") == "0"
    assert machine.unit("StatusText").startswith("Serving LAMINA"), machine.unit("StatusText")
    assert machine.run("stat", "-c", "%U:%G %a", "/var/lib/lamina").strip() == "lamina:lamina 700"
    owners = machine.run("ps", "-o", "user=", "-C", "laminad,lamina-dimse,lamina-worker").split()
    assert len(owners) >= 3 and set(owners) == {"lamina"}, owners


def test_a_study_is_analysed_in_the_sandbox():
    need_machine()
    send(STUDY)
    outcome = results(STUDY[0].StudyInstanceUID)
    assert outcome["state"] == "done", outcome
    machine.run("lamina", "results", "--save", "/srv/results", STUDY[0].StudyInstanceUID)
    kinds = {name.rsplit("-", 1)[-1] for name in machine.run("ls", "/srv/results").split()}
    assert {"SEG.dcm", "SR.dcm", "montage.png"} <= kinds, kinds
    machine.run("lamina", "backup", "--store", "/srv/backup", "/srv/backup.db")
    assert journal("-p", "warning") == "", journal("-p", "warning")


def test_the_journal_has_priorities_and_no_times_in_lines():
    need_machine()
    entries = [json.loads(line) for line in journal("-o", "json").splitlines()]
    events = [e for e in entries if str(e["MESSAGE"]).startswith("level=")]
    assert events and all(e["PRIORITY"] == {"error": "3", "warning": "4", "info": "6", "debug": "7"}
                          [re.match(r"level=(\w+)", e["MESSAGE"])[1]] for e in events), events
    assert not [e for e in entries if re.match(r"\d{4}-\d\d-\d\dT", str(e["MESSAGE"]))]


def test_what_the_unit_permits_is_little():
    need_machine()
    said = machine.run("systemd-analyze", "security", "laminad", "--no-pager")
    level = float(re.search(r"exposure level for laminad.service: ([0-9.]+)", said)[1])
    assert level <= 1.5, said


def test_reload_applies_what_can_be_applied():
    need_machine()
    before = machine.unit("MainPID")
    configure("stable_after = 5s", "stable_after = 4s")
    machine.run("systemctl", "reload", "laminad")
    wait_until(lambda: "event=configuration" in journal() or "event=reload" in journal(), 20, "the reload to be logged")
    assert machine.unit("MainPID") == before


def test_certificates_and_peers_by_name_within_the_sandbox():
    need_machine()
    os.makedirs(machine.path("/etc/lamina/tls"))
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "90", "-subj", "/CN=lamina.test",
                    "-keyout", machine.path("/etc/lamina/tls/lamina.key"), "-out", machine.path("/etc/lamina/tls/lamina.pem")],
                   check=True, capture_output=True)
    machine.run("chgrp", "lamina", "/etc/lamina/tls/lamina.key")
    machine.run("chmod", "640", "/etc/lamina/tls/lamina.key")
    machine.write("/etc/hosts", "127.0.0.1 localhost archive.hospital.test\n")
    kept, received = machine.read(CONF), tempfile.mkdtemp()
    archive = machine.beside("storescp", "-od", received, "+xa", "-aet", "PACS", "11119")
    try:
        configure("[http]\n", "[http]\ntls_certificate = /etc/lamina/tls/lamina.pem\ntls_key = /etc/lamina/tls/lamina.key\n")
        machine.write(CONF, machine.read(CONF) + "\n[peer pacs]\nae_title = PACS\naddress = archive.hospital.test:11119\n"
                      "deliver = results\n\n[peer ct]\nae_title = STORESCU\n")
        machine.run("laminad", "--check-config")
        machine.run("systemctl", "restart", "laminad")
        settle_https()
        send(images.series())
        wait_until(lambda: len(os.listdir(received)) >= 2, 60, "SEG and SR to arrive at the peer")
    finally:
        archive.terminate()
        archive.wait()
        machine.write(CONF, kept)
        machine.run("systemctl", "restart", "laminad")
        settle()


def settle_https():
    wait_until(lambda: machine.beside("curl", "-skf", "https://127.0.0.1:8080/readyz").wait() == 0, 60,
               "laminad to be ready by https")


def test_a_daemon_that_hangs_is_started_again():
    need_machine()
    machine.write("/run/systemd/system/laminad.service.d/watchdog.conf", "[Service]\nWatchdogSec=2s\n")
    machine.run("systemctl", "daemon-reload")
    machine.run("systemctl", "restart", "laminad")
    settle()
    before = machine.unit("MainPID")
    machine.run("kill", "-STOP", before)
    wait_until(lambda: machine.unit("MainPID") not in (before, "0"), 120, "the watchdog to start another laminad")
    settle()
    assert machine.unit("NRestarts") == "1"
    assert machine.unit("LimitCORE") == "0"  # memory holds patient data
    os.unlink(machine.path("/run/systemd/system/laminad.service.d/watchdog.conf"))
    machine.run("systemctl", "daemon-reload")
    machine.run("systemctl", "restart", "laminad")
    settle()
    assert len(stored(STUDY[0].StudyInstanceUID)) >= len(STUDY)


def sent_while(change):
    """Sends a study of many objects, and again if it is cut off, and calls change() once some have arrived. All that
    were acknowledged are stored, and in the end all are."""
    many = images.series(slices=3000)  # takes longer to send than a package to install
    study = many[0].StudyInstanceUID
    sender = Sender(many)
    wait_until(lambda: stored(study), 60, "the first objects")
    change()
    confirmed = sender.acknowledged()
    settle()
    assert confirmed and confirmed <= stored(study), len(confirmed - stored(study))
    send(many)
    assert stored(study) >= {ds.SOPInstanceUID for ds in many}


def test_restart_loses_nothing():
    need_machine()
    sent_while(lambda: machine.run("systemctl", "restart", "laminad"))


def test_an_upgrade_loses_nothing_and_keeps_the_configuration():
    need_machine()
    before = machine.unit("MainPID")
    sent_while(lambda: machine.run("dpkg", "-i", package(NEW)))
    assert machine.unit("MainPID") != before
    version = machine.run("dpkg-query", "-W", "-f", "${Version}", "lamina")
    assert version == NEW, version
    assert "stable_after = 4s" in machine.read(CONF)
    assert len(stored(STUDY[0].StudyInstanceUID)) >= len(STUDY)


def test_what_was_disabled_stays_disabled():
    need_machine()
    machine.run("systemctl", "disable", "--now", "laminad")
    machine.run("dpkg", "-i", package(OLD))
    assert machine.unit("UnitFileState") == "disabled"
    machine.run("systemctl", "enable", "--now", "laminad")
    settle()


def test_stop_is_clean():
    need_machine()
    machine.run("systemctl", "stop", "laminad")
    assert machine.unit("Result") == "success" and machine.unit("ExecMainStatus") == "0"
    assert machine.run("pgrep", "-u", "lamina", status=1) == ""
    machine.run("systemctl", "start", "laminad")
    settle()


def test_removal_stops_the_service_and_keeps_data_and_configuration():
    need_machine()
    machine.run("apt-get", "remove", "-y", "-qq", "lamina")
    assert machine.run("pgrep", "-u", "lamina", status=1) == ""
    assert os.path.exists(machine.path(CONF)) and os.path.exists(machine.path("/var/lib/lamina/lamina.db"))
    machine.run("apt-get", "install", "-y", "-qq", package(OLD))
    settle()
    assert len(stored(STUDY[0].StudyInstanceUID)) >= len(STUDY)


def test_purge_removes_the_configuration_and_says_what_it_keeps():
    need_machine()
    said = machine.run("apt-get", "purge", "-y", "-qq", "lamina")
    assert "/var/lib/lamina is kept" in said and "/etc/lamina is kept" in said, said  # certificates of the test above
    assert not os.path.exists(machine.path(CONF))
    assert os.path.exists(machine.path("/etc/lamina/tls/lamina.key"))
    assert os.path.exists(machine.path("/var/lib/lamina/lamina.db"))
    assert machine.run("systemctl", "list-unit-files", "--no-legend", "laminad.service", status=None).strip() == ""


def test_the_machine_goes():
    need_machine()
    machine.stop()


harness.run(globals())
