#!/usr/bin/python3
"""`lamina validate`: what general validators do not notice is noticed, by attribute and clause."""
import json
import os
import subprocess
import tempfile

import pydicom

import harness
from harness.daemon import BUILD
from harness.worker import phantom


def made():
    """(folder of the source, folder of the objects), once."""
    if not hasattr(made, "folders"):
        paths = phantom("slices=5", "rows=20", "columns=24")
        out = tempfile.mkdtemp(prefix="lamina-validate-")
        subprocess.run([os.path.join(BUILD, "lamina-objects"), out, "strict", *paths], check=True)
        made.folders = os.path.dirname(paths[0]), out
    return made.folders


def validate(*arguments):
    """(exit status, what --json says of the first file)."""
    run = subprocess.run([os.path.join(BUILD, "lamina"), "validate", "--json", *arguments], capture_output=True, text=True,
                         check=False)
    return run.returncode, json.loads(run.stdout)["files"][0] if run.stdout else run.stderr


def spoiled(change, kind="seg"):
    source, folder = made()
    ds = pydicom.dcmread(os.path.join(folder, kind + ".dcm"))
    change(ds)
    path = os.path.join(tempfile.mkdtemp(), "spoiled.dcm")
    ds.save_as(path)
    status, said = validate("--source", source, path)
    assert status == 1, said
    return {(p["attribute"], p["clause"].split()[0]) for p in said["problems"]}


def test_good_objects_pass():
    source, folder = made()
    for kind in ("seg", "sr", "sc", "pr", "ko", "pm"):
        status, said = validate("--source", source, os.path.join(folder, kind + ".dcm"))
        assert status == 0 and not said["problems"], said


def frames(ds):
    return ds.PerFrameFunctionalGroupsSequence


def test_wrong_frame_of_reference():
    assert ("FrameOfReferenceUID", "PS3.3") in spoiled(lambda ds: setattr(ds, "FrameOfReferenceUID", "1.2.3"))


def test_reversed_slices():
    def reverse(ds):
        positions = [f.PlanePositionSequence[0].ImagePositionPatient for f in frames(ds)]
        for frame, position in zip(frames(ds), positions[::-1], strict=True):
            frame.PlanePositionSequence[0].ImagePositionPatient = position
    found = spoiled(reverse)
    assert ("DimensionIndexValues", "PS3.3") in found and ("ImagePositionPatient", "PS3.3") in found, found


def test_missing_pixel_measures():
    def remove(ds):
        del ds.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence
    assert ("PixelMeasuresSequence", "PS3.3") in spoiled(remove)


def test_another_orientation():
    def turn(ds):
        ds.SharedFunctionalGroupsSequence[0].PlaneOrientationSequence[0].ImageOrientationPatient = [0, 1, 0, 0, 0, -1]
    assert ("ImageOrientationPatient", "PS3.3") in spoiled(turn)


def test_pixels_that_are_cut():
    assert ("PixelData", "PS3.5") in spoiled(lambda ds: setattr(ds, "PixelData", ds.PixelData[:-20]))


def test_a_segment_that_is_not_there():
    def rename(ds):
        frames(ds)[0].SegmentIdentificationSequence[0].ReferencedSegmentNumber = 9
    assert ("ReferencedSegmentNumber", "PS3.3") in spoiled(rename)


def test_evidence_that_is_incomplete():
    def remove(ds):
        del ds.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence[0].ReferencedSOPSequence[0]
    for kind in ("sr", "ko"):
        assert ("CurrentRequestedProcedureEvidenceSequence", "PS3.3") in spoiled(remove, kind), kind


def test_another_patient():
    assert ("PatientID", "PS3.3") in spoiled(lambda ds: setattr(ds, "PatientID", "OTHER"), "sr")


def test_what_is_no_result_object():
    source, _ = made()
    status, said = validate(os.path.join(source, os.listdir(source)[0]))
    assert status == 1 and said["problems"][0]["attribute"] == "SOPClassUID", said
    assert validate("/nonexistent.dcm")[0] == 1
    assert subprocess.run([os.path.join(BUILD, "lamina"), "validate"], capture_output=True, check=False).returncode == 2


harness.run(globals())
