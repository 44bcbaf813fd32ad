#!/usr/bin/python3
"""What makes no volume is refused for good, with a reason a person can act on; and what the worker gives up."""
import glob
import os
import shutil
import subprocess
import tempfile

import pydicom

import harness
from harness import images
from harness.daemon import PATIENCE, wait_until
from harness.worker import DONE, FAILED, INDEXED, Worker, phantom


def refused(worker, paths, *words, permanent=True):
    answer = worker.analyse(paths)
    assert answer, "the worker died"
    kind, payload, _ = answer
    assert kind == FAILED, payload
    print(f"# {payload['status']}: {payload['reason']}")
    assert payload["permanent"] is permanent, payload
    for word in words:
        assert word in payload["reason"], (word, payload["reason"])


def changed(change, *options):
    """A phantom whose datasets went through `change(index, dataset)`."""
    datasets = [pydicom.dcmread(path) for path in phantom("slices=12", "order=up", *options)]
    for index, ds in enumerate(datasets):
        change(index, ds)
    return images.save(datasets, tempfile.mkdtemp())


def test_series_that_are_no_volume():
    with Worker() as worker:
        refused(worker, phantom("slices=12", "missing=6"), "1 slice is missing", "2.00 mm", "1.00 mm")
        refused(worker, phantom("slices=12", "repeated=6"), "same place", "13 images")
        refused(worker, phantom("slices=12", "turned=6"), "90.0 degrees", "localizer")
        refused(worker, phantom("slices=12", "resized=6"), "different sizes", "50×34", "50×33")
        refused(worker, phantom("slices=1"), "1 slice;", "at least 8")
        refused(worker, phantom("slices=4"), "4 slices", "at least 8")
        refused(worker, phantom("slices=200", "rows=12", "columns=12"), "200×12×12", "160")


def test_radiographs_that_are_not_alike():
    """They need no place, but one size and one spacing."""
    sizes, spacings = images.radiographs("CR", 3), images.radiographs("DX", 3)
    sizes[1].Rows, sizes[1].PixelData = sizes[1].Rows // 2, sizes[1].PixelData[:len(sizes[1].PixelData) // 2]
    spacings[2].ImagerPixelSpacing = [0.3, 0.3]
    with Worker() as worker:
        refused(worker, images.save(sizes, tempfile.mkdtemp()), "different sizes", "96×80", "48×80")
        refused(worker, images.save(spacings, tempfile.mkdtemp()), "different pixel spacings", "0.2", "0.3")


def test_headers_that_say_too_little():
    def without(name):
        return changed(lambda i, ds: delattr(ds, name) if i == 3 else None)

    def sheared(index, ds):
        ds.ImagePositionPatient = [ds.ImagePositionPatient[0] + 0.5 * index, *ds.ImagePositionPatient[1:]]

    def other(name, value):
        return changed(lambda i, ds: setattr(ds, name, value) if i == 3 else None)

    with Worker() as worker:
        refused(worker, without("ImagePositionPatient"), "ImagePositionPatient")
        refused(worker, changed(lambda i, ds: delattr(ds, "ImagePositionPatient")), "ImagePositionPatient", "needs it")
        refused(worker, without("ImageOrientationPatient"), "ImageOrientationPatient")
        refused(worker, without("PixelSpacing"), "PixelSpacing")
        refused(worker, without("PixelData"), "no pixel data")
        refused(worker, changed(sheared), "shifted sideways by 0.50 mm")
        refused(worker, other("PixelSpacing", [0.5, 0.5]), "different pixel spacings")
        refused(worker, other("FrameOfReferenceUID", "1.2.3"), "FrameOfReferenceUID")
        refused(worker, other("ImageOrientationPatient", [1, 0, 0, 1, 0, 0]), "perpendicular")
        refused(worker, other("PixelSpacing", [0, 1]), "above zero")
        refused(worker, other("BitsAllocated", 12), "12 bits")


