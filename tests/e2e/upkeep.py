#!/usr/bin/python3
"""What operators do: lamina doctor, backup and restore, migrate, deliveries."""
import http.server
import json
import os
import re
import shutil
import signal
import sqlite3
import struct
import tempfile
import threading

import harness
from delivery_common import analyse, peer
from harness.clients import echoscu, ours, run, wado
from harness.daemon import BUILD, SANITISED, Daemon, free_port, wait_until
from harness.peers import StoreScp, wait_for


def conf(d):
    return os.path.join(d.directory, "lamina.conf")


def checks(d):
    status, said = ours("lamina", "doctor", "--json", "--config", conf(d))
    return status, {c["check"]: c for c in json.loads(said)["checks"]}


def test_doctor_finds_nothing_where_all_is_well():
    with StoreScp() as scp, Daemon(peer(scp.port)) as d:
        status, found = checks(d)
        assert status == 0, found
        assert found["peer pacs"]["state"] == "ok" and "C-ECHO" in found["peer pacs"]["found"], found
        assert found["dicom port"]["state"] == "ok" and found["http port"]["state"] == "ok", found


def test_doctor_says_what_is_wrong_and_what_to_do():
    d = Daemon(peer(free_port()))
    d.write_config()
    status, found = checks(d)
    assert status == 1 and found["peer pacs"]["state"] == "failed" and found["peer pacs"]["advice"], found
    assert found["dicom port"]["state"] == "warning", found
    d.settings["dicom.no_such_key"] = "1"
    d.write_config()
    status, found = checks(d)
    assert status == 1 and "no_such_key" in found["configuration"]["found"], found


def test_doctor_reads_another_character_set():
    d = Daemon()
    d.write_config()
    with open(conf(d), "ab") as file:
        file.write("mod\u00e8le = 1\n".encode("latin-1"))
    status, found = checks(d)
    assert status == 1 and "mod?le" in found["configuration"]["found"], found


def test_doctor_looks_into_the_data():
    """Files of somebody else, a database that is damaged or newer, a bundle that laminad leaves out."""
    d = Daemon()
    with d:
        pass
    d.settings["lamina.models_dir"] = models = os.path.join(d.directory, "models")
    shutil.copytree(os.path.join(harness.ROOT, "models/hippocampus/1.0.0"), os.path.join(models, "hippocampus/1.0.0"))
    d.write_config()
    status, found = checks(d)
    assert status == 0 and found["database"]["state"] == "ok" and "model" not in found, found
    with open(os.path.join(models, "hippocampus/1.0.0/weights.safetensors"), "r+b") as file:
        file.seek(5000)
        file.write(b"other")
    status, found = checks(d)
    assert status == 0 and found["model"]["state"] == "warning" and "hippocampus 1.0.0" in found["model"]["found"], found
    database = os.path.join(d.data, "lamina.db")
    for offset, content, said in ((60, struct.pack(">I", 9999), "has schema 9999"), (0, b"junk", "is damaged")):
        with open(database, "r+b") as file:
            file.seek(offset)
            file.write(content)
        status, found = checks(d)
        assert status == 1 and found["database"]["state"] == "failed" and said in found["database"]["found"], found
    if os.geteuid() == 0:
        os.chown(os.path.join(d.data, "store"), 65534, 65534)
        status, found = checks(d)
        assert found["data_dir"]["state"] == "failed" and "store belongs to the user 65534" in found["data_dir"]["found"], found


def test_doctor_knows_who_answers():
    """Another server on the port of HTTP, and laminad that is not ready."""
    class Other(http.server.BaseHTTPRequestHandler):
        status, body = 200, b"hello"

        def do_GET(self):
            self.send_response(self.status)
            self.end_headers()
            self.wfile.write(self.body)

        def log_message(self, *_):
            pass
    with http.server.HTTPServer(("127.0.0.1", 0), Other) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        d = Daemon({"http.listen": f"127.0.0.1:{server.server_port}"})
        d.write_config()
        status, found = checks(d)
        assert status == 1 and "not as laminad does" in found["http port"]["found"], found
        Other.status, Other.body = 503, b'{"status":503,"title":"x","detail":"no room"}'
        status, found = checks(d)
        assert status == 1 and "not ready: no room" in found["http port"]["found"], found
        server.shutdown()


