#!/usr/bin/python3
"""Programs of Debian that share no code with DCMTK, each skipped where it is not installed: odil, GDCM, CTN and PixelMed
send to us, PixelMed takes what we send and judges reports, VTK says where segmentations lie."""
import io
import os
import shutil
import subprocess
import tempfile

import numpy
import pydicom

from npm import BUILD, harness
from harness import images
from harness.clients import ours, run, wado
from harness.daemon import Daemon, wait_until
from harness.peers import Process
from harness.worker import Worker, phantom

PIXELMED = "/usr/share/java/pixelmed.jar"


def java(main, *arguments):
    """A program of PixelMed; its stylesheets are larger than what Java takes without being told."""
    harness.need(shutil.which("java") and os.path.exists(PIXELMED), "PixelMed is not installed")
    limits = [f"-Djdk.xml.xpath{limit}Limit=0" for limit in ("ExprOp", "ExprGrp", "TotalOp")]
    return ["java", "-Djava.awt.headless=true", *limits, "-cp", PIXELMED, "com.pixelmed." + main, *map(str, arguments)]


def program(name):
    harness.need(shutil.which(name), f"{name} is not installed")
    return name


def elements(content):
    """All but the file meta information, which each of them writes anew."""
    return pydicom.dataset.Dataset({element.tag: element for element in pydicom.dcmread(io.BytesIO(content))})


def check_sent(d, command, one_by_one=False):
    """`command` gives the arguments of a program that sends files; what it sent is what is stored."""
    series = images.series(slices=3)
    paths = images.save(series, tempfile.mkdtemp())
    for group in [[path] for path in paths] if one_by_one else [paths]:
        said = run(*command(group))
    for ds, path in zip(series, paths):
        answer = wado(d, ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.SOPInstanceUID)
        assert answer.status == 200, (answer, said)
        with open(path, "rb") as file:
            assert elements(answer.body) == elements(file.read()), path


def test_odil_stores(d):
    odil = program("odil")
    check_sent(d, lambda paths: [odil, "store", "127.0.0.1", d.dicom_port, "ODIL", "LAMINA", *paths])


def test_gdcm_stores(d):
    gdcm = program("gdcmscu")  # 3.0.21 ends itself by an exception after the release
    check_sent(d, lambda paths: [gdcm, "--store", "--aetitle", "GDCM", "--call", "LAMINA", "127.0.0.1", d.dicom_port, *paths])


def test_ctn_stores(d):
    ctn = program("send_image")
    check_sent(d, lambda paths: [ctn, "-q", "-a", "CTN", "-c", "LAMINA", "127.0.0.1", d.dicom_port, *paths])


def test_pixelmed_stores(d):
    def command(paths):
        ds = pydicom.dcmread(paths[0], stop_before_pixels=True)
        return java("network.StorageSOPClassSCU", "127.0.0.1", d.dicom_port, "LAMINA", "PIXELMED", paths[0], ds.SOPClassUID,
                    ds.SOPInstanceUID)
    check_sent(d, command, one_by_one=True)


class PixelMed(Process):
    """Its Storage SCP; what it took lies in its folder."""

    def command(self):
        return java("network.StorageSOPClassSCPDispatcher", self.port, "PIXELMED", self.folder)

    def received(self):
        return {name: os.path.join(self.folder, name) for name in os.listdir(self.folder) if name != "log"}


def test_pixelmed_takes_what_we_send():
    java("network.StorageSOPClassSCPDispatcher")
    made = tempfile.mkdtemp()
    subprocess.run([os.path.join(BUILD, "lamina-objects"), made, "strict", *phantom("slices=5")], check=True)
    with PixelMed() as peer:
        wait_until(peer.listens, 30, "PixelMed to listen")
        status, said = ours("lamina", "send", f"127.0.0.1:{peer.port}/PIXELMED", made)
        assert status == 0, said
        paths = images.files_below(made)
        wait_until(lambda: len(peer.received()) == len(paths), 10, "PixelMed to name what it took")
        for path in paths:
            with open(path, "rb") as sent:
                content = sent.read()
            with open(peer.received()[elements(content).SOPInstanceUID], "rb") as taken:
                assert elements(taken.read()) == elements(content), path


def test_a_report_follows_its_templates():
    validator = java("validate.DicomSRValidator")
    with Worker() as worker:
        _, _, folder = worker.analyse(phantom())
    said = run(*validator, os.path.join(folder, "sr.dcm"))[1]
    assert "Found Root Template TID_1500" in said and "validation complete" in said, said
    assert not [line for line in said.splitlines() if line.startswith("Error")], said


def affine(path):
    with open(path, "rb") as file:
        return numpy.frombuffer(file.read(328), "<f4", 12, 280)


def test_segmentations_and_maps_lie_where_their_images_do():
    convert = program("dicomtonifti")
    for orientation in ("axial", "sagittal", "coronal", "oblique"):
        source = phantom("slices=5", "rows=20", "columns=24", f"orientation={orientation}")
        made = tempfile.mkdtemp()
        subprocess.run([os.path.join(BUILD, "lamina-objects"), made, "strict", *source], check=True)
        places = {}
        for kind, files in (("source", source), ("seg", [made + "/seg.dcm"]), ("pm", [made + "/pm.dcm"])):
            path = os.path.join(made, kind + ".nii")
            assert run(convert, "-o", path, *files)[0] == 0, (orientation, kind)
            places[kind] = affine(path)
        for kind in ("seg", "pm"):
            assert numpy.allclose(places[kind], places["source"], atol=1e-3), (orientation, kind, places)


harness.run(globals(), Daemon({"analysis.stable_after": "1h", "analysis.stable_after_release": None}))
