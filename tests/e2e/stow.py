#!/usr/bin/python3
"""STOW-RS as PS3.18 section 10.5 has it, by curl: what is stored, what is refused, and with which words."""
import gzip
import io
import uuid
import xml.etree.ElementTree

import pydicom
from pydicom.uid import generate_uid

import harness
from harness import images
from harness.clients import curl, multipart, post_stow, pretty, stow, wado
from harness.daemon import Daemon

FAILED, REFERENCED, OTHER, REASON, INSTANCE = "00081198", "00081199", "0008119A", "00081197", "00081155"


def one(**attributes):
    return images.series(slices=1, SeriesDescription="T2", **attributes)[0]


def values(response, tag):
    return response.json.get(tag, {}).get("Value", [])


def test_good_instances_are_stored(d):
    good = images.series(slices=5, SeriesDescription="T2")
    answer = stow(d, [images.to_bytes(ds) for ds in good])
    assert answer.status == 200, answer
    stored = {item[INSTANCE]["Value"][0] for item in values(answer, REFERENCED)}
    assert stored == {ds.SOPInstanceUID for ds in good}, pretty(answer.json)
    assert FAILED not in answer.json and OTHER not in answer.json, pretty(answer.json)
    assert d.study(good[0].StudyInstanceUID)["series"][0]["instances"] == 5


def test_the_answer_names_where_to_retrieve(d):
    ds = one()
    answer = stow(d, [images.to_bytes(ds)])
    url = values(answer, REFERENCED)[0]["00081190"]["Value"][0]
    assert url.endswith(f"/studies/{ds.StudyInstanceUID}/series/{ds.SeriesInstanceUID}/instances/{ds.SOPInstanceUID}")
    path = url[url.index("/dicom-web"):]
    assert curl(d.url + path, headers={"Accept": "application/dicom"}).status == 200


def test_the_same_again_is_success_and_changes_nothing(d):
    ds = one()
    content = images.to_bytes(ds)
    assert stow(d, [content]).status == 200
    assert stow(d, [content]).status == 200
    assert d.study(ds.StudyInstanceUID)["series"][0]["instances"] == 1


def test_other_bytes_under_the_same_uid_are_refused(d):
    ds = one()
    first = images.to_bytes(ds)
    assert stow(d, [first]).status == 200
    ds.PatientComments = "changed"
    answer = stow(d, [images.to_bytes(ds)])
    assert answer.status == 409 and values(answer, FAILED), answer
    assert wado(d, ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.SOPInstanceUID).body == first


def test_a_text_file_is_refused_with_a_reason(d):
    answer = stow(d, [b"This is no DICOM file.\n" * 100])
    assert answer.status == 409, answer
    reasons = [item[REASON]["Value"][0] for item in values(answer, OTHER)]
    assert reasons and all(0xC000 <= r <= 0xCFFF or r in (0x0110, 0xA900) for r in reasons), pretty(answer.json)


def test_a_bad_part_does_not_poison_the_good_ones(d):
    good = one()
    answer = stow(d, [b"no DICOM", images.to_bytes(good), b""])
    assert answer.status == 202, answer
    assert [i[INSTANCE]["Value"][0] for i in values(answer, REFERENCED)] == [good.SOPInstanceUID]
    assert len(values(answer, FAILED)) + len(values(answer, OTHER)) == 2, pretty(answer.json)


def test_an_empty_body_is_a_bad_request(d):
    answer = post_stow(d, 'multipart/related; type="application/dicom"; boundary=x', b"")
    assert answer.status == 400, answer
    assert answer.headers["content-type"].startswith("application/problem+json"), answer.headers
    assert answer.json["status"] == 400 and answer.json["title"], answer


def test_a_body_without_parts_is_a_bad_request(d):
    for body in (b"--x--\r\n", b"\r\n", b"no boundary anywhere"):
        answer = post_stow(d, 'multipart/related; type="application/dicom"; boundary=x', body)
        assert answer.status == 400, (body, answer)


def test_a_cut_body_stores_nothing_of_its_last_part(d):
    ds = one()
    kind, body = multipart([images.to_bytes(ds)])
    answer = post_stow(d, kind, body[:-200])
    assert answer.status in (400, 409), answer
    assert d.study(ds.StudyInstanceUID) is None


def test_a_wrong_media_type_is_unsupported(d):
    for kind in ("text/plain", "application/json", "application/x-www-form-urlencoded",
                 'multipart/related; type="image/jpeg"; boundary=x', "multipart/form-data; boundary=x"):
        answer = post_stow(d, kind, b"--x\r\n\r\n\r\n--x--")
        assert answer.status == 415, (kind, answer)


