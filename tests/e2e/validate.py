#!/usr/bin/python3
"""`lamina validate`: what general validators do not notice is noticed, by attribute and clause."""
import functools
import json
import os
import re
import shutil
import subprocess
import tempfile
import warnings

import pydicom

import harness
from harness.daemon import BUILD, ROOT
from harness.worker import phantom


@functools.cache
def source_paths():
    return phantom("slices=5", "rows=20", "columns=24")


@functools.cache
def made(profile="strict"):
    """(folder of the source, folder of the objects), once."""
    out = tempfile.mkdtemp(prefix="lamina-validate-")
    subprocess.run([os.path.join(BUILD, "lamina-objects"), out, profile, *source_paths()], check=True)
    return os.path.dirname(source_paths()[0]), out


def validate(*arguments):
    """(exit status, what --json says of the first file)."""
    run = subprocess.run([os.path.join(BUILD, "lamina"), "validate", "--json", *arguments], capture_output=True, text=True,
                         check=False)
    return run.returncode, json.loads(run.stdout)["files"][0] if run.stdout else run.stderr


def test_good_objects_pass():
    source, folder = made()
    for kind in KINDS:
        status, said = validate("--source", source, os.path.join(folder, kind + ".dcm"))
        assert status == 0 and not said["problems"], said


def test_sources_lie_at_any_depth():
    """As send and predict find them; what is no DICOM file is passed over"""
    source, folder = made()
    with tempfile.TemporaryDirectory() as above:
        shutil.copytree(source, os.path.join(above, "study", "series"))
        with open(os.path.join(above, "readme.txt"), "w", encoding="ascii") as note:
            note.write("text")
        status, said = validate("--source", above, os.path.join(folder, "seg.dcm"))
        assert status == 0 and not said["problems"], said
        os.remove(os.path.join(above, "study", "series", os.listdir(os.path.join(above, "study", "series"))[0]))
        status, said = validate("--source", above, os.path.join(folder, "seg.dcm"))
        assert status == 1 and said["problems"], "an image is missing, and nobody said so"
    with tempfile.TemporaryDirectory() as empty:
        assert "holds no DICOM images" in validate("--source", empty, os.path.join(folder, "seg.dcm"))[1]


# ---- what must be there (PS3.5 7.4): told when it is missing, and but for type 2 when it is empty ----

KINDS = ("seg", "sr", "sc", "pr", "ko", "pm")
IMAGES, PLANES, DOCUMENTS = ("seg", "sc", "pm"), ("seg", "pm"), ("sr", "ko")
REQUIRED = (
    (KINDS, 1, "StudyInstanceUID Modality SeriesInstanceUID SeriesNumber SOPInstanceUID InstanceNumber Manufacturer"),
    (KINDS, 3, "ContributingEquipmentSequence"),
    (KINDS, 2, "PatientName PatientID PatientBirthDate PatientSex StudyDate StudyTime StudyID AccessionNumber "
               "ReferringPhysicianName"),
    (IMAGES, 1, "SamplesPerPixel PhotometricInterpretation Rows Columns BitsAllocated ImageType"),
    (("sc",), 1, "ConversionType"),
    (PLANES, 1, "FrameOfReferenceUID NumberOfFrames SharedFunctionalGroupsSequence PerFrameFunctionalGroupsSequence "
                "DimensionOrganizationSequence DimensionIndexSequence ContentLabel LossyImageCompression "
                "ReferencedSeriesSequence"),
    (PLANES, 2, "PositionReferenceIndicator ContentDescription"),
    (("seg",), 1, "SegmentationType SegmentSequence"),
    (DOCUMENTS, 1, "ValueType ConceptNameCodeSequence ContentSequence CurrentRequestedProcedureEvidenceSequence"),
    (("sr",), 1, "CompletionFlag VerificationFlag"),
    (("sr",), 2, "PerformedProcedureCodeSequence"),
    (("pr",), 1, "ReferencedSeriesSequence"),
)


