#!/usr/bin/env python3
"""Makes the objects that the intake benchmark sends: MR instances of 512 x 512 16-bit pixels with the header of a
real one, in a few studies, under UIDs that depend on nothing but their number.

  make_objects.py SOURCE_FILE OUT_DIR COUNT [STUDIES]

Not a phantom for analysis: the picture is the source's own, repeated until it fills the frame.
"""
import os
import sys

import numpy
import pydicom

ROOT = "1.2.826.0.1.3680043.10.1562.7"
SIDE = 512


def fill(source):
    """The source's slice as SIDE x SIDE pixels."""
    pixels = source.pixel_array
    repeats = [-(-SIDE // n) for n in pixels.shape]
    return numpy.ascontiguousarray(numpy.tile(pixels, repeats)[:SIDE, :SIDE]).astype("<u2")


def main():
    source, out, count = pydicom.dcmread(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    studies = int(sys.argv[4]) if len(sys.argv) > 4 else 4
    pixels = fill(source)
    source.Rows = source.Columns = SIDE
    for number in range(count):
        study = number * studies // count
        folder = os.path.join(out, f"study{study:03d}")
        os.makedirs(folder, exist_ok=True)
        source.PatientID = f"BENCH{study:05d}"
        source.PatientName = f"Bench^{study:05d}"
        source.StudyInstanceUID = f"{ROOT}.{study + 1}"
        source.SeriesInstanceUID = f"{ROOT}.{study + 1}.{number % 2 + 1}"
        source.SOPInstanceUID = f"{ROOT}.{study + 1}.{number % 2 + 1}.{number + 1}"
        source.InstanceNumber = number + 1
        source.file_meta.MediaStorageSOPInstanceUID = source.SOPInstanceUID
        source.PixelData = (pixels + number % 251).tobytes()
        source.save_as(os.path.join(folder, f"{number:06d}.dcm"))


if __name__ == "__main__":
    main()
