#!/usr/bin/python3
"""The world fails while objects come (promise 1): the disk is full, a device gives up, descriptors run out, the database
does not take the rows. Each time the answer is an honest failure, nothing half-visible is left, the daemon lives, and
once the fault is over the same object is stored. Faults are injected at the places of core/base/failpoint.h."""
import itertools
import os
import resource
import tempfile

import harness
from harness import images
from harness.clients import echoscu, storescu, stow
from harness.daemon import PATIENCE, Daemon, wait_gone, wait_until
from harness.faulty import Caller

# where, what, how often; the status that a sender by DIMSE must see
FAULTS = [
    ("spool.create", "ENOSPC", "A700"),
    ("spool.create", "EMFILE", "A700"),
    ("spool.create", "EIO", "0110"),
    ("spool.write", "ENOSPC", "A700"),
    ("spool.write", "EIO", "0110"),
    ("spool.sync", "EIO", "0110"),
    ("spool.sync", "ENOSPC", "A700"),
    ("spool.open", "EMFILE", "A700"),
    ("store.rename", "EIO", "0110"),
    ("store.rename", "ENOSPC", "A700"),
    ("store.sync", "EIO", "0110"),
    ("db.begin", "SQLITE_BUSY", "A700"),
    ("db.begin", "SQLITE_IOERR", "0110"),
    ("db.commit", "SQLITE_FULL", "A700"),
    ("db.commit", "SQLITE_IOERR", "0110"),
    ("db.commit", "SQLITE_BUSY", "A700"),
]


def objects():
    source = images.series(slices=1, rows=16, columns=16, SeriesDescription="T2")[0]
    return source, images.save([source], tempfile.mkdtemp())[0]


def hooks(plan):
    return {"LAMINA_TEST_HOOKS": "1", "LAMINA_FAILPOINTS": plan}


def files(d, folder):
    return images.files_below(os.path.join(d.data, folder))


def is_stored(d, source):
    study = d.study(source.StudyInstanceUID)
    return study is not None and study["series"][0]["instances"] == 1


def fail_once(point, fault, status):
    """The fault by DIMSE: refused with `status`, then taken."""
    source, path = objects()
    with Daemon({"analysis.stable_after": "1h"}, hooks(f"{point}={fault}*1")) as d:
        before = len(files(d, "store"))
        _, said = storescu(d, path, "-d")
        assert f"0x{status.lower()}" in said.lower(), f"{point} {fault}: not {status}:\n{said[-3000:]}"
        assert not is_stored(d, source), f"{point} {fault}: refused and stored"
        assert echoscu(d)[0] == 0
        code, said = storescu(d, path)
        assert code == 0 and "Success" in said, f"{point} {fault}: not taken afterwards:\n{said[-2000:]}"
        assert is_stored(d, source)
        wait_until(lambda: not files(d, "spool"), 5, "the spool to be empty")
        wait_until(lambda: len(files(d, "store")) == before + 1, 5, f"one file in the store: {files(d, 'store')}")


def test_by_dimse_of_lamina_dimse():
    for point, fault, status in FAULTS:
        if point.startswith("spool.") and point != "spool.open":
            fail_once(point, fault, status)


def test_by_dimse_of_laminad():
    for point, fault, status in FAULTS:
        if point.startswith(("spool.open", "store.")):
            fail_once(point, fault, status)


def by_stow(d, source, _):
    answer = stow(d, [images.to_bytes(source)])
    assert answer.status in (200, 409, 503, 507), answer
    return answer.status == 200


def by_dimse(d, source, status):
    """Over an association of its own, which no fault of the database may cost."""
    content = images.to_bytes(source)
    caller = Caller(("127.0.0.1", d.dicom_port, "LAMINA"), "TESTER", [(images.MR, "1.2.840.10008.1.2.1")])
    answer = caller.store(1, source.SOPInstanceUID, content[144 + int.from_bytes(content[140:144], "little"):])
    caller.release()
    assert answer in (0, int(status, 16)), f"{answer:04X}, not {status}"
    return answer == 0