def missing_cases():
    for kinds, kind_of_attribute, names in REQUIRED:
        for kind in kinds:
            for name in names.split():
                yield kind, lambda ds, n=name: delattr(ds, n), name, "missing"
                if kind_of_attribute != 2:
                    yield kind, lambda ds, n=name: setattr(ds, n, [] if n.endswith("Sequence") else None), name, "empty"


# ---- what must agree: one broken object for each rule ----

def frames(ds):
    return ds.PerFrameFunctionalGroupsSequence


def shared(ds):
    return ds.SharedFunctionalGroupsSequence[0]


def reverse(ds):
    positions = [f.PlanePositionSequence[0].ImagePositionPatient for f in frames(ds)]
    for frame, position in zip(frames(ds), positions[::-1], strict=True):
        frame.PlanePositionSequence[0].ImagePositionPatient = position


def items_of(ds, value_type=None, code=None):
    for item in ds.get("ContentSequence", []):
        named = code is None or item.get("ConceptNameCodeSequence", [{}])[0].get("CodeValue") == code
        if named and value_type in (None, item.ValueType):
            yield item
        yield from items_of(item, value_type, code)


def first(ds, value_type=None, code=None):
    return next(items_of(ds, value_type, code))


def change_item(value_type, change, code=None):
    return lambda ds: change(first(ds, value_type, code))


def without(*names):
    """Removes an attribute, the last of `names`, from the first items of the sequences before it."""
    def change(ds):
        for name in names[:-1]:
            ds = getattr(ds, name)[0]
        delattr(ds, names[-1])
    return change


def having(value, *names):
    def change(ds):
        for name in names[:-1]:
            ds = getattr(ds, name)[0]
        setattr(ds, names[-1], value)
    return change


def without_tracking(ds):
    group = first(ds, "CONTAINER", "125007")
    group.ContentSequence = [i for i in group.ContentSequence
                             if i.get("ConceptNameCodeSequence", [{}])[0].get("CodeValue") != "112040"]


def fractional(ds):
    ds.SegmentationType = "FRACTIONAL"


