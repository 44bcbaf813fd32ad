#!/usr/bin/python3
"""Series as scanners store them: the same anatomy in another form gives the same segmentation at the same place, and what
is no single stack is refused with the attribute that tells its stacks apart."""
import copy
import os
import subprocess
import tempfile
import zlib

import numpy
import pydicom
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, generate_pixel_data_frame
from pydicom.uid import generate_uid

import harness
from harness import images
from harness.worker import DONE, FAILED, Worker, phantom


class Reference:
    """A phantom, and what the model finds in it."""

    def __init__(self):
        self.datasets = [pydicom.dcmread(path) for path in phantom("slices=24", "order=up")]
        with Worker() as worker:
            self.found = found_in(worker, self.datasets)
        assert any(self.found.values()), self.found

    def changed(self, change):
        """Copies that went through `change(index, dataset, pixels)`; the pixels it returns, if any, are stored."""
        made = copy.deepcopy(self.datasets)
        for index, ds in enumerate(made):
            pixels = change(index, ds, ds.pixel_array.astype(numpy.int64))
            if pixels is not None:
                ds.PixelData = pixels.tobytes()
        return made


def answer_to(worker, datasets):
    answer = worker.analyse(images.save(datasets, tempfile.mkdtemp()))
    assert answer, "the worker died"
    return answer


def found_in(worker, datasets):
    kind, result, _ = answer_to(worker, datasets)
    assert kind == DONE, result
    return {segment["label"]: segment["voxels"] for segment in result["segments"]}


def refused(worker, datasets, *words):
    kind, payload, _ = answer_to(worker, datasets)
    assert kind == FAILED and payload["permanent"], payload
    print(f"# {payload['status']}: {payload['reason']}")
    for word in words:
        assert word in payload["reason"], (word, payload["reason"])


REFERENCE = []


def reference():
    if not REFERENCE:
        REFERENCE.append(Reference())
    return REFERENCE[0]


def test_stored_values_in_other_forms():
    def inverse_table(_, ds, pixels):
        most = int(pixels.max())
        table = Dataset()
        table.add_new("LUTDescriptor", "US", [most + 1, 0, 16])
        table.add_new("ModalityLUTType", "LO", "US")
        table.add_new("LUTData", "OW", numpy.arange(most, -1, -1).astype(numpy.uint16).tobytes())
        ds.ModalityLUTSequence = [table]
        return (most - pixels).astype(numpy.uint16)

    def slope_of_its_own(index, ds, pixels):
        ds.RescaleSlope, ds.RescaleIntercept = 1 / 2 ** (index % 3), -7
        ds.BitsStored, ds.HighBit = 16, 15
        return ((pixels + 7) * 2 ** (index % 3)).astype(numpy.uint16)

    def intercept_alone(_, ds, pixels):
        ds.RescaleIntercept, ds.BitsStored, ds.HighBit = -500, 16, 15
        return (pixels + 500).astype(numpy.uint16)

    def white_is_least(index, ds, pixels):
        if index % 2:
            ds.PhotometricInterpretation = "MONOCHROME1"
            return (2 ** ds.BitsStored - 1 - pixels).astype(numpy.uint16)
        return None

    def wide(_, ds, pixels):
        ds.BitsAllocated, ds.BitsStored, ds.HighBit = 32, 32, 31
        return pixels.astype(numpy.uint32)

    def no_frames(_, ds, __):
        ds.NumberOfFrames = 0

    with Worker() as worker:
        for change in (inverse_table, slope_of_its_own, intercept_alone, white_is_least, wide, no_frames):
            found = found_in(worker, reference().changed(change))
            assert found == reference().found, (change.__name__, found, reference().found)


def test_a_modality_table_that_is_none():
    def change(_, ds, __):
        table = Dataset()
        table.add_new("LUTDescriptor", "US", [4096, 0, 16])
        table.add_new("LUTData", "OW", bytes(8))
        ds.ModalityLUTSequence = [table]

    with Worker() as worker:
        refused(worker, reference().changed(change), "Modality LUT (0028,3000)")


def test_padding_is_no_tissue():
    """A frame of the largest value around each image would be all that a network sees."""
    def change(value):
        def pad(_, ds, pixels):
            pixels[:, :3] = value
            ds.add_new("PixelPaddingValue", "US", value)
            return pixels.astype(numpy.uint16)
        return pad

    with Worker() as worker:
        low = found_in(worker, reference().changed(change(0)))
        high = found_in(worker, reference().changed(change(4095)))
        assert low == high, (low, high)


def test_a_slice_beside_the_others():
    def moved(index, ds, _):
        if index == 11:
            ds.ImagePositionPatient = [ds.ImagePositionPatient[0] + 3, *ds.ImagePositionPatient[1:]]

    with Worker() as worker:
        refused(worker, reference().changed(moved), "slice 12 of 24 is 3.00 mm beside")


