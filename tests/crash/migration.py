#!/usr/bin/python3
"""Promise 11 when the power fails, or kill -9 comes, while a database moves to the newest schema. An older one, half of it
still in its write-ahead log, is migrated once and recorded; then it is cut off at every sync (lost_power.py), and killed at
every system call that changes a file. Whatever is left has an older schema or the newest, with all rows; no step has been
taken without a whole copy of what was there before; and the next start completes it.

LAMINA_POWER_CUTS and LAMINA_CRASH_SEED say how many cuts beside those at the syncs, and which; `make crash` does 200.
"""
import os
import random
import re
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "e2e"))

import harness  # noqa: E402
from harness.clients import ours, run  # noqa: E402
from harness.daemon import BUILD, ROOT, SANITISED  # noqa: E402
from lost_power import SYNC_BEGIN, SYNC_END, Disk, Recorder  # noqa: E402

CUTS = int(os.environ.get("LAMINA_POWER_CUTS") or os.environ.get("LAMINA_CRASH_ROUNDS") or 20)
SEED = int(os.environ.get("LAMINA_CRASH_SEED") or time.time())
OLDER = 2  # the schema it begins with
INSTANCES = 120  # enough for many pages
CALLS = ("pwrite64", "fdatasync", "fsync", "ftruncate", "/^rename", "/^unlink")  # what changes files


def steps():
    folder = os.path.join(ROOT, "migrations")
    return [os.path.join(folder, name) for name in sorted(os.listdir(folder)) if re.match(r"\d{4}_.*\.sql$", name)]


NEWEST = len(steps())


def fill(db, first, count):
    """Instances of one series from the number `first` on, each with a header."""
    with db:
        for number in range(first, first + count):
            db.execute("INSERT INTO instance (id, series_id, uid, sop_class_uid, transfer_syntax_uid, file, bytes, dataset_offset,"
                       " received_ms) VALUES (?, 1, ?, '1.4', '1.2.840.10008.1.2.1', ?, 9, 0, 5)",
                       (number, f"1.2.1.{number}", number))
            db.execute("INSERT INTO metadata (instance_id, attributes) VALUES (?, ?)",
                       (number, '{"00080018":{"vr":"UI","Value":["1.2.1.%d"]},"00084000":{"vr":"LT","Value":["%s"]}}'
                        % (number, "n" * 300)))


