#!/usr/bin/python3
"""POST /api/v1/upload: a zip of DICOM files, by curl as people would: what is stored, what is ignored, what is refused,
and that no archive makes the daemon take more than it says it takes."""
import contextlib
import io
import os
import signal
import struct
import subprocess
import tempfile
import zipfile
import zlib

import harness
from harness import images
from harness.clients import curl, pretty, wado
from harness.daemon import Daemon, wait_until

STORED, DEFLATED = zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED


def one(**attributes):
    return images.series(slices=1, rows=16, columns=16, SeriesDescription="T2", **attributes)[0]


def archive(files, how=DEFLATED, comment=b""):
    """A zip of (name, content) pairs."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", how) as made:
        for name, content in files:
            made.writestr(name, content)
        made.comment = comment
    return out.getvalue()


def upload(d, content, kind="application/zip", **headers):
    return curl(d.url + "/api/v1/upload", body=content, headers={"Content-Type": kind, "Expect": "", **headers})


def is_back(d, ds, content):
    return wado(d, ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.SOPInstanceUID).body == content


def left_in_spool(d):
    return images.files_below(os.path.join(d.data, "spool"))


def test_a_study_byte_for_byte(d):
    for how in (STORED, DEFLATED):
        source = images.series(slices=40, rows=16, columns=16, SeriesDescription="T2")
        content = {ds.SOPInstanceUID: images.to_bytes(ds) for ds in source}
        answer = upload(d, archive([(f"DICOM/IM{n:05}", content[ds.SOPInstanceUID]) for n, ds in enumerate(source)], how))
        assert answer.status == 200, answer
        said = answer.json
        assert (said["stored"], said["failed"], said["ignored"]) == (40, 0, 0), pretty(said)
        assert said["studies"] == [source[0].StudyInstanceUID]
        assert len(said["response"]["00081199"]["Value"]) == 40 and "00081198" not in said["response"], pretty(said)
        assert all(is_back(d, ds, content[ds.SOPInstanceUID]) for ds in source[::13])
        assert not left_in_spool(d)


def test_as_curl_sends_a_file(d):
    """curl -T study.zip -H 'Content-Type: application/zip' -X POST, chunked when it comes from a pipe."""
    with tempfile.NamedTemporaryFile(suffix=".zip") as file:
        file.write(archive([("a.dcm", images.to_bytes(one()))]))
        file.flush()
        for source in (file.name, "-"):
            with open(file.name, "rb") as pipe:
                said = subprocess.run(["curl", "-sS", "-X", "POST", "-T", source, "-H", "Content-Type: application/zip",
                                       "-w", "%{http_code}", "-o", "/dev/null", d.url + "/api/v1/upload"],
                                      stdin=pipe, capture_output=True, check=True).stdout
            assert said == b"200", said


def test_what_is_no_object_is_ignored_and_named(d):
    ds = one()
    answer = upload(d, archive([("README.TXT", b"hello\n" * 100), ("DICOMDIR", images.to_bytes(one())), ("empty", b""),
                                ("folder/", b""), ("__MACOSX/._IM1", b"\0\5\26\7"), ("folder/IM1", images.to_bytes(ds)),
                                ("inner.zip", archive([("x.dcm", images.to_bytes(one()))]))]))
    assert answer.status == 200, answer
    said = answer.json
    assert (said["stored"], said["failed"], said["ignored"]) == (1, 0, 5), pretty(said)
    assert {f["file"] for f in said["ignored_files"]} == {"README.TXT", "DICOMDIR", "empty", "__MACOSX/._IM1", "inner.zip"}


def test_a_bad_file_does_not_poison_the_good_ones(d):
    good, broken = one(), images.to_bytes(one())[:400]
    answer = upload(d, archive([("bad.dcm", broken), ("good.dcm", images.to_bytes(good)), ("again.dcm", images.to_bytes(good))]))
    assert answer.status == 202, answer
    said = answer.json
    assert (said["stored"], said["failed"]) == (2, 1), pretty(said)
    failure = said["failures"][0]
    assert failure["file"] == "bad.dcm" and failure["status"] == "C000" and failure["reason"], pretty(said)
    assert upload(d, archive([("bad.dcm", broken)])).status == 409
    assert upload(d, archive([("README.TXT", b"hello")])).status == 409


def test_a_damaged_file_in_it(d):
    """The check sum of one file is wrong."""
    good, damaged = one(), images.to_bytes(one(PatientComments="DAMAGED"))
    content = archive([("damaged.dcm", damaged), ("good.dcm", images.to_bytes(good))], STORED)
    answer = upload(d, content.replace(b"DAMAGED", b"damageD", 1))
    assert answer.status == 202 and answer.json["failures"][0]["file"] == "damaged.dcm", answer
    assert answer.json["stored"] == 1 and d.study(good.StudyInstanceUID)


def test_names_are_labels_only(d):
    names = ["../../../../tmp/lamina-escaped", "/tmp/lamina-escaped", "..\\..\\lamina-escaped", "con:", "a" * 5000,
             "n\nl\"'\u00e9", "x/" * 200 + "y"]
    answer = upload(d, archive([(name, images.to_bytes(one())) for name in names]))
    assert answer.status == 200 and answer.json["stored"] == len(names), answer
    assert not os.path.exists("/tmp/lamina-escaped")
    assert not [p for p in images.files_below(d.data) if "escaped" in p]


def encrypted(name, content):
    """A zip with the bit for encryption set (APPNOTE 4.4.4); that the bytes are none does not matter."""
    made = bytearray(archive([(name, content)], STORED))
    directory = made.index(b"PK\1\2")
    made[6] |= 1
    made[directory + 8] |= 1
    return bytes(made)


def test_encrypted(d):
    answer = upload(d, encrypted("secret.dcm", images.to_bytes(one())))
    assert answer.status == 409 and "encrypted" in answer.json["failures"][0]["reason"], answer


def test_zip64(d):
    ds = one()
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", DEFLATED) as made:
        with made.open("a.dcm", "w", force_zip64=True) as file:
            file.write(images.to_bytes(ds))
    answer = upload(d, out.getvalue())
    assert answer.status == 200 and is_back(d, ds, images.to_bytes(ds)), answer


def test_written_as_a_stream(d):
    """With sizes behind the content (APPNOTE 4.3.9), as programs write that cannot seek."""
    class Pipe(io.RawIOBase):
        def __init__(self):
            self.content = b""

        def writable(self):
            return True

        def write(self, piece):
            self.content += bytes(piece)
            return len(piece)
    ds, pipe = one(), Pipe()
    with zipfile.ZipFile(pipe, "w", DEFLATED) as made:
        made.writestr("a.dcm", images.to_bytes(ds))
    assert b"PK\7\10" in pipe.content
    assert upload(d, pipe.content).status == 200 and is_back(d, ds, images.to_bytes(ds))


def test_what_is_no_whole_archive_stores_nothing(d):
    ds = one()
    whole = archive([("a.dcm", images.to_bytes(ds)), ("b.dcm", images.to_bytes(one()))])
    for content in (whole[:-1], whole[:-30], whole[:len(whole) // 2], whole[:10], b"PK\5\6" + b"\0" * 18, b"no archive" * 50,
                    images.to_bytes(ds), zlib.compress(b"x" * 1000)):
        answer = upload(d, content)
        assert answer.status == 400, (content[:20], answer)
        assert answer.headers["content-type"].startswith("application/problem+json")
    assert d.study(ds.StudyInstanceUID) is None
    assert upload(d, b"").status == 400
    assert not left_in_spool(d)


def test_the_wrong_media_type(d):
    for kind in ("application/dicom", "application/x-tar", "text/plain", "multipart/form-data; boundary=x"):
        assert upload(d, archive([("a.dcm", b"x")]), kind).status == 415, kind


def declared(size, copies=1):
    """`copies` entries that all claim `size` bytes of the same few (a bomb whose files overlap)."""
    body = zlib.compress(bytes(1000), 9)[2:-4]
    name = b"a.dcm"
    check = zlib.crc32(bytes(1000))
    local = struct.pack("<4sHHHHHIIIHH", b"PK\3\4", 20, 0, 8, 0, 0, check, len(body), size, len(name), 0) + name + body
    entry = struct.pack("<4sHHHHHHIIIHHHHHII", b"PK\1\2", 20, 20, 0, 8, 0, 0, check, len(body), size, len(name), 0, 0, 0, 0,
                        0, 0) + name
    end = struct.pack("<4sHHHHIIH", b"PK\5\6", 0, 0, min(copies, 65535), min(copies, 65535), len(entry) * copies, len(local), 0)
    return local + entry * copies + end


def written(d):
    """Bytes that laminad and the processes that it started and that have ended have written."""
    with open(f"/proc/{d.pid}/io", encoding="ascii") as file:
        return int(next(line for line in file if line.startswith("wchar")).split()[1])


def test_bombs(d):
    """Each is refused for what it would unpack to, before anything of it was unpacked."""
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w", DEFLATED, compresslevel=9) as made:
        with made.open("zeros.dcm", "w") as file:
            for _ in range(300):
                file.write(bytes(1 << 20))
    before = written(d)
    for content, why in ((bomb.getvalue(), "100 times"), (declared(0xfffffff0), "100 times"),
                         (archive([(str(n), b"") for n in range(20001)], STORED), "20000 files")):
        answer = upload(d, content)
        assert answer.status == 413 and why in answer.json["detail"], answer
    assert written(d) - before < 50 << 20
    assert not left_in_spool(d)


def test_a_file_that_is_larger_than_it_says(d):
    """The directory announces 1000 bytes and the file has more: it fails, alone."""
    content = archive([("liar.dcm", images.to_bytes(one())), ("good.dcm", images.to_bytes(one()))])
    directory = content.index(b"PK\1\2")
    liar = bytearray(content)
    liar[22:26] = liar[directory + 24:directory + 28] = struct.pack("<I", 1000)
    answer = upload(d, bytes(liar))
    assert answer.status == 202 and answer.json["failures"][0]["file"] == "liar.dcm", answer


def test_ten_thousand_files(d):
    """Mostly such as people's zips are full of; memory does not grow with them."""
    ds = [one() for _ in range(4)]
    files = [(f"folder{n % 100}/file{n}", b"no object\n" * 20) for n in range(9996)]
    for number, each in enumerate(ds):
        files.insert(number * 3000, (f"IM{number}", images.to_bytes(each)))
    answer = upload(d, archive(files))
    assert answer.status == 200, answer
    assert (answer.json["stored"], answer.json["ignored"]) == (4, 9996), pretty(answer.json)
    with open(f"/proc/{d.pid}/status", encoding="ascii") as file:
        resident = int(next(line for line in file if line.startswith("VmRSS")).split()[1])
    assert resident < 120 * 1024, f"{resident} kB"


