#!/usr/bin/python3
"""WADO-RS gives back what came in, byte for byte (promise 3), whichever way and in whichever transfer syntax it came."""
import io

import pydicom

import harness
from harness import images
from harness.clients import PROPOSE, curl, ours, parts_of, storescu, stow, wado
from harness.daemon import Daemon


def data_set_of(content):
    """The bytes after the file meta information (PS3.10 section 7.1)."""
    group_length = int.from_bytes(content[140:144], "little")
    return content[144 + group_length:]


def fetch(d, ds):
    answer = wado(d, ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.SOPInstanceUID)
    assert answer.status == 200, answer
    return answer.body


def test_cstore_in_several_transfer_syntaxes(d):
    """DCMTK's sender, real files: the data set on the wire is the data set that comes back."""
    seen = {}
    for path in images.files_below(harness.shared("data", "dicom", "fixtures", "pydicom")):
        try:
            ds = pydicom.dcmread(path, stop_before_pixels=True)
            syntax = ds.file_meta.TransferSyntaxUID
            complete = ds.SOPInstanceUID and ds.StudyInstanceUID and ds.SeriesInstanceUID
        except Exception:
            continue  # broken on purpose
        if not complete or syntax not in PROPOSE or seen.get(syntax, 0) >= 2:
            continue
        status, said = storescu(d, path, PROPOSE[syntax])
        if status != 0 or "Received Store Response (Success)" not in said:
            continue  # storescu itself cannot read some
        back = pydicom.dcmread(io.BytesIO(fetch(d, ds)))
        sent = pydicom.dcmread(path)
        assert back.file_meta.TransferSyntaxUID == syntax, path
        for element in sent:
            if element.tag.element != 0 and element.tag != 0xFFFCFFFC:  # group lengths and padding are not content
                assert back[element.tag] == element, (path, element.tag)
        seen[syntax] = seen.get(syntax, 0) + 1
    print("# " + ", ".join(f"{pydicom.uid.UID(uid).name}: {n}" for uid, n in seen.items()))
    assert len(seen) >= 6, seen


def test_lamina_send_is_byte_exact():
    """Our own sender passes the bytes of a file as they are, in whichever transfer syntax."""
    with Daemon() as d:
        exact = set()
        for syntax, path in one_of_each_syntax().items():
            with open(path, "rb") as file:
                content = file.read()
            status, said = ours("lamina", "send", f"127.0.0.1:{d.dicom_port}/LAMINA", path)
            if "stored already with other content" in said:
                continue  # two of them share a UID
            assert status == 0, (path, said)
            back = fetch(d, pydicom.dcmread(path, stop_before_pixels=True))
            assert data_set_of(back) == data_set_of(content), (syntax, path)
            exact.add(syntax)
        print("# " + ", ".join(sorted(uid.name for uid in exact)))
        assert len(exact) >= 10, exact


def one_of_each_syntax():
    found = {}
    for path in images.files_below(harness.shared("data", "dicom", "fixtures")):
        try:
            ds = pydicom.dcmread(path, stop_before_pixels=True)
            if ds.SOPInstanceUID and ds.StudyInstanceUID and ds.SeriesInstanceUID and ds.file_meta.FileMetaInformationGroupLength:
                found.setdefault(ds.file_meta.TransferSyntaxUID, path)
        except Exception:
            continue
    return found


def test_single_part_and_multipart_are_the_same(d):
    ds = images.series(slices=1, SeriesDescription="T2")[0]
    content = images.to_bytes(ds)
    assert stow(d, [content]).status == 200
    assert fetch(d, ds) == content
    many = wado(d, ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.SOPInstanceUID,
                accept='multipart/related; type="application/dicom"; transfer-syntax=*')
    assert many.status == 200 and many.headers["content-type"].startswith("multipart/related"), many.headers
    assert parts_of(many) == [content]


def test_a_series_and_a_study(d):
    first = images.series(slices=4, SeriesDescription="T2")
    study = first[0].StudyInstanceUID
    second = images.series(slices=3, study=study, SeriesDescription="T1")
    contents = {ds.SOPInstanceUID: images.to_bytes(ds) for ds in first + second}
    assert stow(d, list(contents.values())).status == 200
    accept = 'multipart/related; type="application/dicom"; transfer-syntax=*'
    series = wado(d, study, first[0].SeriesInstanceUID, accept=accept)
    assert sorted(parts_of(series)) == sorted(contents[ds.SOPInstanceUID] for ds in first)
    whole = wado(d, study, accept=accept)
    assert sorted(parts_of(whole)) == sorted(contents.values())


def test_what_is_not_there(d):
    for path in ("/dicom-web/studies/1.2.3", "/dicom-web/studies/1.2.3/series/1.2.4", "/api/v1/studies/1.2.3",
                 "/dicom-web/studies/1.2.3/series/1.2.4/instances/1.2.5", "/api/v1/jobs/999999", "/nothing/here"):
        answer = curl(d.url + path, headers={"Accept": "*/*"})
        assert answer.status == 404, (path, answer)
        assert answer.headers["content-type"].startswith("application/problem+json"), (path, answer.headers)


def test_what_is_no_uid(d):
    for uid in ("..%2f..%2fetc%2fpasswd", "1.2.3%00", "x", "1" * 65):
        assert curl(d.url + f"/dicom-web/studies/{uid}", headers={"Accept": "*/*"}).status in (400, 404), uid


def test_an_accept_that_cannot_be_met(d):
    ds = images.series(slices=1, SeriesDescription="T2")[0]
    assert stow(d, [images.to_bytes(ds)]).status == 200
    uids = (ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.SOPInstanceUID)
    assert wado(d, *uids, accept="text/plain").status == 406
    # Into nothing but Explicit VR Little Endian is anything transcoded.
    refused = wado(d, *uids, accept="application/dicom; transfer-syntax=1.2.840.10008.1.2.4.90")
    assert refused.status == 406 and refused.json["detail"].count(pydicom.uid.ExplicitVRLittleEndian) == 1, refused


def test_head_gives_no_body(d):
    answer = curl(d.url + "/healthz", "--head")
    assert answer.status == 200


harness.run(globals(), Daemon())
