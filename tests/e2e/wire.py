#!/usr/bin/python3
"""C-STORE by hand, byte by byte (PS3.7, PS3.8): every class and transfer syntax as it was sent, the limits of an
association, and the right status for each fault, each of which the log explains."""
import contextlib
import copy
import os
import socket
import struct
import time
import zlib

import pydicom
import pydicom.encaps
from pydicom.uid import UID_dictionary, generate_uid

import harness
from harness import images
from harness.clients import curl, stow
from harness.daemon import PATIENCE, Daemon, wait_until
from harness.faulty import Caller

CT, MR, PRIVATE = "1.2.840.10008.5.1.4.1.1.2", images.MR, "1.2.826.0.1.3680043.2.1143.1"
IMPLICIT, EXPLICIT, BIG = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2"
DEFLATED = "1.2.840.10008.1.2.1.99"
# Those that pydicom's dictionary is too old for: MPEG of later years, JPEG XL, HTJ2K, deflated frames.
LATER = [f"1.2.840.10008.1.2.4.{n}" for n in ("100.1", "102.1", "104", "105", "106", "106.1", "107", "108", "110", "111",
                                              "112", "201", "202", "203")] + ["1.2.840.10008.1.2.8.1"]
NO_FILES = ("1.2.840.10008.1.2.6.", "1.2.840.10008.1.2.7.")  # MIME, XML, video over RTP
NEEDS_A_SERVER = {f"1.2.840.10008.1.2.4.{n}" for n in (94, 95, 204, 205)}  # JPIP
REFUSALS = {0xA700, 0xA900, 0xC000, 0x0110, 0x0111, 0x0117, 0x0122}


def one(rows=16, **attributes):
    return images.series(slices=1, rows=rows, columns=16, SeriesDescription="T2 knee", **attributes)[0]


def data_set(content):
    """What follows the file meta information (PS3.10 section 7.1)."""
    return content[144 + int.from_bytes(content[140:144], "little"):]


def call(d, *proposals, calling="WIRE"):
    return Caller(("127.0.0.1", d.dicom_port, "LAMINA"), calling, proposals)


def retrieved(d, uid):
    """The data set of a stored instance; None when there is none."""
    found = d.get(f"/dicom-web/instances?SOPInstanceUID={uid}")
    if found.status == 204 or not found.json:
        return None
    url = found.json[0]["00081190"]["Value"][0]
    answer = d.get(url[url.index("/dicom-web"):], Accept="application/dicom; transfer-syntax=*")
    assert answer.status == 200, f"stored and not given back: {answer}"
    assert not any(answer.body[:128]), "a preamble"
    return data_set(answer.body)


def encoded(ds, syntax):
    """The data set as bytes. What is compressed need not make sense: nobody looks at it on the way in."""
    ds = copy.deepcopy(ds)
    out = pydicom.filebase.DicomBytesIO()
    out.is_little_endian, out.is_implicit_VR = syntax != BIG, syntax == IMPLICIT
    ds.is_little_endian, ds.is_implicit_VR = out.is_little_endian, out.is_implicit_VR
    if syntax not in (IMPLICIT, EXPLICIT, BIG, DEFLATED):
        ds.PixelData = pydicom.encaps.encapsulate([os.urandom(501)])
        ds["PixelData"].VR, ds["PixelData"].is_undefined_length = "OB", True
    elif syntax == BIG:
        swapped = bytearray(ds.PixelData)
        swapped[0::2], swapped[1::2] = ds.PixelData[1::2], ds.PixelData[0::2]
        ds.PixelData = bytes(swapped)
    pydicom.filewriter.write_dataset(out, ds)
    content = out.getvalue()
    if syntax == DEFLATED:
        deflate = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
        content = deflate.compress(content) + deflate.flush()
        content += b"\0" * (len(content) % 2)
    return content


def metric(d, name):
    return next(float(line.split()[-1]) for line in d.get("/metrics").body.decode().splitlines()
                if line.startswith(name) and not line.startswith("#"))


# ---- what is taken ----

def storage_classes():
    return sorted(uid for uid, entry in UID_dictionary.items() if entry[1] == "SOP Class" and "Storage" in entry[0]
                  and uid.startswith("1.2.840.10008.5.1.4.1.1."))


def test_every_storage_class(d):
    classes = storage_classes()
    assert len(classes) > 120, len(classes)
    for start in range(0, len(classes), 128):
        caller = call(d, *((uid, EXPLICIT) for uid in classes[start:start + 128]))
        for context, (result, _) in sorted(caller.results.items()):
            ds = one(SOPClassUID=caller.contexts[context])
            content = encoded(ds, EXPLICIT)
            assert result == 0, f"{caller.contexts[context]} was refused: {result}"
            assert caller.store(context, ds.SOPInstanceUID, content) == 0, caller.contexts[context]
            assert retrieved(d, ds.SOPInstanceUID) == content, caller.contexts[context]
        caller.release()


