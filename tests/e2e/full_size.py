#!/usr/bin/python3
"""A whole clinical series of 24 oblique slices of 512 × 512 through the worker: time, memory, and voxels where they belong."""
import os
import time

import numpy as np
import pydicom

import harness
from harness import images, worker

SLICES, SIDE = 24, 512
LIMIT_S, LIMIT_MB = 2, 500  # on two cores


def head(place):
    """A grey disc in air with a bright ring, and in the middle slices a brighter disc."""
    y, x = np.mgrid[0:SIDE, 0:SIDE]
    radius = np.hypot((y - 256) / 1.1, x - 256)
    pixels = np.random.default_rng(place).normal(20, 8, (SIDE, SIDE))
    pixels[radius < 190] += 300
    pixels[(radius > 190) & (radius < 205)] += 700
    if 9 <= place <= 14:
        pixels[np.hypot(y - 200, x - 310) < 40] += 500
    return np.clip(pixels, 0, 4095).astype(np.uint16)


def series(folder):
    row = np.array((np.cos(0.2), np.sin(0.2), 0))
    column = np.cross((np.sin(0.15), 0, np.cos(0.15)), row)
    column /= np.linalg.norm(column)
    row = np.cross(column, np.cross(row, column))
    study, uid, frame = (pydicom.uid.generate_uid() for _ in range(3))
    normal = np.cross(row, column)
    return images.save([images.slice_of(head(i), -120 * row - 120 * column + 6.5 * i * normal, (*row, *column), study, uid, i + 1,
                                        frame, SeriesDescription="T1 post contrast", PixelSpacing=[0.48, 0.48],
                                        SliceThickness=5) for i in range(SLICES)], folder)


def spent(process):
    """CPU seconds and the most memory so far, in MB."""
    with open(f"/proc/{process.pid}/stat", encoding="ascii") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    with open(f"/proc/{process.pid}/status", encoding="ascii") as file:
        peak = next(int(line.split()[1]) / 1024 for line in file if line.startswith("VmHWM"))
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"), peak


def test_a_full_series_in_time_and_memory():
    bundle = os.path.join(harness.ROOT, "models", "brain-tumour-region", "1.0.0")
    paths = series(os.path.join(os.environ.get("TMPDIR", "/tmp"), "full-size"))
    with worker.Worker() as w:
        before, _ = spent(w.process)
        begun = time.monotonic()
        answer = w.analyse(paths, bundle=bundle)
        wall = time.monotonic() - begun
        assert answer and answer[0] == worker.DONE, answer
        cpu, peak = spent(w.process)
    print(f"# {SLICES} slices of {SIDE} × {SIDE}: {wall:.2f} s, {cpu - before:.2f} s CPU, {peak:.0f} MB, {answer[1]['timings_ms']}")
    if harness.daemon.SANITISED:
        return
    # A loaded machine stretches the wall clock, not what is computed.
    assert cpu - before < LIMIT_S, cpu - before
    assert peak < LIMIT_MB, peak
    seg = pydicom.dcmread(os.path.join(answer[2], "seg.dcm"))
    assert (seg.Rows, seg.Columns) == (SIDE, SIDE)
    sources = {pydicom.dcmread(p, stop_before_pixels=True).SOPInstanceUID: p for p in paths}
    voxels = 0
    frames = np.atleast_3d(seg.pixel_array).reshape(-1, SIDE, SIDE)
    for frame, groups in zip(frames, seg.PerFrameFunctionalGroupsSequence):
        source = pydicom.dcmread(sources[groups.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID])
        assert list(groups.PlanePositionSequence[0].ImagePositionPatient) == list(source.ImagePositionPatient)
        voxels += int((frame > 0).sum())
    assert voxels == sum(s["voxels"] for s in answer[1]["segments"]), answer[1]["segments"]


harness.run(globals())
