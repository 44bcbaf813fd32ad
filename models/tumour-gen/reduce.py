#!/usr/bin/env python3
"""Reduces the slices of a set to 32 x 32 by 5 x 5 means. Usage: reduce.py SOURCE TARGET

The means have neither the grid of a compression nor its noise, so what a model makes of them can be compared with lossless
compression of the same images. Labels stay, boxes and ids are left out.
"""
import json
import struct
import sys

SIDE, FACTOR = 160, 5


def reduced(image):
    """One image of SIDE x SIDE bytes."""
    out = bytearray()
    for top in range(0, SIDE * SIDE, SIDE * FACTOR):
        parts = [image[top + y * SIDE + x : top + (y + 1) * SIDE : FACTOR] for y in range(FACTOR) for x in range(FACTOR)]
        out += bytes((2 * sum(column) + FACTOR * FACTOR) // (2 * FACTOR * FACTOR) for column in zip(*parts))
    return bytes(out)


def main():
    source, target = sys.argv[1:]
    with open(source, "rb") as file:
        data = file.read()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    begin, end = header["images"]["data_offsets"]
    images = data[8 + length + begin : 8 + length + end]
    first, last = header["labels"]["data_offsets"]
    labels = data[8 + length + first : 8 + length + last]
    body = b"".join(reduced(images[i : i + SIDE * SIDE]) for i in range(0, len(images), SIDE * SIDE))
    small = {
        "__metadata__": header.get("__metadata__", {}),
        "images": {
            "dtype": "U8",
            "shape": [len(labels), SIDE // FACTOR, SIDE // FACTOR],
            "data_offsets": [0, len(body)],
        },
        "labels": {"dtype": "U8", "shape": [len(labels)], "data_offsets": [len(body), len(body) + len(labels)]},
    }
    text = json.dumps(small).encode()
    text += b" " * (-len(text) % 8)
    with open(target, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + body + labels)


main()
