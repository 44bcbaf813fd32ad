#!/usr/bin/python3
"""Every kind of result object over every kind of source, in every profile and form: valid to software that is not
ours, and each voxel at its place in the patient when pydicom reads it back."""
import glob
import os
import subprocess
import tempfile

import numpy
import pydicom
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

import harness
from harness import images
from harness.clients import dcentvfy, dciodvfy
from harness.daemon import BUILD
from harness.worker import phantom

KINDS = ("seg", "sr", "sc", "pr", "ko", "pm")
PROFILES = ("strict", "ohif", "slicer")
FORMS = ("binary", "occupancy", "probability", "overlap")


def objects(paths, profile="strict"):
    """{kind: path}; fails where a rule of `lamina validate` speaks."""
    folder = tempfile.mkdtemp(prefix="lamina-kinds-")
    said = subprocess.run([os.path.join(BUILD, "lamina-objects"), folder, profile, *paths], check=True,
                          capture_output=True, text=True).stdout
    assert not said, said
    return {kind: os.path.join(folder, kind + ".dcm") for kind in KINDS}


def as_ct(paths):
    """The same slices as CT images."""
    made = []
    for path in paths:
        ds = pydicom.dcmread(path)
        ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.2"
        for name in ("ScanningSequence", "SequenceVariant", "ScanOptions", "MRAcquisitionType", "RepetitionTime",
                     "EchoTime", "EchoTrainLength"):
            delattr(ds, name)
        ds.Modality, ds.KVP, ds.AcquisitionNumber = "CT", 120, 1
        ds.RescaleIntercept, ds.RescaleSlope, ds.ImageType = -1024, 1, ["ORIGINAL", "PRIMARY", "AXIAL"]
        made.append(ds)
    return images.save(made, tempfile.mkdtemp())


def as_enhanced(paths):
    """The same slices as one multi-frame object."""
    slices = [pydicom.dcmread(p) for p in paths]
    ds = slices[0].copy()
    ds.SOPClassUID = "1.2.840.10008.5.1.4.1.1.4.1"
    ds.file_meta = slices[0].file_meta
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID
    ds.NumberOfFrames, ds.PixelData = len(slices), b"".join(s.PixelData for s in slices)
    shared = Dataset()
    shared.PlaneOrientationSequence, shared.PixelMeasuresSequence = Sequence([Dataset()]), Sequence([Dataset()])
    shared.PlaneOrientationSequence[0].ImageOrientationPatient = slices[0].ImageOrientationPatient
    shared.PixelMeasuresSequence[0].PixelSpacing = slices[0].PixelSpacing
    shared.PixelMeasuresSequence[0].SliceThickness = slices[0].SliceThickness
    ds.SharedFunctionalGroupsSequence, frames = Sequence([shared]), []
    for source in slices:
        frame = Dataset()
        frame.PlanePositionSequence = Sequence([Dataset()])
        frame.PlanePositionSequence[0].ImagePositionPatient = source.ImagePositionPatient
        frames.append(frame)
    ds.PerFrameFunctionalGroupsSequence = Sequence(frames)
    for name in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness"):
        delattr(ds, name)
    return images.save([ds], tempfile.mkdtemp())


def as_bare(paths):
    """The same slices without what the standard lets be empty, and some leave out (type 2)."""
    made = []
    for path in paths:
        ds = pydicom.dcmread(path)
        for name in ("PatientBirthDate", "PatientSex", "StudyID", "AccessionNumber", "ReferringPhysicianName",
                     "PositionReferenceIndicator"):
            delattr(ds, name)
        made.append(ds)
    return images.save(made, tempfile.mkdtemp())


