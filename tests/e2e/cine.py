#!/usr/bin/python3
"""A heart beat in DICOM: phases in one series, or end diastole and end systole in two, and the ejection fraction of both."""
import hashlib
import json
import os
import subprocess
import tempfile

import numpy as np
import pydicom
from pydicom.uid import generate_uid

import harness
from harness.clients import dciodvfy, storescu, wado
from harness.daemon import Daemon
from harness.images import save, slice_of
from harness.worker import DONE, Worker

LAMINA = os.path.join(harness.BUILD, "lamina")
PLACES, PHASES, SIDE = 5, 6, 48
RADII = [15, 13, 10, 8, 11, 14]  # of a bright disc, by phase


def write_set(path, arrays):
    header, data = {}, b""
    for name, array in arrays.items():
        header[name] = {"dtype": {"float32": "F32", "uint8": "U8"}[str(array.dtype)], "shape": list(array.shape), "data_offsets": [len(data), len(data) + array.nbytes]}
        data += array.tobytes()
    text = json.dumps(header).encode()
    with open(path, "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text + data)


def code(scheme, value, meaning):
    return {"scheme": scheme, "value": value, "meaning": meaning}


def bundle(**members):
    """A network of one layer that takes everything brighter than 500 for the cavity; other members of its manifest."""
    folder = os.path.join(tempfile.mkdtemp(), "disc", "1.0.0")
    os.makedirs(folder)
    write_set(os.path.join(folder, "weights.safetensors"),
              {"logits.weight": np.array([[-1], [1]], np.float32), "logits.bias": np.array([500, -500], np.float32)})
    with open(os.path.join(folder, "weights.safetensors"), "rb") as file:
        sha256 = hashlib.sha256(file.read()).hexdigest()
    model = {
        "schema": 1, "name": "disc", "version": "1.0.0", "title": "Disc", "task": "segmentation",
        "selector": {"modality": "MR"},
        "network": {"input": {"axes": ["z", "y", "x"], "channels": 1},
                    "layers": [{"name": "logits", "kind": "dense", "units": 2}], "output": "logits"},
        "outputs": {
            "unit": "ml",
            "segments": [{"number": 1, "name": "cavity", "label": "Cavity", "colour": [220, 70, 90],
                          "category": code("SCT", "123037004", "Anatomical Structure"),
                          "type": code("SCT", "87878005", "Left ventricle of heart")}],
            "cycle": {"segment": "cavity",
                      "largest": {"phase": "end diastole", "name": "end_diastolic_volume",
                                  "quantity": code("LN", "8821-1", "Left Ventricular ED Volume")},
                      "smallest": {"phase": "end systole", "name": "end_systolic_volume",
                                   "quantity": code("LN", "8823-7", "Left Ventricular ES Volume")},
                      "fraction": {"name": "ejection_fraction",
                                   "quantity": code("LN", "10230-1", "Left Ventricular Ejection Fraction")}}},
        "provenance": {"data": "made", "licence": "none", "weights_sha256": sha256}, **members}
    with open(os.path.join(folder, "model.json"), "w", encoding="utf-8") as file:
        json.dump(model, file)
    return folder


def disc(radius):
    y, x = np.mgrid[0:SIDE, 0:SIDE]
    return np.where((y - SIDE / 2 + 0.5) ** 2 + (x - SIDE / 2 + 0.5) ** 2 < radius ** 2, 900, 100).astype(np.uint16)


def image(radius, place, number, study, series, frame, **attributes):
    """One slice of an oblique stack, 8 mm thick."""
    row, column = np.array((0.6, 0.8, 0)), np.array((0, 0, -1.0))
    position = np.array((-30, 20, 10)) + 8 * place * np.cross(row, column)
    return slice_of(disc(radius), position, (*row, *column), study, series, number, frame,
                    SeriesDescription="short axis", PixelSpacing=[1.25, 1.25], SliceThickness=8, **attributes)


def cine(key):
    """A series of all phases, in an order that says nothing; what tells them apart is `key`."""
    study, series, frame = generate_uid(), generate_uid(), generate_uid()
    images = []
    for place in range(PLACES):
        for phase, radius in enumerate(RADII):
            ds = image(radius, place, 1 + place * PHASES + phase, study, series, frame)
            if key == "TriggerTime":
                ds.TriggerTime, ds.InstanceNumber = 40.5 * phase, 1
            elif key == "TemporalPositionIdentifier":
                ds.TemporalPositionIdentifier, ds.NumberOfTemporalPositions, ds.InstanceNumber = phase + 1, PHASES, 7
            images.append(ds)
    np.random.default_rng(3).shuffle(images)
    return images


def predict(folder, images, status=0):
    out = tempfile.mkdtemp()
    files = save(images, tempfile.mkdtemp())
    run = subprocess.run([LAMINA, "predict", "--bundle", folder, "--out", out, "--json", *files],
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert run.returncode == status, (run.returncode, run.stdout, run.stderr)
    return json.loads(run.stdout)["results"], out


def expected():
    areas = [int((disc(r) > 500).sum()) for r in (max(RADII), min(RADII))]
    volumes = [a * PLACES * 1.25 * 1.25 * 8 / 1000 for a in areas]
    return volumes[0], volumes[1], 100 * (1 - areas[1] / areas[0])


def check_measured(result):
    assert result["state"] == "done", result
    measured = {m["name"]: m for m in result["measurements"]}
    assert measured["ejection_fraction"]["unit"] == "%" and measured["ejection_fraction"]["code"]["value"] == "10230-1"
    for name, value in zip(("end_diastolic_volume", "end_systolic_volume", "ejection_fraction"), expected()):
        assert abs(measured[name]["value"] - value) < 1e-6 * value, (name, measured, value)
    assert [s["label"] for s in result["segments"]] == ["Cavity, end diastole", "Cavity, end systole"], result


def check_objects(objects, images):
    """Every frame of the segmentation is of the image it says it is derived from; the report has the numbers."""
    pixels = {ds.SOPInstanceUID: ds.pixel_array > 500 for ds in images}
    seg = objects["SEG"]
    assert seg.SegmentsOverlap == "YES" and len(seg.SegmentSequence) == 2 and seg.NumberOfFrames == 2 * PLACES
    for frame, groups in zip(seg.pixel_array, seg.PerFrameFunctionalGroupsSequence):
        source = groups.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID
        assert np.array_equal(frame > 0, pixels[source]), "a frame is not of its image"
    named = [i.ReferencedSOPInstanceUID for s in seg.ReferencedSeriesSequence for i in s.ReferencedInstanceSequence]
    assert sorted(named) == sorted(pixels), "not every image that went in is named"
    evidence = [i.ReferencedSOPInstanceUID for s in objects["SR"].CurrentRequestedProcedureEvidenceSequence
                for r in s.ReferencedSeriesSequence for i in r.ReferencedSOPSequence]
    assert set(pixels) <= set(evidence) and seg.SOPInstanceUID in evidence
    numbers = {}

    def walk(item):
        if item.get("ValueType") == "NUM":
            value = item.MeasuredValueSequence[0]
            numbers.setdefault(item.ConceptNameCodeSequence[0].CodeValue, []).append(
                (float(value.NumericValue), value.MeasurementUnitsCodeSequence[0].CodeValue))
        for child in item.get("ContentSequence", []):
            walk(child)

    walk(objects["SR"])
    diastole, systole, fraction = expected()
    for value, told in ((diastole, numbers["8821-1"]), (systole, numbers["8823-7"]), (fraction, numbers["10230-1"])):
        assert len(told) == 1 and abs(told[0][0] - value) < 1e-4, (value, told)
    assert numbers["10230-1"][0][1] == "%" and numbers["8821-1"][0][1] == "ml"
    assert sorted(round(v, 3) for v, _ in numbers["118565006"]) == sorted((round(diastole, 3), round(systole, 3)))


def check_phases(key):
    images = cine(key)
    (result,), out = predict(bundle(), images)
    check_measured(result)
    assert all(not o["problems"] for o in result["objects"]), result["objects"]
    check_objects({o["type"]: pydicom.dcmread(os.path.join(out, o["file"])) for o in result["objects"]}, images)


def test_phases_by_trigger_time():
    check_phases("TriggerTime")


def test_phases_by_temporal_position():
    check_phases("TemporalPositionIdentifier")


def test_phases_by_instance_number():
    check_phases("InstanceNumber")


def test_outlines_lie_on_the_images_of_their_phase():
    images = cine("TriggerTime")
    with Worker() as w:
        kind, answer, folder = w.analyse(save(images, tempfile.mkdtemp()), names=("PR",), bundle=bundle())
    assert kind == DONE, answer
    state = pydicom.dcmread(os.path.join(folder, "pr.dcm"))
    phase = {ds.SOPInstanceUID: ds.TriggerTime for ds in images}
    shown = {}
    for annotation in state.GraphicAnnotationSequence:
        times = {float(phase[i.ReferencedSOPInstanceUID]) for i in annotation.ReferencedImageSequence}
        shown.setdefault(annotation.GraphicLayer, set()).update(times)
    assert sorted(shown.values(), key=min) == [{40.5 * RADII.index(max(RADII))}, {40.5 * RADII.index(min(RADII))}], shown


def test_one_phase_has_no_ejection_fraction():
    images = [i for i in cine("TriggerTime") if i.TriggerTime == 0]
    (result,), _ = predict(bundle(), images)
    assert result["state"] == "done" and not result.get("measurements"), result
    assert [s["label"] for s in result["segments"]] == ["Cavity"], result


def test_a_beat_with_holes_is_refused():
    images = cine("TriggerTime")
    (result,), _ = predict(bundle(), images[1:], status=1)
    assert result["state"] == "failed" and "phases are missing" in result["reason"], result
    for ds in images:
        ds.TriggerTime, ds.InstanceNumber = 0, 1
    (result,), _ = predict(bundle(), images, status=1)
    assert result["state"] == "failed" and "nothing tells apart" in result["reason"], result


ROLES = [{"role": role, "match": [{"keyword": "SeriesDescription", "pattern": end}]}
         for role, end in (("end-diastole", "ED$"), ("end-systole", "ES$"))]


def check_with_daemon(images):
    """The one result of a study with the model that takes phases in one series and in two."""
    folder = bundle(selector={"modality": "MR", "alone": True, "series": ROLES})
    with Daemon({"lamina.models_dir": os.path.dirname(os.path.dirname(folder))}) as d:
        study = images[0].StudyInstanceUID
        status, said = storescu(d, save(images, tempfile.mkdtemp()))
        assert status == 0, said
        d.wait_for_study(study)
        result, = d.results(study)
        check_measured(result)
        shown = subprocess.run([LAMINA, "results", "--url", d.url, study], stdout=subprocess.PIPE, text=True, check=True).stdout
        assert "Left Ventricular Ejection Fraction" in shown, shown
        objects = {}
        for item in result["objects"]:
            path = os.path.join(d.directory, item["type"] + ".dcm")
            with open(path, "wb") as file:
                file.write(wado(d, study, item["series_uid"], item["sop_uid"]).body)
            objects[item["type"]] = pydicom.dcmread(path)
            assert not dciodvfy(path), (path, dciodvfy(path))
        check_objects(objects, images)


def test_the_daemon_measures_a_cine_series():
    check_with_daemon(cine("TriggerTime"))


def two_series():
    """End diastole and end systole apart, the second phase first."""
    study, frame = generate_uid(), generate_uid()
    images = []
    for name, radius in (("ES", min(RADII)), ("ED", max(RADII))):
        series = generate_uid()
        for place in range(PLACES):
            images.append(image(radius, place, place + 1, study, series, frame))
            images[-1].SeriesDescription = f"short axis {name}"
    return images


def test_the_daemon_measures_two_series():
    check_with_daemon(two_series())


def test_two_series_are_read_together():
    images = two_series()
    model = bundle(selector={"modality": "MR", "series": ROLES})
    (result,), out = predict(model, images)
    check_measured(result)
    check_objects({o["type"]: pydicom.dcmread(os.path.join(out, o["file"])) for o in result["objects"]}, images)
    (result,), _ = predict(model, [i for i in images if i.SeriesDescription.endswith("ED")], status=1)
    assert result["state"] == "no_model" and "beside it" in result["reason"], result


def read_set(path):
    with open(path, "rb") as file:
        data = file.read()
    length = int.from_bytes(data[:8], "little")
    return {name: np.frombuffer(data[8 + length + e["data_offsets"][0]:8 + length + e["data_offsets"][1]], np.uint8).reshape(e["shape"])
            for name, e in json.loads(data[8:8 + length]).items() if name != "__metadata__"}


def patient(slices, name):
    """DICOM images of the slices that a patient has in both phases, and the true ejection fraction over them."""
    places = {}
    for key in slices:
        if key.startswith(name + "-IM") and key.endswith(".image"):
            number = int(key[:-6].rsplit("-", 1)[1]) - 1
            places.setdefault(number // 20, {})[number % 20] = key[:-6]
    both = [(place, phases) for place, phases in sorted(places.items()) if len(phases) == 2]
    study, series, frame = (generate_uid() for _ in range(3))
    images, areas = [], {}
    for i, (_, phases) in enumerate(both):
        for phase, key in phases.items():
            images.append(slice_of(slices[key + ".image"].astype(np.uint16), (0, 0, 8 * i), (1, 0, 0, 0, 1, 0), study, series, 1, frame,
                                   SeriesDescription="cine short axis", PixelSpacing=[1.367, 1.367], SliceThickness=8,
                                   TriggerTime=40 * phase))
            areas[phase] = areas.get(phase, 0) + int((slices[key + ".label"] > 0).sum())
    return images, 100 * (1 - min(areas.values()) / max(areas.values()))


def test_hearts_of_patients():
    """The shipped model on images that it was trained on: a test of the way, not of the model."""
    slices = read_set(os.path.join(harness.shared("data", "sunnybrook"), "train.safetensors"))
    for name in ("SC-HF-I-04", "SC-HYP-07", "SC-N-03"):
        images, fraction = patient(slices, name)
        (result,), _ = predict(os.path.join(harness.ROOT, "models", "sunnybrook-lv", "1.0.0"), images)
        assert result["state"] == "done", result
        told = next(m["value"] for m in result["measurements"] if m["name"] == "ejection_fraction")
        print(f"# {name}: ejection fraction {told:.1f} %, drawn {fraction:.1f} %")
        assert abs(told - fraction) < 8, (name, told, fraction)


def test_slices_of_a_set_make_stacks():
    """Named by patient and number: the maps come back slice by slice, the volumes stack by stack."""
    folder, out = tempfile.mkdtemp(), tempfile.mkdtemp()
    stacks = {"pattern": "^(.+)-IM-([0-9]+)$", "phases": PHASES}
    images = {f"P{p}-IM-{1 + place * PHASES + phase:04}.image": np.minimum(disc(RADII[phase] - p), 255).astype(np.uint8)
              for p in (0, 1) for place in range(PLACES) for phase in (0, 3)}
    path = os.path.join(folder, "set.safetensors")
    write_set(path, images)
    model = bundle(training={"stacks": stacks}, preprocessing={"intensity": {"scale": 4}})
    run = subprocess.run([LAMINA, "predict", "--bundle", model, "--out", out, "--json", path],
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert run.returncode == 0, run
    results = json.loads(run.stdout)["results"]
    assert [r["id"] for r in results] == ["P0/0", "P0/3", "P1/0", "P1/3"], results
    maps = read_set(os.path.join(out, "predictions.safetensors"))
    for name, pixels in images.items():
        assert np.array_equal(maps[name.replace(".image", ".label")] > 0, pixels > 125), name
    whole = sum(int((m > 0).sum()) for name, m in maps.items() if name.startswith("P0-IM") and int(name[6:10]) % PHASES == 1)
    assert results[0]["segments"][0]["voxels"] == whole, results[0]


harness.run(globals())
