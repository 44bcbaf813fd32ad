#!/usr/bin/python3
"""The input gates of the shipped models: genuine held-out inputs pass, others are refused. `gate.py --all` makes more of
them and prints the table of docs/figures.md. Needs the data of `make models`."""
import json
import os
import shutil
import struct
import subprocess
import sys
import tempfile

import numpy as np

import harness

LAMINA = os.path.join(harness.BUILD, "lamina")
DATA = os.path.join(harness.SHARED, "data")
MODELS = os.path.join(harness.ROOT, "models")
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


def write_tensors(path, tensors):
    header, parts, end = {}, [], 0
    for name, tensor in tensors.items():
        data = np.ascontiguousarray(tensor).tobytes()
        header[name] = {"dtype": {"f": "F32", "i": "I16", "u": "U8" if tensor.itemsize == 1 else "U16"}[tensor.dtype.kind],
                        "shape": list(tensor.shape), "data_offsets": [end, end + len(data)]}
        parts.append(data)
        end += len(data)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + b"".join(parts))


def write(path, volumes):
    write_tensors(path, {f"case{i:05}.image": np.asarray(volume, np.float32) for i, volume in enumerate(volumes)})


def refused(bundle, volumes):
    """How many of them the gate of the bundle in this folder refuses."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "set.safetensors")
        write(path, volumes)
        run = subprocess.run([LAMINA, "predict", "--bundle", bundle, "--gate", "refuse", "--json", path],
                             stdout=subprocess.PIPE, text=True, check=False)
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


PLANE = (1, 2)


def half(volume, axes):
    axis = rng.choice(axes or range(volume.ndim))
    size = volume.shape[axis]
    kept = rng.integers(int(.4 * size), int(.65 * size) + 1)
    return axis, slice(0, kept) if rng.random() < .5 else slice(size - kept, size)


def blanked(volume, axes=()):
    """A part is missing and zero."""
    axis, kept = half(volume, axes)
    out, place = np.zeros_like(volume), [slice(None)] * volume.ndim
    place[axis] = kept
    out[tuple(place)] = volume[tuple(place)]
    return out


def cropped(volume, axes=()):
    """A part is missing, and the volume smaller."""
    axis, kept = half(volume, axes)
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


def blocks():
    """The validation blocks of models/brain-tumour/split.py."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([os.path.join(harness.ROOT, "models/brain-tumour/split.py"),
                        os.path.join(DATA, "brain_tumour/train.safetensors"), folder], check=True,
                       stdout=subprocess.DEVNULL)
        return images(os.path.join(folder, "val.safetensors"))


