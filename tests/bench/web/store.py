"""A data folder of Lamina with many instances, kept between runs: one object is taken in as any other, and its rows are then
multiplied by SQL, with the numbers in them replaced. The objects themselves are not there, so that only what the index answers can be
asked of them."""
import glob
import hashlib
import os
import shutil
import sqlite3
import urllib.request

import objects
from harness import images
from harness.clients import multipart
from harness.daemon import ROOT, Daemon


VERSION = b"1"
NUMBERS = """
CREATE TEMP TABLE n (i INTEGER PRIMARY KEY, study INTEGER, series INTEGER, slice INTEGER, series_id INTEGER, count INTEGER,
    instances INTEGER, all_series INTEGER, date TEXT);
"""
TABLES = {"study": "slice = 1 AND series = 1", "series": "slice = 1", "instance": "1", "metadata": "1", "pixels": "1"}
# Columns that are numbers of rows, or count them; every other one is that of the prototype with the words in it replaced.
COUNTED = {
    ("study", "id"): "study", ("study", "instance_count"): "instances", ("study", "series_count"): "all_series",
    ("study", "state"): "'no_model'", ("series", "state"): "'no_model'", ("series", "id"): "series_id", ("series", "study_id"): "study",
    ("series", "instances"): "count", ("instance", "id"): "i", ("instance", "series_id"): "series_id", ("instance", "file"): "i",
    ("metadata", "instance_id"): "i", ("pixels", "instance_id"): "i",
}


def numbers(instances):
    """Rows of the table n."""
    i = series_id = 0
    for study in range(1, objects.studies(instances) + 1):
        series = objects.series_of(study)
        for number, count in series:
            series_id += 1
            for slice_number in range(1, count + 1):
                i += 1
                yield (i, study, number, slice_number, series_id, count, sum(c for _, c in series), len(series), objects.date(study))


def replaced(value):
    """SQL for a value of the prototype with the words in it replaced."""
    if not isinstance(value, (str, int)) or isinstance(value, int) and str(value) not in (objects.SERIES, objects.SLICE):
        return "?"
    words = ((objects.STUDY, "study + {}"), (objects.SERIES, "series + {}"), (objects.SLICE, "slice + {}"), (objects.DATE, "date"))
    sql = "CAST(? AS TEXT)"
    for word, by in words:
        if word in str(value):
            sql = f"replace({sql}, '{word}', {by.format(objects.BASE)})"
    return sql if isinstance(value, str) else f"CAST({sql} AS INTEGER)"


def multiply(path, instances):
    db = sqlite3.connect(path, isolation_level=None)
    db.row_factory = sqlite3.Row
    db.executescript("PRAGMA journal_mode = OFF; PRAGMA foreign_keys = OFF; BEGIN;" + NUMBERS)
    db.executemany("INSERT INTO n VALUES (?,?,?,?,?,?,?,?,?)", numbers(instances))
    rows = {table: dict(db.execute(f"SELECT * FROM {table}").fetchone()) for table in TABLES}
    for table in TABLES:
        db.execute(f"DELETE FROM {table}")
    for table, where in TABLES.items():
        columns, values = [], []
        for name, value in rows[table].items():
            known = COUNTED.get((table, name))
            columns.append(known or replaced(value))
            values += [] if known else [value]
        db.execute(f"INSERT INTO {table} ({','.join(rows[table])}) SELECT {','.join(columns)} FROM n WHERE {where}", values)
    db.execute("COMMIT")
    db.close()


def state():
    """Changes with the schema and, by hand, with what makes the rows."""
    hashed = hashlib.sha256(VERSION)
    for path in sorted(glob.glob(os.path.join(ROOT, "migrations", "*.sql"))):
        with open(path, "rb") as file:
            hashed.update(file.read())
    return hashed.hexdigest()[:12]


def daemon_on(folder):
    """A laminad over a data folder that stays."""
    daemon = Daemon({"lamina.log_level": "error", "lamina.data_dir": folder, "lamina.models_dir": os.path.join(folder, "no-models"),
                     "analysis.stable_after": "1h"})
    os.makedirs(daemon.settings["lamina.models_dir"], exist_ok=True)
    daemon.data = folder
    return daemon


def fill(cache, instances):
    """The data folder; made where it is missing or of another schema."""
    folder = os.path.join(cache, f"lamina-{instances}")
    mark = os.path.join(folder, "filled-" + state())
    if os.path.exists(mark):
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    with daemon_on(folder) as daemon:
        kind, body = multipart([images.to_bytes(objects.prototype())])
        request = urllib.request.Request(daemon.url + "/dicom-web/studies", data=body, headers={"Content-Type": kind})
        urllib.request.urlopen(request, timeout=60).close()
    shutil.rmtree(daemon.directory)
    multiply(os.path.join(folder, "lamina.db"), instances)
    with open(mark, "w", encoding="utf-8"):
        pass
    return folder
