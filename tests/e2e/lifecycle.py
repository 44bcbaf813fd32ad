#!/usr/bin/python3
"""laminad as a service: starting, refusing to start, telling systemd, reloading, draining, resuming."""
import itertools
import os
import select
import signal
import socket
import stat
import subprocess
import tempfile
import time

import harness
from harness import images
from harness.clients import echoscu, ours, pretty, stow
from harness.daemon import BUILD, PATIENCE, Daemon, wait_until


def refuses_to_start(settings, *words):
    d = Daemon(settings)
    status = d.launch().wait(20 * PATIENCE)
    assert status not in (0, None) and status > 0, f"{status}: {d.log()}"
    for word in words:
        assert word.lower() in d.log().lower(), f"{word!r} is not in: {d.log()}"


def test_beyond_loopback_without_authentication():
    """Promise 10."""
    for address in ("0.0.0.0:0", "[::]:0", "192.0.2.7:0"):
        port = Daemon().http_port
        refuses_to_start({"http.listen": address.rsplit(":", 1)[0] + f":{port}"}, "auth")
        refuses_to_start({"dicom.listen": address.rsplit(":", 1)[0] + f":{port}"}, "known")


def test_an_unknown_key_names_its_line():
    refuses_to_start({"dicom.ae_titel": "X"}, "ae_titel", "lamina.conf")
    refuses_to_start({"dicmo.listen": "127.0.0.1:1"}, "dicmo")


def test_values_out_of_bounds():
    for key, value in (("lamina.workers", "0"), ("lamina.workers", "many"), ("dicom.ae_title", "A" * 17),
                       ("analysis.stable_after", "soon"), ("storage.duplicates", "maybe"), ("http.auth", "password")):
        refuses_to_start({key: value}, key.split(".")[1])


def test_a_port_that_is_taken():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        refuses_to_start({"http.listen": f"127.0.0.1:{port}"}, str(port))
        refuses_to_start({"dicom.listen": f"127.0.0.1:{port}"}, str(port))


def test_a_second_daemon_on_the_same_data(d):
    refuses_to_start({"lamina.data_dir": d.data}, d.data)
    assert d.get("/readyz").status == 200


def test_check_config(d):
    path = d.write_config()
    status, said = ours("laminad", "--config", path, "--check-config")
    assert status == 0, said
    with open(path, "a", encoding="utf-8") as file:
        file.write("[rule broken]\nmodel = hippocampus\nwhen = Modality is MR\n[peer x]\nae_titel = X\n")
    status, said = ours("laminad", "--config", path, "--check-config")
    assert status != 0 and "when" in said and "ae_titel" in said, said


def test_usage():
    for arguments in (["--nonsense"], ["--config"], ["--config", "/nonexistent.conf"]):
        status, said = ours("laminad", *arguments)
        assert status not in (0, -signal.SIGABRT, -signal.SIGSEGV) and said, (arguments, status, said)


def test_health(d):
    assert d.get("/healthz").status == 200
    status = d.get("/api/v1/status").json
    assert status["ae_title"] == "LAMINA", pretty(status)
    metrics = d.get("/metrics")
    assert metrics.status == 200 and b"# TYPE lamina_" in metrics.body, metrics


def test_what_it_keeps_is_for_its_user_only(d):
    for where, folders, files in os.walk(d.data):
        for name in folders + files:
            mode = os.lstat(os.path.join(where, name)).st_mode
            assert not mode & stat.S_IRWXO, (os.path.join(where, name), oct(mode))


def test_systemd_is_told():
    """READY=1 once it serves, WATCHDOG=1 at least every half of the interval, STOPPING=1 at the end (sd_notify(3))."""
    path = os.path.join(tempfile.mkdtemp(), "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.bind(path)
        d = Daemon(environment={"NOTIFY_SOCKET": path, "WATCHDOG_USEC": "2000000"})
        d.launch()
        said = []

        def heard(word, seconds):
            deadline = time.monotonic() + seconds * PATIENCE
            while time.monotonic() < deadline:
                if select.select([notify], [], [], 0.05)[0]:
                    said.append(notify.recv(4096).decode())
                    if word in said[-1].split("\n"):
                        return True
            return False
        assert heard("READY=1", 15), said
        assert d.get("/readyz").status == 200, "READY before it was"
        times = []
        for _ in range(4):
            assert heard("WATCHDOG=1", 2), said
            times.append(time.monotonic())
        # A busy machine makes some of them late, but not all.
        assert min(later - earlier for earlier, later in itertools.pairwise(times)) < 1.5, times
        d.process.send_signal(signal.SIGTERM)
        assert heard("STOPPING=1", 5), said
        assert d.process.wait(20 * PATIENCE) == 0


def test_reload_applies_what_may_change(d):
    assert echoscu(d, called="RENAMED")[0] != 0
    d.settings["dicom.ae_title"] = "RENAMED"
    d.write_config()
    os.kill(d.pid, signal.SIGHUP)
    wait_until(lambda: echoscu(d, called="RENAMED")[0] == 0, 10, "the new title")
    assert echoscu(d, called="LAMINA")[0] != 0


def test_a_bad_reload_changes_nothing(d):
    d.settings["dicom.ae_title"] = "X" * 20
    d.write_config()
    os.kill(d.pid, signal.SIGHUP)
    wait_until(lambda: "event=reload_failed" in d.log(), 10, "a word about it")
    assert echoscu(d, called="RENAMED")[0] == 0
    d.settings["dicom.ae_title"] = "RENAMED"
    d.write_config()


def test_sigterm_drains_and_a_restart_resumes():
    d = Daemon()
    with d:
        sources = [images.series() for _ in range(4)]
        for source in sources:
            assert stow(d, [images.to_bytes(ds) for ds in source]).status == 200
        assert d.analyze(sources[0][0].StudyInstanceUID).status == 202
        d.stop()
        d.start()
        for source in sources:
            d.wait_for_study(source[0].StudyInstanceUID)
            assert len(d.results(source[0].StudyInstanceUID)) == 1


def test_kill_9_and_a_restart_resumes():
    d = Daemon()
    with d:
        source = images.series()
        assert stow(d, [images.to_bytes(ds) for ds in source]).status == 200
        assert d.analyze(source[0].StudyInstanceUID).status == 202
        d.kill()
        d.start()
        d.wait_for_study(source[0].StudyInstanceUID)
        results = d.results(source[0].StudyInstanceUID)
        assert len(results) == 1 and len({o["type"] for o in results[0]["objects"]}) == len(results[0]["objects"])


def test_a_newer_database_is_refused():
    """Promise 11."""
    d = Daemon()
    with d:
        pass
    database = os.path.join(d.data, "lamina.db")
    subprocess.run(["sqlite3", database, "PRAGMA user_version = 9999"], check=True)
    status = d.launch().wait(20 * PATIENCE)
    assert status > 0 and "newer" in d.log().lower(), d.log()[-2000:]


def test_a_damaged_database_is_refused():
    d = Daemon()
    with d:
        pass
    path = os.path.join(d.data, "lamina.db")
    with open(path, "r+b") as file:
        file.write(b"damaged " * 64)
    assert d.launch().wait(20 * PATIENCE) > 0
    assert f"{path} is damaged; restore it and the store from a backup" in d.log(), d.log()


def test_help_and_version():
    for program in ("laminad", "lamina"):
        status, said = ours(program, "--version")
        assert status == 0 and "0." in said, (program, said)
        status, said = ours(program, "--help")
        assert status == 0 and "usage" in said.lower(), (program, said)
    assert os.path.exists(os.path.join(BUILD, "laminad"))


harness.run(globals(), Daemon())
