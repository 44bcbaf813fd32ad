#!/usr/bin/python3
"""Promises 1, 3, 4 and 5 under kill -9: while 200 instances are sent, each of the three programs is killed, at random
moments and at the places of core/base/failpoint.h. laminad is started again when it was the victim; the sender sends
again what was not acknowledged. In the end everything acknowledged is there byte for byte, the study is analysed, with
exactly one SEG and one SR for each set of inputs.

LAMINA_CRASH_ROUNDS and LAMINA_CRASH_SEED say how often and from where; `make crash ROUNDS=200 SEED=7`. The sender is
DCMTK's storescu, which says after each object whether it was acknowledged.
"""
import contextlib
import os
import random
import re
import signal
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "e2e"))

import harness  # noqa: E402
from harness import images  # noqa: E402
from harness.clients import parts_of, pretty, storescu, wado  # noqa: E402
from harness.daemon import PATIENCE, Daemon, wait_until  # noqa: E402

ROUNDS = int(os.environ.get("LAMINA_CRASH_ROUNDS") or 5)
SEED = int(os.environ.get("LAMINA_CRASH_SEED") or time.time())
SLICES = 200
VICTIMS = ("laminad", "lamina-dimse", "lamina-worker")
POINTS = ("spool.create", "spool.write", "spool.sync", "spool.open", "store.rename", "store.sync", "db.begin", "db.step",
          "db.commit", "commit.after", "answer")


class Sender(threading.Thread):
    """Sends files until each is acknowledged; `acknowledged` grows as it goes."""

    def __init__(self, daemon, paths):
        super().__init__(daemon=True)
        self.daemon_under_test, self.paths = daemon, paths
        self.acknowledged, self.calls = set(), 0
        self.deadline = time.monotonic() + 120 * PATIENCE

    def run(self):
        while len(self.acknowledged) < len(self.paths) and time.monotonic() < self.deadline:
            left = [p for p in self.paths if p not in self.acknowledged]
            _, said = storescu(self.daemon_under_test, left)
            self.acknowledged |= acknowledged_in(said)
            self.calls += 1
            time.sleep(0.05)


def acknowledged_in(said):
    """The files after which storescu was told success."""
    found, current = set(), None
    for line in said.splitlines():
        sending = re.search(r"Sending file: (\S+)", line)
        if sending:
            current = sending.group(1)
        elif "Received Store Response (Success)" in line and current:
            found.add(current)
    return found


def kill_one(d, victim):
    if victim == "laminad":
        d.kill()
        d.start()
        return True
    pids = d.children(victim)
    for pid in pids[:1]:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return bool(pids)


def log_since(d, offset):
    with open(d.log_path, encoding="utf-8", errors="replace") as log:
        log.seek(offset)
        return log.read()


def kill_at(d, point, passes, sender):
    """Whoever comes by `point` after so many passes is killed there: laminad, then started again, or lamina-dimse, which
    laminad starts again. Gives whether anybody came by."""
    d.kill()
    d.environment["LAMINA_FAILPOINTS"] = f"{point}=KILL+{passes}"
    before = os.path.getsize(d.log_path)
    process = d.launch()
    deadline = time.monotonic() + 3
    met = False
    while not met and sender.is_alive() and time.monotonic() < deadline:
        time.sleep(0.02)
        met = process.poll() is not None or "event=dimse_ended" in log_since(d, before)
    d.environment.pop("LAMINA_FAILPOINTS")
    d.kill()
    d.start()
    return met


def data_set(path_or_bytes):
    """What follows the file meta information (PS3.10 section 7.1)."""
    content = path_or_bytes
    if isinstance(content, str):
        with open(content, "rb") as file:
            content = file.read()
    return content[144 + int.from_bytes(content[140:144], "little"):]


