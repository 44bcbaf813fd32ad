#!/usr/bin/python3
"""The main job: a study comes in, a SEG and an SR come out, in the same study, right and readable by others."""
import glob
import io
import os
import tempfile
import time

import numpy
import pydicom

import harness
from harness import images
from harness.clients import dcentvfy, dciodvfy, parts_of, pretty, storescu, stow, wado
from harness.daemon import Daemon

SEG, SR_3D, SC = "1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.88.34", "1.2.840.10008.5.1.4.1.1.7"

# Anterior and posterior part in ml, as the reference implementation in ../shared/models/hippocampus finds them; nobody
# drew them. The same network trained by ourselves differs by up to a twentieth.
EXPECTED_ML = {"mr-study-a": (2.02, 1.80), "mr-study-b": (1.93, 1.62)}
TOLERANCE_ML = 0.1


def send_and_wait(d, source, study_uid):
    status, said = storescu(d, source)
    assert status == 0, said
    d.wait_for_study(study_uid)
    results = d.results(study_uid)
    assert len(results) == 1 and results[0]["state"] == "done", pretty(results)
    return results[0]


def objects_of(d, study_uid, result):
    """{"SEG": (bytes, dataset), "SR": …} by WADO-RS."""
    found = {}
    for item in result["objects"]:
        answer = wado(d, study_uid, item["series_uid"], item["sop_uid"])
        assert answer.status == 200, answer
        ds = pydicom.dcmread(io.BytesIO(answer.body))
        assert ds.SOPInstanceUID == item["sop_uid"] and ds.SOPClassUID == item["sop_class_uid"], item
        found[item["type"]] = (answer.body, ds)
    return found


def check_series(d, name):
    folder = glob.glob(os.path.join(harness.shared("data", "dicom", name), "*HCrop*"))[0]
    paths = images.files_below(folder)
    first = pydicom.dcmread(paths[0])
    result = send_and_wait(d, folder, first.StudyInstanceUID)
    volumes = [segment["volume_ml"] for segment in result["segments"]]
    print(f"# {name}: {volumes} ml, {result['timings_ms']}")
    for measured, expected in zip(volumes, EXPECTED_ML[name], strict=True):
        assert abs(measured - expected) <= TOLERANCE_ML, (volumes, EXPECTED_ML[name])
    objects = objects_of(d, first.StudyInstanceUID, result)
    check_objects(objects, [pydicom.dcmread(p) for p in paths], result)
    check_with_validators(objects, paths)


def check_with_validators(objects, sources):
    folder = tempfile.mkdtemp()
    ours = []
    for kind, (content, _) in objects.items():
        ours.append(os.path.join(folder, kind + ".dcm"))
        with open(ours[-1], "wb") as file:
            file.write(content)
    for path in ours:
        assert not dciodvfy(path), (path, dciodvfy(path))
    # Problems the sources have among themselves are not ours.
    before = set(dcentvfy(sources))
    after = [line for line in dcentvfy(sources + ours) if line not in before]
    assert not after, after


def check_objects(objects, sources, result):
    assert set(objects) >= {"SEG", "SR"}, set(objects)
    seg, sr = objects["SEG"][1], objects["SR"][1]
    by_uid = {ds.SOPInstanceUID: ds for ds in sources}
    for ds in (seg, sr):
        for name in ("PatientID", "PatientName", "PatientBirthDate", "PatientSex", "StudyInstanceUID", "StudyDate",
                     "StudyTime", "StudyID", "AccessionNumber"):
            # What the source leaves out and the result must have is empty there.
            assert (ds.get(name) or None) == (sources[0].get(name) or None), (name, ds.get(name), sources[0].get(name))
        assert ds.SeriesInstanceUID != sources[0].SeriesInstanceUID
    check_segmentation(seg, by_uid, result)
    check_report(sr, seg, by_uid, result)


