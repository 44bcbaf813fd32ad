#!/usr/bin/python3
"""`lamina train` and `lamina eval` as a user runs them: killed with SIGKILL and resumed to the same bits, whatever the
number of threads; scores with intervals as JSON; a card that names the weights it speaks of; progress, curves, and
training that goes on from another bundle."""
import hashlib
import json
import os
import random
import signal
import struct
import subprocess
import tempfile
import time

import harness
from harness.daemon import BUILD

LAMINA = os.path.join(BUILD, "lamina")
SIDE = 12

MODEL = {
    "schema": 1, "name": "bars", "version": "1", "task": "classification",
    "preprocessing": {"intensity": {"z_score": "all"}},
    "network": {"input": {"axes": ["y", "x"], "channels": 1}, "layers": [
        {"name": "sweep", "kind": "sweep", "cell": "gru", "units": 8, "directions": ["y+", "x+"]},
        {"name": "pool", "kind": "global_pool", "function": "max"},
        {"name": "logits", "kind": "dense", "units": 2}]},
    "postprocessing": {"members": 2},
    "outputs": {"classes": [{"name": "down", "label": "Down"}, {"name": "across", "label": "Across"}]},
    "card": {"intended": ["Tests."]},
    "training": {"epochs": 30, "batch": 8, "shard": 4, "optimiser": {"rate": 0.01}, "average": 0.9,
                 "loss": [{"kind": "cross_entropy", "label_smoothing": 0.05}], "cross_validate": True,
                 "augmentation": {"shift": 1, "noise": {"deviation": 0.1}}, "validate_every": 5, "fit_temperature": True},
}


def write_set(path, count):
    """Images with one bright row or column, as safetensors."""
    draw = random.Random(4)
    images, labels = bytearray(), bytearray()
    for _ in range(count):
        label, at = draw.randrange(2), draw.randrange(2, SIDE - 2)
        labels.append(label)
        for i in range(SIDE * SIDE):
            bright = (i // SIDE if label else i % SIDE) == at
            images.append(draw.randrange(40) + 60 * bright)
    shapes = {"images": [count, SIDE, SIDE], "labels": [count]}
    header = json.dumps({
        "images": {"dtype": "U8", "shape": shapes["images"], "data_offsets": [0, len(images)]},
        "labels": {"dtype": "U8", "shape": shapes["labels"], "data_offsets": [len(images), len(images) + count]}}).encode()
    header += b" " * (-len(header) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(header)) + header + images + labels)


def bundle(folder, name):
    path = os.path.join(folder, name)
    os.mkdir(path)
    with open(os.path.join(path, "model.json"), "w", encoding="utf-8") as file:
        json.dump(MODEL, file)
    return path


def train(path, data, *options):
    return [LAMINA, "train", "--bundle", path, "--data", data, "--seed", "9", *options]


def digest(path):
    with open(os.path.join(path, "weights.safetensors"), "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()


def tensors(path):
    """The bytes of each tensor by name."""
    with open(os.path.join(path, "weights.safetensors"), "rb") as file:
        header = json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))
        values = file.read()
    header.pop("__metadata__", None)
    return {name: values[slice(*entry["data_offsets"])] for name, entry in header.items()}


def run(command):
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode()


def kill_after(command, path, names):
    """Kills the training once one of these files is there; True if it was still running."""
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while process.poll() is None and not any(os.path.exists(os.path.join(path, name)) for name in names):
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    return process.wait() == -signal.SIGKILL


def test_killed_and_resumed():
    folder = tempfile.mkdtemp()
    data = os.path.join(folder, "bars.safetensors")
    write_set(data, 80)
    whole, killed = bundle(folder, "whole"), bundle(folder, "killed")
    metrics = json.loads(run(train(whole, data, "--threads", "1", "--json")))["metrics"]
    assert metrics["auc"] > 0.9, metrics
    kills = kill_after(train(killed, data, "--threads", "2"), killed, ["checkpoint.safetensors"])
    kills += kill_after(train(killed, data, "--threads", "2", "--resume"), killed, ["member-0.safetensors"])
    run(train(killed, data, "--threads", "3", "--resume"))
    assert kills, "the training ended before it could be killed"
    assert digest(whole) == digest(killed)
    left = [name for name in os.listdir(killed) if name.startswith(("checkpoint", "member", "kept"))]
    assert not left, left

    said = json.loads(run([LAMINA, "eval", "--bundle", whole, "--data", data, "--out-of-fold", "--card=bars", "--json"]))
    assert said["n"] == 80 and said["task"] == "classification", said
    assert abs(said["metrics"]["auc"] - metrics["auc"]) < 1e-9, said
    low, high = said["intervals"]["accuracy"]
    assert low <= said["metrics"]["accuracy"] <= high, said
    with open(os.path.join(whole, "card.md"), encoding="utf-8") as file:
        card = file.read()
    assert f"Weights SHA-256: {digest(whole)}" in card and "On bars, 80 cases" in card, card
    assert f"| auc | {metrics['auc']:.4f} |" in card, card


def test_a_training_is_seen():
    """A line an epoch with what one waits for, and the curves as numbers and as a picture."""
    folder = tempfile.mkdtemp()
    data = os.path.join(folder, "bars.safetensors")
    write_set(data, 24)
    path = bundle(folder, "seen")
    done = subprocess.run(train(path, data), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          check=True)
    lines = [line for line in done.stderr.decode().splitlines() if "epoch 10/30" in line]
    assert len(lines) == 2, lines  # one a member
    for what in ("member 1/2", "loss ", "samples/s", "ETA "):
        assert what in lines[0], lines
    files = os.listdir(path)
    rows = [name for name in files if name.startswith("curve") and name.endswith(".csv")]
    pictures = [name for name in files if name.startswith("curve") and name.endswith(".svg")]
    assert rows and len(rows) == len(pictures), files
    with open(os.path.join(path, rows[0]), encoding="utf-8") as file:
        table = file.read().splitlines()
    assert table[0].startswith("epoch,loss") and len(table) == 31, table
    with open(os.path.join(path, pictures[0]), encoding="utf-8") as file:
        assert file.read().startswith("<svg"), pictures


def test_training_goes_on_from_another_bundle():
    """What is frozen keeps the numbers of the bundle it came from."""
    folder = tempfile.mkdtemp()
    data = os.path.join(folder, "bars.safetensors")
    write_set(data, 24)
    for name, frozen in (("first", False), ("second", True)):
        model = json.loads(json.dumps(MODEL))
        model["postprocessing"] = {"members": 1}
        model["training"].update(epochs=2, validate_every=1, cross_validate=False, average=0)
        model["network"]["layers"][0]["frozen"] = frozen
        os.mkdir(os.path.join(folder, name))
        with open(os.path.join(folder, name, "model.json"), "w", encoding="utf-8") as file:
            json.dump(model, file)
    first, second = (os.path.join(folder, name) for name in ("first", "second"))
    run(train(first, data, "--val", data))
    run(train(second, data, "--val", data, "--init", first))
    before, after = (tensors(path) for path in (first, second))
    assert before["sweep.weight_ih"] == after["sweep.weight_ih"]
    assert before["logits.weight"] != after["logits.weight"]


def test_wrong_usage():
    for options in (["--bundle", "x"], ["--bundle", "x", "--data", "y", "--threads", "none"], ["--bootstrap", "-1"]):
        done = subprocess.run([LAMINA, "eval", *options], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, check=False)
        assert done.returncode == 2, done


harness.run(globals())
