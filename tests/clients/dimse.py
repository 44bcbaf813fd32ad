#!/usr/bin/python3
"""C-STORE by dcmjs-dimse (from npm) of real files of many makers and transfer syntaxes, some of them broken: each is stored
as it was sent, byte for byte (promise 3), or refused with a status that is honest, and none ends a process."""
import hashlib
import json
import os
import subprocess

from npm import HERE, harness, modules
from harness import images
from harness.daemon import Daemon

REFUSALS = {0xA700, 0xA900, 0xC000, 0x0110, 0x0111, 0x0117, 0x0122}


def data_set(content):
    """What follows the file meta information (PS3.10 section 7.1)."""
    return content[144 + int.from_bytes(content[140:144], "little"):]


def send(d, found, files):
    """What dcmjs-dimse said of each file. It reads a few of the broken ones for ever."""
    said = []
    while len(said) < len(files):
        left = files[len(said):]
        try:
            out = subprocess.run(["node", os.path.join(HERE, "dimse.js"), found, "127.0.0.1", str(d.dicom_port), "LAMINA", *left],
                                 stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=60, check=True).stdout
            hangs = []
        except subprocess.TimeoutExpired as late:
            out, hangs = late.stdout or b"", [{"problem": "dcmjs does not come to an end"}]
        said += [json.loads(line) for line in out.decode("utf-8", "replace").splitlines() if line.startswith("{")]
        said += [{**hang, "file": files[len(said)]} for hang in hangs]
    return said


def test_promise_3_by_dcmjs_dimse(d):
    found = modules("dcmjs-dimse@0.3.3")
    files = [f for f in images.files_below(harness.shared("data", "dicom", "fixtures")) if not f.endswith((".md", ".txt"))]
    before = set(d.children())
    counts = {"stored": 0, "refused": 0, "unsent": 0}
    for start in range(0, len(files), 20):
        last = {}  # where it is: the digest of what was sent last
        for said in send(d, found, files[start:start + 20]):
            status = said.get("status")
            if status == 0:
                last[said["path"]] = said["sha256"]
                counts["stored"] += 1
            elif status is not None:
                assert status in REFUSALS, said
                counts["refused"] += 1
            else:
                counts["unsent"] += 1
                print(f"# not sent: {os.path.basename(said['file'])}: {said.get('problem', 'dcmjs sends nothing')}"[:150])
        for path, digest in last.items():
            answer = d.get(f"/dicom-web/{path}", Accept="application/dicom; transfer-syntax=*")
            assert answer.status == 200, f"stored and not given back: {path}: {answer}"
            assert hashlib.sha256(data_set(answer.body)).hexdigest() == digest, f"not what was sent: {path}"
    assert before <= set(d.children()), "a process ended"
    assert counts["stored"] > 100, counts
    print(f"# by dcmjs-dimse: {counts}")


# Many of the files share their UIDs.
harness.run(globals(), Daemon({"analysis.stable_after": "1h", "storage.duplicates": "replace", "dicom.private_classes": "yes",
                               "lamina.log_level": "info"}))