SOURCES = {
    "bare": lambda: as_bare(phantom("slices=5", "rows=20", "columns=24")),
    "axial": lambda: phantom("slices=5", "rows=51", "columns=35"),
    "oblique": lambda: phantom("slices=5", "rows=20", "columns=24", "orientation=oblique"),
    "sagittal": lambda: phantom("slices=5", "rows=20", "columns=24", "orientation=sagittal"),
    "reversed": lambda: phantom("slices=5", "rows=20", "columns=24", "order=down"),
    "gaps": lambda: phantom("slices=5", "rows=20", "columns=24", "spacing=6", "thickness=4"),
    "7x7x3": lambda: phantom("slices=3", "rows=7", "columns=7"),
    "250x250": lambda: phantom("slices=3", "rows=250", "columns=250"),
    "one slice": lambda: phantom("slices=1", "rows=20", "columns=24"),
    "CT": lambda: as_ct(phantom("slices=5", "rows=20", "columns=24")),
    "enhanced": lambda: as_enhanced(phantom("slices=5", "rows=20", "columns=24")),
}


def test_images_without_a_place_have_answers_and_boxes_but_no_space():
    for modality in images.RADIOGRAPHS:
        for count in (1, 3):
            source = images.save(images.radiographs(modality, count), tempfile.mkdtemp())
            ours = {kind: path for kind, path in objects(source).items() if os.path.exists(path)}
            assert set(ours) == {"sr", "sc", "pr", "ko"}, (modality, set(ours))
            for kind, path in ours.items():
                assert not dciodvfy(path), (modality, kind, dciodvfy(path))
            assert not dcentvfy([*source, *ours.values()]), (modality, dcentvfy([*source, *ours.values()]))
            sr = pydicom.dcmread(ours["sr"])
            items = list(items_of(sr))
            assert {i.ValueType for i in items} >= {"SCOORD", "IMAGE", "NUM"} and "FrameOfReferenceUID" not in sr
            assert not any(i.ValueType == "SCOORD3D" or meaning(i) == "Frame of Reference UID" for i in items)
            library = next(i for i in items if meaning(i) == "Image Library")
            listed = [i.ReferencedSOPSequence[0].ReferencedSOPInstanceUID for i in items_of(library) if i.ValueType == "IMAGE"]
            in_order = sorted((pydicom.dcmread(p, stop_before_pixels=True) for p in source), key=lambda ds: ds.InstanceNumber)
            assert listed == [ds.SOPInstanceUID for ds in in_order], "in the order of their numbers"


def frames_of(seg):
    shape = (seg.NumberOfFrames, seg.Rows, seg.Columns)
    data = numpy.frombuffer(seg.PixelData, numpy.uint8)
    if seg.BitsAllocated == 1:
        data = numpy.unpackbits(data, bitorder="little")
    return data[:numpy.prod(shape)].reshape(shape)


def planes_of(source):
    """[(position, orientation, spacing)] of all slices of the files, sorted along the normal."""
    planes = []
    for ds in (pydicom.dcmread(p, stop_before_pixels=True) for p in source):
        if "PerFrameFunctionalGroupsSequence" in ds:
            shared = ds.SharedFunctionalGroupsSequence[0]
            planes += [(f.PlanePositionSequence[0].ImagePositionPatient,
                        shared.PlaneOrientationSequence[0].ImageOrientationPatient,
                        shared.PixelMeasuresSequence[0].PixelSpacing) for f in ds.PerFrameFunctionalGroupsSequence]
        else:
            planes.append((ds.ImagePositionPatient, ds.ImageOrientationPatient, ds.PixelSpacing))
    planes = [tuple(numpy.array(part, float) for part in plane) for plane in planes]
    return sorted(planes, key=lambda p: numpy.dot(p[0], numpy.cross(p[1][:3], p[1][3:])))


def at(position, orientation, spacing, row, column):
    place = position + column * spacing[1] * orientation[:3] + row * spacing[0] * orientation[3:]
    return tuple(numpy.round(place * 100).astype(int))


def wanted(source, rows, columns, overlap):
    """{segment: places} of what lamina-objects draws, from the source's geometry alone."""
    planes, places = planes_of(source), {1: set(), 2: set()}
    for z, plane in enumerate(planes):
        for row in range(rows):
            for column in range(columns):
                block = z <= len(planes) // 2 and row < (rows + 2) // 3 and column < (columns + 1) // 2
                if block:
                    places[1].add(at(*plane, row, column))
                if row == column and (overlap or not block):
                    places[2].add(at(*plane, row, column))
    return places


