#!/usr/bin/python3
"""Result objects against the patient: a mask voxel must lie where the tissue is, whatever the orientation, order and
encoding of the images. Read back with pydicom alone; validators do not notice reversed slices, swapped segments or a
wrong bit order."""
import copy
import os
import tempfile

import numpy
import pydicom
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

import harness
from harness import images
from harness.clients import dcentvfy, dciodvfy
from harness.worker import DONE, FAILED, Worker, phantom

AXIAL = ("slices=40", "rows=50", "columns=34")
TURNED = {"coronal": ("slices=50", "rows=40", "columns=34"), "sagittal": ("slices=34", "rows=40", "columns=50")}
DATES = ("ContentDate", "ContentTime", "SeriesDate", "SeriesTime", "InstanceCreationDate", "InstanceCreationTime")


def analysed(paths):
    with Worker() as worker:
        answer = worker.analyse(paths)
    assert answer, "the worker died"
    kind, result, folder = answer
    assert kind == DONE, result
    return result, folder


def seg_of(folder):
    return pydicom.dcmread(os.path.join(folder, "seg.dcm"))


def frames_of(seg):
    bits = numpy.unpackbits(numpy.frombuffer(seg.PixelData, numpy.uint8), bitorder="little")
    shape = (seg.NumberOfFrames, seg.Rows, seg.Columns)
    return bits[:numpy.prod(shape)].reshape(shape)


def places_of(seg):
    """{segment number: set of patient coordinates in tenths of a millimetre}, by PS3.3 C.7.6.2.1.1."""
    shared = seg.SharedFunctionalGroupsSequence[0]
    orientation = numpy.array(shared.PlaneOrientationSequence[0].ImageOrientationPatient, float)
    between_rows, between_columns = map(float, shared.PixelMeasuresSequence[0].PixelSpacing)
    places = {}
    for frame, groups in zip(frames_of(seg), seg.PerFrameFunctionalGroupsSequence, strict=True):
        number = groups.SegmentIdentificationSequence[0].ReferencedSegmentNumber
        position = numpy.array(groups.PlanePositionSequence[0].ImagePositionPatient, float)
        for row, column in numpy.argwhere(frame):
            at = position + column * between_columns * orientation[:3] + row * between_rows * orientation[3:]
            places.setdefault(number, set()).add(tuple(numpy.round(at * 10).astype(int)))
    return places


def check_valid(folder, sources):
    ours = [os.path.join(folder, name) for name in ("seg.dcm", "sr.dcm")]
    for path in ours:
        assert not dciodvfy(path), dciodvfy(path)
    assert not dcentvfy(sources + ours), dcentvfy(sources + ours)


def reference():
    """The phantom's mask from axial images, once."""
    if not hasattr(reference, "places"):
        result, folder = analysed(phantom(*AXIAL))
        reference.places, reference.result, reference.folder = places_of(seg_of(folder)), result, folder
    return reference.places


def test_head_and_tail_are_where_they_are():
    """The head of the phantom is in front of and below its tail: y and z of DICOM tell, so nothing is mirrored."""
    centre = {number: numpy.mean(list(places), axis=0) / 10 for number, places in reference().items()}
    assert set(centre) == {1, 2}, set(centre)
    assert centre[1][1] < centre[2][1] - 5 and centre[1][2] < centre[2][2] - 3, centre


def test_other_orientations_find_the_same_voxels():
    for name, shape in TURNED.items():
        paths = phantom(*shape, f"orientation={name}")
        _, folder = analysed(paths)
        assert places_of(seg_of(folder)) == reference(), name
        check_valid(folder, paths)


def check_same_tissue(folder, least):
    """Most of a mask lies within 1.5 mm of the reference's, and there is about as much of it."""
    straight = numpy.array([at for places in reference().values() for at in places]) / 10
    seg = seg_of(folder)
    other = numpy.array([at for places in places_of(seg).values() for at in places]) / 10
    near = numpy.mean([numpy.min(numpy.linalg.norm(straight - at, axis=1)) < 1.5 for at in other[::7]])
    measures = seg.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    share = len(other) * numpy.prod([float(v) for v in (measures.SpacingBetweenSlices, *measures.PixelSpacing)])
    share /= len(straight)
    print(f"# {near:.2f} near, volume times {share:.2f}")
    assert near > least and 0.5 < share < 1.5, (near, share)


