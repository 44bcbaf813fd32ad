#!/usr/bin/python3
"""The clock of the machine is set back by a day, while the daemon runs and while it does not: what was received is analysed
as if nothing had happened. By libfaketime, which leaves the monotonic clock alone."""
import glob
import os
import tempfile

import harness
from harness import images
from harness.clients import storescu, stow
from harness.daemon import SANITISED, Daemon

DAY = "-1d"
# What is received is complete after some time, not with the release of an association.
QUIET = {"analysis.stable_after": "4s"}


class Clock:
    """The wall clock of one laminad."""

    def __init__(self):
        found = glob.glob("/usr/lib/*/faketime/libfaketimeMT.so.1")
        harness.need(found, "libfaketime is not here")
        harness.need(not SANITISED, "a sanitizer's runtime wants to be loaded first")
        self.path = os.path.join(tempfile.mkdtemp(), "clock")
        self.set("+0")
        self.environment = {"LD_PRELOAD": found[0], "FAKETIME_TIMESTAMP_FILE": self.path, "FAKETIME_NO_CACHE": "1",
                            "FAKETIME_DONT_FAKE_MONOTONIC": "1", "FAKETIME_DONT_RESET": "1"}

    def set(self, offset):
        with open(self.path, "w", encoding="ascii") as file:
            file.write(offset + "\n")


def send(d):
    source = images.series()
    status, said = storescu(d, images.save(source, tempfile.mkdtemp()))
    assert status == 0, said
    return source[0].StudyInstanceUID


def dates(d):
    """When the log says that things happened."""
    return [line[:10] for line in d.log().splitlines() if line[:2] == "20"]


def test_while_it_runs():
    clock = Clock()
    with Daemon(QUIET, clock.environment) as d:
        before = send(d)
        clock.set(DAY)
        d.wait_for_study(before, seconds=60)
        d.wait_for_study(send(d), seconds=60)
        one = images.series(slices=1, SeriesDescription="T2")[0]
        assert stow(d, [images.to_bytes(one)]).status == 200
        assert d.get("/readyz").status == 200
        assert min(dates(d)) < max(dates(d)), "the clock was not set back"


def test_while_it_is_down():
    """What the database holds is of tomorrow then: series that were being received, and a job to be done."""
    clock = Clock()
    d = Daemon(QUIET, clock.environment)
    d.start()
    study = send(d)
    d.kill()
    clock.set(DAY)
    with d:
        d.wait_for_study(study, seconds=60)
        assert len(d.results(study)) == 1
        d.wait_for_study(send(d), seconds=60)


harness.run(globals())
