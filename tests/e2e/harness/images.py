"""Virtual MR series made with pydicom, so that the input of a test is not made by the code under test."""
import io
import os

import numpy
import pydicom
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

MR = "1.2.840.10008.5.1.4.1.1.4"


def volume(slices, rows, columns):
    """Two bright ellipsoids in noise, the same each time."""
    noise = numpy.random.default_rng(7).normal(300, 30, (slices, rows, columns))
    z, y, x = numpy.mgrid[0:slices, 0:rows, 0:columns]
    for centre, value in (((0.5, 0.35, 0.5), 700), ((0.5, 0.65, 0.5), 900)):
        distance = (((z / slices - centre[0]) / 0.3) ** 2 + ((y / rows - centre[1]) / 0.12) ** 2
                    + ((x / columns - centre[2]) / 0.2) ** 2)
        noise[distance < 1] += value
    return numpy.clip(noise, 0, 4095).astype(numpy.uint16)


def slice_of(pixels, position, orientation, study, series, number, frame, **attributes):
    """One MR image as a pydicom dataset."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = MR
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = pydicom.uid.PYDICOM_IMPLEMENTATION_UID
    ds = FileDataset(None, {}, file_meta=meta, preamble=b"\0" * 128)
    ds.is_little_endian, ds.is_implicit_VR = True, False
    ds.SOPClassUID, ds.SOPInstanceUID = MR, meta.MediaStorageSOPInstanceUID
    ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.FrameOfReferenceUID = study, series, frame
    ds.PatientName, ds.PatientID, ds.PatientBirthDate, ds.PatientSex = "Virtual^Patient", "VIRTUAL-1", "", "O"
    ds.StudyDate, ds.StudyTime, ds.StudyID, ds.AccessionNumber = "20260101", "120000", "1", ""
    ds.ReferringPhysicianName, ds.Modality, ds.Manufacturer = "", "MR", "Lamina tests"
    ds.SeriesNumber, ds.InstanceNumber, ds.SeriesDescription = 1, number, "HippoCrop (virtual)"
    ds.ImageType = ["ORIGINAL", "PRIMARY", "OTHER"]
    ds.ScanningSequence, ds.SequenceVariant, ds.ScanOptions, ds.MRAcquisitionType = "GR", "NONE", "", "3D"
    ds.RepetitionTime, ds.EchoTime, ds.EchoTrainLength, ds.PositionReferenceIndicator = 10, 3, 1, ""
    ds.PixelSpacing, ds.SliceThickness = [1, 1], 1
    ds.ImagePositionPatient = [float(v) for v in position]
    ds.ImageOrientationPatient = [float(v) for v in orientation]
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.Rows, ds.Columns = pixels.shape
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 12, 11, 0
    ds.PixelData = pixels.tobytes()
    for name, value in attributes.items():
        setattr(ds, name, value)
    return ds


def series(slices=36, rows=48, columns=40, study=None, orientation=(1, 0, 0, 0, 1, 0), step=1.0, **attributes):
    """A list of axial slices `step` mm apart, in order of position."""
    study, uid, frame = study or generate_uid(), generate_uid(), generate_uid()
    data = volume(slices, rows, columns)
    normal = numpy.cross(orientation[:3], orientation[3:])
    return [slice_of(data[i], numpy.array((-20, -24, -18)) + i * step * normal, orientation, study, uid, i + 1, frame,
                     **attributes) for i in range(slices)]


RADIOGRAPHS = {  # class, and what else the IOD wants of an image
    "CR": ("1.2.840.10008.5.1.4.1.1.1", {"ViewPosition": "PA", "BodyPartExamined": "CHEST"}),
    "DX": ("1.2.840.10008.5.1.4.1.1.1.1", {"ImagerPixelSpacing": [0.2, 0.2], "PatientOrientation": ["L", "F"],
                                           "PresentationIntentType": "FOR PRESENTATION"}),
    "OT": ("1.2.840.10008.5.1.4.1.1.7", {"ConversionType": "WSD"}),
}


def radiographs(modality, count, **attributes):
    """Images of one series that say nothing of where they are."""
    sop_class, more = RADIOGRAPHS[modality]
    made = series(slices=count, rows=96, columns=80, Modality=modality, SOPClassUID=sop_class,
                  **{**more, **attributes})
    for ds in made:
        ds.file_meta.MediaStorageSOPClassUID = sop_class
        for name in ("ScanningSequence", "SequenceVariant", "ScanOptions", "MRAcquisitionType", "RepetitionTime", "EchoTime",
                     "EchoTrainLength", "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness",
                     "FrameOfReferenceUID", "PositionReferenceIndicator"):
            delattr(ds, name)
    return made


def to_bytes(ds):
    out = io.BytesIO()
    pydicom.dcmwrite(out, ds, write_like_original=False)
    return out.getvalue()


def save(datasets, folder):
    """Writes them under names that say nothing about the order; the paths, in the order given."""
    os.makedirs(folder, exist_ok=True)
    paths = []
    for ds in datasets:
        paths.append(os.path.join(folder, ds.SOPInstanceUID.rsplit(".", 1)[-1] + ".dcm"))
        pydicom.dcmwrite(paths[-1], ds, write_like_original=False)
    return paths


def files_below(folder):
    return sorted(os.path.join(where, name) for where, _, names in os.walk(folder) for name in names)