def test_private_classes_on_request(d):
    caller = call(d, (PRIVATE, EXPLICIT), ("1.2.840.10008.5.1.4.31", EXPLICIT), (CT, "1.2.840.10008.1.2.6.1"))
    # not ours; a service we do not have; a class that we have in no such syntax (PS3.8 table 9-18)
    assert [r[0] for _, r in sorted(caller.results.items())] == [3, 3, 4], caller.results
    caller.release()
    with Daemon({"dicom.private_classes": "yes"}) as other:
        ds = one(SOPClassUID=PRIVATE)
        caller = call(other, (PRIVATE, EXPLICIT), ("1.2.840.10008.5.1.4.31", EXPLICIT))
        assert [r[0] for _, r in sorted(caller.results.items())] == [0, 3], caller.results
        assert caller.store(1, ds.SOPInstanceUID, encoded(ds, EXPLICIT)) == 0
        assert retrieved(other, ds.SOPInstanceUID) == encoded(ds, EXPLICIT)


def test_promise_3_every_transfer_syntax(d):
    syntaxes = {uid for uid, entry in UID_dictionary.items() if entry[1] == "Transfer Syntax"} | set(LATER)
    assert len(syntaxes) > 50
    taken = 0
    for syntax in sorted(syntaxes):
        caller = call(d, (MR, syntax))
        result, chosen = caller.results[1]
        if syntax.startswith(NO_FILES) or syntax == "1.2.840.10008.1.20":
            assert result == 4, f"{syntax}: {result}"
            caller.release()
            continue
        assert (result, chosen) == (0, syntax), f"{syntax}: {caller.results}"
        if syntax not in NEEDS_A_SERVER:
            ds = one()
            content = encoded(ds, syntax)
            status = caller.store(1, ds.SOPInstanceUID, content)
            assert status == 0, f"{syntax}: {status:04X}"
            assert retrieved(d, ds.SOPInstanceUID) == content, f"{syntax}: not what was sent"
            taken += 1
        caller.release()
    print(f"# {taken} transfer syntaxes")


def test_promise_3_real_files():
    """Each of the fixtures with exactly its bytes, whatever it is: stored so, or refused with a status that is honest."""
    stored = refused = 0
    with Daemon({"analysis.stable_after": "1h", "storage.duplicates": "replace", "dicom.private_classes": "yes"}) as d:
        processes = set(d.children())
        for path in images.files_below(harness.shared("data", "dicom", "fixtures")):
            with open(path, "rb") as file:
                content = file.read()
            if content[128:132] != b"DICM":
                continue
            meta = pydicom.filereader.read_file_meta_info(path)
            uid, sop_class = meta.get("MediaStorageSOPInstanceUID"), meta.get("MediaStorageSOPClassUID")
            caller = call(d, (sop_class or MR, meta.get("TransferSyntaxUID") or EXPLICIT))
            if caller.results[1][0]:
                refused += 1
                continue
            status = caller.store(1, uid or "", data_set(content))
            caller.release()
            assert status == 0 or status in REFUSALS, f"{path}: {status:04X}"
            assert status or retrieved(d, uid) == data_set(content), f"{path} is not what was sent"
            stored += status == 0
            refused += status != 0
        assert processes <= set(d.children()), "a process ended"
    print(f"# {stored} stored, {refused} refused")
    assert stored > 150, stored


def test_128_presentation_contexts(d):
    caller = call(d, *((CT if n % 2 else MR, EXPLICIT if n % 3 else IMPLICIT) for n in range(128)))
    assert len(caller.results) == 128 and not any(result for result, _ in caller.results.values()), caller.results
    for context in (1, 127, 255):
        ds = one(SOPClassUID=caller.contexts[context])
        assert caller.store(context, ds.SOPInstanceUID, encoded(ds, caller.results[context][1])) == 0
        assert retrieved(d, ds.SOPInstanceUID) == encoded(ds, caller.results[context][1])
    caller.release()


def test_pdus_of_a_mebibyte():
    for size, longest in (("4K", 4096), ("1M", 1 << 20)):
        with Daemon({"dicom.max_pdu": size}) as d:
            ds = one(rows=60000)
            caller = call(d, (MR, EXPLICIT))
            assert caller.longest == longest, caller.longest
            assert caller.store(1, ds.SOPInstanceUID, encoded(ds, EXPLICIT)) == 0
            assert retrieved(d, ds.SOPInstanceUID) == encoded(ds, EXPLICIT)
            caller.ask_to_store(1, generate_uid())
            caller.connection.sendall(struct.pack(">BBL", 4, 0, longest + 14))  # its header is enough to refuse it
            assert is_ended(caller), "a PDU longer than agreed was waited for"


