#!/usr/bin/python3
"""Searches and metadata at 100,000 and 1,000,000 instances (generated index), with wrk; Orthanc with its DICOMweb plug-in in the
same run where ../shared/bench has filled one.

  bench_web.py [--sizes 100000,1000000] [--seconds 3] [--peer URL-OF-DICOMWEB-ROOT]

The index is filled by SQL in bulk, with the columns and texts that the intake writes; one series has 500 instances. `--peer` is a
running server with data of its own, whose paths are made from what it answers; each of its figures is taken right after ours.
Objects that are retrieved are stored on both.
"""
import argparse
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import urllib.request

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "..", "e2e"))
from harness import images  # noqa: E402
from harness.clients import multipart  # noqa: E402
from harness.daemon import Daemon  # noqa: E402

PER_SERIES, PER_STUDY, LARGE = 50, 100, 500
JSON = "application/dicom+json"


def attribute(vr, *values):
    return {"vr": vr, "Value": list(values)}


def uid(*numbers):
    return "1.2.826.0.1.3680043.10.1." + ".".join(str(n) for n in numbers)


def study_row(n):
    date = f"{2000 + n % 20}{1 + n // 20 % 12:02}{1 + n // 240 % 28:02}"
    name = f"Family{n:06}^Given"
    texts = {"00080020": attribute("DA", date), "00080030": attribute("TM", "101530"), "00080050": attribute("SH", f"A{n}"),
             "00080090": {"vr": "PN"}, "00081030": attribute("LO", "MR of the head"),
             "00100010": attribute("PN", {"Alphabetic": name}), "00100020": attribute("LO", f"P{n:06}"),
             "00100030": attribute("DA", "19600101"), "00100040": attribute("CS", "F"),
             "0020000D": attribute("UI", uid(n)), "00200010": attribute("SH", str(n))}
    return date, name, texts


