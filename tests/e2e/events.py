#!/usr/bin/python3
"""Server-sent events: what changes is told to who follows, in order, and after a break from where it stood."""
import time

import harness
from harness import images
from harness.clients import curl, stow
from harness.daemon import Daemon, wait_until
from harness.follower import Follower


def newest(d):
    """The id of what changed last."""
    follower = Follower(d)
    wait_until(lambda: follower.take() and b"id: " in follower.text, 10, "the opening")
    follower.close()
    return follower.last_id()


seen = {}


def state_is(study, *states):
    return lambda event, data, _: event == "study" and data.get("study_uid") == study and data["state"] in states


def test_a_study_on_its_way(d):
    follower = Follower(d)
    wait_until(lambda: follower.take() and b"id: " in follower.text, 10, "the opening")
    head = follower.text.decode().lower()
    assert head.startswith("http/1.1 200") and "content-type: text/event-stream" in head and "retry: " in head, head
    seen["before"] = follower.last_id()
    series = images.series(slices=8)
    study = seen["study"] = series[0].StudyInstanceUID
    assert stow(d, [images.to_bytes(ds) for ds in series]).status == 200
    follower.wait_for(state_is(study, "receiving", "queued"), "the study to arrive")
    final = follower.wait_for(state_is(study, "done", "failed", "no_model"), "the study to settle", 60)
    assert d.study(study)["state"] == final[1]["state"], "the event says what the study says"
    wait_until(lambda: (follower.take(), follower.last_id() == newest(d))[1], 20, "all that there is to tell")
    numbers = [int(event[2].split("-")[1]) for event in follower.events()]
    assert numbers == sorted(numbers) and len(set(numbers)) == len(numbers), numbers
    seen["after"] = follower.last_id()
    follower.close()


def test_jobs_are_told(d):
    jobs = d.get("/api/v1/jobs").json["jobs"]
    harness.need(jobs, "no model takes the pictures of this test")
    follower = Follower(d, seen["before"])
    follower.wait_for(lambda event, data, _: event == "job" and data["study_uid"] == seen["study"], "the job")
    follower.close()


def test_going_on_after_a_break(d):
    follower = Follower(d, seen["before"])
    follower.wait_for(state_is(seen["study"], "done", "failed", "no_model"), "what was missed")
    assert not [event for event in follower.events() if event[0] == "reset"]
    follower.close()
    follower = Follower(d, seen["after"])
    wait_until(lambda: follower.take() and b"id: " in follower.text, 10, "the opening")
    follower.take(0.5)
    assert not follower.events(), "nothing was missed"
    follower.close()


def test_unknown_ids_start_anew(d):
    for last in ("nonsense", "1-1", seen["after"].split("-")[0] + "-999999999", "9" * 60 + "-1", "-1--1"):
        follower = Follower(d, last)
        follower.wait_for(lambda event, *_: event == "reset", f"reset after {last}")
        follower.close()


def test_removed(d):
    follower = Follower(d)
    assert curl(f"{d.url}/dicom-web/studies/{seen['study']}", "-X", "DELETE").status == 204
    follower.wait_for(lambda event, data, _: event == "study" and data["state"] == "removed", "the end of the study")
    follower.close()


def test_other_methods(d):
    assert curl(d.url + "/api/v1/events", "-X", "POST").status == 405
    assert curl(d.url + "/api/v1/events", "--head").status == 200


def test_a_limited_number_of_clients_and_their_heartbeat():
    """64; who is gone makes room, at the latest when the next heartbeat finds out; who stays is sent it."""
    with Daemon() as d:
        followers = [Follower(d) for _ in range(64)]
        for follower in followers:
            wait_until(lambda f=follower: f.take() or f.text, 10, "the opening")
        assert all(follower.text.startswith(b"HTTP/1.1 200") for follower in followers)
        refused = curl(d.url + "/api/v1/events")
        assert refused.status == 503 and "clients" in refused.json["detail"] and "retry-after" in refused.headers, refused
        patient = followers.pop()
        for follower in followers:
            follower.reset()
        wait_until(lambda: (Follower(d).take(30) or b"").startswith(b"HTTP/1.1 200"), 40, "room again")
        wait_until(lambda: (patient.take(), b"\n:\n" in patient.text.replace(b"\r\n", b"\n"))[1], 30, "a heartbeat")
        patient.close()


def test_the_daemon_stops_with_followers():
    with Daemon() as other:
        follower = Follower(other)
        wait_until(lambda: follower.take() and b"id: " in follower.text, 10, "the opening")
        started = time.monotonic()
        other.stop()
        assert time.monotonic() - started < 10, "a follower is waited for as an answer is"  # lam_http_options.drain_timeout_ms
        while follower.take():
            pass
        follower.close()


harness.run(globals(), Daemon({"http.allow_delete": "yes"}))
