#!/usr/bin/python3
"""`lamina generate`: what it draws is reproducible, complete and marked as synthetic, and goes through the daemon from
C-STORE to a result without a patient."""
import filecmp
import json
import os
import struct
import subprocess
import tempfile

import numpy as np
import pydicom
from PIL import Image

import harness
from harness.clients import dcentvfy, dciodvfy, ours

LAMINA = os.path.join(harness.BUILD, "lamina")
CHEST = os.path.join(harness.ROOT, "models/chest-xray-gen/1.0.0")
HIPPOCAMPUS = os.path.join(harness.ROOT, "models/mr-gen/1.0.0")
# Said by the dciodvfy of Debian 12, which is older than the attribute Synthetic Data.
TOO_YOUNG = "(0008,001c)"


def generate(*arguments, status=0):
    out = tempfile.mkdtemp()
    run = subprocess.run([LAMINA, "generate", "--out", out, *map(str, arguments)], stdout=subprocess.PIPE,
                         stderr=subprocess.PIPE, text=True)
    assert run.returncode == status, (run.returncode, run.stdout, run.stderr)
    return out if status == 0 else run.stderr


def read_set(folder):
    with open(os.path.join(folder, "images.safetensors"), "rb") as file:
        data = file.read()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8:8 + length])
    arrays = {}
    for name in ("images", "labels"):
        begin, end = header[name]["data_offsets"]
        arrays[name] = np.frombuffer(data[8 + length + begin:8 + length + end], np.uint8).reshape(header[name]["shape"])
    return arrays["images"], arrays["labels"], header["__metadata__"]


def files_of(folder):
    return sorted(os.path.join(at, name) for at, _, names in os.walk(folder) for name in names)


def test_a_set_is_the_same_for_the_same_seed():
    one = generate("--bundle", CHEST, "--count", 11, "--seed", 5, "--threads", 1)
    two = generate("--bundle", CHEST, "--count", 11, "--seed", 5, "--threads", 3)
    names = sorted(os.listdir(one))
    assert filecmp.cmpfiles(one, two, names, shallow=False)[0] == names and len(names) == 12, names
    images, labels, metadata = read_set(one)
    assert images.shape == (11, 28, 28) and metadata["synthetic"] == "YES" and metadata["seed"] == "5", metadata
    assert list(labels) == [i % 2 for i in range(11)]
    assert (np.asarray(Image.open(os.path.join(one, "000003.png")).convert("L")) == images[2]).all()
    other = read_set(generate("--bundle", CHEST, "--count", 11, "--seed", 6))[0]
    assert (other != images).any()
    fewer = read_set(generate("--bundle", CHEST, "--count", 3, "--seed", 5))[0]
    assert (fewer == images[:3]).all()


def test_classes_and_sizes():
    images, labels, _metadata = read_set(generate("--bundle", CHEST, "--count", 2, "--class", "pneumonia", "--size", "40x30"))
    assert images.shape == (2, 40, 30) and list(labels) == [1, 1]
    assert "no class" in generate("--bundle", CHEST, "--class", "measles", status=1)
    assert "along y" in generate("--bundle", CHEST, "--size", "4x30", status=1)
    assert "does not draw" in generate("--bundle", os.path.join(harness.ROOT, "models/hippocampus/1.1.0"), status=1)
    generate("--bundle", CHEST, "--count", 0, status=2)
    generate("--bundle", CHEST, "--size", "28", status=2)


def test_studies_are_valid_and_marked():
    for bundle, slices, options in ((CHEST, 1, ["--matrix", "256x200"]), (HIPPOCAMPUS, 24, ["--size", "12x20x16"])):
        folder = generate("--bundle", bundle, "--count", 2, "--dicom", *options)
        files = files_of(folder)
        assert len(files) == 2 * slices, files
        again = generate("--bundle", bundle, "--count", 2, "--dicom", *options)
        assert all(open(a, "rb").read() == open(b, "rb").read() for a, b in zip(files, files_of(again), strict=True))
        headers = [pydicom.dcmread(path) for path in files]
        for ds in headers:
            assert ds[0x0008001C].value == "YES" and ds.ImageType[0] == "DERIVED", ds
            assert str(ds.PatientName).startswith("SYNTHETIC^") and ds.ImageComments.startswith("SYNTHETIC"), ds
            assert ds.ContributingEquipmentSequence[0].DeviceSerialNumber, ds
        assert len({ds.SOPInstanceUID for ds in headers}) == len(files)
        assert len({(ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.PatientID) for ds in headers}) == 2
        problems = [p for path in files for p in dciodvfy(path) if TOO_YOUNG not in p]
        assert not problems, problems
        for study in {ds.StudyInstanceUID for ds in headers}:
            part = [path for path, ds in zip(files, headers, strict=True) if ds.StudyInstanceUID == study]
            assert not dcentvfy(part), dcentvfy(part)


def test_a_site_tries_its_workflow_without_patients(d):
    folder = generate("--bundle", HIPPOCAMPUS, "--dicom", "--seed", 2)
    study = pydicom.dcmread(files_of(folder)[0]).StudyInstanceUID
    status, said = ours("lamina", "send", f"127.0.0.1:{d.dicom_port}/LAMINA", folder)
    assert status == 0, said
    saved = tempfile.mkdtemp()
    status, said = ours("lamina", "results", "--url", d.url, "--wait", "--json", study)
    assert status == 0, said
    status, said = ours("lamina", "results", "--url", d.url, "--save", saved, study)
    assert status == 0 and "hippocampus" in said.lower(), said
    objects = [pydicom.dcmread(path) for path in files_of(saved) if path.endswith(".dcm")]
    assert "SR" in {ds.Modality for ds in objects}, said
    for ds in objects:
        assert ds[0x0008001C].value == "YES", "a result of a synthetic study must say so"


def test_a_generator_is_offered_no_series(d):
    folder = generate("--bundle", CHEST, "--dicom")
    study = pydicom.dcmread(files_of(folder)[0]).StudyInstanceUID
    assert ours("lamina", "send", f"127.0.0.1:{d.dicom_port}/LAMINA", folder)[0] == 0
    status, said = ours("lamina", "results", "--url", d.url, "--wait", study)
    assert status == 1 and "model" in said, said


harness.run(globals(), harness.Daemon())
