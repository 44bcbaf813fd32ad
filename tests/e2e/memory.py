#!/usr/bin/python3
"""An object far larger than what the daemon may use passes through it piece by piece: by STOW, of announced and of unknown
length, by C-STORE, and back by WADO. The most memory that each of its processes ever used tells."""
import hashlib
import http.client
import os

import pydicom

import harness
from harness import images
from harness.daemon import PATIENCE, SANITISED, Daemon
from harness.faulty import Caller

EXPLICIT = "1.2.840.10008.1.2.1"
FRAMES, PIECE = 100, os.urandom(2 << 20)  # frames of 1024 × 1024 × 16 bit
MOST_MB = 16


class LargeObject:
    """A multi-frame image that is nowhere whole: its pixels are PIECE again and again."""

    def __init__(self, frames=FRAMES):
        ds = images.series(slices=1, rows=16, columns=16, SeriesDescription="T2 knee")[0]
        del ds.PixelData
        ds.Rows, ds.Columns, ds.NumberOfFrames, ds.BitsStored, ds.HighBit = 1024, 1024, frames, 16, 15
        self.study, self.series, self.uid, self.frames = ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.SOPInstanceUID, frames
        self.sop_class = ds.SOPClassUID
        out = pydicom.filebase.DicomBytesIO()
        out.is_little_endian, out.is_implicit_VR = True, False
        pydicom.filewriter.write_dataset(out, ds)
        self.head = out.getvalue() + b"\xe0\x7f\x10\0OW\0\0" + (frames * len(PIECE)).to_bytes(4, "little")
        self.file_head = images.to_bytes(ds)[:-len(out.getvalue())]

    def data_set(self):
        yield self.head
        for _ in range(self.frames):
            yield PIECE

    def body(self):
        """Of a STOW request whose boundary is XX."""
        yield b"--XX\r\nContent-Type: application/dicom\r\n\r\n" + self.file_head
        yield from self.data_set()
        yield b"\r\n--XX--"


def stow(d, made, chunked):
    headers = {"Content-Type": 'multipart/related; type="application/dicom"; boundary=XX', "Accept": "application/dicom+json"}
    if not chunked:
        headers["Content-Length"] = str(sum(map(len, made.body())))
    connection = http.client.HTTPConnection("127.0.0.1", d.http_port, timeout=120 * PATIENCE)
    connection.request("POST", "/dicom-web/studies", made.body(), headers, encode_chunked=chunked)
    answer = connection.getresponse()
    assert answer.status == 200, (answer.status, answer.read()[:500])
    connection.close()


def c_store(d, made):
    caller = Caller(("127.0.0.1", d.dicom_port, "LAMINA"), "LARGE", [(made.sop_class, EXPLICIT)])
    caller.ask_to_store(1, made.uid)
    for piece in made.data_set():
        caller.send_data(1, piece, last=False)
    caller.send_data(1, b"")
    status = caller.receive()[0][0x00000900]
    assert status == b"\0\0", status
    caller.release()


def retrieve(d, made):
    """It must come back as it was sent."""
    sent, got = hashlib.sha256(), hashlib.sha256()
    for piece in made.data_set():
        sent.update(piece)
    connection = http.client.HTTPConnection("127.0.0.1", d.http_port, timeout=120 * PATIENCE)
    connection.request("GET", f"/dicom-web/studies/{made.study}/series/{made.series}/instances/{made.uid}",
                       headers={"Accept": "application/dicom; transfer-syntax=*"})
    answer = connection.getresponse()
    assert answer.status == 200, answer.status
    head = answer.read(144)
    answer.read(int.from_bytes(head[140:144], "little"))  # the file meta information (PS3.10 section 7.1)
    while piece := answer.read(1 << 20):
        got.update(piece)
    connection.close()
    assert got.digest() == sent.digest(), "not what was sent"


def peaks_mb(d):
    """The most memory that each process used so far."""
    found = {}
    for pid in (d.pid, *d.children()):
        with open(f"/proc/{pid}/status", encoding="ascii") as file:
            fields = dict(line.split(":", 1) for line in file)
        found[f"{fields['Name'].strip()} {pid}"] = int(fields["VmHWM"].split()[0]) / 1024
    return found


def check(d, what, pass_through):
    """Once with an object of one frame, so that everything is there that any object needs; then with a large one."""
    harness.need(not SANITISED, "a sanitizer's memory says nothing of the program's")
    pass_through(LargeObject(1))
    before, large = peaks_mb(d), LargeObject()
    pass_through(large)
    after = peaks_mb(d)
    assert d.request("DELETE", f"/dicom-web/studies/{large.study}").status == 204
    more = sum(after[name] - before.get(name, 0) for name in after)
    print(f"# {what}: {FRAMES * len(PIECE) >> 20} MB add {more:.1f} MB to {sum(before.values()):.0f} MB", flush=True)
    assert more < MOST_MB, (before, after)


def test_stow_of_announced_length(d):
    check(d, "STOW, Content-Length", lambda made: stow(d, made, chunked=False))


def test_stow_in_chunks(d):
    check(d, "STOW, chunked", lambda made: stow(d, made, chunked=True))


def test_c_store(d):
    check(d, "C-STORE", lambda made: c_store(d, made))


def test_there_and_back(d):
    def store_and_retrieve(made):
        c_store(d, made)
        retrieve(d, made)
    check(d, "C-STORE and WADO", store_and_retrieve)


harness.run(globals(), Daemon({"analysis.stable_after": "1h", "http.allow_delete": "yes"}))