def check(d, source, paths, sender):
    study = source[0].StudyInstanceUID
    assert sender.acknowledged == set(paths), f"{len(sender.acknowledged)} of {SLICES} acknowledged in the end"
    series = source[0].SeriesInstanceUID
    d.wait_for_study(study, seconds=90)
    listed = {s["series_uid"]: s["instances"] for s in d.study(study)["series"]}
    assert listed[series] == SLICES, pretty(listed)
    whole = wado(d, study, series, accept='multipart/related; type="application/dicom"; transfer-syntax=*')
    assert whole.status == 200, whole
    there = sorted(data_set(part) for part in parts_of(whole))
    assert there == sorted(data_set(path) for path in paths), "acknowledged and lost, or changed"
    results = d.results(study)
    # One result of the whole series. On a busy machine a kill makes a gap in which a part of it counts as complete: the
    # result of that part stays beside it, superseded.
    assert [r["state"] for r in results].count("done") == 1, pretty(results)
    for result in results:
        assert sorted(o["type"] for o in result["objects"]) == ["SEG", "SR"], pretty(results)
    objects = [o for r in results for o in r["objects"]]
    assert len({o["sop_uid"] for o in objects}) == len(objects)
    assert sum(listed.values()) == SLICES + len(objects), pretty(listed)
    for item in objects:
        assert wado(d, study, item["series_uid"], item["sop_uid"]).status == 200


def undisturbed_seconds(d):
    """How long a send takes here when nobody is killed; kills are timed by it."""
    source = images.series(slices=SLICES, rows=40, columns=32, SeriesDescription="T2")
    sender = Sender(d, images.save(source, tempfile.mkdtemp()))
    started = time.monotonic()
    sender.start()
    sender.join()
    assert len(sender.acknowledged) == SLICES
    return min(time.monotonic() - started, 1.0)  # on a busy machine kills need not wait for each other


def one_round(d, number, seconds):
    dice = random.Random(SEED * 1000 + number)
    source = images.series(slices=SLICES, rows=40, columns=32, step=0.25, SliceThickness=0.25)
    paths = images.save(source, tempfile.mkdtemp())
    sender = Sender(d, paths)
    sender.start()
    killed = []
    # In a first round each is killed once; after that, whoever the dice say.
    for victim in (*VICTIMS, dice.choice(POINTS)) if number == 0 else dice.choices(VICTIMS + POINTS, k=6):
        time.sleep(dice.uniform(0.0, 0.4 * seconds))
        if not sender.is_alive():
            break
        if victim in POINTS:
            if kill_at(d, victim, dice.randrange(40), sender):
                killed.append(f"at {victim}")
        elif kill_one(d, victim):
            killed.append(victim)
    sender.join()
    if dice.random() < 0.7:  # and once while it waits, analyses or publishes
        time.sleep(dice.uniform(0.0, 4.0))
        killed.append(victim := dice.choice(VICTIMS))
        kill_one(d, victim)
    check(d, source, paths, sender)
    print(f"# round {number}: killed {', '.join(killed)}; {sender.calls} associations", flush=True)


def test_nothing_acknowledged_is_lost(d):
    seconds = undisturbed_seconds(d)
    print(f"# {ROUNDS} rounds, LAMINA_CRASH_SEED={SEED}; {SLICES} instances take {seconds:.2f} s", flush=True)
    for number in range(ROUNDS):
        one_round(d, number, seconds)


def test_nothing_half_finished_is_left(d):
    """After a clean stop the spool is empty: every file is either an object of the index or gone."""
    def spooled():
        return images.files_below(os.path.join(d.data, "spool"))
    d.kill()
    d.start()
    wait_until(lambda: not spooled(), 10, f"the spool to be empty: {spooled()[:5]}")


# Quiet long enough that few gaps made by a kill look like the end of the series: a study that grows is analysed again.
harness.run(globals(), Daemon({"analysis.stable_after": "2s", "analysis.stable_after_release": "500ms",
                               "analysis.max_attempts": "20", "lamina.log_level": "info"}, {"LAMINA_TEST_HOOKS": "1"}))