def send_until_it_failed(way, point, fault, status):
    """Start-up uses the database as well, so here objects are sent until one of them met the fault."""
    refused = 0
    with Daemon({"analysis.stable_after": "1h"}, hooks(f"{point}={fault}*3+40")) as d:
        for _ in range(60):
            source, _ = objects()
            taken = way(d, source, status)
            assert is_stored(d, source) == taken, f"{taken} is not what happened"
            refused += not taken
            if refused and way(d, source, status):
                break
        assert is_stored(d, source), "it does not recover"
        assert refused, "nothing met the fault"
        assert d.get("/readyz").status == 200
        print(f"# {point} {fault} {way.__name__}: {refused} refused")


def test_of_the_database():
    for point, fault, status in FAULTS:
        for way in (by_stow, by_dimse):
            if point.startswith("db."):
                send_until_it_failed(way, point, fault, status)


def exhaust_descriptors(pid):
    """No file can be opened any more by this process, which has used all numbers up to the first that is free; gives the
    limits it had."""
    used = set(map(int, os.listdir(f"/proc/{pid}/fd")))
    first = next(number for number in itertools.count() if number not in used)
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (first, before[1]))
    return before


def test_descriptors_run_out():
    """Not injected but real, in each of the two that take objects."""
    for victim in ("lamina-dimse", "laminad"):
        with Daemon({"analysis.stable_after": "1h"}) as d:
            pid = d.children(victim)[0] if victim != "laminad" else d.pid
            source, path = objects()
            content = images.to_bytes(source)
            data = content[144 + int.from_bytes(content[140:144], "little"):]
            caller = Caller(("127.0.0.1", d.dicom_port, "LAMINA"), "TESTER", [(images.MR, "1.2.840.10008.1.2.1")])
            before = exhaust_descriptors(pid)
            status = caller.store(1, source.SOPInstanceUID, data)
            assert status == 0xA700, f"{victim}: {status:04X}"
            resource.prlimit(pid, resource.RLIMIT_NOFILE, before)
            assert not is_stored(d, source)
            assert caller.store(1, source.SOPInstanceUID, data) == 0, f"{victim} does not recover"
            caller.release()
            assert is_stored(d, source) and storescu(d, path)[0] == 0
            assert d.get("/readyz").status == 200


def crash_at(point):
    """kill -9 of laminad at a named place; what was acknowledged is there afterwards, and nothing else is half there."""
    source = images.series(slices=40, rows=16, columns=16, SeriesDescription="T2")
    paths = images.save(source, tempfile.mkdtemp())
    d = Daemon({"analysis.stable_after": "1h"}, hooks(f"{point}=KILL+25"))
    d.start()
    children = d.children()
    _, said = storescu(d, paths)
    acknowledged = said.count("Received Store Response (Success)")
    d.process.wait(10 * PATIENCE)
    wait_gone(children)
    d.environment.pop("LAMINA_FAILPOINTS")
    with d:
        study = d.study(source[0].StudyInstanceUID)
        stored = study["series"][0]["instances"] if study else 0
        assert stored >= acknowledged, f"{point}: {acknowledged} acknowledged, {stored} stored"
        assert len(files(d, "store")) == stored, f"{point}: {len(files(d, 'store'))} files for {stored} rows"
        assert not files(d, "spool")
        assert storescu(d, paths)[0] == 0
        assert d.study(source[0].StudyInstanceUID)["series"][0]["instances"] == len(paths)
    print(f"# {point}: {acknowledged} acknowledged, {stored} stored")


def test_promise_1_killed_at_named_places():
    for point in ("spool.open", "store.rename", "store.sync", "db.commit", "commit.after", "answer"):
        crash_at(point)


harness.run(globals())
