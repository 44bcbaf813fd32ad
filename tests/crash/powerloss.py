#!/usr/bin/python3
"""Promises 1, 3, 4 and 5 when the power fails. One life of the daemon is recorded, and when each object was acknowledged.
Then the disk is made up as it may be found after the power failed at some moment of that life (lost_power.py). laminad is
started on it, and whatever had been acknowledged must be there, byte for byte.

LAMINA_POWER_CUTS and LAMINA_CRASH_SEED say how many moments and which; `make crash` does 200.
"""
import collections
import io
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "e2e"))

import pydicom  # noqa: E402

import harness  # noqa: E402
from harness import images  # noqa: E402
from harness.clients import stow, wado  # noqa: E402
from harness.daemon import BUILD, SANITISED, Daemon, wait_until  # noqa: E402
from harness.faulty import FaultyScp  # noqa: E402
from harness.peers import deliveries  # noqa: E402
from lost_power import LINK, RENAME, SYNC_END, TOLD, WRITE, Disk, Recorder  # noqa: E402

CUTS = int(os.environ.get("LAMINA_POWER_CUTS") or os.environ.get("LAMINA_CRASH_ROUNDS") or 20)
SEED = int(os.environ.get("LAMINA_CRASH_SEED") or time.time())


def settings(peer):
    """Results go to `peer`; an object that comes with other bytes replaces the one before."""
    return {"storage.duplicates": "replace", "lamina.log_level": "info", "peer pacs.ae_title": "PACS",
            "peer pacs.address": f"127.0.0.1:{peer.port}", "peer pacs.deliver": "results", "peer pacs.retry_delay": "100ms"}


def wait_until_delivered(d, uids):
    def all_there():
        return set(uids) <= {delivery["sop_uid"] for delivery in deliveries(d, state="delivered")}
    wait_until(all_there, 60, f"the delivery of {uids}")


# ---- the life that is recorded ----

class Life:
    """A daemon whose files are recorded, and what it told its senders."""

    def __init__(self):
        self.folder = tempfile.mkdtemp()
        self.recorder = Recorder(self.folder)
        self.environment = {**self.recorder.environment, "LAMINA_LIBEXEC": self.wrappers()}
        self.sent = {}  # number: (dataset, bytes); numbers are what TOLD records hold
        self.shown = {}  # the same of objects that are ours
        self.delivered = {}  # number: UID of an object that is known to be at the peer
        self.lock = threading.Lock()

    def wrappers(self):
        """laminad gives its children an environment of their own, so each is started by a script that sets this."""
        settings = " ".join(f"{name}={value}" for name, value in self.recorder.environment.items())
        for program in ("lamina-dimse", "lamina-worker"):
            path = os.path.join(self.folder, program)
            with open(path, "w", encoding="utf-8") as script:
                script.write(f"#!/bin/sh\n{settings} exec {BUILD}/{program}\n")
            os.chmod(path, 0o755)
        return self.folder

    def told(self, number):
        """Recorded after the sender knows, so a little late: nothing is demanded that was not promised."""
        self.recorder.note(TOLD, number)

    def new_number(self):
        return len(self.sent) + len(self.shown) + len(self.delivered) + 1

    def add(self, ds):
        with self.lock:
            number = self.new_number()
            self.sent[number] = (ds, images.to_bytes(ds))
        return number

    def see_results(self, d):
        """What was shown to somebody is owed as what was acknowledged: objects, and then that a peer has them."""
        objects = [o for result in d.results(self.analysed) for o in result["objects"]]
        for item in objects:
            content = wado(d, self.analysed, item["series_uid"], item["sop_uid"]).body
            number = self.new_number()
            self.shown[number] = (pydicom.dcmread(io.BytesIO(content)), content)
            self.told(number)
        wait_until_delivered(d, [o["sop_uid"] for o in objects])
        for item in objects:
            number = self.new_number()
            self.delivered[number] = item["sop_uid"]
            self.told(number)

    def by_stow(self, d, datasets):
        for ds in datasets:
            number = self.add(ds)
            answer = stow(d, [self.sent[number][1]])
            assert answer.status == 200, answer
            self.told(number)

    def by_dimse(self, d, datasets):
        numbers = {}
        for ds, path in zip(datasets, images.save(datasets, tempfile.mkdtemp()), strict=True):
            numbers[path] = self.add(ds)
        sender = subprocess.Popen(["storescu", "-v", "-aec", "LAMINA", "127.0.0.1", str(d.dicom_port), *numbers],
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                  env=dict(os.environ, TCP_NODELAY="1"))
        current = None
        for line in sender.stdout:
            if "Sending file: " in line:
                current = line.split("Sending file: ")[1].strip()
            elif "Received Store Response (Success)" in line:
                self.told(numbers[current])
        assert sender.wait() == 0

    def live(self):
        """Objects come from four at once; some are replaced; one series is analysed, and its result delivered."""
        source = images.series(slices=36)
        others = [images.series(slices=14, rows=64, columns=64, SeriesDescription="T2") for _ in range(3)]
        self.analysed = source[0].StudyInstanceUID
        with FaultyScp() as peer, Daemon(settings(peer), self.environment) as d:
            self.data = d.data
            self.root = os.stat(d.directory).st_ino  # which holds the folder of the data, nothing else that is recorded
            threads = [threading.Thread(target=self.by_dimse, args=(d, source)),
                       threading.Thread(target=self.by_dimse, args=(d, others[0])),
                       threading.Thread(target=self.by_stow, args=(d, others[1])),
                       threading.Thread(target=self.by_stow, args=(d, others[2]))]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            for ds in others[1][:4]:
                ds.PatientComments = "replaced"
            self.by_stow(d, others[1][:4])
            d.wait_for_study(self.analysed)
            self.see_results(d)
        return self


