#!/usr/bin/python3
"""Searches, metadata and retrievals over HTTP at 100,000 and 1,000,000 instances, with wrk; Orthanc with its DICOMweb plug-in beside
them, with the same instances and in the same rounds.

  bench_web.py [--cache DIR] [--prepare] [--sizes 100000,1000000] [--peer-size 100000] [--seconds 3] [--rounds 3] [--only WORD]

The stores are kept in DIR and made where they are missing, which takes minutes; `--prepare` does that and no more.
"""
import argparse
import os
import random
import shutil
import statistics
import subprocess
import tempfile
import urllib.request

import objects
import peer
import store
from harness import images
from harness.clients import multipart
from harness.daemon import descendants

HERE = os.path.dirname(os.path.abspath(__file__))
JSON = "application/dicom+json"
WHOLE, FRAME = 'multipart/related; type="application/dicom"', 'multipart/related; type="application/octet-stream"'
SEARCHED = 500  # different studies asked for
SLICES = 40
PATIENCE = 10
# What issue 5 asks for: times the peer's requests/s, and the 95th percentile in ms at 1 and 8 connections.
QUICK = {1: 10, 8: 50}
FLOORS = {"studies by PatientID": (10, QUICK), "studies by StudyInstanceUID": (10, QUICK), "studies of a date range, limit 100": (10, QUICK),
          "series of a study": (10, QUICK), "metadata of 500 instances": (20, None), "instance of 0.5 MB": (4, None),
          "frame of 0.5 MB": (4, None), "instance of 64 MB": (4, None)}


# ---- what is asked for ----

def searches(instances):
    """{what: (paths, Accept)}; the same studies in every store of at least this size."""
    some = random.Random(7).choices(range(1, objects.studies(instances) + 1), k=SEARCHED)
    first = f"/studies/{objects.study_uid(1)}/series/{objects.series_uid(1, 1)}"
    return {
        "studies by PatientID": ([f"/studies?PatientID=P{objects.BASE + n}" for n in some], JSON),
        "studies by StudyInstanceUID": ([f"/studies?StudyInstanceUID={objects.study_uid(n)}" for n in some], JSON),
        # Four years hold more than a hundred studies in the smallest store.
        "studies of a date range, limit 100": ([f"/studies?StudyDate={2000 + y}0101-{2003 + y}1231&limit=100"
                                                for y in range(objects.YEARS - 3)], JSON),
        "series of a study": ([f"/studies/{objects.study_uid(n)}/series" for n in some], JSON),
        "metadata of 500 instances": ([first + "/metadata"], JSON),
    }


def large_objects():
    """SLICES slices of 512 x 512 and an image of 64 MB, with UIDs that stay the same."""
    made = images.series(slices=SLICES, rows=512, columns=512) + images.series(slices=1, rows=4096, columns=8192)
    for number, ds in enumerate(made, 1):
        ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.FrameOfReferenceUID = (objects.ROOT + end for end in (".2", ".2.1", ".2.2"))
        ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = f"{objects.ROOT}.2.1.{number}"
    return made


def put_large_objects(root):
    """An object that is there already is taken again and changes nothing."""
    for ds in large_objects():
        kind, body = multipart([images.to_bytes(ds)])
        request = urllib.request.Request(root + "/studies", data=body, headers={"Content-Type": kind, "Accept": JSON})
        urllib.request.urlopen(request, timeout=120).close()


def retrievals():
    place = [f"/studies/{objects.ROOT}.2/series/{objects.ROOT}.2.1/instances/{objects.ROOT}.2.1.{n}" for n in range(1, SLICES + 2)]
    return {"instance of 0.5 MB": (place[:-1], WHOLE), "frame of 0.5 MB": ([p + "/frames/1" for p in place[:-1]], FRAME),
            "instance of 64 MB": (place[-1:], WHOLE)}


# ---- measuring ----

def measure(root, paths, accept, connections, seconds):
    """[requests/s, median ms, 95th percentile ms, MB/s, errors]. One that answers nothing in that time gets more of it."""
    server, base = "/".join(root.split("/", 3)[:3]), "/" + root.split("/", 3)[3]
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write("".join(base + path + "\n" for path in paths))
        file.flush()
        said = subprocess.run(["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "60s", "-s", HERE + "/wrk.lua", server,
                               "--", file.name, accept], capture_output=True, text=True, check=False)
    found = [line for line in said.stdout.splitlines() if line.startswith("RESULT")]
    assert found, said.stdout + said.stderr
    figures = [float(x) for x in found[0].split()[1:]]
    return figures if figures[0] or seconds >= PATIENCE else measure(root, paths, accept, connections, PATIENCE)


def resident(pid):
    """Memory of its own of a process and all below it, in MB; mapped files do not count."""
    total = 0
    for one in [pid] + [child for child, _ in descendants(pid)]:
        with open(f"/proc/{one}/status", encoding="ascii") as file:
            total += sum(int(line.split()[1]) for line in file if line.startswith("RssAnon"))
    return total / 1024