def brain_tumour():
    genuine = blocks()
    heart, mr = images("sunnybrook/train.safetensors"), images("hippocampus/train.safetensors")
    chest, shape = images("pneumonia/train.safetensors"), (160, 160)
    return genuine, {
        "inverted": [inverted(v) for v in some(genuine)], "noise": [noise(shape) for _ in range(N)],
        "rows shuffled": [shuffled(v) for v in some(genuine)], "part blank": [blanked(v) for v in some(genuine)],
        "part cut off": [cropped(v) for v in some(genuine)], "another region": [pick(heart) for _ in range(N)],
        "another modality": [resize(pick(chest), shape) for _ in range(N)],
        "another crop": [resize((v := pick(mr))[len(v) // 2], shape) for _ in range(N)]}


def brain_tumour_region():
    """Series of six slices: neighbours of one block."""
    slices = blocks()
    genuine = [np.stack(slices[i:i + 6]) for i in range(0, len(slices) - 5, 6)]
    heart, mr = images("sunnybrook/train.safetensors"), images("hippocampus/train.safetensors")
    chest, shape = images("pneumonia/train.safetensors"), (6, 160, 160)

    def each(spoil):
        return [np.stack([spoil(s) for s in v]) for v in some(genuine)]

    return genuine, {
        "inverted": each(inverted), "noise": [noise(shape) for _ in range(N)], "rows shuffled": each(shuffled),
        "part blank": [blanked(v, PLANE) for v in some(genuine)], "part cut off": [cropped(v, PLANE) for v in some(genuine)],
        "another region": [stack(heart, shape) for _ in range(N)], "another modality": [stack(chest, shape) for _ in range(N)],
        "another crop": [resize(pick(mr), shape) for _ in range(N)]}


# ---- the heart has no set beside that of training: five gates, each learnt without the patients it is asked about ----

def hearts():
    """Patients, and slices and stacks of each."""
    tensors, patients = read("sunnybrook/train.safetensors"), {}
    for name in sorted(tensors):
        patients.setdefault(name.split("-IM-")[0], {})[name] = tensors[name]
    stacks = {}
    for patient, slices in patients.items():
        phases = {}
        for name, tensor in slices.items():
            if name.endswith(".image"):
                number = int(name.split("-")[-1].split(".")[0]) - 1
                phases.setdefault(number % 20, []).append((number, tensor))
        stacks[patient] = [np.stack([t for _, t in sorted(phase, key=lambda p: p[0])]) for phase in phases.values()]
    return patients, stacks


def wrong_hearts(genuine):
    brain, mr = images("brain_tumour/train.safetensors"), images("hippocampus/train.safetensors")
    chest, gland, shapes = images("pneumonia/train.safetensors"), images("adrenal3d/train.safetensors"), [v.shape for v in genuine]
    return {
        "inverted": [inverted(v) for v in some(genuine)], "noise": [noise(pick(shapes)) for _ in range(N)],
        "rows shuffled": [np.stack([shuffled(s) for s in v]) for v in some(genuine)],
        "part blank": [blanked(v) for v in some(genuine)], "part cut off": [cropped(v, PLANE) for v in some(genuine)],
        "another region": [stack(brain, pick(shapes)) for _ in range(N)] + [resize(pick(mr), pick(shapes)) for _ in range(N)],
        "another modality": [stack(chest, pick(shapes)) for _ in range(N)],
        "a mask": [resize(pick(gland), pick(shapes)) for _ in range(N)]}


def write_without(patients, left_out, path):
    """The set without some patients."""
    write_tensors(path, {name: tensor for patient in sorted(patients) if patient not in left_out
                         for name, tensor in patients[patient].items()})


# ---- judging ----

def gate_from(name, path, folder):
    """A copy of the bundle whose gate has seen this set only."""
    bundle = os.path.join(folder, "bundle")
    shutil.copytree(os.path.join(MODELS, name), bundle)
    subprocess.run([LAMINA, "eval", "--bundle", bundle, "--data", path, "--fit-gate"], check=True, stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL)
    return bundle


def judge(bundle, genuine, others):
    """How many of each are refused, of how many."""
    return {"genuine, held out": (refused(bundle, genuine), len(genuine))} | {
        kind: (refused(bundle, volumes), len(volumes)) for kind, volumes in others.items()}


def conclude(name, counts):
    alarms, genuine = counts["genuine, held out"]
    caught = sum(found for kind, (found, _) in counts.items() if kind != "genuine, held out")
    total = sum(count for kind, (_, count) in counts.items() if kind != "genuine, held out")
    if ALL:
        print(f"| {name} | refused |\n|---|---|")
        for kind, (found, count) in (counts | {"all that are wrong": (caught, total)}).items():
            print(f"| {kind} ({count}) | {100 * found / count:.1f} % |")
        print()
    assert caught >= .95 * total, (name, counts)
    assert alarms <= .05 * genuine + 2 * (.05 * .95 * genuine) ** .5, (name, counts)


def check(name, inputs):
    harness.need(os.path.isdir(DATA), "../shared/data is not there")
    genuine, others = inputs()
    genuine = genuine if ALL else genuine[::max(1, len(genuine) // 60)]
    conclude(name, judge(os.path.join(MODELS, name), genuine, others))


def test_hippocampus():
    check("hippocampus/1.1.0", hippocampus)


def test_adrenal():
    """Cross-validated: the gate that is shipped has seen the validation set too."""
    source = harness.shared("data", "adrenal3d", "train.safetensors")
    genuine, others = adrenal()
    with tempfile.TemporaryDirectory() as folder:
        conclude("adrenal/1.0.0", judge(gate_from("adrenal/1.0.0", source, folder), genuine, others))


def test_brain_tumour():
    check("brain-tumour/1.0.0", brain_tumour)


def test_brain_tumour_region():
    check("brain-tumour-region/1.0.0", brain_tumour_region)


def test_sunnybrook():
    harness.need(os.path.isdir(DATA), "../shared/data is not there")
    patients, stacks = hearts()
    counts = {}
    for part in range(5 if ALL else 1):
        left_out = sorted(patients)[part::5]
        genuine = [v for patient in left_out for v in stacks[patient]]
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "set.safetensors")
            write_without(patients, left_out, path)
            bundle = gate_from("sunnybrook-lv/1.0.0", path, folder)
            for kind, (found, count) in judge(bundle, genuine, wrong_hearts(genuine)).items():
                before = counts.get(kind, (0, 0))
                counts[kind] = (before[0] + found, before[1] + count)
    conclude("sunnybrook-lv/1.0.0", counts)


harness.run(globals())
