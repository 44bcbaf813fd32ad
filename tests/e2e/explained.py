#!/usr/bin/python3
"""How sure a result is and why: probabilities with their spread, maps of where the network looked, images unlike the
training data, and what each model said of a series. The classifier goes from DICOM to a report with codes."""
import io
import json
import os

import numpy
import pydicom
from pydicom.uid import generate_uid

import harness
from harness import images
from harness.clients import dciodvfy, pretty, stow, wado
from harness.daemon import Daemon

SIDE = 28


def gland():
    """A mask of the validation set, or a body of the size of one."""
    try:
        path = harness.shared("data", "adrenal3d", "val.safetensors")
    except harness.Skip:
        z, y, x = numpy.mgrid[0:SIDE, 0:SIDE, 0:SIDE] - SIDE / 2
        return ((z / 8) ** 2 + (y / 5) ** 2 + (x / 3) ** 2 < 1).astype(numpy.uint16), False
    with open(path, "rb") as file:
        data = file.read()
    length = int.from_bytes(data[:8], "little")
    entry = json.loads(data[8:8 + length])["images"]
    begin = 8 + length + entry["data_offsets"][0]
    first = numpy.frombuffer(data[begin:begin + SIDE ** 3], numpy.uint8).reshape(SIDE, SIDE, SIDE)
    return (first > 0).astype(numpy.uint16), True


def adrenal_series(mask):
    study, series, frame = generate_uid(), generate_uid(), generate_uid()
    return [images.slice_of(mask[i], (0, 0, i), (1, 0, 0, 0, 1, 0), study, series, i + 1, frame,
                            SeriesDescription="Left adrenal, mask") for i in range(SIDE)]


def noise_series():
    study, series, frame = generate_uid(), generate_uid(), generate_uid()
    noise = numpy.random.default_rng(3).normal(500, 150, (36, 48, 40)).clip(0, 4095).astype(numpy.uint16)
    return [images.slice_of(noise[i], (0, 0, i), (1, 0, 0, 0, 1, 0), study, series, i + 1, frame) for i in range(36)]


def analysed(d, datasets, states=("done",)):
    answer = stow(d, [images.to_bytes(ds) for ds in datasets])
    assert answer.status == 200, answer
    d.wait_for_study(datasets[0].StudyInstanceUID, states)
    return d.results(datasets[0].StudyInstanceUID)


def fetched(d, study, item):
    body = wado(d, study, item["series_uid"], item["sop_uid"]).body
    return pydicom.dcmread(io.BytesIO(body)), body


def items(ds):
    for item in ds.get("ContentSequence", []):
        yield item
        yield from items(item)


def named(ds, value):
    return [i for i in items(ds) if i.get("ConceptNameCodeSequence") and i.ConceptNameCodeSequence[0].CodeValue == value]


def test_a_classifier_from_images_to_a_coded_report():
    mask, genuine = gland()
    datasets = adrenal_series(mask)
    with Daemon({"analysis.parametric_maps": "yes"}) as d:
        result, = analysed(d, datasets)
        classes = result["classification"]["classes"]
        assert {c["code"]["value"] for c in classes} == {"17621005", "76197007"}, pretty(result)
        assert abs(sum(c["probability"] for c in classes) - 1) < 1e-3, pretty(result)
        assert all(0 < c["deviation"] < .5 for c in classes), pretty(result)
        assert not genuine or result["gate"]["accepted"], pretty(result)
        objects = {o["type"]: o for o in result["objects"]}
        sr, body = fetched(d, datasets[0].StudyInstanceUID, objects["SR"])
        chosen = max(classes, key=lambda c: c["probability"])
        answers = [i.ConceptCodeSequence[0].CodeValue for i in named(sr, "121071") if i.ValueType == "CODE"]
        assert chosen["code"]["value"] in answers, answers
        numbers = named(sr, "111012")
        spread = [n for n in numbers if any(c.ConceptNameCodeSequence[0].CodeValue == "121401"
                                            for c in n.get("ContentSequence", []))]
        assert len(numbers) == 4 and len(spread) == 2, sr
        heat, map_body = fetched(d, datasets[0].StudyInstanceUID, objects["PM"])
        values = numpy.frombuffer(heat.FloatPixelData, numpy.float32)
        assert values.size == SIDE ** 3 and numpy.isfinite(values).all() and values.any()
        for name, content in (("sr", body), ("pm", map_body)):
            path = os.path.join(d.data, name + ".dcm")
            with open(path, "wb") as file:
                file.write(content)
            assert not dciodvfy(path), (name, dciodvfy(path))
        assert {p["name"] for p in result["pictures"]} == {"montage", "heat"}, pretty(result)
        assert d.get(f"/api/v1/jobs/{result['job']}/pictures/heat").body[:4] == b"\x89PNG"


def test_images_unlike_the_training_data_are_flagged():
    datasets = noise_series()
    with Daemon() as d:
        result, = analysed(d, datasets)
        gate = result["gate"]
        assert not gate["accepted"] and gate["reason"] == "unlike_training_data", pretty(result)
        assert gate["score"] > gate["threshold"] > 0, gate
        report = [o for o in result["objects"] if o["type"] == "SR"][0]
        sr, _ = fetched(d, datasets[0].StudyInstanceUID, report)
        comment, = named(sr, "121106")
        assert "unlike" in comment.TextValue, comment


def test_or_refused():
    datasets = noise_series()
    with Daemon({"analysis.input_gate": "refuse"}) as d:
        assert analysed(d, datasets, ("failed",)) == []
        study = d.study(datasets[0].StudyInstanceUID)
        job, = study["jobs"]
        assert job["state"] == "failed" and job["attempts"] == 1, pretty(job)
        assert job["reason"].startswith("unlike_training_data: "), pretty(job)
        assert "unlike_training_data" in study["series"][0]["reason"], pretty(study)


def test_every_model_says_why_or_why_not():
    datasets = images.series(slices=12)
    with Daemon() as d:
        analysed(d, datasets)
        said = {m["name"]: m for m in d.study(datasets[0].StudyInstanceUID)["series"][0]["models"]}
        assert said["hippocampus"]["wanted"] and "SeriesDescription is" in said["hippocampus"]["reason"], pretty(said)
        assert not said["adrenal"]["wanted"] and "wanted ~ /adrenal/i" in said["adrenal"]["reason"], pretty(said)


harness.run(globals())
