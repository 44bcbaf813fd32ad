#!/usr/bin/env python3
"""Splits the labelled slices into train.safetensors and val.safetensors. Usage: split.py SOURCE FOLDER

There are no patient ids; neighbouring slice ids are the same patient. So two contiguous blocks of each class, a
sixteenth of it each, are for validation, and nobody whose slices are within 12 ids of a block is trained on.
"""
import json
import os
import struct
import sys

BLOCKS, SHARE, GAP = (0.3, 0.7), 0.06, 12


def read(path):
    with open(path, "rb") as file:
        data = file.read()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    metadata = header.pop("__metadata__", {})
    tensors = {}
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        tensors[name] = (entry["dtype"], entry["shape"], data[8 + length + begin : 8 + length + end])
    return tensors, metadata


def write(path, tensors, metadata, rows):
    header, body = {"__metadata__": metadata}, b""
    for name, (dtype, shape, data) in sorted(tensors.items()):
        size = len(data) // shape[0]
        part = b"".join(data[r * size : (r + 1) * size] for r in rows)
        header[name] = {
            "dtype": dtype,
            "shape": [len(rows)] + shape[1:],
            "data_offsets": [len(body), len(body) + len(part)],
        }
        body += part
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + body)


def choose(labels, ids):
    validation, near = set(), set()
    for label in sorted(set(labels)):
        rows = sorted((r for r in range(len(ids)) if labels[r] == label), key=lambda r: ids[r])
        for share in BLOCKS:
            begin = int(share * len(rows))
            block = rows[begin : begin + int(SHARE * len(rows))]
            low, high = ids[block[0]] - GAP, ids[block[-1]] + GAP
            validation.update(block)
            near.update(r for r in rows if low <= ids[r] <= high)
    return sorted(validation), [r for r in range(len(ids)) if r not in near]


def main():
    source, folder = sys.argv[1:]
    tensors, metadata = read(source)
    count = tensors["ids"][1][0]
    validation, train = choose(tensors["labels"][2], struct.unpack(f"<{count}i", tensors["ids"][2]))
    os.makedirs(folder, exist_ok=True)
    write(os.path.join(folder, "train.safetensors"), tensors, metadata, train)
    write(os.path.join(folder, "val.safetensors"), tensors, metadata, validation)
    print(f"{len(train)} slices to train, {len(validation)} to validate")


main()
