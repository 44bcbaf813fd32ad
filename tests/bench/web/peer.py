"""Orthanc with its DICOMweb plug-in as Debian ships it, with a database of its own that is kept between runs."""
import io
import json
import os
import subprocess
import time
import urllib.request
import zipfile

import objects
from harness.daemon import free_port, wait_until

PLUGIN = "/usr/share/orthanc/plugins/libOrthancDicomWeb.so"
PER_ARCHIVE = 500


class Orthanc:
    """`with Orthanc(folder) as peer:` runs it; `settings` are added to its configuration."""

    name = "Orthanc"

    def __init__(self, folder, **settings):
        os.makedirs(folder, exist_ok=True)
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.root = self.url + "/dicom-web"
        self.config = os.path.join(folder, "orthanc.json")
        self.log = os.path.join(folder, "orthanc.log")
        storage = os.path.join(folder, "storage")
        with open(self.config, "w", encoding="utf-8") as file:
            json.dump({"Name": "bench", "StorageDirectory": storage, "IndexDirectory": storage, "Plugins": [PLUGIN], "HttpPort": self.port,
                       "DicomPort": free_port(), "RemoteAccessAllowed": False, **settings}, file)

    def __enter__(self):
        with open(self.log, "w", encoding="utf-8") as log: # Nagle costs its small answers 40 ms
            self.process = subprocess.Popen(["Orthanc", self.config], stdout=log, stderr=log, env=dict(os.environ, TCP_NODELAY="1"))
        wait_until(self.answers, 120, "Orthanc to answer")
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(60)

    def answers(self):
        try:
            return self.count() >= 0
        except OSError:
            return False

    def count(self):
        """Instances it holds."""
        with urllib.request.urlopen(self.url + "/statistics", timeout=60) as answer:
            return json.load(answer)["CountInstances"]

    @property
    def pid(self):
        return self.process.pid


def is_installed():
    return os.path.exists(PLUGIN) and any(os.access(os.path.join(path, "Orthanc"), os.X_OK) for path in os.environ["PATH"].split(":"))


def archives(instances):
    """ZIP files of PER_ARCHIVE objects."""
    batch = []
    for content in objects.files(instances):
        batch.append(content)
        if len(batch) == PER_ARCHIVE:
            yield pack(batch)
            batch = []
    if batch:
        yield pack(batch)


def pack(batch):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for i, content in enumerate(batch):
            archive.writestr(f"{i}.dcm", content)
    return out.getvalue()


def fill(folder, instances):
    """Goes on where an earlier call was cut off; what is there already costs little."""
    done = os.path.join(folder, f"filled-{instances}")
    if os.path.exists(done):
        return
    started = time.monotonic()
    with Orthanc(folder, SyncStorageArea=False, StoreMD5ForAttachments=False, OverwriteInstances=False) as peer:
        there = max(0, peer.count() // PER_ARCHIVE - 1)
        for number, archive in enumerate(archives(instances)):
            if number < there:
                continue
            request = urllib.request.Request(peer.url + "/instances", data=archive, headers={"Content-Type": "application/zip"})
            urllib.request.urlopen(request, timeout=600).close()
            if number % 20 == 0:
                print(f"# Orthanc: {peer.count()} of {instances}, {time.monotonic() - started:.0f} s", flush=True)
        assert peer.count() >= instances, peer.count()
    with open(done, "w", encoding="utf-8"):
        pass