def found(seg):
    shared = seg.SharedFunctionalGroupsSequence[0]
    orientation = numpy.array(shared.PlaneOrientationSequence[0].ImageOrientationPatient, float)
    spacing, places = numpy.array(shared.PixelMeasuresSequence[0].PixelSpacing, float), {1: set(), 2: set()}
    for frame, groups in zip(frames_of(seg), seg.PerFrameFunctionalGroupsSequence, strict=True):
        position = numpy.array(groups.PlanePositionSequence[0].ImagePositionPatient, float)
        for row, column in numpy.argwhere(frame):
            number = int(frame[row, column])
            if "SegmentIdentificationSequence" in groups:
                number = groups.SegmentIdentificationSequence[0].ReferencedSegmentNumber
            places[number].add(at(position, orientation, spacing, row, column))
    return places


# What dciodvfy of 2022 says because it does not know Label Map Segmentation (Supplement 243), and nothing else may it say.
TOO_YOUNG = {"seg": "Information Object Not found",
             "sr": "Shall not be present for Referenced SOP Class that is not segmentation"}


def errors_of(kind, path, form):
    return [e for e in dciodvfy(path) if form != "labelmap" or TOO_YOUNG.get(kind, "\n") not in e]


def test_every_kind_in_every_form_over_every_source_is_valid():
    """Segmentations and reports, which refer to them, in each form; the other kinds do not depend on it."""
    for name, make in SOURCES.items():
        source = make()
        for form in (*FORMS, "labelmap"):
            ours = objects(source, f"strict+{form}")
            for kind in KINDS if form == FORMS[0] else ("seg", "sr"):
                found_errors = errors_of(kind, ours[kind], form)
                assert not found_errors, (name, form, kind, found_errors)
            # The enhanced source is made by hand and no complete Enhanced MR object.
            together = [*([] if name == "enhanced" else source), *ours.values()]
            assert not dcentvfy(together), (name, form, dcentvfy(together))


def test_every_profile_is_valid():
    source = SOURCES["axial"]()
    for profile in PROFILES:
        for kind, path in objects(source, profile).items():
            assert not dciodvfy(path), (profile, kind, dciodvfy(path))


def test_every_voxel_is_at_its_place():
    for name, make in SOURCES.items():
        source = make()
        for profile in ("strict", "strict+occupancy", "strict+probability", "strict+overlap", "strict+labelmap"):
            seg = pydicom.dcmread(objects(source, profile)["seg"])
            expected = wanted(source, seg.Rows, seg.Columns, profile.endswith("overlap"))
            assert found(seg) == expected, (name, profile)


def test_the_forms_say_what_they_are():
    source = SOURCES["axial"]()
    said = {}
    for form in (*FORMS, "labelmap"):
        seg = pydicom.dcmread(objects(source, f"strict+{form}")["seg"])
        said[form] = (seg.SegmentationType, seg.get("SegmentationFractionalType"), seg.BitsAllocated,
                      seg.SegmentsOverlap, seg.SOPClassUID.rsplit(".", 1)[1])
    assert said == {"binary": ("BINARY", None, 1, "NO", "4"), "occupancy": ("FRACTIONAL", "OCCUPANCY", 8, "NO", "4"),
                    "probability": ("FRACTIONAL", "PROBABILITY", 8, "NO", "4"),
                    "overlap": ("BINARY", None, 1, "YES", "4"), "labelmap": ("LABELMAP", None, 8, "NO", "7")}, said


def items_of(ds):
    for item in ds.get("ContentSequence", []):
        yield item
        yield from items_of(item)


def meaning(item):
    return item.ConceptNameCodeSequence[0].CodeMeaning if "ConceptNameCodeSequence" in item else ""


