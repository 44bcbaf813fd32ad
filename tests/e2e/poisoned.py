#!/usr/bin/python3
"""Promise 6: an input that crashes or hangs the worker ends in `failed` with a reason, while other studies go on. The
worker's test hooks do the crashing (LAMINA_TEST_HOOKS)."""
import concurrent.futures
import contextlib
import os
import signal

import harness
from harness import images
from harness.clients import echoscu, pretty, stow
from harness.daemon import Daemon, wait_until


HOOKS = {"LAMINA_TEST_HOOKS": "1"}


def send(d, **attributes):
    source = images.series(**attributes)
    answer = stow(d, [images.to_bytes(ds) for ds in source])
    return source[0].StudyInstanceUID, answer


def reason(d, study):
    return " ".join(filter(None, (j.get("reason") for j in study["jobs"])))


def failed_while_others_finish(d, poison, *words):
    bad, answer = send(d, PatientID=poison)
    assert answer.status == 200, answer
    good = [send(d)[0] for _ in range(2)]
    for uid in good:
        d.wait_for_study(uid, ("done",))
    study = d.wait_for_study(bad, ("failed",), 90)
    assert any(word in reason(d, study).lower() for word in words), pretty(study)
    jobs = d.get("/api/v1/jobs?state=failed").json
    jobs = jobs["jobs"] if isinstance(jobs, dict) else jobs
    assert any(job["study_uid"] == bad for job in jobs), pretty(jobs)
    print(f"# {reason(d, study)}")
    return bad


def hang_the_indexer():
    with Daemon(environment=HOOKS) as d:
        uid, answer = send(d, PatientID="LAMINA-TEST-HANG-INDEX", slices=1)
        assert answer.status == 409, answer
        assert d.study(uid) is None


# Half a minute of waiting, while the other tests go on.
beside = concurrent.futures.ThreadPoolExecutor(1).submit(hang_the_indexer)


def test_a_crash(d):
    failed_while_others_finish(d, "LAMINA-TEST-CRASH", "crash", "signal", "ended", "died")


def test_a_hang(d):
    failed_while_others_finish(d, "LAMINA-TEST-HANG", "time", "answer", "hang")


def test_a_failed_job_can_be_retried_and_cancelled(d):
    uid, _ = send(d, PatientID="LAMINA-TEST-CRASH")
    study = d.wait_for_study(uid, ("failed",))
    job = study["jobs"][0]
    number = job.get("job", job.get("id"))
    assert d.post(f"/api/v1/jobs/{number}/retry").status == 202
    assert d.post(f"/api/v1/jobs/{number}/cancel").status in (202, 409)
    d.wait_for_study(uid, ("failed",))


def test_a_header_that_crashes_the_indexer(d):
    """The sender is told; nothing of it is in the index; the next object is taken."""
    uid, answer = send(d, PatientID="LAMINA-TEST-CRASH-INDEX", slices=1)
    assert answer.status == 409, answer
    assert d.study(uid) is None
    uid, answer = send(d, slices=1, SeriesDescription="T2")
    assert answer.status == 200, answer


def test_without_hooks_the_name_is_only_a_name():
    with Daemon() as d:
        uid, answer = send(d, PatientID="LAMINA-TEST-CRASH")
        assert answer.status == 200
        d.wait_for_study(uid, ("done",))


def test_killed_children_come_back(d):
    for program in ("lamina-dimse", "lamina-worker"):
        before = set(d.children(program))
        assert before, program
        for pid in before:
            with contextlib.suppress(ProcessLookupError):  # one may have ended by itself
                os.kill(pid, signal.SIGKILL)
        wait_until(lambda p=program, b=before: set(d.children(p)) - b, 10, f"a new {program}")
    wait_until(lambda: echoscu(d)[0] == 0, 10, "C-ECHO to be answered")
    uid, answer = send(d)
    assert answer.status == 200, answer
    d.wait_for_study(uid)


def test_a_header_that_hangs_the_indexer():
    beside.result()


# Long enough for what is good on a busy machine.
harness.run(globals(), Daemon({"analysis.job_timeout": "15s", "analysis.max_attempts": "2"}, HOOKS))
