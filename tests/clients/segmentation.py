#!/usr/bin/python3
"""Segmentations through the adapter that cornerstone viewers read them with (dcmjs, from npm): the same voxels."""
import json
import os
import subprocess

import numpy
import pydicom

from npm import BUILD, HERE, harness, modules
from harness.worker import phantom

DCMJS = "dcmjs@0.29.4"  # the last release that holds the adapter itself


def decoded(profile, paths):
    """[set of flat indices] by segment, and the grid's shape."""
    out = os.path.dirname(paths[0])
    folder = os.path.join(out, "objects")
    os.makedirs(folder, exist_ok=True)
    subprocess.run([os.path.join(BUILD, "lamina-objects"), folder, profile, *paths], check=True)
    headers = {p: pydicom.dcmread(p, stop_before_pixels=True) for p in paths}
    normal = numpy.cross(*numpy.array(headers[paths[0]].ImageOrientationPatient, float).reshape(2, 3))
    in_order = sorted(paths, key=lambda p: numpy.dot(normal, numpy.array(headers[p].ImagePositionPatient, float)))
    said = subprocess.run(["node", os.path.join(HERE, "adapter.js"), modules(DCMJS), os.path.join(folder, "seg.dcm"), *in_order],
                          check=True, capture_output=True, text=True).stdout
    ds = headers[paths[0]]
    return [set(s) for s in json.loads(said.strip().splitlines()[-1])["segments"]], (len(paths), ds.Rows, ds.Columns)


def drawn(shape):
    """What lamina-objects draws."""
    z, row, column = numpy.indices(shape)
    block = (z <= shape[0] // 2) & (row < (shape[1] + 2) // 3) & (column < (shape[2] + 1) // 2)
    return [set(numpy.flatnonzero(mask).tolist()) for mask in (block, (row == column) & ~block)]


def check(*options, profiles=("strict", "ohif", "slicer")):
    for profile in profiles:
        segments, shape = decoded(profile, phantom(*options))
        assert segments == drawn(shape), (options, profile, [len(s) for s in segments], [len(s) for s in drawn(shape)])


def test_axial():
    check("slices=5", "rows=51", "columns=35")


def test_sagittal():
    check("slices=5", "rows=20", "columns=24", "orientation=sagittal")


def test_oblique():
    check("slices=5", "rows=20", "columns=24", "orientation=oblique")


def test_small():
    check("slices=3", "rows=7", "columns=7")


def test_large():
    check("slices=3", "rows=250", "columns=250")


harness.run(globals())
