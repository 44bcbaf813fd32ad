#!/usr/bin/python3
"""`lamina predict`: the same findings as the daemon's, without one; and models that were trained elsewhere."""
import json
import os
import shutil
import subprocess
import tempfile

import numpy as np
import pydicom

import harness
from harness.images import save, slice_of
from harness.worker import phantom

LAMINA = os.path.join(harness.BUILD, "lamina")
MODEL = os.path.join(harness.ROOT, "models/hippocampus/1.0.0")
MODEL_GATED = os.path.join(harness.ROOT, "models/hippocampus/1.1.0")


def predict(*arguments, status=0):
    run = subprocess.run([LAMINA, "predict", *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert run.returncode == status, (run.returncode, run.stdout, run.stderr)
    return run


def test_a_series_gives_objects_and_json():
    out = tempfile.mkdtemp()
    files = phantom("slices=30", "order=up")
    run = predict("--bundle", MODEL, "--out", out, "--json", *files)
    result, = json.loads(run.stdout)["results"]
    assert json.load(open(os.path.join(out, "results.json"))) == json.loads(run.stdout)
    assert result["state"] == "done" and result["model"]["name"] == "hippocampus", result
    series = pydicom.dcmread(files[0]).SeriesInstanceUID
    assert result["series_uid"] == series
    kinds = {o["type"]: pydicom.dcmread(os.path.join(out, o["file"])) for o in result["objects"]}
    assert kinds["SR"].SOPInstanceUID == [o["sop_uid"] for o in result["objects"] if o["type"] == "SR"][0]
    assert all(not o["problems"] for o in result["objects"]), result["objects"]
    if "SEG" in kinds:
        voxels = sum(s["voxels"] for s in result["segments"])
        assert int(np.count_nonzero(kinds["SEG"].pixel_array)) == voxels
    assert open(os.path.join(out, result["picture"]), "rb").read(4) == b"\x89PNG"


def test_the_same_input_gives_the_same_objects():
    files, uids = phantom("slices=20"), []
    for _ in range(2):
        run = predict("--bundle", MODEL, "--out", tempfile.mkdtemp(), "--json", *files)
        uids.append([o["sop_uid"] for o in json.loads(run.stdout)["results"][0]["objects"]])
    assert uids[0] == uids[1] and uids[0], uids


def test_a_copy_beside_is_passed_over():
    files, folder = phantom("slices=20"), tempfile.mkdtemp()
    for path in files:
        shutil.copy(path, folder)
    once, twice = (json.loads(run.stdout)["results"] for run in (
        predict("--bundle", MODEL, "--json", *files), predict("--bundle", MODEL, "--json", *files, folder)))
    assert [r["segments"] for r in once] == [r["segments"] for r in twice], twice


def test_boxes_lie_in_their_images():
    bundle = os.path.join(harness.ROOT, "models/brain-tumour/1.0.0")
    out = tempfile.mkdtemp()
    files = phantom("slices=6", "rows=200", "columns=180", "pixel=1.1", "description=T1 post contrast")
    run = predict("--bundle", bundle, "--out", out, "--json", *files)
    result, = json.loads(run.stdout)["results"]
    assert result["state"] == "done" and result["task"] == "detection", result
    uids = {pydicom.dcmread(f, stop_before_pixels=True).SOPInstanceUID for f in files}
    for found in result["detections"]:
        box = found["box"]
        assert found["frame_sop_uid"] in uids and 0.5 <= found["score"] <= 1, found
        assert box["x"] >= 0 and box["y"] >= 0 and box["width"] > 0 and box["height"] > 0, found
        assert box["x"] + box["width"] <= 180 and box["y"] + box["height"] <= 200, found
    assert "SR" in [o["type"] for o in result["objects"]], result


def test_boxes_of_neighbouring_slices_are_one_finding():
    """A tumour of the data set on five slices in a row, moved a little from one to the next."""
    with open(os.path.join(harness.shared("data", "brain_tumour"), "train.safetensors"), "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(length))
        read = lambda name, row, size: (file.seek(8 + length + header[name]["data_offsets"][0] + row * size), file.read(size))[1]
        pixels = np.frombuffer(read("images", 100, 160 * 160), np.uint8).reshape(160, 160)
        x, y, _, _ = np.frombuffer(read("boxes", 100, 16), np.float32) * 160
    study, series, frame = (pydicom.uid.generate_uid() for _ in range(3))
    images = [slice_of(np.roll(pixels, i, 1).astype(np.uint16), (0, 0, 6 * i), (1, 0, 0, 0, 1, 0), study, series, i + 1, frame,
                       SeriesDescription="T1 post contrast", PixelSpacing=[1.568, 1.568], SliceThickness=6) for i in range(5)]
    run = predict("--bundle", os.path.join(harness.ROOT, "models/brain-tumour/1.0.0"), "--json", *save(images, tempfile.mkdtemp()))
    result, = json.loads(run.stdout)["results"]
    best = max(result["detections"], key=lambda d: d["score"])
    number = [i.SOPInstanceUID for i in images].index(best["frame_sop_uid"])
    box = best["box"]
    assert best["slices"] == 5, result["detections"]
    assert box["x"] < x + number < box["x"] + box["width"] and box["y"] < y < box["y"] + box["height"], (best, x, y)


def test_an_answer_is_explained():
    out = tempfile.mkdtemp()
    files = phantom("slices=20", "order=up")
    run = predict("--bundle", MODEL, "--out", out, "--json", "--explain", "integrated", *files)
    result, = json.loads(run.stdout)["results"]
    kinds = {o["type"]: o for o in result["objects"]}
    assert "PM" in kinds and not kinds["PM"]["problems"], result
    heat = np.frombuffer(pydicom.dcmread(os.path.join(out, kinds["PM"]["file"])).FloatPixelData, np.float32)
    assert np.isfinite(heat).all() and heat.any(), "the map is empty"
    run = predict("--bundle", MODEL, "--json", "--explain", "attention", *files)
    assert "no attention" in json.loads(run.stdout)["results"][0]["unexplained"], run.stdout
    predict("--bundle", MODEL, "--explain", "magic", *files, status=2)


def test_what_the_model_does_not_want_is_said():
    files = phantom("slices=12", "description=Localizer")
    run = predict("--bundle", MODEL, "--json", *files, status=1)
    result, = json.loads(run.stdout)["results"]
    assert result["state"] == "no_model" and "SeriesDescription" in result["reason"], result
    result, = json.loads(predict("--bundle", MODEL, "--json", "--any", *files).stdout)["results"]
    assert result["state"] == "done", result
    result, = json.loads(predict("--bundle", MODEL, "--json", *phantom("slices=3"), status=1).stdout)["results"]
    assert result["state"] == "failed" and "slices" in result["reason"], result


def test_what_is_no_uid_names_no_file():
    folder = tempfile.mkdtemp()
    out = os.path.join(folder, "out")
    os.mkdir(out)
    files = phantom("slices=20")
    for path in files:
        image = pydicom.dcmread(path)
        with pydicom.config.disable_value_validation():
            image.SeriesInstanceUID = "../escaped"
        image.save_as(path)
    run = predict("--bundle", MODEL, "--out", out, *files, status=1)
    assert run.stderr.count("no valid UID") == len(files), run.stderr
    assert os.listdir(folder) == ["out"], os.listdir(folder)


def test_bad_arguments():
    predict(status=2)
    predict("--bundle", MODEL, status=2)
    assert "/nonexistent" in predict("--bundle", "/nonexistent", "x", status=1).stderr
    assert "nothing.dcm" in predict("--bundle", MODEL, "nothing.dcm", status=1).stderr
    assert "no DICOM image" in predict("--bundle", MODEL, tempfile.mkdtemp(), status=1).stderr


def imported(name, *options):
    bundle = os.path.join(tempfile.mkdtemp(), name)
    model = os.path.join(harness.ROOT, "tests/golden/rnn/import", name + ".onnx")
    subprocess.run([LAMINA, "model", "import", model, "--bundle", bundle, *options], check=True, stdout=subprocess.DEVNULL)
    return bundle


def write_set(path, arrays):
    header, data = {}, b""
    for name, array in arrays.items():
        header[name] = {"dtype": "F32", "shape": list(array.shape), "data_offsets": [len(data), len(data) + array.nbytes]}
        data += array.tobytes()
    text = json.dumps(header).encode()
    open(path, "wb").write(len(text).to_bytes(8, "little") + text + data)


def test_an_onnx_model_classifies_a_set():
    path = os.path.join(tempfile.mkdtemp(), "set.safetensors")
    write_set(path, {"images": np.random.default_rng(1).normal(size=(4, 5, 8, 12)).astype(np.float32)})
    results = json.loads(predict("--bundle", imported("slices"), "--json", path).stdout)["results"]
    assert len(results) == 4
    for result in results:
        assert result["state"] == "done", result
        assert abs(sum(c["probability"] for c in result["classification"]["classes"]) - 1) < 1e-5, result


def test_boxes_are_found_in_a_set():
    path = os.path.join(tempfile.mkdtemp(), "set.safetensors")
    write_set(path, {"images": 100 * np.random.default_rng(1).random((3, 160, 160)).astype(np.float32)})
    results = json.loads(predict("--bundle", os.path.join(harness.ROOT, "models/brain-tumour/1.0.0"), "--json", path).stdout)["results"]
    assert [r["id"] for r in results] == ["0", "1", "2"]
    for result in results:
        assert result["state"] == "done" and isinstance(result["detections"], list), result
        for found in result["detections"]:
            assert 0 <= found["score"] <= 1 and found["box"]["width"] > 0, found


def test_a_classification_becomes_a_report():
    out = tempfile.mkdtemp()
    files = phantom("slices=5", "rows=8", "columns=12")
    run = predict("--bundle", imported("slices"), "--out", out, "--json", *files)
    result, = json.loads(run.stdout)["results"]
    classes = result["classification"]["classes"]
    assert len(classes) == 3 and abs(sum(c["probability"] for c in classes) - 1) < 1e-5, result
    assert [o["type"] for o in result["objects"]] == ["SR"], result
    report = pydicom.dcmread(os.path.join(out, result["objects"][0]["file"]))
    best = max(classes, key=lambda c: c["probability"])
    assert best["label"] in str(report), best


def test_an_import_says_what_is_wrong():
    def refused(*arguments):
        run = subprocess.run([LAMINA, "model", "import", *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert run.returncode == 1, run
        return run.stderr

    bundle = tempfile.mkdtemp()
    bad = os.path.join(bundle, "bad.onnx")
    open(bad, "wb").write(b"\x08\x07\x12\x07pytorch")
    assert "no graph" in refused(bad, "--bundle", bundle)
    assert "model.json" in refused(os.path.join(harness.ROOT, "tests/golden/rnn/keras.safetensors"), "--bundle", bundle, "--framework", "keras")


def test_a_bundle_is_checked():
    run = subprocess.run([LAMINA, "model", "check", "--json", MODEL_GATED], stdout=subprocess.PIPE, text=True, check=True)
    said = json.loads(run.stdout)
    with open(os.path.join(MODEL_GATED, "model.json"), encoding="utf-8") as file:
        model = json.load(file)
    assert said["weights_sha256"] == model["provenance"]["weights_sha256"] and said["gate"] == model["gate"], said
    spoilt = tempfile.mkdtemp()
    for name in ("model.json", "weights.safetensors", "gate.safetensors"):
        with open(os.path.join(MODEL_GATED, name), "rb") as source, open(os.path.join(spoilt, name), "wb") as copy:
            content = source.read()
            copy.write(content[:-1] + bytes([content[-1] ^ 1]) if name.startswith("gate") else content)
    run = subprocess.run([LAMINA, "model", "check", spoilt], stderr=subprocess.PIPE, text=True, check=False)
    assert run.returncode == 1 and "gate.safetensors" in run.stderr, run.stderr


harness.run(globals())