def test_colour_images():
    def to_colour(_, ds):
        ds.SamplesPerPixel, ds.PhotometricInterpretation, ds.PlanarConfiguration = 3, "RGB", 0
        ds.BitsAllocated, ds.BitsStored, ds.HighBit = 8, 8, 7
        ds.PixelData = bytes(3 * ds.Rows * ds.Columns)

    with Worker() as worker:
        refused(worker, changed(to_colour), "colour", "RGB")


def test_damaged_files():
    paths = phantom("slices=12", "order=up")
    with open(paths[5], "r+b") as file:
        file.truncate(os.path.getsize(paths[5]) - 500)
    with Worker() as worker:
        refused(worker, paths, "ends inside the pixel data")


def test_inputs_that_did_not_come():
    with Worker() as worker:
        kind, payload, _ = worker.analyse(phantom("slices=12"), inputs=13)
        assert kind == FAILED and not payload["permanent"], payload


def test_the_worker_goes_on_after_a_refusal():
    good = phantom()
    with Worker() as worker:
        refused(worker, phantom("slices=12", "missing=6"))
        assert worker.analyse(good)[0] == DONE
        assert worker.index(good[0])[0] == INDEXED


def test_hooks_need_the_environment():
    crash = phantom("slices=12", "patient_id=LAMINA-TEST-CRASH-INDEX")
    with Worker({"LAMINA_TEST_HOOKS": ""}) as worker:
        assert worker.index(crash[0])[0] == INDEXED
    with Worker({"LAMINA_TEST_HOOKS": "1"}) as worker:
        assert worker.index(crash[0]) is None
    with Worker({"LAMINA_TEST_HOOKS": "1"}) as worker:
        assert worker.analyse(crash)[0] == DONE
        assert worker.index(phantom("slices=1", "patient_id=LAMINA-TEST-CRASH")[0])[0] == INDEXED


def test_what_the_worker_gives_up():
    with Worker() as worker:
        process = f"/proc/{worker.process.pid}"
        status = dict(line.split(":", 1) for line in open(f"{process}/status", encoding="ascii"))
        assert status["NoNewPrivs"].strip() == "1"
        limits = open(f"{process}/limits", encoding="ascii").read()
        assert "Max core file size        0                    0" in limits, limits
        try:
            assert sorted(map(int, os.listdir(f"{process}/fd"))) == [0, 1, 2, 3]
        except PermissionError:
            pass  # not dumpable: only root may look


def is_traced(pid):
    """All threads of it."""
    for path in glob.glob(f"/proc/{pid}/task/*/status"):
        with open(path, encoding="ascii") as file:
            if "TracerPid:\t0\n" in file.read():
                return False
    return True


def test_it_opens_nothing_while_it_works():
    harness.need(shutil.which("strace"), "strace is not installed")
    paths, trace = phantom(), os.path.join(tempfile.mkdtemp(), "trace")
    with Worker() as worker:
        tracer = subprocess.Popen(["strace", "-f", "-q", "-e", "trace=%file,%network,execve,fork", "-o", trace, "-p",
                                   str(worker.process.pid)], stderr=subprocess.PIPE)
        wait_until(lambda: is_traced(worker.process.pid) or tracer.poll() is not None, 10, "strace to attach")
        harness.need(tracer.poll() is None, "strace may not attach here")
        assert worker.index(paths[0])[0] == INDEXED
        assert worker.analyse(paths)[0] == DONE
        tracer.terminate()
        tracer.wait()
    with open(trace, encoding="ascii") as file:
        calls = {line.split(None, 1)[1].split("(")[0] for line in file if "(" in line and "--- SIG" not in line}
    assert {"sendmsg", "recvmsg"} <= calls <= {"sendmsg", "recvmsg", "newfstatat", "fstat"}, calls


def test_it_ends_with_its_parent():
    worker = Worker()
    worker.socket.close()
    assert worker.process.wait(10 * PATIENCE) == 0


harness.run(globals())