def test_an_oblique_stack_finds_the_same_tissue():
    paths = phantom("slices=48", "rows=56", "columns=44", "orientation=oblique")
    _, folder = analysed(paths)
    check_valid(folder, paths)
    check_same_tissue(folder, 0.85)


def test_positions_are_the_text_of_the_source():
    paths = phantom("orientation=oblique", "slices=48", "rows=56", "columns=44")
    by_uid = {ds.SOPInstanceUID: ds for ds in map(pydicom.dcmread, paths)}
    seg = seg_of(analysed(paths)[1])
    shared = seg.SharedFunctionalGroupsSequence[0]
    for groups in seg.PerFrameFunctionalGroupsSequence:
        source = by_uid[groups.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID]
        assert [v.original_string for v in groups.PlanePositionSequence[0].ImagePositionPatient] == \
            [v.original_string for v in source.ImagePositionPatient]
        assert [v.original_string for v in shared.PlaneOrientationSequence[0].ImageOrientationPatient] == \
            [v.original_string for v in source.ImageOrientationPatient]


def without_dates(path):
    ds = pydicom.dcmread(path)
    for name in DATES:
        delattr(ds, name)
    del ds.ContributingEquipmentSequence[0].ContributionDateTime
    return ds


def test_file_order_and_names_change_nothing():
    """Promise 5: the same objects, byte for byte but for the dates."""
    reference()
    for order in ("up", "down", "mixed"):
        paths = phantom(*AXIAL, f"order={order}")
        _, folder = analysed(paths[::-1])
        for name in ("seg.dcm", "sr.dcm"):
            mine, first = (without_dates(os.path.join(f, name)) for f in (folder, reference.folder))
            assert mine == first, (order, name)


def test_encodings_of_the_pixels_change_nothing():
    reference()
    for options in (("slope=0.5", "intercept=-100"), ("photometric=MONOCHROME1",),
                    ("transfer_syntax=1.2.840.10008.1.2.5",), ("transfer_syntax=1.2.840.10008.1.2",),
                    ("transfer_syntax=1.2.840.10008.1.2.2",)):
        result, _ = analysed(phantom(*AXIAL, *options))
        voxels = [segment["voxels"] for segment in result["segments"]]
        expected = [segment["voxels"] for segment in reference.result["segments"]]
        # A rescaled value is rounded once more when it is stored.
        assert all(abs(a - b) <= 5 for a, b in zip(voxels, expected, strict=True)), (options, voxels, expected)


def test_another_spacing_is_resampled_and_mapped_back():
    paths = phantom("slices=50", "rows=66", "columns=45", "spacing=0.8", "pixel=0.75")
    result, folder = analysed(paths)
    check_valid(folder, paths)
    seg = seg_of(folder)
    assert (seg.Rows, seg.Columns) == (66, 45)
    measures = seg.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    assert float(measures.SpacingBetweenSlices) == 0.8 and float(measures.SliceThickness) == 0.8
    for segment in result["segments"]:
        assert abs(segment["volume_ml"] - segment["voxels"] * 0.8 * 0.75 * 0.75 / 1000) < 1e-9, segment
    check_same_tissue(folder, 0.85)