def compressed(datasets, *command):
    """Through a program that compresses."""
    folder, made = tempfile.mkdtemp(), []
    for number, path in enumerate(images.save(datasets, folder)):
        out = os.path.join(folder, f"{number}.compressed")
        subprocess.run([*command, path, out], check=True)
        made.append(pydicom.dcmread(out))
    return made


def stream_of(ds):
    return next(generate_pixel_data_frame(ds.PixelData, 1))


def store(ds, stream, fragments=1):
    ds.PixelData = encapsulate([stream], fragments_per_frame=fragments) if stream else NOTHING
    ds["PixelData"].is_undefined_length = True


JPEG_2000 = "1.2.840.10008.1.2.4.90"
NOTHING = bytes.fromhex("feff00e000000000 feff00e000000000 feffdde000000000")  # one fragment, empty


CODERS = {"RLE": ("dcmcrle",), "JPEG lossless": ("dcmcjpeg", "+e1"), "JPEG-LS": ("dcmcjpls", "+el")}


def test_frames_in_several_fragments():
    with Worker() as worker:
        for command in CODERS.values():
            datasets = compressed(reference().datasets, *command)
            for ds in datasets:
                store(ds, stream_of(ds), 3)
            assert found_in(worker, datasets) == reference().found, command


def test_frames_that_are_no_pictures():
    """As they are in fragments, or deflated one by one."""
    def deflated(pixels):
        deflater = zlib.compressobj(wbits=-15)
        return deflater.compress(pixels) + deflater.flush()

    def analysed(worker, datasets, syntax):
        paths = images.save(datasets, tempfile.mkdtemp())
        for path in paths:  # pydicom writes no transfer syntax that it has not heard of
            with open(path, "rb") as file:
                content = file.read()
            with open(path, "wb") as file:
                file.write(content.replace(JPEG_2000.encode(), syntax.encode().ljust(len(JPEG_2000), b"\0"), 1))
        return worker.analyse(paths)

    with Worker() as worker:
        for syntax, code in (("1.2.840.10008.1.2.1.98", bytes), ("1.2.840.10008.1.2.8.1", deflated)):
            datasets = copy.deepcopy(reference().datasets)
            for ds in datasets:
                ds.file_meta.TransferSyntaxUID = JPEG_2000
                store(ds, code(ds.PixelData), 2)
            kind, result, _ = analysed(worker, datasets, syntax)
            assert kind == DONE, (syntax, result)
            assert {s["label"]: s["voxels"] for s in result["segments"]} == reference().found, syntax
            store(datasets[9], code(reference().datasets[9].PixelData)[:100])
            kind, result, _ = analysed(worker, datasets, syntax)
            assert kind == FAILED and "slice 10 of 24" in result["reason"], (syntax, result)


def test_frames_that_end_early():
    """A decoder that fills what is missing would give a finding of half an image."""
    with Worker() as worker:
        for command in CODERS.values():
            datasets = compressed(reference().datasets, *command)
            stream = stream_of(datasets[9])
            for length in (len(stream) // 2, 0):
                store(datasets[9], stream[:length])
                refused(worker, datasets, "slice 10 of 24")


def test_streams_of_another_shape_than_said():
    with Worker() as worker:
        for command in CODERS.values():
            datasets = compressed(reference().datasets, *command)
            for ds in datasets:
                ds.Rows += 1
            refused(worker, datasets, "slice 1 of 24")


def test_streams_of_fewer_bits_than_allocated():
    def narrow(_, ds, pixels):
        ds.BitsAllocated, ds.BitsStored, ds.HighBit = 8, 8, 7
        return (pixels // 16).astype(numpy.uint8)

    plain = reference().changed(narrow)
    with Worker() as worker:
        expected = found_in(worker, plain)
        for command in (CODERS["JPEG lossless"], CODERS["JPEG-LS"]):
            datasets = compressed(plain, *command)
            for ds in datasets:
                ds.BitsAllocated = 16
            assert found_in(worker, datasets) == expected, command


def test_stacks_in_one_series():
    def stacks(attribute, *values):
        made = []
        for value in values:
            for ds in copy.deepcopy(reference().datasets):
                ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = generate_uid()
                setattr(ds, attribute, value)
                made.append(ds)
        return made

    with Worker() as worker:
        refused(worker, stacks("EchoTime", "4.6", "9.2"), "same place", "2 stacks told apart by EchoTime", "4.6, 9.2")
        refused(worker, stacks("DiffusionBValue", 0.0, 500.0, 1000.0), "3 stacks", "DiffusionBValue", "0, 500, 1000")
        refused(worker, stacks("ImageType", ["ORIGINAL", "PRIMARY", "M"], ["ORIGINAL", "PRIMARY", "P"]), "ImageType")
        localizer = copy.deepcopy(reference().datasets[5])
        localizer.SOPInstanceUID = localizer.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        localizer.ImageOrientationPatient = [0, 1, 0, 0, 0, -1]
        localizer.Rows, localizer.Columns, localizer.PixelData = 64, 64, bytes(2 * 64 * 64)
        refused(worker, [localizer, *reference().datasets], "a localizer?")


harness.run(globals())