def test_a_backup_of_a_running_daemon_restores_to_the_same():
    with Daemon() as d:
        study, uids = analyse(d)
        folder = tempfile.mkdtemp()
        copy, store = os.path.join(folder, "lamina.db"), os.path.join(folder, "store")
        status, said = ours("lamina", "backup", "--config", conf(d), "--store", store, copy)
        assert status == 0, said
        status, again = ours("lamina", "backup", "--config", conf(d), "--store", store, copy)
        assert status == 0 and "0 new files" in again, again
        before = {uid: wado(d, study, None, None).status for uid in uids}
        results = d.results(study)
        d.stop()
        shutil.rmtree(d.data)
        os.makedirs(d.data)
        shutil.move(copy, os.path.join(d.data, "lamina.db"))
        shutil.move(store, os.path.join(d.data, "store"))
        d.start()
        assert d.results(study) == results
        assert {uid: wado(d, study, None, None).status for uid in uids} == before


def test_a_backup_is_durable_when_it_is_reported():
    """After the last name was given, the folders are synced: of the database, and of the store."""
    harness.need(not SANITISED, "strace and sanitizers do not go together")
    harness.need(shutil.which("strace") and run("strace", "-f", "true")[0] == 0, "strace may not trace here")
    with Daemon() as d:
        analyse(d)
        folder = tempfile.mkdtemp()
        record = os.path.join(folder, "strace")
        status, said = run("strace", "-f", "-yy", "-o", record, "-e", "trace=fsync,syncfs,/^rename", os.path.join(BUILD, "lamina"),
                           "backup", "--config", conf(d), "--store", f"{folder}/store", f"{folder}/lamina.db")
        assert status == 0, said
        with open(record, encoding="utf-8", errors="replace") as file:
            calls = file.read().splitlines()
        named = [i for i, call in enumerate(calls) if re.search(r" rename\w*\(", call)]
        assert len(named) > 8 and f"{folder}/lamina.db" in calls[named[0]], calls
        assert any("fsync(" in call and f"<{folder}>" in call for call in calls[named[0]:named[1]]), calls
        assert any("syncfs(" in call and f"<{folder}/store>" in call for call in calls[named[-1]:]), calls


def test_a_backup_to_a_folder_that_is_not_there():
    with Daemon() as d:
        status, said = ours("lamina", "backup", "--config", conf(d), os.path.join(d.data, "absent", "copy.db"))
        assert status == 1 and "No such file or directory" in said, said


def test_migrate_needs_a_stopped_daemon():
    with Daemon() as d:
        status, said = ours("lamina", "migrate", "--config", conf(d))
        assert status == 1 and "stop it first" in said, said
    status, said = ours("lamina", "migrate", "--config", conf(d))
    assert status == 0 and "has schema" in said, said
    version = sqlite3.connect(os.path.join(d.data, "lamina.db")).execute("PRAGMA user_version").fetchone()[0]
    assert f"schema {version}," in said, said


def test_associations_are_counted_on_when_lamina_dimse_starts_again():
    """So that a number in the log means one association."""
    with Daemon() as d:
        def numbers():
            return [int(number) for number in re.findall(r'what="accepted" association=(\d+)', d.log())]
        assert echoscu(d)[0] == 0 and echoscu(d)[0] == 0
        wait_until(lambda: numbers() == [1, 2], 10, "two associations")
        first = d.children("lamina-dimse")
        os.kill(first[0], signal.SIGKILL)
        wait_until(lambda: set(d.children("lamina-dimse")) - set(first), 20, "another lamina-dimse")
        wait_until(lambda: echoscu(d)[0] == 0, 20, "an association")
        wait_until(lambda: len(numbers()) > 2, 10, "its line in the log")
        assert numbers()[2] == 3, numbers()


def test_the_command_deliveries():
    with StoreScp() as scp, Daemon(peer(scp.port)) as d:
        os.environ["LAMINA_URL"] = d.url
        assert ours("lamina", "deliveries", "pause", "pacs")[0] == 0
        _, uids = analyse(d)
        status, said = ours("lamina", "deliveries", "--json", "--state", "queued")
        assert status == 0 and len(json.loads(said)["deliveries"]) == len(uids), said
        assert "paused" in ours("lamina", "deliveries", "destinations")[1]
        assert ours("lamina", "deliveries", "resume", "pacs")[0] == 0
        done = wait_for(d, "delivered", len(uids))
        status, said = ours("lamina", "deliveries")
        assert status == 0 and said.count("delivered") == len(uids), said
        status, said = ours("lamina", "deliveries", "retry", str(done[0]["delivery"]))
        assert status == 1 and "is delivered" in said, said


harness.run(globals())
