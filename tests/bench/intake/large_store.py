#!/usr/bin/python3
"""How fast objects are taken by an empty store and by a large one, interleaved; and how long the large one takes to start.

  large_store.py LOAD OBJECTS_DIR [--instances 1000000] [--objects 300] [--repeats 3]

LOAD is the load generator cstore_load of ../shared/bench, OBJECTS_DIR what make_objects.py wrote. The large store is made by SQL
in bulk: 100 instances a study, with metadata of the usual length, and a small file for each instance.
"""
import argparse
import json
import os
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "e2e"))
from harness import images  # noqa: E402
from harness.daemon import Daemon  # noqa: E402

ROWS = """
CREATE TEMP TABLE n (i INTEGER PRIMARY KEY);
INSERT INTO n WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < {count}) SELECT i FROM c;
INSERT INTO study (id, uid, state, patient_id, patient_name, study_date, created_ms, updated_ms, series_count, instance_count)
    SELECT i, '1.2.826.0.1.3680043.10.2.' || i, 'no_model', 'P' || i, 'Family' || i || '^Given', '20200101', 1, 1, 1, 100
    FROM n WHERE i <= {count} / 100;
INSERT INTO series (id, study_id, uid, state, modality, number, instances, received_ms)
    SELECT i, i, '1.2.826.0.1.3680043.10.2.' || i || '.1', 'no_model', 'MR', 1, 100, 1 FROM n WHERE i <= {count} / 100;
INSERT INTO instance (id, series_id, uid, sop_class_uid, transfer_syntax_uid, number, file, bytes, dataset_offset, received_ms)
    SELECT i, (i - 1) / 100 + 1, '1.2.826.0.1.3680043.10.2.' || ((i - 1) / 100 + 1) || '.1.' || i, '1.2.840.10008.5.1.4.1.1.4',
    '1.2.840.10008.1.2.1', i, i - 1, 16, 0, 1 FROM n;
INSERT INTO metadata (instance_id, attributes) SELECT i, '{{"00189999":{{"vr":"LT","Value":["' || hex(randomblob(600)) || '"]}}}}' FROM n;
"""


def fill(data, count):
    """Rows and files 0 … count - 1."""
    db = sqlite3.connect(os.path.join(data, "lamina.db"), isolation_level=None)
    db.executescript("PRAGMA synchronous=OFF; BEGIN;" + ROWS.format(count=count) + "COMMIT; PRAGMA wal_checkpoint(TRUNCATE);")
    db.close()
    for number in range(count):
        folder = os.path.join(data, "store", f"{number // 1024:05x}")
        if number % 1024 == 0:
            os.makedirs(folder, exist_ok=True)
        with open(os.path.join(folder, f"{number:08x}"), "wb") as file:
            file.write(b"a small object..")


def rate(load, daemon, objects):
    """Objects a second over four associations; all of them must be taken."""
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as listing:
        listing.write("\n".join(objects) + "\n")
        listing.flush()
        done = subprocess.run([load, "127.0.0.1", str(daemon.dicom_port), "LAMINA", "4", "-L", listing.name], check=True,
                              stdout=subprocess.PIPE)
    answer = json.loads(done.stdout)
    assert answer["ok"] == len(objects), answer
    return answer["images_per_s"]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("load")
    parser.add_argument("objects_dir")
    parser.add_argument("--instances", type=int, default=1000000)
    parser.add_argument("--objects", type=int, default=300)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    files = images.files_below(options.objects_dir)
    assert len(files) >= options.objects * options.repeats, "make_objects.py must make objects * repeats of them"
    settings = {"lamina.log_level": "error", "analysis.stable_after": "1h"}
    empty, large = Daemon(settings), Daemon(settings)
    with large:
        pass
    fill(large.data, options.instances)
    os.sync()
    started = time.monotonic()
    large.start()
    print(f"start-up with {options.instances} instances: {time.monotonic() - started:.2f} s", flush=True)
    rates = {"empty": [], "large": []}
    with empty:
        for repeat in range(options.repeats):
            mine = files[repeat * options.objects:(repeat + 1) * options.objects]
            for name in ("empty", "large") if repeat % 2 else ("large", "empty"):
                rates[name].append(rate(options.load, {"empty": empty, "large": large}[name], mine))
    large.stop()
    medians = {name: statistics.median(values) for name, values in rates.items()}
    print(f"objects/s: empty {medians['empty']:.0f} {rates['empty']}, large {medians['large']:.0f} {rates['large']}")
    print(f"large / empty: {medians['large'] / medians['empty']:.2f}", flush=True)
    for daemon in (empty, large):
        shutil.rmtree(daemon.directory)


if __name__ == "__main__":
    main()