def check_segmentation(seg, by_uid, result):
    source = next(iter(by_uid.values()))
    assert seg.SOPClassUID == SEG and seg.SegmentationType == "BINARY" and seg.BitsAllocated == 1
    assert len(seg.SegmentSequence) == 2
    assert seg.FrameOfReferenceUID == source.FrameOfReferenceUID
    assert (seg.Rows, seg.Columns) == (source.Rows, source.Columns)
    for segment in seg.SegmentSequence:
        assert segment.SegmentedPropertyTypeCodeSequence[0].CodingSchemeDesignator == "SCT"
        assert segment.SegmentAlgorithmType == "AUTOMATIC"
    shared = seg.SharedFunctionalGroupsSequence[0]
    orientation = shared.PlaneOrientationSequence[0].ImageOrientationPatient
    assert list(orientation) == list(source.ImageOrientationPatient), "orientation is not copied (promise 7)"
    frames = numpy.unpackbits(numpy.frombuffer(seg.PixelData, numpy.uint8), bitorder="little")
    frames = frames[:seg.NumberOfFrames * seg.Rows * seg.Columns].reshape(seg.NumberOfFrames, seg.Rows, seg.Columns)
    voxels = {}
    for frame, groups in zip(frames, seg.PerFrameFunctionalGroupsSequence, strict=True):
        number = groups.SegmentIdentificationSequence[0].ReferencedSegmentNumber
        voxels[number] = voxels.get(number, 0) + int(frame.sum())
        reference = groups.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID
        position = groups.PlanePositionSequence[0].ImagePositionPatient
        assert list(position) == list(by_uid[reference].ImagePositionPatient), "position is not copied (promise 7)"
    for segment in result["segments"]:
        assert voxels.get(segment["number"], 0) == segment["voxels"], (voxels, segment)


def content_items(item):
    yield item
    for child in item.get("ContentSequence", []):
        yield from content_items(child)


def check_report(sr, seg, by_uid, result):
    assert sr.SOPClassUID == SR_3D
    assert sr.ContentTemplateSequence[0].TemplateIdentifier == "1500"
    items = list(content_items(sr))
    measured = sorted(float(item.MeasuredValueSequence[0].NumericValue) for item in items
                      if item.get("ValueType") == "NUM"
                      and item.MeasuredValueSequence[0].MeasurementUnitsCodeSequence[0].CodeValue == "ml")
    expected = sorted(segment["volume_ml"] for segment in result["segments"])
    assert len(measured) == len(expected), (measured, expected)
    assert all(abs(a - b) < 1e-3 for a, b in zip(measured, expected)), (measured, expected)
    referenced = {item.ReferencedSOPSequence[0].ReferencedSOPInstanceUID for item in items
                  if "ReferencedSOPSequence" in item}
    assert seg.SOPInstanceUID in referenced, "the SR does not refer to the SEG"
    tracking = [item.UID for item in items if item.get("ValueType") == "UIDREF"
                and item.ConceptNameCodeSequence[0].CodeValue == "112040"]
    assert len(tracking) == len(set(tracking)) == len(result["segments"]), tracking
    evidence = {instance.ReferencedSOPInstanceUID
                for study in sr.CurrentRequestedProcedureEvidenceSequence
                for series in study.ReferencedSeriesSequence for instance in series.ReferencedSOPSequence}
    assert set(by_uid) <= evidence and seg.SOPInstanceUID in evidence, "evidence is not complete"


def test_the_validators_notice_what_is_wrong():
    """Else their silence would mean nothing."""
    source = images.series(slices=2)
    del source[0].ImageType
    source[1].PatientID = "SOMEBODY-ELSE"
    paths = images.save(source, tempfile.mkdtemp())
    assert dciodvfy(paths[0]) and dcentvfy(paths)


def test_the_real_study_a(d):
    check_series(d, "mr-study-a")


def test_the_real_study_b(d):
    check_series(d, "mr-study-b")


def test_a_virtual_study(d):
    source = images.series()
    folder = tempfile.mkdtemp()
    paths = images.save(source, folder)
    result = send_and_wait(d, folder, source[0].StudyInstanceUID)
    assert result["model"]["name"] == "hippocampus" and result["task"] == "segmentation", pretty(result)
    assert len(result["model"]["weights_sha256"]) == 64
    assert result["series_uid"] == source[0].SeriesInstanceUID
    objects = objects_of(d, source[0].StudyInstanceUID, result)
    check_objects(objects, source, result)
    check_with_validators(objects, paths)


