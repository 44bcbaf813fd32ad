#!/usr/bin/python3
"""Every kind of result object in an archive that is not ours: Orthanc takes it by C-STORE and serves what it got."""
import io
import json
import os
import shutil
import subprocess
import tempfile
import urllib.request

import pydicom

import harness
from harness.daemon import BUILD, PATIENCE, free_port, wait_until
from harness.peers import Process
from harness.worker import phantom

KINDS = ("seg", "sr", "sc", "pr", "ko", "pm")


class Orthanc(Process):
    """An empty Orthanc that takes what is sent to it."""

    def __init__(self):
        super().__init__()
        self.http = free_port()

    def command(self):
        path = os.path.join(self.folder, "orthanc.json")
        with open(path, "w", encoding="utf-8") as file:
            json.dump({"StorageDirectory": self.folder, "IndexDirectory": self.folder, "HttpPort": self.http,
                       "DicomPort": self.port, "RemoteAccessAllowed": False, "AuthenticationEnabled": False,
                       "DicomCheckCalledAet": False, "Plugins": []}, file)
        return shutil.which("Orthanc", path=os.environ["PATH"] + ":/usr/sbin"), path

    def get(self, path):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.http}{path}", timeout=20 * PATIENCE) as answer:
            return answer.read()

    def is_up(self):
        try:
            return self.get("/system")
        except OSError:
            return False


def content(ds):
    """All but what an archive may write anew: the file meta information."""
    return pydicom.dataset.Dataset({element.tag: element for element in ds})


def test_orthanc_takes_and_serves_each_kind():
    if not shutil.which("Orthanc", path=os.environ["PATH"] + ":/usr/sbin"):
        raise harness.Skip("Orthanc is not installed")
    source = phantom("slices=5", "rows=51", "columns=35")
    for profile in ("strict", "ohif"):
        folder = tempfile.mkdtemp(prefix="lamina-orthanc-")
        subprocess.run([os.path.join(BUILD, "lamina-objects"), folder, profile, *source], check=True)
        with Orthanc() as peer:
            wait_until(peer.is_up, 30, "Orthanc to answer")
            sent = subprocess.run([os.path.join(BUILD, "lamina"), "send", f"127.0.0.1:{peer.port}/ORTHANC", folder],
                                  capture_output=True, text=True, check=False)
            assert sent.returncode == 0, sent
            held = {}
            for identifier in json.loads(peer.get("/instances")):
                ds = pydicom.dcmread(io.BytesIO(peer.get(f"/instances/{identifier}/file")))
                held[ds.SOPInstanceUID] = identifier, ds
            assert len(held) == len(KINDS), held.keys()
            for kind in KINDS:
                ours = pydicom.dcmread(os.path.join(folder, kind + ".dcm"))
                identifier, theirs = held[ours.SOPInstanceUID]
                assert content(ours) == content(theirs), (profile, kind)
                frames = json.loads(peer.get(f"/instances/{identifier}/frames"))
                assert len(frames) == int(ours.get("NumberOfFrames", 1)) or kind in ("sr", "pr", "ko"), (kind, frames)


harness.run(globals())