BROKEN = (
    # identity and place
    ("seg", having("1.2.3", "FrameOfReferenceUID"), "FrameOfReferenceUID", "PS3.3 C.7.4.1", "differs"),
    ("sr", having("OTHER", "PatientID"), "PatientID", "PS3.3 C.7.1.1", "differs"),
    ("pr", having("Other^Name", "PatientName"), "PatientName", "PS3.3 C.7.1.1", "differs"),
    ("ko", having("1.2.3", "StudyInstanceUID"), "StudyInstanceUID", "PS3.3 C.7.2.1", "differs"),
    ("sc", having("no-uid", "SOPInstanceUID"), "SOPInstanceUID", "PS3.5 9", "not a UID"),
    ("seg", reverse, "DimensionIndexValues", "PS3.3 C.7.6.17.2", "reversed"),
    ("seg", reverse, "ImagePositionPatient", "PS3.3 C.7.6.16.2.3", "its source lies at"),
    ("pm", reverse, "ImagePositionPatient", "PS3.3 C.7.6.16.2.3", "its source lies at"),
    ("seg", without("PerFrameFunctionalGroupsSequence", "PlanePositionSequence"), "ImagePositionPatient",
     "PS3.3 C.7.6.16.2.3", "is missing in frame 1"),
    ("seg", having([0, 1, 0, 0, 0, -1], "SharedFunctionalGroupsSequence", "PlaneOrientationSequence", "ImageOrientationPatient"),
     "ImageOrientationPatient", "PS3.3 C.7.6.16.2.4", "is not its source's"),
    ("seg", having([1, 0, 0, 1, 0, 0], "SharedFunctionalGroupsSequence", "PlaneOrientationSequence", "ImageOrientationPatient"),
     "ImageOrientationPatient", "PS3.3 C.7.6.16.2.4", "perpendicular"),
    ("seg", without("SharedFunctionalGroupsSequence", "PixelMeasuresSequence"), "PixelMeasuresSequence",
     "PS3.3 C.7.6.16.2.1", "is missing"),
    ("seg", without("SharedFunctionalGroupsSequence", "PixelMeasuresSequence", "SliceThickness"), "PixelMeasuresSequence",
     "PS3.3 C.7.6.16.2.1", "SliceThickness"),
    ("seg", without("SharedFunctionalGroupsSequence", "PixelMeasuresSequence", "SpacingBetweenSlices"),
     "PixelMeasuresSequence", "PS3.3 C.7.6.16.2.1", "SpacingBetweenSlices"),
    # pixels
    ("seg", lambda ds: setattr(ds, "PixelData", ds.PixelData[:-20]), "PixelData", "PS3.5 8.1.1", "bytes instead of"),
    ("sc", without("PixelData"), "PixelData", "PS3.5 8.1.1", "is missing"),
    ("seg", fractional, "BitsAllocated", "PS3.3 C.8.20.2", "FRACTIONAL"),
    ("sc", having(3, "HighBit"), "HighBit", "PS3.3 C.7.6.3", "one less"),
    ("seg", having(10, "Rows"), "Rows", "PS3.3 C.7.6.16.2.6", "differ"),
    # segments and frames
    ("seg", fractional, "SegmentationFractionalType", "PS3.3 C.8.20.2", "is missing"),
    ("seg", having(7, "SegmentSequence", "SegmentNumber"), "SegmentNumber", "PS3.3 C.8.20.4", "without gaps"),
    ("seg", without("SegmentSequence", "SegmentLabel"), "SegmentLabel", "PS3.3 C.8.20.4", "segment 1"),
    ("seg", without("SegmentSequence", "SegmentAlgorithmType"), "SegmentAlgorithmType", "PS3.3 C.8.20.4", "segment 1"),
    ("seg", without("SegmentSequence", "SegmentAlgorithmName"), "SegmentAlgorithmName", "PS3.3 C.8.20.4", "segment 1"),
    ("seg", without("SegmentSequence", "SegmentedPropertyCategoryCodeSequence"), "SegmentedPropertyCategoryCodeSequence",
     "PS3.3 C.8.20.4", "segment 1"),
    ("seg", without("SegmentSequence", "SegmentedPropertyTypeCodeSequence", "CodeMeaning"),
     "SegmentedPropertyTypeCodeSequence", "PS3.3 C.8.20.4", "segment 1"),
    ("seg", without("SegmentSequence", "TrackingUID"), "TrackingUID", "PS3.3 C.8.20.4", "come together"),
    ("seg", having(9, "PerFrameFunctionalGroupsSequence", "SegmentIdentificationSequence", "ReferencedSegmentNumber"),
     "ReferencedSegmentNumber", "PS3.3 C.8.20.3.1", "no segment"),
    ("seg", having([1], "PerFrameFunctionalGroupsSequence", "FrameContentSequence", "DimensionIndexValues"),
     "DimensionIndexValues", "PS3.3 C.7.6.17", "one for each dimension"),
    ("seg", without("PerFrameFunctionalGroupsSequence", "DerivationImageSequence"), "SourceImageSequence",
     "PS3.3 C.7.6.16.2.6", "frame 1"),
    ("seg", having("1.2.3", "PerFrameFunctionalGroupsSequence", "DerivationImageSequence", "SourceImageSequence",
                   "ReferencedSOPInstanceUID"), "ReferencedSOPInstanceUID", "PS3.3 C.7.6.16.2.6", "none of the source"),
    ("pm", lambda ds: frames(ds).pop(), "PerFrameFunctionalGroupsSequence", "PS3.3 C.7.6.16", "items for"),
    # documents
    ("sr", without("CurrentRequestedProcedureEvidenceSequence", "ReferencedSeriesSequence"),
     "CurrentRequestedProcedureEvidenceSequence", "PS3.3 C.17.2", "does not list"),
    ("ko", without("CurrentRequestedProcedureEvidenceSequence", "ReferencedSeriesSequence"),
     "CurrentRequestedProcedureEvidenceSequence", "PS3.3 C.17.2", "does not list"),
    ("sr", change_item("IMAGE", without("ReferencedSOPSequence")), "ReferencedSOPSequence", "PS3.3 C.18.3", "is missing"),
    ("sr", change_item("NUM", without("MeasuredValueSequence")), "MeasuredValueSequence", "PS3.3 C.18.1", "no number"),
    ("sr", change_item("NUM", without("MeasuredValueSequence", "MeasurementUnitsCodeSequence")), "MeasuredValueSequence",
     "PS3.3 C.18.1", "no unit"),
    ("sr", change_item("NUM", without("ConceptNameCodeSequence")), "ConceptNameCodeSequence", "PS3.3 C.17.3", "NUM item"),
    ("sr", change_item("CODE", without("RelationshipType")), "RelationshipType", "PS3.3 C.17.3.2.4", "is missing"),
    ("sr", change_item("SCOORD", having([1, 2, 3], "GraphicData")), "GraphicData", "PS3.3 C.18.6", "3 numbers"),
    ("sr", change_item("SCOORD", without("ContentSequence")), "ContentSequence", "PS3.3 C.18.6", "which image"),
    ("sr-ohif", change_item("SCOORD3D", having([1, 2, 3, 4], "GraphicData")), "GraphicData", "PS3.3 C.18.6", "4 numbers"),
    ("sr-ohif", change_item("SCOORD3D", without("ReferencedFrameOfReferenceUID")), "ReferencedFrameOfReferenceUID",
     "PS3.3 C.18.9", "is missing"),
    ("sr", without_tracking, "UID", "PS3.16 TID 1501", "Tracking Unique Identifier"),
    ("pr", having("1.2.3", "GraphicAnnotationSequence", "ReferencedImageSequence", "ReferencedSOPInstanceUID"),
     "ReferencedImageSequence", "PS3.3 C.10.5", "annotation 1"),
)