def test_profiles_differ_as_the_table_says():
    source = SOURCES["axial"]()
    made = {profile: objects(source, profile) for profile in PROFILES}
    segs = {p: pydicom.dcmread(made[p]["seg"]) for p in PROFILES}
    srs = {p: pydicom.dcmread(made[p]["sr"]) for p in PROFILES}
    assert [len(segs[p].SegmentSequence) for p in PROFILES] == [3, 2, 2]
    assert [segs[p].SegmentationType for p in PROFILES] == ["BINARY", "FRACTIONAL", "BINARY"]
    assert [any(i.ValueType == "SCOORD3D" for i in items_of(srs[p])) for p in PROFILES] == [False, True, False]
    assert len({segs[p].SOPInstanceUID for p in PROFILES}) == 3
    assert len({segs[p].SegmentSequence[0].TrackingUID for p in PROFILES}) == 1
    for profile in PROFILES:
        references = {i.ReferencedSOPSequence[0].ReferencedSOPInstanceUID for i in items_of(srs[profile])
                      if meaning(i) == "Referenced Segment"}
        assert references == {segs[profile].SOPInstanceUID}, profile


def test_the_report_holds_answers_boxes_and_numbers():
    sr = pydicom.dcmread(objects(SOURCES["axial"]())["sr"])
    items = list(items_of(sr))
    certainties = sorted(float(i.MeasuredValueSequence[0].NumericValue) for i in items
                         if meaning(i) == "Certainty of Finding")
    assert certainties == [20, 70, 80, 90], certainties
    assert {i.MeasuredValueSequence[0].MeasurementUnitsCodeSequence[0].CodeValue for i in items
            if meaning(i) == "Certainty of Finding"} == {"%"}
    fraction = next(i for i in items if meaning(i) == "Left ventricular Ejection fraction")
    assert float(fraction.MeasuredValueSequence[0].NumericValue) == 61.5
    evaluations = next(i for i in items if meaning(i) == "Qualitative Evaluations")
    assert evaluations.ContentSequence[0].ConceptCodeSequence[0].CodeMeaning == "Mass"
    boxes = [i for i in items if i.ValueType == "SCOORD"]
    assert len(boxes) == 3 and list(boxes[0].GraphicData) == [1, 1, 4, 1, 4, 5, 1, 5, 1, 1]
    templates = [i.ContentTemplateSequence[0].TemplateIdentifier for i in items if "ContentTemplateSequence" in i
                 and meaning(i) == "Measurement Group"]
    assert sorted(templates) == ["1410", "1411", "1411", "1411", "1411", "1501", "1501"], templates


def test_outlines_enclose_the_pixels_of_the_mask():
    """The area inside the polygons of a presentation state is the number of pixels."""
    made = objects(SOURCES["axial"]())
    seg, state = pydicom.dcmread(made["seg"]), pydicom.dcmread(made["pr"])
    pixels = {}
    for frame, groups in zip(frames_of(seg), seg.PerFrameFunctionalGroupsSequence, strict=True):
        image = groups.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID
        pixels[image, groups.SegmentIdentificationSequence[0].ReferencedSegmentNumber] = int(frame.sum())
    areas = {}
    for annotation in state.GraphicAnnotationSequence:
        layer = int(annotation.GraphicLayer[len("LAMINA"):])
        if layer > 3:
            continue
        for graphic in annotation.GraphicObjectSequence:
            points = numpy.array(graphic.GraphicData, float).reshape(-1, 2)
            x, y = points.T
            key = annotation.ReferencedImageSequence[0].ReferencedSOPInstanceUID, layer
            areas[key] = areas.get(key, 0) + 0.5 * float(numpy.sum(x[:-1] * y[1:] - x[1:] * y[:-1]))
    assert areas == pixels, (areas, pixels)


def test_the_same_input_gives_the_same_bytes():
    source = SOURCES["oblique"]()
    for profile in PROFILES:
        first, second = objects(source, profile), objects(source[::-1], profile)
        for kind in KINDS:
            with open(first[kind], "rb") as one, open(second[kind], "rb") as other:
                assert one.read() == other.read(), (profile, kind)


harness.run(globals())
