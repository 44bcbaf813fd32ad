#!/usr/bin/python3
"""Results in every form that a site can switch on: kinds of objects, variants for a destination's profile, FHIR; and what
happens when more images of a series arrive."""
import io
import json
import os
import re
import shutil
import tempfile

import pydicom

import harness
from harness import images
from harness.clients import dcentvfy, dciodvfy, pretty, storescu, wado
from harness.daemon import ROOT, Daemon, free_port
from harness.worker import phantom

SETTINGS = {"analysis.secondary_captures": "yes", "analysis.presentation_states": "yes", "analysis.key_objects": "yes",
            "analysis.parametric_maps": "yes", "peer viewer.ae_title": "VIEWER", "peer viewer.deliver": "results",
            "peer viewer.address": f"127.0.0.1:{free_port()}", "peer viewer.profile": "ohif",
            "peer viewer.secondary_captures": "yes"}


def study_of(paths):
    return pydicom.dcmread(paths[0], stop_before_pixels=True).StudyInstanceUID


def analysed(d, paths):
    status, said = storescu(d, paths)
    assert status == 0, said
    d.wait_for_study(study_of(paths))
    return [r for r in d.results(study_of(paths)) if r["state"] == "done"][0]


def objects_of(d, study, result):
    """{(type, profile): (path, data set)}."""
    found, folder = {}, tempfile.mkdtemp(prefix="lamina-forms-")
    for item in result["objects"]:
        body = wado(d, study, item["series_uid"], item["sop_uid"]).body
        path = os.path.join(folder, item["sop_uid"] + ".dcm")
        with open(path, "wb") as file:
            file.write(body)
        found[item["type"], item["profile"]] = path, pydicom.dcmread(io.BytesIO(body))
        assert item["problems"] is None, item
    return found


def test_what_is_switched_on_is_made_for_each_profile():
    with Daemon(SETTINGS) as d:
        paths = phantom()
        result = analysed(d, paths)
        objects = objects_of(d, study_of(paths), result)
        expected = {(kind, "strict") for kind in ("SEG", "SR", "SC", "PR", "KO", "PM")}
        expected |= {(kind, "ohif") for kind in ("SEG", "SR", "SC")}
        assert set(objects) == expected, pretty(result)
        assert len({ds.SeriesInstanceUID for _, ds in objects.values()}) == len(objects)
        for kind, (path, _) in objects.items():
            assert not dciodvfy(path), (kind, dciodvfy(path))
        ours = [path for path, _ in objects.values()]
        assert not dcentvfy(paths + ours), dcentvfy(paths + ours)
        waiting = d.get("/api/v1/deliveries").json["deliveries"]
        sent = {ds.SOPInstanceUID for (_, profile), (_, ds) in objects.items() if profile == "ohif"}
        assert {item["sop_uid"] for item in waiting} == sent, pretty(waiting)


def test_label_maps_and_run_lengths():
    with Daemon({"analysis.segmentation": "labelmap", "analysis.compress_segmentations": "yes"}) as d:
        paths = phantom()
        result = analysed(d, paths)
        objects = objects_of(d, study_of(paths), result)
        seg, sr = objects["SEG", "strict"][1], objects["SR", "strict"][1]
        assert seg.SOPClassUID == "1.2.840.10008.5.1.4.1.1.66.7" and seg.SegmentationType == "LABELMAP"
        assert seg.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.5", seg.file_meta
        counted = [int((seg.pixel_array == number).sum()) for number in (1, 2)]
        assert counted == [segment["voxels"] for segment in result["segments"]], counted
        named = {r.ReferencedSOPClassUID for s in sr.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence
                 for r in s.ReferencedSOPSequence}
        assert seg.SOPClassUID in named, named


def changed_bundle(name, folder, change):
    """A copy of a bundle in a folder of models, its manifest changed."""
    bundle = shutil.copytree(os.path.join(ROOT, "models", name), os.path.join(folder, name))
    path = os.path.join(bundle, "model.json")
    os.chmod(path, 0o644)
    with open(path, encoding="utf-8") as file:
        manifest = json.load(file)
    change(manifest)
    with open(path, "w", encoding="utf-8") as file:
        json.dump(manifest, file)
    return bundle


def models_that_prefer(form):
    """A folder of models with the hippocampus model, whose manifest names a form of segmentation."""
    folder = tempfile.mkdtemp(prefix="lamina-models-")
    changed_bundle("hippocampus/1.1.0", folder, lambda manifest: manifest["outputs"].update(segmentation=form))
    return folder


def check_probabilities(seg, result):
    """What the network was sure of, in 255ths: at least half where its answer is, next to nothing far from there."""
    assert (seg.SegmentationType, seg.SegmentationFractionalType) == ("FRACTIONAL", "PROBABILITY"), seg.SegmentationType
    assert seg.MaximumFractionalValue == 255 and len(set(seg.pixel_array.flat)) > 100, "hardly any values"
    numbers = [f.SegmentIdentificationSequence[0].ReferencedSegmentNumber for f in seg.PerFrameFunctionalGroupsSequence]
    for segment in result["segments"]:
        likely = sum(int((plane >= 128).sum()) for plane, number in zip(seg.pixel_array, numbers, strict=True)
                     if number == segment["number"])
        assert 0.9 < likely / segment["voxels"] < 1.05, (likely, segment)


