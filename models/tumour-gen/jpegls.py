#!/usr/bin/python3
"""Bits a pixel that JPEG-LS takes for the images of a set (DCMTK's dcmcjpls): image by image, and all stacked into one image, which
spares it the header and the learning of each. Usage: jpegls.py SET
"""
import json
import os
import struct
import subprocess
import sys
import tempfile

import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import generate_pixel_data_frame


def read(path):
    with open(path, "rb") as file:
        data = file.read()
    (length,) = struct.unpack("<Q", data[:8])
    entry = json.loads(data[8 : 8 + length])["images"]
    begin, end = entry["data_offsets"]
    return entry["shape"], data[8 + length + begin : 8 + length + end]


def compressed(pixels, frames, rows, columns):
    """Bytes of the code streams of all frames."""
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    ds.is_little_endian, ds.is_implicit_VR = True, False
    ds.SOPClassUID, ds.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.7.2", "2.25.1"
    ds.Rows, ds.Columns, ds.NumberOfFrames = rows, columns, frames
    ds.SamplesPerPixel, ds.PhotometricInterpretation, ds.PixelRepresentation = 1, "MONOCHROME2", 0
    ds.BitsAllocated, ds.BitsStored, ds.HighBit = 8, 8, 7
    ds.PixelData = pixels + b"\0" * (len(pixels) % 2)
    with tempfile.TemporaryDirectory() as folder:
        plain, packed = os.path.join(folder, "plain.dcm"), os.path.join(folder, "packed.dcm")
        ds.save_as(plain, write_like_original=False)
        subprocess.run(["dcmcjpls", plain, packed], check=True)
        streams = generate_pixel_data_frame(pydicom.dcmread(packed).PixelData, frames)
        return sum(len(stream.rstrip(b"\0")) for stream in streams)


def main():
    (count, rows, columns), pixels = read(sys.argv[1])
    for name, frames in (("image by image", count), ("all in one", 1)):
        size = compressed(pixels, frames, rows * count // frames, columns)
        print(f"{name}: {8 * size / len(pixels):.4f} bits a pixel")


main()