def test_fragments_however_a_pdu_arranges_them(d):
    """Command and data set in one PDU, in any number of fragments of any lengths: what DCMTK 3.6.7 reads wrongly."""
    receiver, caller = d.children("lamina-dimse"), call(d, (MR, EXPLICIT))
    for lengths in ((500,), (1, 700, 3), (0, 11, 0), (2,)):
        ds = one()
        content, cut, at = encoded(ds, EXPLICIT), [], 0
        while at < len(content):
            length = lengths[len(cut) % len(lengths)]
            cut.append((2 if at + length >= len(content) else 0, content[at:at + length]))
            at += length
        caller.send_fragments(1, (3, caller.store_command(1, ds.SOPInstanceUID)), *cut)
        assert caller.receive()[0][0x00000900] == b"\0\0"
        assert retrieved(d, ds.SOPInstanceUID) == content, lengths
    caller.release()
    for lie in (b"", b"\0", b"\0\0\0\2\1", b"\0\0\0\1\1\3", b"\xff\xff\xff\xff\1\3abc", b"\0\0\0\2\1\1abc"):
        caller = call(d, (MR, EXPLICIT))
        caller.send_pdu(4, lie)
        assert is_ended(caller), f"a PDU of {lie} was taken"
    assert d.children("lamina-dimse") == receiver, "the receiver ended"


def is_ended(caller, seconds=20):
    """Aborted (PS3.8 9.3.8) or closed."""
    caller.connection.settimeout(seconds * PATIENCE)
    try:
        kind, body = caller.pdu()
        assert kind == 7, f"it was answered: {kind} {body[:100]!r}"
        return True
    except (EOFError, ConnectionError):
        return True
    except TimeoutError:
        return False


# ---- what is not ----

def refusals(d):
    return [line for line in d.log().splitlines() if "event=refused" in line or 'what="refused"' in line]


def explains(d, before, *words):
    """The log has one refusal more, with the association, the calling AE title and the reason."""
    wait_until(lambda: len(refusals(d)) > before, 5, "the log to say why")
    line = refusals(d)[-1]
    assert "association=" in line and "association=0" not in line and "WIRE" in line, line
    assert all(word in line for word in words), line


def test_a_data_set_that_contradicts_its_command(d):
    for wrong in ({"SOPInstanceUID": "1.2.3.4.5"}, {"SOPClassUID": CT}):
        ds, uid, before, counted = one(), generate_uid(), len(refusals(d)), metric(d, "lamina_refused_total")
        ds.SOPInstanceUID = uid
        for name, value in wrong.items():
            setattr(ds, name, value)
        caller = call(d, (MR, EXPLICIT))
        assert caller.store(1, uid, encoded(ds, EXPLICIT)) == 0xA900
        caller.release()
        explains(d, before, "A900", "announced")
        assert retrieved(d, uid) is None and metric(d, "lamina_refused_total") == counted + 1


def quarantined(d):
    return images.files_below(os.path.join(d.data, "quarantine"))


def test_what_cannot_be_parsed_is_kept_aside_with_its_reason(d):
    before, known, counted = len(refusals(d)), quarantined(d), metric(d, "lamina_quarantined_total")
    uid, garbage = generate_uid(), b"\x08\x00\x16\x00UI\xff\xff" + os.urandom(1000)
    caller = call(d, (MR, EXPLICIT))
    assert caller.store(1, uid, garbage) == 0xC000
    caller.release()
    explains(d, before, "C000", "quarantined=yes")
    kept = sorted(set(quarantined(d)) - set(known))
    assert [os.path.splitext(path)[1] for path in kept] == [".dcm", ".txt"], kept
    with open(kept[0], "rb") as file:
        assert data_set(file.read()) == garbage
    with open(kept[1], encoding="utf-8") as file:
        note = file.read()
    assert "WIRE" in note and "C000H" in note and "reason " in note, note
    assert metric(d, "lamina_quarantined_total") == counted + 1
    assert retrieved(d, uid) is None


def test_uids_that_are_none(d):
    for uid in ("../../../etc/passwd", "1..2", "abc", ""):
        before = len(refusals(d))
        caller = call(d, (MR, EXPLICIT))
        assert caller.store(1, uid, encoded(one(), EXPLICIT)) in (0x0117, 0xC000), uid
        caller.release()
        explains(d, before, "instance UID")
    caller = call(d, (MR, EXPLICIT))
    caller.ask_to_store(1, "1.2." + "3" * 70)  # no command at all (PS3.7 section 6.3)
    assert is_ended(caller)
    for name in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"):
        ds = one()
        content = encoded(ds, EXPLICIT)
        wrong = content.replace(ds[name].value.encode(), b"../" + b"x" * (len(ds[name].value) - 3))
        caller = call(d, (MR, EXPLICIT))
        assert caller.store(1, ds.SOPInstanceUID, wrong) in (0xC000, 0xA900), name
        caller.release()


