#!/usr/bin/python3
"""The same instance more than once (promise 3): the same bytes are success and change nothing, others meet the policy of
[storage] duplicates, by either way in and from two senders at once. A series that grows is analysed again."""
import os
import threading

import harness
from harness import images
from harness.clients import pretty, stow
from harness.daemon import Daemon, wait_until
from harness.faulty import Caller

EXPLICIT = "1.2.840.10008.1.2.1"
ROUNDS = 40


def two_of_one():
    """A data set, and another under the same UIDs."""
    ds = images.series(slices=1, rows=64, columns=64, SeriesDescription="T2 knee")[0]
    first = images.to_bytes(ds)
    ds.PatientComments = "changed"
    ds.PixelData = bytes(reversed(ds.PixelData))
    return ds, first, images.to_bytes(ds)


def data_set(content):
    """What follows the file meta information (PS3.10 section 7.1)."""
    return content[144 + int.from_bytes(content[140:144], "little"):]


def by_dimse(d, ds, content):
    """The status of a C-STORE."""
    caller = Caller(("127.0.0.1", d.dicom_port, "LAMINA"), "TWICE", [(images.MR, EXPLICIT)])
    status = caller.store(1, ds.SOPInstanceUID, data_set(content))
    caller.release()
    return status


def by_stow(d, ds, content):
    """0, or the failure reason of STOW-RS."""
    answer = stow(d, [content])
    failed = answer.json.get("00081198", {}).get("Value", [])
    assert (answer.status == 200) == (not failed), answer
    return failed[0]["00081197"]["Value"][0] if failed else 0


WAYS = (by_dimse, by_stow)


def stored(d, ds):
    path = f"/dicom-web/studies/{ds.StudyInstanceUID}/series/{ds.SeriesInstanceUID}/instances/{ds.SOPInstanceUID}"
    answer = d.get(path, Accept="application/dicom; transfer-syntax=*")
    assert answer.status == 200, answer
    assert d.study(ds.StudyInstanceUID)["series"][0]["instances"] == 1
    return data_set(answer.body)


def files(d, folder):
    return images.files_below(os.path.join(d.data, folder))


def policy(word):
    return Daemon({"analysis.stable_after": "1h", "storage.duplicates": word})


def test_the_same_bytes_change_nothing(d):
    for first in WAYS:
        for second in WAYS:
            ds, content, _ = two_of_one()
            assert first(d, ds, content) == 0
            before = files(d, "store")
            assert second(d, ds, content) == 0
            assert stored(d, ds) == data_set(content) and files(d, "store") == before


def test_reject():
    with policy("reject") as d:
        for way in WAYS:
            ds, content, other = two_of_one()
            assert (way(d, ds, content), way(d, ds, other)) == (0, 0x0111), way
            assert stored(d, ds) == data_set(content)
        assert not files(d, "quarantine") and len(files(d, "store")) == len(WAYS)


def test_replace():
    with policy("replace") as d:
        for way in WAYS:
            ds, content, other = two_of_one()
            assert (way(d, ds, content), way(d, ds, other)) == (0, 0), way
            assert stored(d, ds) == data_set(other)
        wait_until(lambda: len(files(d, "store")) == len(WAYS), 5, "the older files to be gone")


def test_keep_both_quarantined():
    with policy("keep-both-quarantined") as d:
        for number, way in enumerate(WAYS, 1):
            ds, content, other = two_of_one()
            assert (way(d, ds, content), way(d, ds, other)) == (0, 0x0111), way
            assert stored(d, ds) == data_set(content)
            kept = [path for path in files(d, "quarantine") if path.endswith(".dcm")]
            assert len(kept) == number, kept
            with open(kept[-1], "rb") as file:
                assert data_set(file.read()) == data_set(other)
            with open(kept[-1][:-4] + ".txt", encoding="utf-8") as note:
                assert ds.SOPInstanceUID in note.read()


def at_once(*calls):
    """What each of them gave; they start together."""
    given, ready = [None] * len(calls), threading.Barrier(len(calls))

    def run(index):
        ready.wait()
        given[index] = calls[index]()
    threads = [threading.Thread(target=run, args=(i,)) for i in range(len(calls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return given


def race(d, number, other_bytes):
    """Two senders, in turns by the same way and by both: what each heard, and what is stored in the end."""
    ds, content, other = two_of_one()
    contents = content, other if other_bytes else content
    ways = WAYS[number % 2], WAYS[number // 2 % 2]
    heard = at_once(*(lambda w=way, c=c: w(d, ds, c) for way, c in zip(ways, contents, strict=True)))
    return heard, stored(d, ds), [data_set(c) for c in contents]


def test_two_senders_of_the_same_bytes(d):
    before = len(files(d, "store"))
    for number in range(ROUNDS):
        heard, there, sent = race(d, number, False)
        assert heard == [0, 0] and there == sent[0], heard
    assert len(files(d, "store")) == before + ROUNDS and not files(d, "spool")


def test_two_senders_of_other_bytes():
    """One of them wins, whole; with reject the other hears so."""
    for word in ("reject", "replace"):
        with policy(word) as d:
            wins = [0, 0]
            for number in range(ROUNDS):
                heard, there, sent = race(d, number, True)
                if word == "reject":
                    assert sorted(heard) == [0, 0x0111] and there == sent[heard.index(0)], heard
                else:
                    assert heard == [0, 0] and there in sent, heard
                wins[sent.index(there)] += 1
            wait_until(lambda: len(files(d, "store")) == ROUNDS, 5, "one file for each instance")
            assert not files(d, "spool")
            print(f"# {word}: {wins[0]} times the first, {wins[1]} times the second")


def test_a_series_that_grows_is_analysed_again():
    with Daemon() as d:
        source = images.series()
        study = source[0].StudyInstanceUID
        assert stow(d, [images.to_bytes(ds) for ds in source[:30]]).status == 200
        d.wait_for_study(study)
        first = d.results(study)
        assert [r["state"] for r in first] == ["done"], pretty(first)
        assert stow(d, [images.to_bytes(ds) for ds in source[30:]]).status == 200
        wait_until(lambda: len(d.results(study)) == 2, 60, "the second result")
        d.wait_for_study(study)
        states = {r["job"]: r["state"] for r in d.results(study)}
        assert states.pop(first[0]["job"]) == "superseded" and list(states.values()) == ["done"], pretty(d.results(study))
        objects = [o["sop_uid"] for r in d.results(study) for o in r["objects"]]
        assert len(objects) == len(set(objects)) == 4, objects


harness.run(globals(), Daemon({"analysis.stable_after": "1h"}))