class Server:
    def __init__(self, name, holds, root, pid, asked):
        self.name, self.holds, self.root, self.pid, self.asked = name, holds, root, pid, asked


def row(*cells):
    print("| " + " | ".join(map(str, cells)) + " |", flush=True)


def compare(servers, what, connections, options):
    """A line for each server: medians over the rounds, in each of which one server follows the other."""
    rounds = {server.name: [] for server in servers}
    for number in range(options.rounds):
        for server in servers if number % 2 == 0 else reversed(servers):
            paths, accept = server.asked[what]
            rounds[server.name].append(measure(server.root, paths, accept, connections, options.seconds))
    medians = {name: [statistics.median(column) for column in zip(*figures)] for name, figures in rounds.items()}
    for server in servers:
        rate, p50, p95, bandwidth, _ = medians[server.name]
        row(server.name, server.holds, what, connections, f"{rate:.0f}", f"{p50:.2f}", f"{p95:.2f}", f"{bandwidth:.0f}",
            f"{max(figures[4] for figures in rounds[server.name]):.0f}")
    return medians


def judge(what, connections, medians, ours, peers):
    """What is said about the floors; nothing where one holds."""
    times, quick = FLOORS[what]
    for name in peers:
        ratio = medians[ours][0] / max(medians[name][0], 1e-9)
        print(f"# {what}, {connections}: {ratio:.1f} times {name}" + ("" if ratio >= times else f", under the {times} asked for"), flush=True)
    for name in medians:
        if quick and name not in peers and medians[name][2] > quick[connections]:
            print(f"# {what}, {connections}: 95th percentile of {name} {medians[name][2]:.2f} ms, over {quick[connections]}", flush=True)
    if what == "instance of 64 MB" and medians[ours][3] < 1000:
        print(f"# {what}, {connections}: {medians[ours][3] / 1000:.2f} GB/s, under 1", flush=True)


def run(servers, peers, options):
    """All side by side, under the same moods of the machine. Memory counts from when everything was asked for once."""
    for server in servers:
        for what, (paths, accept) in server.asked.items():
            measure(server.root, paths, accept, 8, 1) if options.only in what else None
    before = {server.name: resident(server.pid) for server in servers}
    row("server", "holds", "what", "connections", "requests/s", "p50 ms", "p95 ms", "MB/s", "errors")
    row(*["---"] * 9)
    for what in FLOORS:
        for connections in (1, 8):
            able = [server for server in servers if what in server.asked]
            if options.only in what and able:
                judge(what, connections, compare(able, what, connections, options), servers[0].name, peers)
    for server in servers:
        print(f"# {server.name}: {before[server.name]:.0f} MB of memory before, {resident(server.pid):.0f} MB after", flush=True)


def prepare(options):
    """[(data folder of Lamina, size)], folder of the peer or None."""
    own = [(store.fill(options.cache, size), size) for size in options.sizes]
    if not options.peer_size or not peer.is_installed():
        print("# no peer: " + ("Orthanc and its DICOMweb plug-in are not installed" if options.peer_size else "not asked for"))
        return own, None
    folder = os.path.join(options.cache, f"orthanc-{options.peer_size}")
    peer.fill(folder, options.peer_size)
    return own, folder


def serve(own, other, options):
    """Starts them one inside the other, and measures in the innermost."""
    smallest = min(options.sizes + ([options.peer_size] if other else []))
    servers = []

    def add(name, size, root, pid, with_large):
        if with_large:
            put_large_objects(root)
        servers.append(Server(name, size, root, pid, {**searches(smallest), **(retrievals() if with_large else {})}))

    def start(rest):
        if rest:
            folder, size = rest[0]
            daemon = store.daemon_on(folder)
            try:
                with daemon:
                    add(f"Lamina {size}", size, daemon.url + "/dicom-web", daemon.pid, not servers)
                    start(rest[1:])
            finally:
                shutil.rmtree(daemon.directory, ignore_errors=True)
        elif other:
            with peer.Orthanc(other) as orthanc:
                add(orthanc.name, orthanc.count(), orthanc.root, orthanc.pid, True)
                run(servers, {orthanc.name}, options)
        else:
            run(servers, set(), options)

    start(own)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--cache", default=os.path.join(tempfile.gettempdir(), "lamina-bench-web"))
    parser.add_argument("--prepare", action="store_true")
    parser.add_argument("--sizes", type=lambda text: [int(n) for n in text.split(",")], default=[100000, 1000000])
    parser.add_argument("--peer-size", type=int, default=100000, help="0: none")
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="", help="what has this in its name")
    options = parser.parse_args()
    if not shutil.which("wrk"):
        print("skipped: wrk is not installed (apt-get install wrk)")
        return
    own, other = prepare(options)
    if not options.prepare:
        serve(own, other, options)


if __name__ == "__main__":
    main()
