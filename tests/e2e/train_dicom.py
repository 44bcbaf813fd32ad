#!/usr/bin/python3
"""`lamina train` and `lamina eval` on folders of DICOM: what was drawn into series as SEG objects, or said of them in
reports, is what a model learns; labels that do not fit are named."""
import glob
import json
import os
import shutil
import subprocess
import tempfile

import numpy as np
import pydicom

import harness
from harness.worker import phantom

LAMINA = os.path.join(harness.BUILD, "lamina")
MODEL = os.path.join(harness.ROOT, "models/hippocampus/1.0.0")
PATIENTS = 3


def lamina(*arguments, status=0):
    run = subprocess.run([LAMINA, *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                         text=True, check=False)
    assert run.returncode == status, (run.returncode, run.stdout, run.stderr)
    return run


def images(folder, patient, *options):
    for path in phantom("slices=24", f"seed={patient}", f"patient_id=P{patient}", *options):
        shutil.move(path, os.path.join(folder, f"{patient}-{os.path.basename(path)}"))


def drawn():
    """A folder of series with the segmentations of the bundle."""
    folder = tempfile.mkdtemp()
    for patient in range(PATIENTS):
        images(folder, patient)
    lamina("predict", "--bundle", MODEL, "--out", folder, folder)
    return folder


def seg_of(folder):
    return sorted(glob.glob(os.path.join(folder, "*.SEG.dcm")))


def evaluate(folder, *options, bundle=MODEL, status=0):
    run = lamina("eval", "--bundle", bundle, "--data", folder, "--bootstrap", "0", "--json", *options, status=status)
    return (json.loads(run.stdout) if status == 0 else None), run.stderr


def edit(path, change):
    dataset = pydicom.dcmread(path)
    change(dataset)
    dataset.save_as(path)


def small_bundle(**changes):
    """The bundle's description with a network that is trained in a moment."""
    with open(os.path.join(MODEL, "model.json"), encoding="utf-8") as file:
        model = json.load(file)
    classes = len(model["outputs"]["segments"]) + 1
    model["network"]["output"] = "up"
    model["network"]["layers"] = [
        {"name": "stem", "kind": "conv", "channels": 8, "kernel": 4, "stride": 2, "padding": 1},
        {"name": "up", "kind": "conv_transpose", "channels": classes, "kernel": 2, "stride": 2}]
    model["postprocessing"] = {}
    model["training"] = {"epochs": 2, "batch": 1, "optimiser": {"rate": 0.01}, "loss": [{"kind": "cross_entropy"}]}
    model.update(changes)
    folder = tempfile.mkdtemp()
    with open(os.path.join(folder, "model.json"), "w", encoding="utf-8") as file:
        json.dump({key: value for key, value in model.items() if key not in ("provenance", "card")}, file)
    return folder


def test_a_bundle_finds_what_it_drew():
    said, notes = evaluate(drawn())
    assert said["n"] == PATIENTS and "3 labelled series" in notes, (said, notes)
    assert said["metrics"]["dice_mean"] > 0.999, said


def test_labels_follow_the_model_s_axes_and_spacing():
    folder = tempfile.mkdtemp()
    images(folder, 1, "orientation=sagittal", "spacing=1.4", "pixel=0.8", "rows=64", "columns=64")
    lamina("predict", "--bundle", MODEL, "--out", folder, folder)
    said, _ = evaluate(folder)
    assert said["metrics"]["dice_mean"] > 0.9, said


def test_training_from_drawings():
    folder, bundle = drawn(), small_bundle()
    trained = lamina("train", "--bundle", bundle, "--data", folder, "--fold", "1/3", "--threads", "1", "--json")
    assert json.loads(trained.stdout)["metrics"], trained.stdout
    said, _ = evaluate(folder, bundle=bundle)
    assert said["n"] == PATIENTS and 0 <= said["metrics"]["dice_mean"] <= 1, said


def test_folders_to_learn_from_and_to_validate_on():
    bundle = small_bundle()
    trained = lamina("train", "--bundle", bundle, "--data", drawn(), "--val", drawn(), "--threads", "1", "--json")
    assert trained.stderr.count("3 labelled series") == 2, trained.stderr
    assert any(name.startswith("validation") or "dice" in name for name in json.loads(trained.stdout)["metrics"])


def test_series_of_one_patient_stay_together():
    folder = drawn()
    for path in glob.glob(os.path.join(folder, "*.dcm")):
        edit(path, lambda d: setattr(d, "PatientID", "same"))
    run = lamina("train", "--bundle", small_bundle(), "--data", folder, "--fold", "1/2", status=1)
    assert "1 patients" in run.stderr, run.stderr


def test_what_is_missing_is_named():
    folder = drawn()
    first, second, third = seg_of(folder)
    os.unlink(first)
    said, notes = evaluate(folder)
    uid = os.path.basename(first).replace(".SEG.dcm", "")
    assert said["n"] == PATIENTS - 1 and f"series {uid} has no segmentation" in notes, notes
    os.unlink(second)
    os.unlink(third)
    assert "no series that the model wants and that has a segmentation" in evaluate(folder, status=1)[1]
    assert "no series" in evaluate(tempfile.mkdtemp(), status=1)[1]


def test_a_segment_that_is_none_of_the_models():
    folder = drawn()
    path = seg_of(folder)[0]

    def rename(dataset):
        segment = dataset.SegmentSequence[0]
        segment.SegmentLabel = "Kidney"
        segment.SegmentedPropertyTypeCodeSequence[0].CodeValue = "64033007"

    edit(path, rename)
    _, said = evaluate(folder, status=1)
    for part in (os.path.basename(path).replace(".SEG.dcm", ""), "Kidney", "64033007", "Anterior hippocampus"):
        assert part in said, (part, said)


def test_codes_tell_segments_apart_whatever_their_labels():
    folder = drawn()
    for path in seg_of(folder):
        edit(path, lambda d: [setattr(s, "SegmentLabel", f"Segment_{s.SegmentNumber}") for s in d.SegmentSequence])
    assert evaluate(folder)[0]["metrics"]["dice_mean"] > 0.999


def test_labels_tell_segments_apart_without_modifiers():
    folder = drawn()

    def forget(dataset):
        for segment in dataset.SegmentSequence:
            del segment.SegmentedPropertyTypeCodeSequence[0].SegmentedPropertyTypeModifierCodeSequence

    for path in seg_of(folder):
        edit(path, forget)
    assert evaluate(folder)[0]["metrics"]["dice_mean"] > 0.999


def test_fractions_count_from_half_on():
    folder = drawn()

    def fraction(dataset):
        marked = dataset.pixel_array
        rng = np.random.default_rng(1)
        values = np.where(marked, rng.integers(50, 101, marked.shape), rng.integers(0, 50, marked.shape))
        dataset.SegmentationType = "FRACTIONAL"
        dataset.SegmentationFractionalType = "PROBABILITY"
        dataset.MaximumFractionalValue = 100
        dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 8, 8, 7
        dataset.PixelData = values.astype(np.uint8).tobytes()
        dataset["PixelData"].VR = "OB"

    for path in seg_of(folder):
        edit(path, fraction)
    assert evaluate(folder)[0]["metrics"]["dice_mean"] > 0.999


def test_another_grid_and_two_drawings_are_refused():
    folder = drawn()
    path = seg_of(folder)[0]

    def shrink(dataset):
        shared = dataset.SharedFunctionalGroupsSequence[0]
        shared.PixelMeasuresSequence[0].PixelSpacing = [3, 3]

    edit(path, shrink)
    assert "own grid" in evaluate(folder, status=1)[1]
    folder = drawn()
    path = seg_of(folder)[0]
    other = pydicom.dcmread(path)
    other.SOPInstanceUID = other.file_meta.MediaStorageSOPInstanceUID = pydicom.uid.generate_uid()
    other.save_as(os.path.join(folder, "second.dcm"))
    assert "is drawn by segmentation" in evaluate(folder, status=1)[1]


def test_reports_give_classes():
    bundle = os.path.join(tempfile.mkdtemp(), "slices")
    lamina("model", "import", os.path.join(harness.ROOT, "tests/golden/rnn/import/slices.onnx"), "--bundle", bundle)
    folder = tempfile.mkdtemp()
    for patient in range(PATIENTS):
        images(folder, patient, "slices=5", "rows=8", "columns=12")
    lamina("predict", "--bundle", bundle, "--out", folder, folder)
    said, notes = evaluate(folder, bundle=bundle)
    assert said["n"] == PATIENTS and said["metrics"]["accuracy"] == 1, (said, notes)
    report = sorted(glob.glob(os.path.join(folder, "*.SR.dcm")))[0]

    def unknown(dataset):
        for item in dataset.ContentSequence:
            unknown(item) if "ContentSequence" in item else None
            for code in item.get("ConceptCodeSequence", []):
                if code.CodingSchemeDesignator == "99LAMINA":
                    code.CodeValue, code.CodeMeaning = "other", "Something else"

    edit(report, unknown)
    assert "no coded item is one of the model's classes" in evaluate(folder, bundle=bundle, status=1)[1]


harness.run(globals())