# ---- what must hold ----

def told_before(records, cut):
    return {record.file for record in records[:cut] if record.kind == TOLD}


def check_objects(d, life, told):
    """Promises 1 and 3. An object that was replaced may be the newer one as soon as that was sent; a result that nobody
    has seen may be another one of the same name."""
    versions = collections.defaultdict(list)
    for number, (ds, content) in life.sent.items():
        versions[ds.SOPInstanceUID].append((number, ds, content))
    for uid, known in versions.items():
        latest = max((i for i, (number, _, _) in enumerate(known) if number in told), default=None)
        ds = known[0][1]
        answer = retrieve(d, ds)
        if answer.status == 404 and latest is None:
            continue
        assert answer.status == 200, f"acknowledged and lost: {uid}: {answer}"
        allowed = [data_set(content) for _, _, content in known[latest or 0:]]
        assert data_set(answer.body) in allowed, f"acknowledged and changed: {uid}"
    for ds, content in (shown for number, shown in life.shown.items() if number in told):
        answer = retrieve(d, ds)
        assert answer.status == 200 and answer.body == content, f"shown and lost, or changed: {ds.SOPInstanceUID}: {answer}"


def retrieve(d, ds):
    return d.get(f"/dicom-web/studies/{ds.StudyInstanceUID}/series/{ds.SeriesInstanceUID}/instances/{ds.SOPInstanceUID}",
                 Accept="application/dicom; transfer-syntax=*")


def data_set(content):
    """What follows the file meta information (PS3.10 section 7.1)."""
    return content[144 + int.from_bytes(content[140:144], "little"):]


def check_database(data):
    """Nothing half-visible: each row has its file, whole; each file its row; each job its objects once; states."""
    with sqlite3.connect(f"file:{data}/lamina.db?mode=ro", uri=True) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert not db.execute("PRAGMA foreign_key_check").fetchall()
        rows = dict(db.execute("SELECT file, bytes FROM instance").fetchall())
        pictures = {row[0] for row in db.execute("SELECT file FROM picture")}
        twice = db.execute("SELECT job_id, type, profile FROM result_object GROUP BY 1, 2, 3 HAVING count(*) > 1").fetchall()
        assert not twice, f"published twice: {twice}"
        lost = db.execute("SELECT count(*) FROM study WHERE state IS NULL OR state = ''").fetchone()[0]
        assert lost == 0
    stored = {int(os.path.basename(path), 16): os.path.getsize(path)
              for path in images.files_below(os.path.join(data, "store"))}
    for number, size in rows.items():
        assert stored.get(number) == size, f"file {number:x} of a row has {stored.get(number)} bytes, not {size}"
    assert set(stored) == set(rows) | pictures, "files without a row"
    assert not images.files_below(os.path.join(data, "spool"))


