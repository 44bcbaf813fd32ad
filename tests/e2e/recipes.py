#!/usr/bin/python3
"""The recipes of the shipped models: each trains on a piece of its own data to the same bits with one thread and with two, so
`make models` gives on any number of processors what is shipped. Needs the data of `make models`."""
import hashlib
import json
import os
import shutil
import struct
import subprocess
import tempfile

import harness

LAMINA = os.path.join(harness.BUILD, "lamina")
MODELS = os.path.join(harness.ROOT, "models")


def read(path):
    """Name -> (type, shape, bytes), and what the file says of itself."""
    with open(path, "rb") as file:
        data = file.read()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8:8 + length])
    said, body = header.pop("__metadata__", {}), memoryview(data)[8 + length:]
    return {name: (e["dtype"], e["shape"], body[slice(*e["data_offsets"])]) for name, e in header.items()}, said


def write(path, tensors, said):
    header, end = {"__metadata__": said}, 0
    for name, (kind, shape, data) in tensors.items():
        header[name] = {"dtype": kind, "shape": shape, "data_offsets": [end, end + len(data)]}
        end += len(data)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + b"".join(data for _, _, data in tensors.values()))


# ---- pieces ----

def rows(count):
    """The first rows of every array."""
    return lambda tensors: {name: (kind, [count, *shape[1:]], data[:len(data) // shape[0] * count])
                            for name, (kind, shape, data) in tensors.items()}


def cases(count):
    """The first cases, ID.image and what belongs to it."""
    def piece(tensors):
        kept = sorted({name.rsplit(".", 1)[0] for name in tensors if name.endswith(".image")})[:count]
        return {name: tensor for name, tensor in tensors.items() if name.rsplit(".", 1)[0] in kept}
    return piece


def hearts(tensors):
    """Three slices of each stack of the first five patients."""
    kept = {}
    for patient in sorted({name.split("-IM-")[0] for name in tensors})[:5]:
        phases = {}
        for name in sorted(n for n in tensors if n.startswith(f"{patient}-IM-") and n.endswith(".image")):
            phases.setdefault((int(name.split("-")[-1].split(".")[0]) - 1) % 20, []).append(name)
        for names in phases.values():
            kept |= {n: tensors[n] for name in names[:3] for n in (name, name.replace(".image", ".label"))}
    return kept


def script(name):
    return lambda source, target: subprocess.run([os.path.join(MODELS, name), source, target], check=True)


def ellipses(source, target):
    """The script takes the folder of a split."""
    split, done = tempfile.mkdtemp(), tempfile.mkdtemp()
    for name in ("train", "val"):
        shutil.copy(source, os.path.join(split, f"{name}.safetensors"))
    script("brain-tumour-region/ellipses.py")(split, done)
    shutil.copy(os.path.join(done, "train.safetensors"), target)


# Model: its data, how a piece is taken, and what `make models` makes of the data first.
RECIPES = {
    "adrenal": ("adrenal3d", rows(32), shutil.copy),
    "brain-tumour": ("brain_tumour", rows(48), shutil.copy),
    "brain-tumour-region": ("brain_tumour", rows(48), ellipses),
    "chest-xray-gen": ("pneumonia", rows(48), shutil.copy),
    "hippocampus": ("hippocampus", cases(4), shutil.copy),
    "mr-gen": ("hippocampus", cases(4), script("mr-gen/halve.py")),
    "sunnybrook-lv": ("sunnybrook", hearts, shutil.copy),
    "tumour-gen": ("brain_tumour", rows(48), script("tumour-gen/reduce.py")),
}


def train(model, data, threads):
    """The hash of the weights after an epoch."""
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(os.path.join(MODELS, model, "recipe.json"), os.path.join(folder, "model.json"))
        done = subprocess.run([LAMINA, "train", "--bundle", folder, "--data", data, "--epochs", "1", "--threads", str(threads),
                               "--quiet"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        assert done.returncode == 0, (model, done.stdout)
        with open(os.path.join(folder, "weights.safetensors"), "rb") as file:
            return hashlib.sha256(file.read()).hexdigest()


def test_every_recipe_gives_the_same_bits_with_one_thread_and_with_two():
    there = {os.path.basename(os.path.dirname(path)) for path in
             (os.path.join(MODELS, name, "recipe.json") for name in os.listdir(MODELS)) if os.path.exists(path)}
    assert there == set(RECIPES), there ^ set(RECIPES)
    for model, (folder, piece, make) in RECIPES.items():
        source = harness.shared("data", folder, "train.safetensors")
        with tempfile.TemporaryDirectory() as work:
            part, data = os.path.join(work, "part.safetensors"), os.path.join(work, "data.safetensors")
            tensors, said = read(source)
            write(part, piece(tensors), said)
            make(part, data)
            assert train(model, data, 1) == train(model, data, 2), model


harness.run(globals())
