#!/usr/bin/env python3
"""A classifier trained on drawn images only against one trained on as many real ones, both judged on real images.

Usage: classifier.py LAMINA BUNDLE DATA [COUNT [SEEDS]]

DATA is the folder with train.safetensors and val.safetensors of PneumoniaMNIST. For each seed COUNT real images are chosen,
as many of each class are drawn, and the same small network (a bidirectional GRU that reads rows) is trained on either; the AUC
on the validation images of each and the means are printed.
"""
import json
import os
import random
import struct
import subprocess
import sys
import tempfile

NETWORK = {
    "input": {"axes": ["t"], "channels": 28},
    "layers": [
        {"name": "norm", "kind": "layer_norm"},
        {"name": "rows", "kind": "sweep", "cell": "gru", "units": 32, "directions": ["t+", "t-"]},
        {"name": "seen", "kind": "attention_pool", "units": 32},
        {"name": "drop", "kind": "dropout", "rate": 0.5},
        {"name": "logits", "kind": "dense", "units": 2},
    ],
}
RECIPE = {
    "schema": 1,
    "name": "row-reader",
    "version": "1.0.0",
    "task": "classification",
    "preprocessing": {"intensity": {"scale": 0.0078431, "offset": -1}},
    "network": NETWORK,
    "outputs": {"classes": [{"name": "normal", "label": "Normal"}, {"name": "pneumonia", "label": "Pneumonia"}]},
    "training": {
        "epochs": 8,
        "batch": 32,
        "shard": 16,
        "optimiser": {"kind": "adamw", "rate": 0.002, "decay": 0.02},
        "schedule": {"kind": "cosine", "warm_up": 20, "floor": 0.01},
        "loss": [{"kind": "cross_entropy"}],
        "clip_norm": 1,
        "average": 0.98,
    },
}
SIDE = 28


def read(path):
    """(label, pixels) of each image."""
    with open(path, "rb") as file:
        data = file.read()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    part = {n: data[8 + length :][slice(*header[n]["data_offsets"])] for n in ("images", "labels")}
    size = SIDE * SIDE
    return [(label, part["images"][i * size : (i + 1) * size]) for i, label in enumerate(part["labels"])]


def write(path, images):
    body = b"".join(pixels for _, pixels in images)
    count, end = len(images), len(body)
    header = {
        "images": {"dtype": "U8", "shape": [count, SIDE, SIDE], "data_offsets": [0, end]},
        "labels": {"dtype": "U8", "shape": [count], "data_offsets": [end, end + count]},
    }
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + body + bytes(label for label, _ in images))


def run(*command):
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True).stdout


def draw(lamina, bundle, counts, seed, folder):
    images = []
    for label, count in counts.items():
        name = RECIPE["outputs"]["classes"][label]["name"]
        out = os.path.join(folder, name)
        run(lamina, "generate", "--bundle", bundle, "--class", name, "--count", str(count), "--seed", str(seed),
            "--out", out)
        images += [(label, pixels) for _, pixels in read(os.path.join(out, "images.safetensors"))]
    return images


def score(lamina, images, test, seed, folder):
    bundle, data = os.path.join(folder, "bundle"), os.path.join(folder, "data.safetensors")
    os.makedirs(bundle)
    write(data, images)
    with open(os.path.join(bundle, "model.json"), "w", encoding="utf-8") as file:
        json.dump(RECIPE, file)
    run(lamina, "train", "--bundle", bundle, "--data", data, "--seed", str(seed), "--quiet")
    return json.loads(run(lamina, "eval", "--bundle", bundle, "--data", test, "--bootstrap", "0", "--json"))["metrics"]["auc"]


def main():
    lamina, bundle, data = sys.argv[1:4]
    count, seeds = (list(map(int, sys.argv[4:])) + [4708, 5][len(sys.argv) - 4 :])[:2]
    known, test = read(os.path.join(data, "train.safetensors")), os.path.join(data, "val.safetensors")
    sums = [0.0, 0.0]
    for seed in range(1, seeds + 1):
        real = random.Random(seed).sample(known, count)
        counts = {label: sum(1 for other, _ in real if other == label) for label in (0, 1)}
        with tempfile.TemporaryDirectory() as folder:
            drawn = draw(lamina, bundle, counts, seed, folder)
            pair = []
            for name, images in (("real", real), ("drawn", drawn)):
                os.makedirs(os.path.join(folder, name))
                pair.append(score(lamina, images, test, seed, os.path.join(folder, name)))
        sums = [a + b for a, b in zip(sums, pair)]
        print(f"seed {seed}: AUC {pair[0]:.4f} from {count} real images, {pair[1]:.4f} from as many drawn ones", flush=True)
    print(f"mean of {seeds}: {sums[0] / seeds:.4f} and {sums[1] / seeds:.4f}, {(sums[0] - sums[1]) / seeds:.4f} apart")


main()
