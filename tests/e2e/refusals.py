#!/usr/bin/python3
"""Series no model can use: refused with a reason that says what is wrong, and never a crash or a silent drop
(promise 4)."""
import pydicom
from pydicom.uid import generate_uid

import harness
from harness import images
from harness.clients import pretty, stow
from harness.daemon import Daemon


def store(d, datasets):
    answer = stow(d, [images.to_bytes(ds) for ds in datasets])
    assert answer.status == 200, answer
    return datasets[0].StudyInstanceUID


def reasons(study):
    found = [s.get("reason") for s in study["series"]] + [j.get("reason") for j in study["jobs"]] + [study.get("reason")]
    return " | ".join(r for r in found if r)


def refused(d, datasets, *words):
    """The study ends without a result and a reason that has one of `words`; attempts are not wasted on it."""
    uid = store(d, datasets)
    study = d.wait_for_study(uid, ("failed", "no_model"))
    assert any(word in reasons(study).lower() for word in words), f"{reasons(study)!r} has none of {words}"
    assert not d.results(uid) or all(not r.get("objects") for r in d.results(uid)), pretty(d.results(uid))
    for job in study["jobs"]:
        detail = d.get(f"/api/v1/jobs/{job['job'] if 'job' in job else job['id']}").json
        attempts = detail["attempts"]
        assert (attempts if isinstance(attempts, int) else len(attempts)) <= 1, pretty(detail)
    print(f"# {study['state']}: {reasons(study)}")


def test_a_localizer_with_mixed_orientations(d):
    study, series = generate_uid(), generate_uid()
    mixed = []
    for orientation in ((1, 0, 0, 0, 1, 0), (1, 0, 0, 0, 0, -1), (0, 1, 0, 0, 0, -1)):
        mixed += images.series(slices=10, study=study, orientation=orientation)
    for ds in mixed:
        ds.SeriesInstanceUID, ds.FrameOfReferenceUID = series, mixed[0].FrameOfReferenceUID
    refused(d, mixed, "orientation", "turned")


def test_one_slice(d):
    refused(d, images.series(slices=1), "slice", "image")


def test_a_missing_slice(d):
    whole = images.series()
    refused(d, whole[:15] + whole[16:], "missing", "spacing", "gap")


def test_mixed_sizes(d):
    first, other = images.series(), images.series(rows=64)
    for ds in other:
        ds.StudyInstanceUID, ds.SeriesInstanceUID = first[0].StudyInstanceUID, first[0].SeriesInstanceUID
        ds.FrameOfReferenceUID = first[0].FrameOfReferenceUID
    refused(d, first[:20] + other[20:], "size", "rows", "columns")


def test_two_slices_at_the_same_place(d):
    doubled = images.series()
    doubled[10].ImagePositionPatient = doubled[11].ImagePositionPatient
    refused(d, doubled, "position", "same", "twice", "missing")


def test_no_position_at_all(d):
    bare = images.series()
    for ds in bare:
        del ds.ImagePositionPatient
    refused(d, bare, "position")


def test_nonsense_in_the_geometry(d):
    for name, value in (("PixelSpacing", [0, 0]), ("PixelSpacing", [-1, 1]), ("PixelSpacing", [1e30, 1e30]),
                        ("ImageOrientationPatient", [0, 0, 0, 0, 0, 0]), ("ImageOrientationPatient", [1, 0, 0, 1, 0, 0])):
        refused(d, images.series(**{name: value}), "spacing", "orientation")
        assert "-9223372036854775808" not in d.log(), "a number that is none"


def test_pixels_that_stop_early(d):
    cut = images.series()
    cut[7].PixelData = cut[7].PixelData[:100]
    refused(d, cut, "pixel", "decode")


def test_no_pixels_at_all(d):
    bare = images.series()
    for ds in bare:
        del ds.PixelData
    refused(d, bare, "pixel")


def test_sizes_that_lie(d):
    lying = images.series()
    for ds in lying:
        ds.Rows = ds.Columns = 65535
    refused(d, lying, "pixel", "size", "large", "limit")


def test_a_study_without_images(d):
    """A report: stored, and no model wants it."""
    ds = images.series(slices=1)[0]
    for name in ("PixelData", "Rows", "Columns", "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"):
        delattr(ds, name)
    ds.Modality, ds.SeriesDescription = "SR", "Report"
    ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.88.11"
    uid = store(d, [ds])
    study = d.wait_for_study(uid, ("no_model",))
    assert reasons(study), pretty(study)


def test_a_study_no_model_wants(d):
    uid = store(d, images.series(SeriesDescription="T2 knee"))
    study = d.wait_for_study(uid, ("no_model",))
    assert reasons(study) and not study["jobs"], pretty(study)


def test_a_model_asked_for_by_name_does_not_take_what_it_cannot_judge(d):
    """A localizer of another body part: the answer says why, and nothing is made up."""
    uid = store(d, images.series(slices=3, SeriesDescription="unnamed"))
    assert d.analyze(uid, "hippocampus").status == 202
    study = d.wait_for_study(uid, ("no_model", "failed"))
    assert reasons(study), pretty(study)


def test_asking_for_a_model_that_is_not_there(d):
    uid = store(d, images.series(slices=1, SeriesDescription="T2"))
    answer = d.analyze(uid, "nothing")
    assert answer.status == 404 and "model" in answer.json["detail"], answer


def test_asking_for_a_study_that_is_not_there(d):
    assert d.analyze("1.2.3.4").status == 404


def test_the_real_study_has_series_no_model_wants(d):
    path = harness.shared("data", "dicom", "mr-study-a", "36468-FLAIRreg-58706")
    paths = images.files_below(path)[:3]
    contents = [open(p, "rb").read() for p in paths]
    assert stow(d, contents).status == 200
    study = d.wait_for_study(pydicom.dcmread(paths[0]).StudyInstanceUID, ("no_model",))
    assert reasons(study), pretty(study)


harness.run(globals(), Daemon())