def test_the_results_are_part_of_the_study(d):
    source = images.series()
    result = send_and_wait(d, images.save(source, tempfile.mkdtemp()), source[0].StudyInstanceUID)
    study = d.study(source[0].StudyInstanceUID)
    series = {s["series_uid"]: s for s in study["series"]}
    for item in result["objects"]:
        assert series[item["series_uid"]]["instances"] == 1, pretty(study)
    whole = wado(d, source[0].StudyInstanceUID, accept='multipart/related; type="application/dicom"; transfer-syntax=*')
    assert len(parts_of(whole)) == len(source) + len(result["objects"])


def test_rows_and_columns_that_are_no_multiple_of_eight(d):
    """Frames are packed bit by bit; nothing may shift from one to the next."""
    source = images.series(rows=47, columns=37)
    result = send_and_wait(d, images.save(source, tempfile.mkdtemp()), source[0].StudyInstanceUID)
    check_objects(objects_of(d, source[0].StudyInstanceUID, result), source, result)


def test_the_order_of_files_does_not_matter(d):
    """The same slices under other UIDs, sent the other way round, numbered backwards: the same volumes."""
    volumes = []
    for reverse in (False, True):
        source = images.series()
        if reverse:
            source.reverse()
        for number, ds in enumerate(source, 1):
            ds.InstanceNumber = number
        assert stow(d, [images.to_bytes(ds) for ds in source]).status == 200
        d.wait_for_study(source[0].StudyInstanceUID)
        volumes.append([s["voxels"] for s in d.results(source[0].StudyInstanceUID)[0]["segments"]])
    assert volumes[0] == volumes[1], volumes


def test_there_is_a_picture(d):
    source = images.series()
    result = send_and_wait(d, images.save(source, tempfile.mkdtemp()), source[0].StudyInstanceUID)
    picture = d.get(f"/api/v1/jobs/{result['job']}/pictures/montage")
    assert picture.status == 200 and picture.headers["Content-Type"] == "image/png", picture
    assert picture.body.startswith(b"\x89PNG\r\n\x1a\n") and picture.body.endswith(b"IEND\xaeB`\x82")


def test_analysing_twice_gives_the_same_objects_once(d):
    """Promise 5: at least once run, exactly once published."""
    source = images.series()
    study = source[0].StudyInstanceUID
    first = send_and_wait(d, images.save(source, tempfile.mkdtemp()), study)
    before = [wado(d, study, o["series_uid"], o["sop_uid"]).body for o in first["objects"]]
    for _ in range(2):
        assert d.analyze(study).status == 202
        d.wait_for_study(study)
    results = d.results(study)
    uids = {o["sop_uid"] for r in results for o in r["objects"]}
    assert uids == {o["sop_uid"] for o in first["objects"]}, pretty(results)
    assert sum(s["instances"] for s in d.study(study)["series"]) == len(source) + len(uids)
    assert [wado(d, study, o["series_uid"], o["sop_uid"]).body for o in first["objects"]] == before


def test_results_are_not_analysed_themselves(d):
    source = images.series()
    study = source[0].StudyInstanceUID
    send_and_wait(d, images.save(source, tempfile.mkdtemp()), study)
    assert len(d.study(study)["jobs"]) == 1, pretty(d.study(study))


def test_analyze_does_not_wait_for_quiet():
    with Daemon({"analysis.stable_after": "1h"}) as d:
        source = images.series()
        assert stow(d, [images.to_bytes(ds) for ds in source]).status == 200
        time.sleep(0.5)
        study = d.study(source[0].StudyInstanceUID)
        assert study["state"] == "receiving" and not study["jobs"], pretty(study)
        answer = d.analyze(source[0].StudyInstanceUID)
        assert answer.status == 202, answer
        d.wait_for_study(source[0].StudyInstanceUID)


harness.run(globals(), Daemon())