def check_result(d, life, peer, told):
    """Promises 4 and 5: what was interrupted goes on by itself, and is published once. All of it reaches the peer, and
    nothing again of which that was known."""
    study = d.study(life.analysed)
    if not study or sum(s["instances"] for s in study["series"] if s["modality"] == "MR") < 36:
        return
    d.wait_for_study(life.analysed, seconds=90)
    current = [r for r in d.results(life.analysed) if r["state"] == "done"]
    assert len(current) == 1 and sorted(o["type"] for o in current[0]["objects"]) == ["SEG", "SR"], current
    wait_until_delivered(d, [o["sop_uid"] for o in current[0]["objects"]])
    again = set(peer.tried) & {uid for number, uid in life.delivered.items() if number in told}
    assert not again, f"delivered and sent again: {again}"


def start_after(life, records, cut, number, peer):
    dice = random.Random(SEED * 1000 + number)
    disk = Disk(records, cut, dice, dice.choice(Disk.KEPT) if number else Disk.KEPT[0]).make()
    d = Daemon(settings(peer))
    disk.write(d.directory, life.root)
    told = told_before(records, cut)
    try:
        d.start()
        check_objects(d, life, told)
        if number % 5 == 0:
            check_result(d, life, peer, told)
        d.stop()  # nothing is just being published then
        check_database(d.data)
    except Exception as problem:
        print(f"# cut {number} after {cut} of {len(records)} records, kept {disk.bytes_kept} of bytes and"
              f" {disk.names_kept} of names; the disk is {d.data}", flush=True)
        print("# " + d.log()[-3000:].replace("\n", "\n# "), flush=True)
        raise problem
    finally:
        if d.process:
            d.kill()
    shutil.rmtree(d.directory)


def moments(records, count):
    """First the last at which something is owed; then cuts over the whole life, half of them right behind an
    acknowledgement, where most is owed."""
    dice = random.Random(SEED)
    told = [i + 1 for i, r in enumerate(records) if r.kind == TOLD]
    return told[-1:] + [dice.choice(told) if i % 2 else dice.randrange(len(records) + 1) for i in range(1, count)]


def test_what_was_acknowledged_outlives_the_power():
    harness.need(not SANITISED, "a sanitizer's runtime wants to be loaded first")
    life = Life().live()
    records = life.recorder.records()
    kinds = collections.Counter(r.kind for r in records)
    print(f"# {CUTS} cuts, LAMINA_CRASH_SEED={SEED}; {len(records)} records: {kinds[WRITE]} writes,"
          f" {kinds[SYNC_END]} syncs, {kinds[RENAME]} renames, {kinds[TOLD]} acknowledgements", flush=True)
    assert kinds[TOLD] == life.new_number() - 1 and kinds[RENAME] + kinds[LINK] and kinds[SYNC_END]
    for number, cut in enumerate(moments(records, CUTS)):
        with FaultyScp() as peer:
            start_after(life, records, cut, number, peer)


def test_the_record_is_the_disk():
    """The last moment with everything kept is the disk as it is, so nothing that the programs did escaped the recorder."""
    harness.need(not SANITISED, "a sanitizer's runtime wants to be loaded first")
    life = Life().live()
    records = life.recorder.records()
    disk = Disk(records, len(records), random.Random(0), (1, 1))
    copy = tempfile.mkdtemp()
    disk.make().write(copy, life.root)

    def contents(folder):
        found = {}
        for path in images.files_below(folder):
            if not path.endswith(("-shm", "/lock")):
                with open(path, "rb") as file:
                    found[os.path.relpath(path, folder)] = file.read()
        return found
    real, made = contents(life.data), contents(os.path.join(copy, "data"))
    assert set(real) == set(made), set(real) ^ set(made)
    assert not [name for name in real if real[name] != made[name]], [n for n in real if real[n] != made[n]]


harness.run(globals())