def fill(path, instances):
    db = sqlite3.connect(path)
    db.execute("PRAGMA synchronous=OFF")
    study = series = instance = 0
    sizes = [LARGE] + [PER_SERIES] * ((instances - LARGE) // PER_SERIES)
    with db:
        while sizes:
            study += 1
            mine = [sizes.pop(0)] if study == 1 else [sizes.pop() for _ in range(min(len(sizes), PER_STUDY // PER_SERIES))]
            date, name, texts = study_row(study)
            db.execute("INSERT INTO study (id, uid, state, patient_id, patient_name, birth_date, sex, study_date, study_time,"
                       " accession_number, study_id, description, created_ms, updated_ms, attributes, name_key, modalities,"
                       " series_count, instance_count) VALUES (?,?,'no_model',?,?,'19600101','F',?,'101530',?,?,'MR of the head',"
                       "1,1,?,?,'\\MR\\',?,?)",
                       (study, uid(study), f"P{study:06}", name, date, f"A{study}", str(study), json.dumps(texts, separators=(",", ":")),
                        name.lower() + "^=", len(mine), sum(mine)))
            for number, count in enumerate(mine, 1):
                series += 1
                own = {"00080060": attribute("CS", "MR"), "0008103E": attribute("LO", "T2 axial"),
                       "0020000E": attribute("UI", uid(study, number)), "00200011": attribute("IS", number)}
                db.execute("INSERT INTO series (id, study_id, uid, state, modality, number, description, instances, received_ms,"
                           " attributes) VALUES (?,?,?,'no_model','MR',?,'T2 axial',?,1,?)",
                           (series, study, uid(study, number), number, count, json.dumps(own, separators=(",", ":"))))
                for slice_number in range(1, count + 1):
                    instance += 1
                    add_instance(db, instance, series, (study, number, slice_number), {**texts, **own})
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.close()
    return study


def add_instance(db, number, series, place, above):
    few = {"00080016": attribute("UI", "1.2.840.10008.5.1.4.1.1.4"), "00080018": attribute("UI", uid(*place)),
           "00200013": attribute("IS", place[2]), "00280010": attribute("US", 512), "00280011": attribute("US", 512),
           "00280100": attribute("US", 16)}
    geometry = {"00200032": attribute("DS", -120.5, -98.25, 3.0 * place[2]), "00200037": attribute("DS", 1, 0, 0, 0, 1, 0),
                "00280030": attribute("DS", 0.46875, 0.46875), "00180050": attribute("DS", 3)}
    filler = {f"0018{0x9000 + i:04X}": attribute("LO", f"a parameter of the acquisition {i}") for i in range(30)}
    whole = dict(sorted({**above, **few, **geometry, **filler}.items()))
    compact = {"separators": (",", ":")}
    db.execute("INSERT INTO instance (id, series_id, uid, sop_class_uid, transfer_syntax_uid, number, file, bytes, dataset_offset,"
               " received_ms, attributes) VALUES (?,?,?,'1.2.840.10008.5.1.4.1.1.4','1.2.840.10008.1.2.1',?,?,530000,300,1,?)",
               (number, series, uid(*place), place[2], number, json.dumps(few, **compact)))
    db.execute("INSERT INTO metadata (instance_id, attributes) VALUES (?,?)", (number, json.dumps(whole, **compact)))


def get(url):
    with urllib.request.urlopen(urllib.request.Request(url, headers={"Accept": JSON}), timeout=120) as answer:
        return json.load(answer)


def classes(root, largest):
    """name: paths, out of what the server has; `largest` is the study whose first series is read, or None for the one of most instances."""
    studies = get(root + "/studies?limit=200")
    uids = [s["0020000D"]["Value"][0] for s in studies]
    largest = largest or max(studies, key=lambda s: s.get("00201208", {"Value": [0]})["Value"][0])["0020000D"]["Value"][0]
    base = "/" + root.split("/", 3)[3]
    return {
        "by PatientID": [f"{base}/studies?PatientID={s['00100020']['Value'][0]}" for s in studies],
        "by StudyInstanceUID": [f"{base}/studies?StudyInstanceUID={u}" for u in uids],
        "date range, limit 100": [f"{base}/studies?StudyDate=20{y:02}0101-20{y:02}1231&limit=100" for y in range(20)],
        "series of a study": [f"{base}/studies/{u}/series" for u in uids],
        "metadata of a series": [f"{base}/studies/{largest}/series/"
                                 + get(root + f"/studies/{largest}/series")[0]["0020000E"]["Value"][0] + "/metadata"],
    }


def measure(root, paths, accept, connections, seconds):
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write("\n".join(paths) + "\n")
        file.flush()
        said = subprocess.run(["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "60s", "-s", HERE + "/wrk.lua",
                               "/".join(root.split("/", 3)[:3]), "--", file.name, accept], capture_output=True, text=True, check=False)
    found = [line for line in said.stdout.splitlines() if line.startswith("RESULT")]
    return [float(x) for x in found[0].split()[1:]] if found else None


def line(name, what, connections, figures):
    print("| {} | {} | {} | {:.0f} | {:.2f} | {:.2f} | {:.0f} | {:.0f} |".format(name, what, connections, *figures), flush=True)


def report(targets, seconds):
    """targets: (name, root, {what: (paths, accept)}); each figure of the one right after that of the other."""
    for what in targets[0][2]:
        for connections in (1, 8):
            rates = []
            for name, root, asked in targets:
                figures = measure(root, *asked[what], connections, seconds)
                if figures:
                    line(name, what, connections, figures)
                    rates.append(figures[0])
            if len(rates) == 2 and rates[1]:
                print(f"| ratio | {what} | {connections} | {rates[0] / rates[1]:.1f} | | | | |", flush=True)


def searches(root, largest=None):
    return {what: (paths, JSON) for what, paths in classes(root, largest).items()}


def store(root, objects):
    for ds in objects:
        kind, body = multipart([images.to_bytes(ds)])
        request = urllib.request.Request(root + "/studies", data=body, headers={"Content-Type": kind, "Accept": JSON})
        urllib.request.urlopen(request, timeout=120).close()


def retrievals(root, slices, large):
    """The same objects on each server: 40 slices of 512 x 512, and one of 64 MB."""
    base = "/" + root.split("/", 3)[3]
    store(root, slices + [large])
    place = [f"{base}/studies/{ds.StudyInstanceUID}/series/{ds.SeriesInstanceUID}/instances/{ds.SOPInstanceUID}"
             for ds in slices + [large]]
    whole, frame = 'multipart/related; type="application/dicom"', 'multipart/related; type="application/octet-stream"'
    return {"instance, 0.5 MB": (place[:-1], whole), "frame, 0.5 MB": ([p + "/frames/1" for p in place[:-1]], frame),
            "instance, 64 MB": (place[-1:], whole)}


def bench(size, seconds, peer, retrieve):
    daemon = Daemon({"lamina.log_level": "error"})
    daemon.settings["lamina.models_dir"] = os.path.join(daemon.directory, "no-models")
    os.mkdir(daemon.settings["lamina.models_dir"])
    try:
        with daemon:
            pass
        studies = fill(os.path.join(daemon.data, "lamina.db"), size)
        with daemon:
            root = daemon.url + "/dicom-web"
            print(f"# {size} instances, {studies} studies", flush=True)
            targets = [(f"Lamina {size}", root, searches(root, uid(1)))]
            if peer:
                targets.append(("peer", peer, searches(peer)))
            report(targets, seconds)
            if retrieve:
                slices, large = images.series(slices=40, rows=512, columns=512), images.series(slices=1, rows=4096, columns=8192)[0]
                report([(name, at, retrievals(at, slices, large)) for name, at, _ in targets], seconds)
    finally:
        shutil.rmtree(daemon.directory, ignore_errors=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--sizes", default="100000,1000000")
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--peer")
    options = parser.parse_args()
    if not shutil.which("wrk"):
        print("skipped: wrk is not installed (apt-get install wrk)")
        return
    print("| server | what | connections | requests/s | p50 ms | p95 ms | MB/s | errors |\n|---|---|---|---|---|---|---|---|")
    for i, size in enumerate(options.sizes.split(",")):
        bench(int(size), options.seconds, options.peer, i == 0)
    if not options.peer:
        print("# no --peer given: skipped")


main()
