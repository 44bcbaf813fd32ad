#!/usr/bin/env python3
"""Weak labels: in place of each box the ellipse that fills it. Usage: ellipses.py FOLDER-OF-SPLIT FOLDER

Reads train.safetensors and val.safetensors as brain-tumour/split.py writes them, and writes sets of the same slices as
volumes of one slice, with maps.
"""
import json
import os
import struct
import sys


def read(path):
    with open(path, "rb") as file:
        data = file.read()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    return {n: (e["shape"], data[8 + length + e["data_offsets"][0] : 8 + length + e["data_offsets"][1]])
            for n, e in header.items() if n != "__metadata__"}


def ellipse(x, y, width, height, rows, columns):
    """1 in the pixels whose centres lie inside; all in fractions of the image."""
    out = bytearray(rows * columns)
    for row in range(rows):
        down = ((row + 0.5) / rows - y) / (height / 2)
        if abs(down) >= 1:
            continue
        reach = (1 - down * down) ** 0.5 * width / 2
        for column in range(max(0, round((x - reach) * columns)), min(columns, round((x + reach) * columns))):
            out[row * columns + column] = 1
    return bytes(out)


def write(path, tensors):
    header, body = {}, b""
    for name, (shape, data) in tensors.items():
        header[name] = {"dtype": "U8", "shape": shape, "data_offsets": [len(body), len(body) + len(data)]}
        body += data
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + body)


def main(source, folder):
    os.makedirs(folder, exist_ok=True)
    for name in ("train.safetensors", "val.safetensors"):
        tensors = read(os.path.join(source, name))
        (count, rows, columns), images = tensors["images"]
        boxes = struct.iter_unpack("<4f", tensors["boxes"][1])
        labels = b"".join(ellipse(*box, rows, columns) for box in boxes)
        shape = [count, 1, rows, columns]
        write(os.path.join(folder, name), {"images": (shape, images), "labels": (shape, labels)})


if len(sys.argv) != 3:
    sys.exit(__doc__)
main(*sys.argv[1:])