def enhanced(paths):
    """The same slices as one Enhanced MR object, its frames in the order of the files."""
    slices = [pydicom.dcmread(p) for p in paths]
    ds = copy.deepcopy(slices[0])
    ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.4.1"
    for name in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness"):
        delattr(ds, name)
    ds.NumberOfFrames, ds.PixelData = len(slices), b"".join(s.PixelData for s in slices)
    shared = Dataset()
    shared.PlaneOrientationSequence, shared.PixelMeasuresSequence = Sequence([Dataset()]), Sequence([Dataset()])
    shared.PlaneOrientationSequence[0].ImageOrientationPatient = slices[0].ImageOrientationPatient
    shared.PixelMeasuresSequence[0].PixelSpacing = slices[0].PixelSpacing
    shared.PixelMeasuresSequence[0].SliceThickness = slices[0].SliceThickness
    ds.SharedFunctionalGroupsSequence = Sequence([shared])
    frames = []
    for source in slices:
        frame = Dataset()
        frame.PlanePositionSequence = Sequence([Dataset()])
        frame.PlanePositionSequence[0].ImagePositionPatient = source.ImagePositionPatient
        frames.append(frame)
    ds.PerFrameFunctionalGroupsSequence = Sequence(frames)
    return images.save([ds], tempfile.mkdtemp()), slices


def test_an_enhanced_multi_frame_source():
    (path,), slices = enhanced(phantom(*AXIAL))
    _, folder = analysed([path])
    seg = seg_of(folder)
    assert places_of(seg) == reference()
    for groups in seg.PerFrameFunctionalGroupsSequence:
        number = groups.DerivationImageSequence[0].SourceImageSequence[0].ReferencedFrameNumber
        assert list(groups.PlanePositionSequence[0].ImagePositionPatient) == \
            list(slices[number - 1].ImagePositionPatient), number
    for name in ("seg.dcm", "sr.dcm"):
        assert not dciodvfy(os.path.join(folder, name)), name


def test_frames_that_do_not_match_their_groups():
    """Fewer frames than groups would be a part of the volume taken for the whole."""
    for frames, groups in ((36, 20), (30, 36)):
        (path,), _ = enhanced(phantom(*AXIAL))
        ds = pydicom.dcmread(path)
        assert ds.NumberOfFrames >= 36
        ds.PerFrameFunctionalGroupsSequence = Sequence(list(ds.PerFrameFunctionalGroupsSequence)[:groups])
        ds.NumberOfFrames, ds.PixelData = frames, ds.PixelData[:2 * ds.Rows * ds.Columns * frames]
        with Worker() as worker:
            kind, payload, _ = worker.analyse(images.save([ds], tempfile.mkdtemp()))
        assert kind == FAILED and payload["permanent"], payload
        assert f"{frames} frames and {groups} Per-Frame" in payload["reason"], payload


def test_segment_and_report_agree():
    reference()
    seg, sr = (pydicom.dcmread(os.path.join(reference.folder, name)) for name in ("seg.dcm", "sr.dcm"))
    groups = [item for item in next(c for c in sr.ContentSequence if c.ConceptNameCodeSequence[0].CodeValue == "126010")
              .ContentSequence]
    assert len(groups) == len(seg.SegmentSequence) == 2
    for segment, group in zip(seg.SegmentSequence, groups, strict=True):
        items = {item.ConceptNameCodeSequence[0].CodeMeaning: item for item in group.ContentSequence}
        assert group.ConceptNameCodeSequence[0].CodeMeaning == "Measurement Group"
        assert items["Tracking Unique Identifier"].UID == segment.TrackingUID
        assert items["Tracking Identifier"].TextValue == segment.TrackingID
        reference_item = items["Referenced Segment"].ReferencedSOPSequence[0]
        assert reference_item.ReferencedSOPInstanceUID == seg.SOPInstanceUID
        assert reference_item.ReferencedSegmentNumber == segment.SegmentNumber
        counted = len(reference()[segment.SegmentNumber])
        measured = float(items["Volume"].MeasuredValueSequence[0].NumericValue)
        assert abs(measured - counted / 1000) < 1e-6, (measured, counted)


def test_nothing_found_is_a_valid_result_too():
    paths = phantom("slices=12", "rows=12", "columns=12")
    for path in paths:
        ds = pydicom.dcmread(path)
        ds.PixelData = bytes(len(ds.PixelData))
        ds.save_as(path)
    result, folder = analysed(paths)
    assert [segment["voxels"] for segment in result["segments"]] == [0, 0], result["segments"]
    seg = seg_of(folder)
    assert seg.NumberOfFrames == 2 and not frames_of(seg).any()
    check_valid(folder, paths)


harness.run(globals())
