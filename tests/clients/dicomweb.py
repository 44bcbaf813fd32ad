#!/usr/bin/python3
"""QIDO-RS, WADO-RS and STOW-RS by dicomweb-client, the library that OHIF and others ask with (from npm)."""
import hashlib
import json
import os
import subprocess
import tempfile

from npm import HERE, harness, modules
from harness import images
from harness.daemon import PATIENCE, Daemon


def sha256(content):
    return hashlib.sha256(content).hexdigest()


def test_stores_searches_and_retrieves(d):
    found = modules("dicomweb-client@0.11.3", "xhr2@0.2.1")
    objects = images.series(slices=4)
    stored = {ds.SOPInstanceUID: images.to_bytes(ds) for ds in objects}
    with tempfile.TemporaryDirectory() as folder:
        files = []
        for number, content in enumerate(stored.values()):
            files.append(os.path.join(folder, f"{number}.dcm"))
            with open(files[-1], "wb") as file:
                file.write(content)
        ran = subprocess.run(["node", os.path.join(HERE, "dicomweb.js"), found, f"{d.url}/dicom-web", *files],
                             capture_output=True, text=True, timeout=120 * PATIENCE, check=False)
    assert ran.returncode == 0, ran.stderr
    said = json.loads(ran.stdout.strip().splitlines()[-1])
    assert (said["studies"], said["series"], said["instances"]) == (1, 1, 4), said
    assert sorted(said["metadata"]) == sorted(stored), said
    assert sorted(said["all"]) == sorted(map(sha256, stored.values())), "series, byte for byte"
    first = next(ds for ds in objects if ds.SOPInstanceUID == said["sop"])
    assert said["whole"] == sha256(stored[said["sop"]]), "instance, byte for byte"
    assert said["frame"] == said["bulk"] == sha256(first.PixelData), said
    assert said["picture"] == "ffd8ff", said  # JPEG


harness.run(globals(), Daemon())
