"""The instances of the benchmark by number: small MR images that differ in the numbers they bear and in the date.

One prototype is made with pydicom. In it stand words for the numbers, each as long as any number that takes its place, so that every
other instance is the prototype with these words replaced: in a Part 10 file as in the row that the intake made of it.
"""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "e2e"))
from harness import images  # noqa: E402

ROOT = "1.2.826.0.1.3680043.10.1"
STUDY, SERIES, SLICE, DATE = "8765431", "8765432", "8765433", "18760523"
BASE = 1000000  # what a number is added to, so that all have seven digits
PER_SERIES, SERIES_PER_STUDY, LARGE = 50, 2, 500
YEARS = 20
PARAMETERS = 60


def prototype():
    ds = images.series(slices=1, rows=16, columns=16)[0]
    ds.StudyInstanceUID, ds.SeriesInstanceUID = f"{ROOT}.{STUDY}", f"{ROOT}.{STUDY}.{SERIES}"
    ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = f"{ROOT}.{STUDY}.{SERIES}.{SLICE}"
    ds.FrameOfReferenceUID = f"{ROOT}.{STUDY}.1"
    ds.PatientName, ds.PatientID, ds.PatientBirthDate, ds.PatientSex = f"Family{STUDY}^Given", f"P{STUDY}", "19600101", "F"
    ds.StudyDate, ds.StudyTime, ds.StudyID, ds.AccessionNumber = DATE, "101530", STUDY, f"A{STUDY}"
    ds.SeriesNumber, ds.InstanceNumber = SERIES, SLICE
    ds.StudyDescription, ds.SeriesDescription = "MR of the head", "T2 axial"
    block = ds.private_block(0x0019, "LAMINA BENCH", create=True)
    for i in range(PARAMETERS):
        block.add_new(i, "LO", f"a parameter of the acquisition {i:02}")
    return ds


def date(study):
    return f"{2000 + study % YEARS}{1 + study // YEARS % 12:02}{1 + study // (12 * YEARS) % 28:02}"


def studies(instances):
    """How many there are: the first has one series of LARGE instances, the others SERIES_PER_STUDY of PER_SERIES."""
    return 1 + (instances - LARGE) // (PER_SERIES * SERIES_PER_STUDY)


def series_of(study):
    """(number, instances) of each series."""
    return [(1, LARGE)] if study == 1 else [(i + 1, PER_SERIES) for i in range(SERIES_PER_STUDY)]


def study_uid(study):
    return f"{ROOT}.{BASE + study}"


def series_uid(study, series):
    return f"{ROOT}.{BASE + study}.{BASE + series}"


def files(instances):
    """The Part 10 file of each instance."""
    whole = images.to_bytes(prototype())
    for study in range(1, studies(instances) + 1):
        of_study = whole.replace(STUDY.encode(), str(BASE + study).encode()).replace(DATE.encode(), date(study).encode())
        for series, count in series_of(study):
            of_series = of_study.replace(SERIES.encode(), str(BASE + series).encode())
            for number in range(1, count + 1):
                yield of_series.replace(SLICE.encode(), str(BASE + number).encode())
