#!/usr/bin/python3
"""Real files of many makers and transfer syntaxes, some of them broken, sent by storescu and by STOW-RS: each is stored
byte for byte (promise 3) or refused with a status that is honest, and none ends a process."""
import os

import pydicom

import harness
from harness import images
from harness.clients import PROPOSE, pretty, run, stow
from harness.daemon import Daemon
from harness.peers import StoreScp

REFUSALS = {0xA700, 0xA900, 0xC000, 0x0110, 0x0111, 0x0117, 0x0122}
UIDS = ["StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"]
# Many of the files share their UIDs.
SETTINGS = {"analysis.stable_after": "1h", "storage.duplicates": "replace"}


def files():
    return [f for f in images.files_below(harness.shared("data", "dicom", "fixtures")) if not f.endswith((".md", ".txt"))]


def is_part_10(content):
    return content[128:132] == b"DICM"


def data_set(content):
    """What follows the file meta information (PS3.10 section 7.1)."""
    return content[144 + int.from_bytes(content[140:144], "little"):]


def read(path):
    with open(path, "rb") as file:
        return file.read()


def retrieve(d, study, series, instance):
    answer = d.get(f"/dicom-web/studies/{study}/series/{series}/instances/{instance}",
                   Accept="application/dicom; transfer-syntax=*")
    assert answer.status == 200, f"stored and not given back: {answer}"
    return answer.body


def test_promise_3_by_stow(d):
    processes = set(d.children())
    stored = refused = 0
    for path in files():
        content = read(path)
        answer = stow(d, [content])
        assert answer.status in (200, 202, 409), f"{path}: {answer}"
        if answer.status == 409:
            reasons = {item["00081197"]["Value"][0] for key in ("00081198", "0008119A")
                       for item in answer.json.get(key, {}).get("Value", [])}
            assert reasons and reasons <= REFUSALS, f"{path}: {pretty(answer.json)}"
            refused += 1
            continue
        url = answer.json["00081199"]["Value"][0]["00081190"]["Value"][0].split("/")
        got = retrieve(d, url[-5], url[-3], url[-1])
        assert got == content or data_set(got) == data_set(content), f"{path} is not what was sent"
        stored += 1
    assert stored > 100, stored
    assert processes <= set(d.children()), "a process ended"
    assert "indexer_ended" not in d.log() and "dimse_ended" not in d.log()
    print(f"# by STOW-RS: {stored} stored, {refused} refused")


def sent_by_storescu(port, called, path, *options):
    """What storescu said, when it sent one file."""
    return run("storescu", "-v", "-aec", called, *options, "127.0.0.1", port, path)[1]


def as_storescu_sends(scp, path, *options):
    """The data set as it arrives at DCMTK's own storescp, which keeps every bit: storescu writes lengths in its own way and
    pads odd ones. None when storescu did not send it."""
    sent_by_storescu(scp.port, scp.title, path, *options)
    received = images.files_below(scp.received)
    contents = [read(name) for name in received]
    for name in received:
        os.remove(name)
    return data_set(contents[0]) if contents else None


def test_promise_3_by_storescu():
    """A daemon of its own, so that nothing is a duplicate of what STOW-RS sent."""
    stored = refused = unsent = 0
    with Daemon({**SETTINGS, "dicom.private_classes": "yes"}) as d, StoreScp("+B", "-pm", "+xa") as scp:
        processes = set(d.children())
        for path in files():
            if not is_part_10(read(path)):
                continue
            try:
                meta = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=UIDS)
                syntax = str(meta.file_meta.TransferSyntaxUID)
            except Exception:  # what pydicom cannot read, storescu need not send
                unsent += 1
                continue
            options = PROPOSE.get(syntax, "-x=")
            said = sent_by_storescu(d.dicom_port, "LAMINA", path, options)
            if "Received Store Response (Success)" in said:
                got = retrieve(d, meta.StudyInstanceUID, meta.SeriesInstanceUID, meta.SOPInstanceUID)
                assert data_set(got) == as_storescu_sends(scp, path, options), f"{path} is not what was sent"
                stored += 1
            elif "Received Store Response" in said:
                refused += 1
            else:
                unsent += 1
        assert stored > 100, stored
        assert processes <= set(d.children()), "a process ended"
    print(f"# by storescu: {stored} stored, {refused} refused, {unsent} that storescu would not send")


harness.run(globals(), Daemon(SETTINGS))
