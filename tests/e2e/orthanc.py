#!/usr/bin/python3
"""An archive that is not ours, Orthanc: it takes every kind of result object by C-STORE and serves what it got, and its
DICOMweb plug-in is a client of ours that searches, stores and retrieves."""
import io
import os
import subprocess
import tempfile

import pydicom

import harness
from harness import images
from harness.clients import stow, wado
from harness.daemon import BUILD, Daemon
from harness.peers import Orthanc
from harness.worker import phantom

KINDS = ("seg", "sr", "sc", "pr", "ko", "pm")


def objects(profile):
    """The folder with an object of each kind."""
    folder = tempfile.mkdtemp(prefix="lamina-orthanc-")
    subprocess.run([os.path.join(BUILD, "lamina-objects"), folder, profile, *phantom("slices=5", "rows=51", "columns=35")],
                   check=True)
    return folder


def content(ds):
    """All but what an archive may write anew: the file meta information."""
    return pydicom.dataset.Dataset({element.tag: element for element in ds})


def read(file):
    return content(pydicom.dcmread(io.BytesIO(file)))


def test_orthanc_takes_and_serves_each_kind():
    harness.need(os.path.exists(Orthanc.PLUGIN), "Orthanc and its DICOMweb plug-in are not here")
    for profile in ("strict", "ohif"):
        folder = objects(profile)
        with Orthanc() as peer:
            sent = subprocess.run([os.path.join(BUILD, "lamina"), "send", f"127.0.0.1:{peer.port}/ORTHANC", folder],
                                  capture_output=True, text=True, check=False)
            assert sent.returncode == 0, sent
            held = peer.files()
            assert len(held) == len(KINDS), held.keys()
            frames = {uid: len(peer.ask(f"/instances/{identifier}/frames")) for identifier, uid in peer.instances().items()}
            for kind in KINDS:
                made = pydicom.dcmread(os.path.join(folder, kind + ".dcm"))
                assert read(held[made.SOPInstanceUID]) == content(made), (profile, kind)
                assert kind in ("sr", "pr", "ko") or frames[made.SOPInstanceUID] == int(made.get("NumberOfFrames", 1)), kind


def test_orthanc_is_a_client():
    harness.need(os.path.exists(Orthanc.PLUGIN), "Orthanc and its DICOMweb plug-in are not here")
    folder = objects("strict")
    made = {ds.SOPInstanceUID: ds for ds in (pydicom.dcmread(os.path.join(folder, kind + ".dcm")) for kind in KINDS)}
    series = images.series(slices=3, PatientID="FOUND")
    study = series[0].StudyInstanceUID
    with Daemon() as d, Orthanc({"whole": {"Url": d.url + "/dicom-web/", "ChunkedTransfers": False},
                                 "chunked": {"Url": d.url + "/dicom-web/", "ChunkedTransfers": True}}) as client:
        assert stow(d, [images.to_bytes(ds) for ds in series]).status == 200
        found = client.post("/dicom-web/servers/whole/qido", {"Uri": "/studies", "Arguments": {"PatientID": "FOUND"}})
        assert [x["0020000D"]["Value"] for x in found.json] == [study], found
        client.post("/dicom-web/servers/whole/retrieve", {"Resources": [{"Study": study}]})
        held = client.files()
        assert {uid: read(file) for uid, file in held.items()} == {ds.SOPInstanceUID: content(ds) for ds in series}

        for uid in client.instances():
            client.delete(f"/instances/{uid}")
        for kind in KINDS:
            with open(os.path.join(folder, kind + ".dcm"), "rb") as file:
                client.post("/instances", file.read())
        for server in ("chunked", "whole"):
            sent = client.post(f"/dicom-web/servers/{server}/stow", {"Resources": list(client.instances()), "Synchronous": True})
            assert sent.status == 200 and sent.json["InstancesCount"] == str(len(KINDS)), sent
        for uid, ds in made.items():
            assert read(wado(d, ds.StudyInstanceUID, ds.SeriesInstanceUID, uid).body) == content(ds), ds.Modality


harness.run(globals())