def test_a_model_prefers_a_form_and_a_profile_has_its_own():
    with Daemon({"lamina.models_dir": models_that_prefer("probability"), "peer viewer.ae_title": "VIEWER",
                 "peer viewer.deliver": "results", "peer viewer.address": f"127.0.0.1:{free_port()}",
                 "peer viewer.profile": "ohif"}) as d:
        paths = phantom()
        result = analysed(d, paths)
        objects = objects_of(d, study_of(paths), result)
        path, seg = objects["SEG", "strict"]
        assert not dciodvfy(path), dciodvfy(path)
        check_probabilities(seg, result)
        assert objects["SEG", "ohif"][1].SegmentationFractionalType == "OCCUPANCY"


def test_a_site_asks_for_probabilities():
    with Daemon({"analysis.segmentation": "probability"}) as d:
        paths = phantom("slices=50", "rows=66", "columns=45", "spacing=0.8", "pixel=0.75")  # is resampled and mapped back
        result = analysed(d, paths)
        seg = objects_of(d, study_of(paths), result)["SEG", "strict"][1]
        assert (seg.Rows, seg.Columns) == (66, 45)
        check_probabilities(seg, result)


def test_a_radiograph_is_answered_where_it_is():
    """A detector that asks for no directions reads images without a place; its report has no space either."""
    folder = tempfile.mkdtemp(prefix="lamina-models-")
    bundle = changed_bundle("brain-tumour/1.0.0", folder, lambda manifest: (
        manifest["preprocessing"].pop("orientation"), manifest.pop("gate", None),
        manifest.update(selector={"modality": "DX", "minimum_slices": 1}),
        manifest["postprocessing"]["detection"].update(report_score=0.02)))
    settings = {"lamina.models_dir": folder, "analysis.presentation_states": "yes", "analysis.parametric_maps": "yes"}
    with Daemon(settings) as d:
        paths = images.save(images.radiographs("DX", 1, ImagerPixelSpacing=[1.5, 1.5]), tempfile.mkdtemp())
        result = analysed(d, paths)
        assert "centre_mm" not in json.dumps(result), (bundle, result)
        objects = objects_of(d, study_of(paths), result)
        assert set(objects) == {("SR", "strict"), ("PR", "strict")}, pretty(result)
        for path, ds in objects.values():
            assert not dciodvfy(path) and "FrameOfReferenceUID" not in ds, dciodvfy(path)
        ours = [path for path, _ in objects.values()]
        assert not dcentvfy(paths + ours), dcentvfy(paths + ours)


def test_the_notice_is_what_the_site_says():
    settings = {"analysis.secondary_captures": "yes", "analysis.presentation_states": "yes"}
    pictures = []
    for notice in ("not for diagnosis", "for research only"):
        with Daemon({**settings, "analysis.notice": notice}) as d:
            paths = phantom()
            objects = objects_of(d, study_of(paths), analysed(d, paths))
        sc, state = objects["SC", "strict"][1], objects["PR", "strict"][1]
        assert sc.ImageComments == notice, sc
        texts = [t.UnformattedTextValue for a in state.GraphicAnnotationSequence for t in a.get("TextObjectSequence", [])]
        assert texts and all(text.endswith(" - " + notice) for text in texts), texts
        pictures.append(sc.pixel_array)
    # On every slice: each tile of the montage differs where the notice stands, at its lower left.
    differs = (pictures[0] != pictures[1]).any(axis=2)
    rows = {row // 204 for row in differs.nonzero()[0]}
    assert len(rows) >= 3, rows


LONG_NUMBER = re.compile(rb"[0-9.]{17,}(?=[,}\]])")


def test_fhir():
    with Daemon() as d:
        paths = phantom()
        result = analysed(d, paths)
        url = f"/api/v1/studies/{study_of(paths)}/results"
        answer = d.get(url + "?format=fhir")
        assert answer.status == 200 and answer.headers["Content-Type"].startswith("application/fhir+json"), answer
        bundle = answer.json
        entries = {e["fullUrl"]: e["resource"] for e in bundle["entry"]}
        assert bundle["resourceType"] == "Bundle" and bundle["type"] == "collection"
        report = next(r for r in entries.values() if r["resourceType"] == "DiagnosticReport")
        study = entries[report["imagingStudy"][0]["reference"]]
        assert study["identifier"][0]["value"] == "urn:oid:" + study_of(paths)
        volumes = [entries[r["reference"]]["valueQuantity"]["value"] for r in report["result"]]
        for volume, segment in zip(volumes, result["segments"], strict=True):
            assert abs(volume - segment["volume_ml"]) < 1e-9, (volumes, result["segments"])
        assert not LONG_NUMBER.search(answer.body), "2.0859999999999999 is no volume to show"
        assert d.get(url + "?format=xml").status == 400
        assert d.get("/api/v1/studies/1.2.3/results?format=fhir").status == 404


def test_late_images_give_a_report_that_names_the_one_before():
    with Daemon() as d:
        whole = phantom("slices=40")
        places = {p: float(pydicom.dcmread(p, stop_before_pixels=True).ImagePositionPatient[2]) for p in whole}
        in_order = sorted(whole, key=places.get)
        first = objects_of(d, study_of(whole), analysed(d, in_order[:36]))["SR", "strict"][1]
        assert "PredecessorDocumentsSequence" not in first
        second = objects_of(d, study_of(whole), analysed(d, in_order[36:]))["SR", "strict"][1]
        assert second.SOPInstanceUID != first.SOPInstanceUID
        series = second.PredecessorDocumentsSequence[0].ReferencedSeriesSequence[0]
        assert series.SeriesInstanceUID == first.SeriesInstanceUID
        assert series.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == first.SOPInstanceUID


harness.run(globals())