def spoil(kind, change, folder, number):
    """The path of an object of this kind after the change."""
    kind, _, profile = kind.partition("-")
    ds = pydicom.dcmread(os.path.join(made(profile or "strict")[1], kind + ".dcm"))
    path = os.path.join(folder, f"{number:03d}.dcm")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what is broken on purpose
        change(ds)
        ds.save_as(path, write_like_original=True)
    return path


def check(cases):
    """Each case is (kind, change, attribute, word), perhaps with the clause; all are validated in one call."""
    with tempfile.TemporaryDirectory() as folder:
        paths = [spoil(kind, change, folder, i) for i, (kind, change, *_) in enumerate(cases)]
        run = subprocess.run([os.path.join(BUILD, "lamina"), "validate", "--json", "--source", made()[0], *paths],
                             capture_output=True, text=True, check=False)
    assert run.returncode == 1, run.stderr
    for (kind, _, attribute, *rest), said in zip(cases, json.loads(run.stdout)["files"], strict=True):
        clause, word = rest if len(rest) == 2 else ("PS3.", rest[0])
        assert any(p["attribute"] == attribute and p["clause"].startswith(clause) and word in p["message"]
                   for p in said["problems"]), (kind, attribute, clause, word, said)


def test_what_must_be_there():
    check(list(missing_cases()))


def test_each_rule_can_fail():
    check(BROKEN)


def test_every_rule_has_its_broken_object():
    """The attributes and clauses named in the source, so that a new rule needs a row above."""
    named = set()
    for name in ("validate.c", "validate_content.c", "validate_geometry.c"):
        with open(os.path.join(ROOT, "dicom", name), encoding="utf-8") as file:
            named |= set(re.findall(r'"(\w+)",\s*"(PS3\.\d+ [\w. ]+)"', file.read()))
    broken = {(attribute, clause) for _, _, attribute, clause, _ in BROKEN}
    required = {name for _, _, names in REQUIRED for name in names.split()}
    left = {(a, c) for a, c in named - broken if a not in required}
    assert left == {("SOPClassUID", "PS3.4 B.5")}, left  # test_what_is_no_result_object


def test_what_is_no_result_object():
    source, _ = made()
    status, said = validate(os.path.join(source, os.listdir(source)[0]))
    assert status == 1 and said["problems"][0]["attribute"] == "SOPClassUID", said
    assert validate("/nonexistent.dcm")[0] == 1
    assert subprocess.run([os.path.join(BUILD, "lamina"), "validate"], capture_output=True, check=False).returncode == 2


harness.run(globals())