def test_a_coded_body_is_unsupported(d):
    """RFC 9110 8.4: what is coded would be stored coded, or be said to have no boundary"""
    ds = one()
    kind, body = multipart([images.to_bytes(ds)])
    for coding, sent, status in (("gzip", gzip.compress(body), 415), ("identity", body, 200)):
        answer = d.request("POST", "/dicom-web/studies", sent, {"Content-Type": kind, "Content-Encoding": coding})
        assert answer.status == status, answer
        assert status == 200 or (answer.headers["Accept-Encoding"] == "identity" and d.study(ds.StudyInstanceUID) is None)


def test_a_missing_boundary_is_a_bad_request(d):
    answer = post_stow(d, 'multipart/related; type="application/dicom"', b"--x--")
    assert answer.status == 400, answer


def test_an_accept_that_cannot_be_met(d):
    kind, body = multipart([images.to_bytes(one())])
    assert post_stow(d, kind, body, accept="image/png").status == 406


def test_the_answer_in_xml(d):
    kind, body = multipart([images.to_bytes(one())])
    answer = post_stow(d, kind, body, accept="application/dicom+xml")
    assert answer.status == 200 and answer.headers["content-type"].startswith("application/dicom+xml"), answer
    root = xml.etree.ElementTree.fromstring(answer.body)
    assert root.tag.endswith("NativeDicomModel"), root.tag


def test_another_study_than_the_url_says(d):
    ds = one()
    answer = stow(d, [images.to_bytes(ds)], study_uid=generate_uid())
    assert answer.status == 409 and values(answer, FAILED), answer
    assert d.study(ds.StudyInstanceUID) is None
    assert stow(d, [images.to_bytes(ds)], study_uid=ds.StudyInstanceUID).status == 200


def test_boundaries_quoted_long_and_inside_pixels(d):
    for boundary in ("a", "b" * 70, "with'()+_,-./:=?chars", f"{uuid.uuid4()}-{uuid.uuid4()}"):  # the last as Orthanc does
        ds = one()
        # The boundary also occurs in the pixels, where no CRLF is before it.
        ds.PixelData = (b"--" + boundary.encode() + b"--").ljust(len(ds.PixelData), b"\1")
        content = images.to_bytes(ds)
        kind, body = multipart([content], boundary=boundary, preamble=b"preamble\r\n")
        kind = kind.replace(f"boundary={boundary}", f'Boundary="{boundary}"')
        answer = post_stow(d, kind, body)
        assert answer.status == 200, (boundary, answer)
        assert wado(d, ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.SOPInstanceUID).body == content


def test_chunked_bodies(d):
    ds = one()
    kind, body = multipart([images.to_bytes(ds)])
    answer = curl(d.url + "/dicom-web/studies", body=body,
                  headers={"Content-Type": kind, "Accept": "application/dicom+json", "Transfer-Encoding": "chunked"})
    assert answer.status == 200, answer


def test_one_instance_without_multipart(d):
    ds = one()
    answer = post_stow(d, "application/dicom", images.to_bytes(ds))
    assert answer.status == 200, answer


def test_uids_that_are_paths_are_refused(d):
    for uid in ("../../../../etc/passwd", "/etc/passwd", "1.2.3/4", "1..2", "x", ""):
        ds = one()
        right = ds.SOPInstanceUID.encode()
        content = images.to_bytes(ds).replace(right, uid.encode().ljust(len(right), b"\0"))
        answer = stow(d, [content])
        assert answer.status == 409, (uid, answer)


def test_a_cut_file_is_refused_or_kept_as_it_is(d):
    """A header that stops early cannot be indexed; pixels that stop early are the sender's own business."""
    content = images.to_bytes(one())
    for length in (10, 131, 132, 140, 300, 500):
        answer = stow(d, [content[:length]])
        assert answer.status == 409, (length, answer)


def test_real_files_by_the_hundred(d):
    """All fixtures: stored and given back byte for byte, or refused with a reason; none harms the daemon."""
    stored = refused = 0
    for path in images.files_below(harness.shared("data", "dicom", "fixtures")):
        if path.endswith(".md"):
            continue
        with open(path, "rb") as file:
            content = file.read()
        answer = stow(d, [content])
        assert answer.status in (200, 202, 409), (path, answer)
        if answer.status == 409:
            assert values(answer, FAILED) or values(answer, OTHER), (path, answer)
            refused += 1
            continue
        url = values(answer, REFERENCED)[0]["00081190"]["Value"][0]
        back = curl(d.url + url[url.index("/dicom-web"):], headers={"Accept": "application/dicom; transfer-syntax=*"})
        assert back.status == 200 and back.body == bytes(128) + content[128:], path  # but for the preamble
        stored += 1
    print(f"# {stored} stored, {refused} refused")
    assert stored >= 120, (stored, refused)  # many of them share UIDs or are broken on purpose
    assert d.get("/readyz").status == 200


def test_the_stored_file_is_readable_by_others(d):
    ds = one()
    stow(d, [images.to_bytes(ds)])
    back = pydicom.dcmread(io.BytesIO(wado(d, ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.SOPInstanceUID).body))
    assert back == ds


harness.run(globals(), Daemon())
