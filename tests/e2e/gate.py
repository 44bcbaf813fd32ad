#!/usr/bin/python3
"""The input gates of the shipped models: genuine held-out inputs pass, others are refused. `gate.py --all` makes more of
them and prints the table of docs/figures.md. Needs the data of `make models`."""
import json
import os
import struct
import subprocess
import sys
import tempfile

import numpy as np

import harness

LAMINA = os.path.join(harness.BUILD, "lamina")
DATA = os.path.join(harness.SHARED, "data")
ALL = "--all" in sys.argv
N = 200 if ALL else 30
rng = np.random.default_rng(1)


def read(path):
    with open(os.path.join(DATA, path), "rb") as file:
        data = file.read()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8:8 + length])
    header.pop("__metadata__", None)
    types = {"F32": np.float32, "U8": np.uint8, "I16": np.int16, "U16": np.uint16, "I32": np.int32, "F16": np.float16}
    return {name: np.frombuffer(data[8 + length + e["data_offsets"][0]:8 + length + e["data_offsets"][1]],
                                types[e["dtype"]]).reshape(e["shape"]) for name, e in header.items()
            if e["dtype"] in types}


def images(path):
    """Every image of a set, as one list."""
    tensors = read(path)
    if "images" in tensors:
        return [np.squeeze(image) for image in tensors["images"]]
    return [tensors[name] for name in sorted(tensors) if name.endswith(".image")]


def write(path, volumes):
    header, body = {}, b""
    for i, volume in enumerate(volumes):
        data = np.ascontiguousarray(volume, np.float32).tobytes()
        header[f"case{i:05}.image"] = {"dtype": "F32", "shape": list(volume.shape),
                                       "data_offsets": [len(body), len(body) + len(data)]}
        body += data
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + body)