def test_a_disk_that_is_nearly_full():
    """Refused before a byte is written, by either way in."""
    d = Daemon({"storage.reserve": "900T"})
    d.launch()
    wait_until(lambda: "serving" in d.log() and d.children("lamina-dimse"), 15, "laminad to serve")
    assert d.get("/healthz").status == 200 and d.get("/readyz").status == 503
    with contextlib.ExitStack() as stack:
        stack.callback(d.stop)
        ds, before = one(), len(refusals(d))
        caller = call(d, (MR, EXPLICIT))
        assert caller.store(1, ds.SOPInstanceUID, encoded(ds, EXPLICIT)) == 0xA700
        caller.release()
        explains(d, before, "A700")
        assert stow(d, [images.to_bytes(ds)]).status == 507
        assert metric(d, "lamina_refused_total") >= 1
        assert not images.files_below(os.path.join(d.data, "store")) + images.files_below(os.path.join(d.data, "spool"))


def test_an_association_that_breaks_off_leaves_nothing(d):
    for how in ("close", "abort"):
        ds = one(rows=4096)
        content = encoded(ds, EXPLICIT)
        caller = call(d, (MR, EXPLICIT))
        caller.ask_to_store(1, ds.SOPInstanceUID)
        caller.send_data(1, content[:len(content) // 2], last=False)
        wait_until(lambda: images.files_below(os.path.join(d.data, "spool")), 5, "the object to be on its way")
        if how == "abort":
            caller.send_pdu(7, b"\0\0\0\0")
        caller.connection.close()
        wait_until(lambda: not images.files_below(os.path.join(d.data, "spool")), 5, "the spool to be empty")
        assert retrieved(d, ds.SOPInstanceUID) is None


def test_limits_of_associations_in_all_and_of_a_peer():
    with Daemon({"dicom.max_associations": "3", "dicom.max_associations_per_peer": "2"}) as d:
        held = [call(d, (MR, EXPLICIT)) for _ in range(2)]
        assert is_refused(d, "WIRE"), "a third of one peer"
        held.append(call(d, (MR, EXPLICIT), calling="OTHER"))
        assert is_refused(d, "THIRD"), "a fourth in all"
        held.pop(0).release()
        wait_until(lambda: not is_refused(d, "WIRE"), 5, "a free place")
        wait_until(lambda: metric(d, "lamina_associations_rejected_total") >= 2, 5, "both to be counted")
        for caller in held:
            caller.release()


def is_refused(d, calling):
    """As transient: A-ASSOCIATE-RJ 2,3,2 (PS3.8 table 9-21)."""
    try:
        call(d, (MR, EXPLICIT), calling=calling).release()
    except AssertionError as problem:
        assert "3 b'\\x00\\x02\\x03\\x02'" in str(problem), problem
        return True
    return False


def test_a_connection_that_asks_for_nothing_is_ended():
    """ARTIM (PS3.8 9.1.5)"""
    with Daemon({"dicom.association_timeout": "1s"}) as d:
        started = time.monotonic()
        silent = socket.create_connection(("127.0.0.1", d.dicom_port))
        silent.settimeout(5 * PATIENCE)
        assert silent.recv(10) == b"" and time.monotonic() - started > 0.8


def test_silence_is_ended():
    with Daemon({"dicom.idle_timeout": "1s"}) as d:
        assert is_ended(call(d, (MR, EXPLICIT))), "an idle association was kept"


def test_silence_inside_an_object_is_ended():
    with Daemon({"dicom.idle_timeout": "5s"}) as d:
        caller = call(d, (MR, EXPLICIT))
        caller.ask_to_store(1, generate_uid())
        caller.send_data(1, b"\x08\x00", last=False)
        assert is_ended(caller), "one that stopped in the middle of an object was kept"
        wait_until(lambda: not images.files_below(os.path.join(d.data, "spool")), 5, "the spool to be empty")


def test_preambles_are_nulled(d):
    """A file that is a program as well is none any more."""
    for way in ("multipart", "single"):
        ds = one()
        content = images.to_bytes(ds)
        program = b"MZ\x90\0".ljust(128, b"\x90") + content[128:]
        if way == "multipart":
            assert stow(d, [program]).status == 200
        else:
            assert curl(d.url + "/dicom-web/studies", body=program,
                        headers={"Content-Type": "application/dicom", "Accept": "application/dicom+json"}).status == 200
        assert retrieved(d, ds.SOPInstanceUID) == data_set(content)


harness.run(globals(), Daemon({"analysis.stable_after": "1h"}))
