#!/usr/bin/python3
"""When a series counts as complete: after its quiet time, sooner once its associations have been released, at once when as
many instances are there as were announced, or somebody says so; and each peer may have times of its own."""
import tempfile
import time

import harness
from harness import images
from harness.clients import pretty, storescu, stow
from harness.daemon import Daemon, wait_until
from harness.peers import never

NEVER = {"analysis.stable_after": "24h"}
AFTER_RELEASE = {**NEVER, "analysis.stable_after_release": "200ms"}


def a_series(**attributes):
    return images.series(slices=2, rows=16, columns=16, SeriesDescription="T2 knee", **attributes)


def send(d, source, *options, **who):
    _, said = storescu(d, images.save(source, tempfile.mkdtemp()), *options, **who)
    assert said.count("Received Store Response (Success)") == len(source), said


def state(d, source):
    return d.study(source[0].StudyInstanceUID)["state"]


def is_complete(d, source):
    wait_until(lambda: state(d, source) == "no_model", 10, f"the end of {pretty(d.study(source[0].StudyInstanceUID))}")


def stays_open(d, source, seconds=1.0):
    never(lambda: state(d, source) != "receiving", seconds, "the series was taken for complete")


def test_the_release_of_its_association_is_a_hint():
    with Daemon(AFTER_RELEASE) as d:
        source = a_series()
        send(d, source)
        is_complete(d, source)


def test_an_abort_is_none_nor_is_an_upload():
    with Daemon(AFTER_RELEASE) as d:
        aborted, uploaded = a_series(), a_series()
        send(d, aborted, "--abort")
        assert stow(d, [images.to_bytes(uploaded[0])]).status == 200
        send(d, uploaded[1:])
        stays_open(d, uploaded)
        stays_open(d, aborted, 0)
        send(d, aborted)  # again, and released: stored already, so it says nothing about what was aborted
        stays_open(d, aborted)


def test_all_associations_of_a_series_must_have_ended():
    with Daemon(AFTER_RELEASE) as d:
        source = a_series()
        send(d, source[:1], "--abort")
        send(d, source[1:])
        stays_open(d, source)


def test_a_restart_forgets_no_association():
    """One that was cut by it has not been released, whatever number the next one has."""
    with Daemon({**AFTER_RELEASE, "lamina.log_level": "info"}) as d:
        source = a_series()
        send(d, source[:1], "--abort")
        d.kill()
        d.start()
        send(d, source[1:])
        stays_open(d, source)
        later = a_series()
        send(d, later)
        is_complete(d, later)


def test_a_series_that_grows_after_a_release_is_settled_again():
    with Daemon(AFTER_RELEASE) as d:
        source = a_series()
        send(d, source[:1])
        is_complete(d, source)
        send(d, source[1:])
        wait_until(lambda: d.study(source[0].StudyInstanceUID)["series"][0]["instances"] == 2, 5, "the second")
        is_complete(d, source)


def test_as_many_instances_as_were_announced():
    with Daemon(NEVER) as d:
        source = a_series(NumberOfStudyRelatedInstances=2)
        send(d, source[:1])
        stays_open(d, source, 0.5)
        send(d, source[1:])
        is_complete(d, source)


def test_somebody_says_so():
    with Daemon(NEVER) as d:
        source = a_series()
        send(d, source)
        stays_open(d, source, 0.3)
        assert d.analyze(source[0].StudyInstanceUID).status == 202
        is_complete(d, source)


def test_each_peer_has_its_own_times():
    peers = {"dicom.accept": "known", "peer a.ae_title": "PATIENT", "peer b.ae_title": "QUICK",
             "peer b.stable_after": "300ms", "peer c.ae_title": "POLITE", "peer c.stable_after_release": "300ms"}
    with Daemon({**NEVER, **peers}) as d:
        patient, quick, polite = a_series(), a_series(), a_series()
        send(d, patient, calling="PATIENT")
        send(d, polite, calling="POLITE")
        is_complete(d, polite)
        started = time.monotonic()
        send(d, quick, "--abort", calling="QUICK")
        is_complete(d, quick)
        assert time.monotonic() - started >= 0.3
        stays_open(d, patient, 0.5)


harness.run(globals())