def make_older(folder):
    """A database of a daemon that was killed: what was written last is in the log beside it, not in the file."""
    live = os.path.join(tempfile.mkdtemp(), "lamina.db")
    db = sqlite3.connect(live)
    db.execute("PRAGMA journal_mode=WAL")
    db.execute("PRAGMA synchronous=OFF")  # this one need not outlive anything
    for step in steps()[:OLDER]:
        with open(step, encoding="utf-8") as file:
            db.executescript(file.read())
    db.execute(f"PRAGMA user_version={OLDER}")
    with db:
        db.execute("INSERT INTO study (id, uid, state, patient_name, created_ms, updated_ms)"
                   " VALUES (1, '1.2', 'done', 'Müller^Eva', 5, 5)")
        db.execute("INSERT INTO series (id, study_id, uid, state, modality, instances, received_ms)"
                   " VALUES (1, 1, '1.2.1', 'done', 'MR', ?, 5)", (INSTANCES,))
    fill(db, 1, INSTANCES // 2)
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    fill(db, 1 + INSTANCES // 2, INSTANCES // 2)
    os.makedirs(folder)
    for suffix in ("", "-wal"):
        shutil.copy(live + suffix, os.path.join(folder, "lamina.db" + suffix))
    db.close()
    assert os.path.getsize(os.path.join(folder, "lamina.db-wal")) > 4096
    return folder


def configuration(data):
    """Beside the data, so that it is on no recorded disk."""
    path = data + ".conf"
    with open(path, "w", encoding="utf-8") as file:
        file.write(f"[lamina]\ndata_dir = {data}\n")
    return path


# ---- what must hold ----

def look(path):
    """(schema, rows, structure) of a database, which must be whole. Reading moves a log into the file: in a copy."""
    copy = os.path.join(tempfile.mkdtemp(), "copy.db")
    for suffix in ("", "-wal"):
        if os.path.exists(path + suffix):
            shutil.copy(path + suffix, copy + suffix)
    db = sqlite3.connect(copy)
    try:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert not db.execute("PRAGMA foreign_key_check").fetchall()
        rows = (db.execute("SELECT id, uid, state, patient_name, created_ms FROM study").fetchall(),
                db.execute("SELECT id, study_id, uid, state, modality, instances FROM series").fetchall(),
                db.execute("SELECT i.id, i.uid, i.file, i.bytes, m.attributes FROM instance i JOIN metadata m"
                           " ON m.instance_id = i.id ORDER BY i.id").fetchall())
        structure = db.execute("SELECT type, name, sql FROM sqlite_schema ORDER BY type, name").fetchall()
        return db.execute("PRAGMA user_version").fetchone()[0], rows, structure
    finally:
        db.close()
        shutil.rmtree(os.path.dirname(copy))


def check_copies(data, version, rows):
    """Each copy that has its name is whole and says of which schema it is; without one no step has been taken."""
    named = [name for name in os.listdir(data) if re.fullmatch(r"lamina\.db\.before-\d{4}", name)]
    for name in named:
        kept, its_rows, _ = look(os.path.join(data, name))
        assert kept == int(name[-4:]) - 1 and its_rows == rows, f"{name} has schema {kept} or lacks rows"
    assert version == OLDER or f"lamina.db.before-{OLDER + 1:04d}" in named, f"schema {version} without a copy: {named}"


def check(data, rows, structure):
    database = os.path.join(data, "lamina.db")
    version, found, _ = look(database)
    assert OLDER <= version <= NEWEST and found == rows, f"schema {version}, rows lost or changed"
    check_copies(data, version, rows)
    status, said = ours("lamina", "migrate", "--config", configuration(data))
    assert status == 0, said
    assert look(database) == (NEWEST, rows, structure), "the next start does not complete it"
    check_copies(data, NEWEST, rows)
    assert not [name for name in os.listdir(data) if name.endswith(".new")]


# ---- the tests ----

class Migration:
    """One that nothing disturbed: its records, and what came of it."""

    def __init__(self):
        self.folder = tempfile.mkdtemp()
        self.recorder = Recorder(self.folder)
        self.data = make_older(os.path.join(self.folder, "data"))
        version, self.rows, _ = look(os.path.join(self.data, "lamina.db"))
        assert version == OLDER and len(self.rows[2]) == INSTANCES
        self.root = os.stat(self.data).st_ino
        self.recorder.note_files(self.data)
        self.begin = len(self.recorder.records())
        subprocess.run([os.path.join(BUILD, "lamina"), "migrate", "--config", configuration(self.data)], check=True,
                       stdout=subprocess.DEVNULL, env={**os.environ, **self.recorder.environment})
        version, rows, self.structure = look(os.path.join(self.data, "lamina.db"))
        assert version == NEWEST and rows == self.rows


def test_a_migration_outlives_the_power():
    harness.need(not SANITISED, "a sanitizer's runtime wants to be loaded first")
    done = Migration()
    records = done.recorder.records()
    syncs = [i + 1 for i, r in enumerate(records) if r.kind in (SYNC_BEGIN, SYNC_END) and i >= done.begin]
    dice = random.Random(SEED)
    cuts = [done.begin, *syncs, *(dice.randrange(done.begin, len(records) + 1) for _ in range(CUTS))]
    print(f"# {len(syncs)} at syncs and {CUTS} other cuts of {len(records)} records, LAMINA_CRASH_SEED={SEED}", flush=True)
    assert len(syncs) > 2 * (NEWEST - OLDER), "each step is a transaction of its own, and there is the copy"
    for number, cut in enumerate(cuts):
        for kept in {(0, 0), dice.choice(Disk.KEPT)}:
            data = os.path.join(tempfile.mkdtemp(), "data")
            Disk(records, cut, random.Random(SEED + number), kept).make().write(data, done.root)
            try:
                check(data, done.rows, done.structure)
            except Exception:
                print(f"# cut {number} after {cut} of {len(records)} records, kept {kept} of bytes and names", flush=True)
                raise
            shutil.rmtree(os.path.dirname(data))


def killed_at(call, number, data):
    """False when the migration came to its end before the `number`th such call."""
    command = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={call}",
               "-e", f"inject={call}:signal=SIGKILL:when={number}", os.path.join(BUILD, "lamina"), "migrate", "--config",
               configuration(data)]
    status = subprocess.run(command, stdout=subprocess.DEVNULL, check=False).returncode
    assert status in (0, -9, 137), status
    return status != 0


def test_a_migration_outlives_kill_9():
    harness.need(not SANITISED, "strace and sanitizers do not go together")
    harness.need(shutil.which("strace") and run("strace", "-f", "true")[0] == 0, "strace may not trace here")
    done = Migration()
    kills = 0
    for call in CALLS:
        number = 1
        while True:
            data = make_older(os.path.join(tempfile.mkdtemp(), "data"))
            if not killed_at(call, number, data):
                break
            check(data, done.rows, done.structure)
            shutil.rmtree(os.path.dirname(data))
            kills += 1
            number += 1 if call != "pwrite64" else 1 + number // 4
    print(f"# killed {kills} times")
    assert kills > 2 * (NEWEST - OLDER)


harness.run(globals())
