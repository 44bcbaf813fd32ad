#!/usr/bin/env python3
"""Halves the volumes of a set along each axis by 2 x 2 x 2 means. Usage: halve.py SOURCE TARGET

Anatomy is more of what is left then, noise less, and there is an eighth of the voxels to learn from. Labels are left out.
"""
import array
import json
import struct
import sys


def halved(voxels, size):
    """Sums run in the order of the file, in double precision."""
    deep, high, wide = (side // 2 for side in size)
    out = array.array("f", bytes(4 * deep * high * wide))
    at = 0
    for z in range(deep):
        for y in range(high):
            rows = []
            for line in (2 * z * size[1] + 2 * y, 2 * z * size[1] + 2 * y + 1):
                for begin in (line * size[2], (line + size[1]) * size[2]):
                    rows += [voxels[begin : begin + 2 * wide : 2], voxels[begin + 1 : begin + 2 * wide : 2]]
            out[at : at + wide] = array.array("f", (sum(column) / 8 for column in zip(*rows)))
            at += wide
    return out, [deep, high, wide]


def main():
    source, target = sys.argv[1:]
    with open(source, "rb") as file:
        data = file.read()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    small = {"__metadata__": dict(header["__metadata__"], spacing_mm="2,2,2 (z,y,x)", labels="")}
    parts, end = [], 0
    for name in sorted(n for n in header if n.endswith(".image")):
        entry = header[name]
        begin, stop = entry["data_offsets"]
        voxels = array.array("f", data[8 + length + begin : 8 + length + stop])
        part, shape = halved(voxels, entry["shape"])
        parts.append(part.tobytes())
        small[name] = {"dtype": "F32", "shape": shape, "data_offsets": [end, end + len(parts[-1])]}
        end += len(parts[-1])
    text = json.dumps(small).encode()
    text += b" " * (-len(text) % 64)
    with open(target, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + b"".join(parts))


main()