def refused(bundle, volumes):
    """How many of them the gate refuses."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "set.safetensors")
        write(path, volumes)
        run = subprocess.run([LAMINA, "predict", "--bundle", os.path.join(harness.ROOT, "models", bundle), "--gate",
                              "refuse", "--json", path], stdout=subprocess.PIPE, text=True, check=False)
        results = json.loads(run.stdout)["results"]
    assert len(results) == len(volumes)
    for result in results:
        verdict = result["gate"]
        assert verdict["accepted"] == (verdict["score"] <= verdict["threshold"]), verdict
        if not verdict["accepted"]:
            assert result["state"] == "failed" and verdict["reason"] == "unlike_training_data", result
            assert result["reason"].startswith("unlike_training_data: "), result
            assert "segments" not in result and "classification" not in result and "detections" not in result, result
    return sum(not result["gate"]["accepted"] for result in results)


# ---- how an input goes wrong ----

def pick(among):
    return among[rng.integers(len(among))]


def resize(volume, shape):
    volume = volume.astype(np.float32)
    for axis, size in enumerate(shape):
        at = np.clip((np.arange(size) + .5) * volume.shape[axis] / size - .5, 0, volume.shape[axis] - 1)
        low = np.floor(at).astype(int)
        part = (at - low).reshape([-1 if k == axis else 1 for k in range(volume.ndim)])
        high = np.minimum(low + 1, volume.shape[axis] - 1)
        volume = np.take(volume, low, axis) * (1 - part) + np.take(volume, high, axis) * part
    return volume


def stack(slices, shape):
    """Neighbouring slices of another set as a volume."""
    first = rng.integers(len(slices) - shape[0])
    return resize(np.stack(slices[first:first + shape[0]]), shape)


def inverted(volume):
    return volume.max() - volume.astype(np.float32)


def shuffled(volume):
    return volume[rng.permutation(len(volume))]


def noise(shape):
    return rng.normal(100, 30, shape).clip(0)


def half(volume):
    axis, size = rng.integers(volume.ndim), 0
    size = volume.shape[axis]
    kept = rng.integers(int(.4 * size), int(.65 * size) + 1)
    return axis, slice(0, kept) if rng.random() < .5 else slice(size - kept, size)


def blanked(volume):
    """A part is missing and zero."""
    axis, kept = half(volume)
    out, place = np.zeros_like(volume), [slice(None)] * volume.ndim
    place[axis] = kept
    out[tuple(place)] = volume[tuple(place)]
    return out


def cropped(volume):
    """A part is missing, and the volume smaller."""
    axis, kept = half(volume)
    place = [slice(None)] * volume.ndim
    place[axis] = kept
    return volume[tuple(place)]


def blanked_object(volume):
    """Blanked, such that a fifth of the object at least is gone: what takes nothing away is nothing wrong."""
    while True:
        out = blanked(volume)
        if out.sum() < .8 * volume.sum():
            return out


# ---- the models ----

def some(volumes):
    return [pick(volumes) for _ in range(N)] if not ALL else [volumes[i % len(volumes)] for i in range(max(N, len(volumes)))]


def hippocampus():
    genuine = images("hippocampus/val.safetensors")
    shapes = [v.shape for v in genuine]
    brain, heart = images("brain_tumour/train.safetensors"), images("sunnybrook/train.safetensors")
    chest, gland = images("pneumonia/train.safetensors"), images("adrenal3d/train.safetensors")
    return genuine, {
        "inverted": [inverted(v) for v in some(genuine)], "noise": [noise(pick(shapes)) for _ in range(N)],
        "slices shuffled": [shuffled(v) for v in some(genuine)], "part blank": [blanked(v) for v in some(genuine)],
        "part cut off": [cropped(v) for v in some(genuine)],
        "another region": [stack(brain, pick(shapes)) for _ in range(N)] + [stack(heart, pick(shapes)) for _ in range(N)],
        "another modality": [stack(chest, pick(shapes)) for _ in range(N)],
        "a mask": [resize(pick(gland), pick(shapes)) for _ in range(N)]}


def adrenal():
    genuine = images("adrenal3d/val.safetensors")
    masks = [(t > 0) for name, t in read("hippocampus/train.safetensors").items() if name.endswith(".label")]
    hearts = read("sunnybrook/train.safetensors")
    hearts = [hearts[name] > 0 for name in sorted(hearts) if name.endswith(".label")]
    mr, shape = images("hippocampus/train.safetensors"), (28, 28, 28)
    return genuine, {
        "inverted": [1 - v for v in some(genuine)],
        "noise": [(rng.random(shape) < v.mean()).astype(np.uint8) for v in some(genuine)],
        "slices shuffled": [shuffled(v) for v in some(genuine)],
        "part blank": [blanked_object(v) for v in some(genuine)],
        "another region": [resize(pick(masks), shape) > .5 for _ in range(N)] + [stack(hearts, shape) > .5 for _ in range(N)],
        "another modality": [resize(pick(mr), shape) for _ in range(N)], "empty": [np.zeros(shape)] * 3}


def brain_tumour():
    """The validation blocks of models/brain-tumour/split.py."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([os.path.join(harness.ROOT, "models/brain-tumour/split.py"),
                        os.path.join(DATA, "brain_tumour/train.safetensors"), folder], check=True,
                       stdout=subprocess.DEVNULL)
        genuine = images(os.path.join(folder, "val.safetensors"))
    heart, mr = images("sunnybrook/train.safetensors"), images("hippocampus/train.safetensors")
    chest, shape = images("pneumonia/train.safetensors"), (160, 160)
    return genuine, {
        "inverted": [inverted(v) for v in some(genuine)], "noise": [noise(shape) for _ in range(N)],
        "rows shuffled": [shuffled(v) for v in some(genuine)], "part blank": [blanked(v) for v in some(genuine)],
        "part cut off": [cropped(v) for v in some(genuine)], "another region": [pick(heart) for _ in range(N)],
        "another modality": [resize(pick(chest), shape) for _ in range(N)],
        "another crop": [resize((v := pick(mr))[len(v) // 2], shape) for _ in range(N)]}


MODELS = {"hippocampus/1.1.0": hippocampus, "adrenal/1.0.0": adrenal, "brain-tumour/1.0.0": brain_tumour}


def check(bundle):
    harness.need(os.path.isdir(DATA), "../shared/data is not there")
    genuine, others = MODELS[bundle]()
    genuine = genuine if ALL else genuine[::max(1, len(genuine) // 60)]
    alarms, caught, total = refused(bundle, genuine), 0, 0
    rows = [(f"genuine, held out ({len(genuine)})", alarms / len(genuine))]
    for kind, volumes in others.items():
        found = refused(bundle, volumes)
        rows.append((f"{kind} ({len(volumes)})", found / len(volumes)))
        caught, total = caught + found, total + len(volumes)
    rows.append((f"all that are wrong ({total})", caught / total))
    if ALL:
        print(f"| {bundle} | refused |\n|---|---|")
        for name, share in rows:
            print(f"| {name} | {100 * share:.1f} % |")
        print()
    assert caught >= .95 * total, (bundle, rows)
    assert alarms <= .05 * len(genuine) + 2 * (.05 * .95 * len(genuine)) ** .5, (bundle, rows)


def test_hippocampus():
    check("hippocampus/1.1.0")


def test_adrenal():
    check("adrenal/1.0.0")


def test_brain_tumour():
    check("brain-tumour/1.0.0")


harness.run(globals())