def test_no_process_is_left(d):
    wait_until(lambda: len(d.children("lamina-worker")) <= 2 + 2 + 2, 5, "processes that unpack to end")


def test_the_disk_is_full(d):
    """Less is free than is to be kept free."""
    content = archive([("a.dcm", images.to_bytes(one()))])
    for reserve, status in (("1000T", 507), ("0", 200)):
        d.settings["storage.reserve"] = reserve
        d.write_config()
        os.kill(d.pid, signal.SIGHUP)
        wait_until(lambda wanted=status: upload(d, content).status == wanted, 5, f"HTTP {status}")


def test_a_crash_of_the_process_that_unpacks(d):
    """It is killed while the archive is being read; the answer says what is not stored, and the daemon goes on."""
    source = [one() for _ in range(400)]
    content = archive([(f"IM{n}", images.to_bytes(ds)) for n, ds in enumerate(source)])
    before = set(d.children("lamina-worker"))
    asked = subprocess.Popen(["curl", "-sS", "--data-binary", "@-", "-H", "Content-Type: application/zip", "-H", "Expect:",
                              d.url + "/api/v1/upload"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    asked.stdin.write(content)
    asked.stdin.close()
    while asked.poll() is None:
        stored = d.study(source[0].StudyInstanceUID)
        new = set(d.children("lamina-worker")) - before
        if stored and new:
            with contextlib.suppress(ProcessLookupError):  # it may just have ended
                os.kill(new.pop(), 9)
            break
    said = asked.stdout.read()
    asked.wait()
    assert d.get("/readyz").status == 200
    answer = harness.daemon.HttpResponse(0, {}, said).json
    stored = sum(d.study(ds.StudyInstanceUID) is not None for ds in source)
    assert answer["stored"] == stored and answer["stored"] + answer["failed"] >= min(400, stored + 1), pretty(answer)
    print(f"# {stored} of 400 stored")
    assert upload(d, content).json["stored"] == 400


harness.run(globals(), Daemon({"analysis.stable_after": "1h"}))
