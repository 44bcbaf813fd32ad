#!/usr/bin/python3
"""QIDO-RS and metadata, case by case, each with the clause of PS3.18 (2024) or PS3.4 that it checks."""
import gzip
import hashlib
import os
import urllib.parse
import xml.etree.ElementTree as ElementTree

import harness
from harness import images
from harness.clients import curl, parts_of, stow
from harness.daemon import Daemon, wait_until

JSON = "application/dicom+json"
XML = 'multipart/related; type="application/dicom+xml"'

STUDIES = [
    dict(PatientName="Müller^Eva", PatientID="P1", StudyDate="20200105", StudyTime="101530", Modality="MR",
         AccessionNumber="A1", SeriesDescription="T2", SpecificCharacterSet="ISO_IR 100"),
    dict(PatientName="SMITH^JOHN", PatientID="P2", StudyDate="20210210", StudyTime="235900", Modality="CT",
         AccessionNumber="A[2]", SeriesDescription="chest"),
    dict(PatientName="Yamada^Tarou=山田^太郎", PatientID="P22", StudyDate="20220301", StudyTime="0800", Modality="MR",
         AccessionNumber="A3", SeriesDescription="T1", SpecificCharacterSet="ISO_IR 192"),
]
uids = []


def find(d, path, accept=JSON, **headers):
    return curl(d.url + "/dicom-web" + path, headers={"Accept": accept, **headers})


def patients(answer):
    return sorted(study["00100020"]["Value"][0] for study in answer.json) if answer.status == 200 else []


def test_set_up(d):
    for attributes in STUDIES:
        series = images.series(slices=3, **attributes)
        uids.append((series[0].StudyInstanceUID, series[0].SeriesInstanceUID, [ds.SOPInstanceUID for ds in series]))
        assert stow(d, [images.to_bytes(ds) for ds in series]).status == 200


# (clause, query, status, patients found)
SEARCHES = [
    ("PS3.4 C.2.2.2.1 single value", "PatientID=P2", 200, ["P2"]),
    ("PS3.18 8.3.4.1 tag for keyword", "00100020=P2", 200, ["P2"]),
    ("PS3.4 C.2.2.2.3 universal", "PatientID=", 200, ["P1", "P2", "P22"]),
    ("PS3.5 6.2 blanks do not count", "PatientID=%20P2%20%20", 200, ["P2"]),
    ("PS3.5 6.2 blanks in a list", "ModalitiesInStudy=MR,%20CT", 200, ["P1", "P2", "P22"]),
    ("PS3.4 C.2.2.2.4 wildcard *", "PatientID=P2*", 200, ["P2", "P22"]),
    ("PS3.4 C.2.2.2.4 wildcard * encoded", "PatientID=P2%2A", 200, ["P2", "P22"]),
    ("PS3.4 C.2.2.2.4 wildcard ?", "PatientID=P2?", 200, ["P22"]),
    ("PS3.4 C.2.2.2.4 no other wildcard", "AccessionNumber=A%5B2%5D", 200, ["P2"]),
    ("PS3.4 C.2.2.2.4 no other wildcard", "AccessionNumber=A%5B?%5D*", 200, ["P2"]),
    ("PS3.4 C.2.2.2.5 range of dates", "StudyDate=20200101-20201231", 200, ["P1"]),
    ("PS3.4 C.2.2.2.5 open at the end", "StudyDate=20210210-", 200, ["P2", "P22"]),
    ("PS3.4 C.2.2.2.5 open at the start", "StudyDate=-20210210", 200, ["P1", "P2"]),
    ("PS3.4 C.2.2.2.5 range of times", "StudyTime=080000-1015", 200, ["P1", "P22"]),
    ("PS3.4 C.2.2.2.1 names without case", "PatientName=smith^john", 200, ["P2"]),
    ("PS3.4 C.2.2.2.1 names without accents", "PatientName=MULLER^EVA", 200, ["P1"]),
    ("PS3.4 C.2.2.2.1 names by component", "PatientName=Smith", 200, ["P2"]),
    ("PS3.4 C.2.2.2.1 not by part of one", "PatientName=Smi", 204, []),
    ("PS3.4 C.2.2.2.1 ideographic group", "PatientName=" + urllib.parse.quote("山田*"), 200, ["P22"]),
    ("PS3.18 8.3.4.2 fuzzy", "PatientName=tar%20yama&fuzzymatching=true", 200, ["P22"]),
    ("PS3.18 8.3.4.1 ModalitiesInStudy", "ModalitiesInStudy=CT", 200, ["P2"]),
    ("PS3.18 8.3.4.1 list of codes", "ModalitiesInStudy=CT,US", 200, ["P2"]),
    ("relational: Modality of a series", "Modality=MR", 200, ["P1", "P22"]),
    ("RFC 3986 3.4: nothing is no key", "&&PatientID=P2&", 200, ["P2"]),
    ("two keys", "Modality=MR&StudyDate=2022" + "0301", 200, ["P22"]),
    ("relational: SeriesDescription", "SeriesDescription=ch*", 200, ["P2"]),
    ("PS3.18 10.6.3 nothing found", "PatientID=nobody", 204, []),
    ("as OHIF asks", "limit=101&offset=0&fuzzymatching=false&includefield=00081030%2C00080060%2C00080090%2C00100030",
     200, ["P1", "P2", "P22"]),
    ("as OHIF asks", "limit=101&offset=0&fuzzymatching=true&PatientName=smi&includefield=00081030", 200, ["P2"]),
]


def test_searches(d):
    for clause, query, status, found in SEARCHES:
        answer = find(d, "/studies?" + query)
        assert (answer.status, patients(answer)) == (status, found), (clause, query, answer)


def test_bad_parameters_are_named(d):
    """PS3.18 table 10.6.3-1: 400"""
    for query, name in [("Foo=1", "Foo"), ("StudyDate=2020", "StudyDate"), ("StudyTime=9", "StudyTime"), ("limit=x", "limit"),
                        ("limit=-1", "limit"), ("offset=1.5", "offset"), ("fuzzymatching=yes", "fuzzymatching"),
                        ("limit=5&offset=1&limit=2", "limit"), ("StudyInstanceUID=a,b", "StudyInstanceUID"),
                        ("includefield=no%20keyword", "includefield"),
                        ("SeriesNumber=one", "SeriesNumber"), ("00081190=x", "00081190"), ("7FE00010=x", "7FE00010")]:
        answer = find(d, "/studies?" + query)
        assert answer.status == 400 and name in answer.json["detail"], (query, answer)


def test_uid_lists(d):
    """PS3.4 C.2.2.2.2"""
    both = f"{uids[0][0]},{uids[1][0]}"
    assert patients(find(d, f"/studies?StudyInstanceUID={both}")) == ["P1", "P2"]
    assert patients(find(d, f"/studies?StudyInstanceUID={both.replace(',', '%5C')}")) == ["P1", "P2"]


def test_required_attributes(d):
    """PS3.18 tables 10.6.3-3 to 10.6.3-5"""
    study, series, _ = uids[0]
    levels = {
        "/studies?PatientID=P1": "00080020 00080030 00080050 00080056 00080061 00080090 00081190 00100010 00100020 00100030 "
                                 "00100040 0020000D 00200010 00201206 00201208",
        f"/studies/{study}/series": "00080060 0008103E 00081190 0020000E 00200011 00201209",
        f"/studies/{study}/series/{series}/instances": "00080016 00080018 00081190 00200013 00280010 00280011 00280100",
    }
    for path, tags in levels.items():
        first = find(d, path).json[0]
        missing = [tag for tag in tags.split() if tag not in first]
        assert not missing, (path, missing)
        assert list(first) == sorted(first), "PS3.18 F.2.2: in the order of the tags"
        assert first["00080005"]["Value"] == ["ISO_IR 192"]
    found = find(d, "/studies?PatientID=P1").json[0]
    assert found["00201206"]["Value"] == [1] and found["00201208"]["Value"] == [3]
    assert found["00080061"]["Value"] == ["MR"]
    assert found["00100010"]["Value"][0]["Alphabetic"] == "Müller^Eva", "PS3.18 F.2.2: UTF-8"


def test_every_level(d):
    """PS3.18 table 10.6.1-1"""
    study, series, instances = uids[1]
    for path, count in [("/series", 3), ("/instances", 9), (f"/studies/{study}/series", 1), (f"/studies/{study}/instances", 3),
                        (f"/studies/{study}/series/{series}/instances", 3), (f"/instances?SOPInstanceUID={instances[0]}", 1),
                        ("/series?Modality=MR", 2), ("/instances?PatientID=P1", 3)]:
        answer = find(d, path)
        assert answer.status == 200 and len(answer.json) == count, (path, answer)
    relational = find(d, f"/instances?SOPInstanceUID={instances[0]}").json[0]
    assert "00100010" in relational and "00080060" in relational, "PS3.18 10.6.3.3: the levels above"


def test_includefield(d):
    """PS3.18 8.3.4.3"""
    study, series, _ = uids[0]
    path = f"/studies/{study}/series/{series}/instances?limit=1"
    assert "00280030" not in find(d, path).json[0]
    for field in ("00280030", "PixelSpacing,00280030", "all"):
        assert "00280030" in find(d, f"{path}&includefield={field}").json[0], field
    assert find(d, path + "&includefield=SomeKeywordNobodyKnows").status == 200


def test_pages(d):
    """PS3.18 8.3.4.4: the pages are the whole, in one order; Warning 299 while there are more"""
    whole = [x["00080018"]["Value"][0] for x in find(d, "/instances").json]
    pages = []
    for offset in range(0, 9, 4):
        page = find(d, f"/instances?limit=4&offset={offset}")
        assert ("299" in page.headers.get("warning", "")) == (offset < 8), page.headers
        pages += [x["00080018"]["Value"][0] for x in page.json]
    assert pages == whole
    assert find(d, "/instances?offset=9").status == 204


def test_accept(d):
    """PS3.18 8.7: what is asked for, or 406 with what there is"""
    for accept, kind in [("*/*", JSON), ("application/json", "application/json"), (XML, "multipart/related"),
                         ("text/html;q=0.5, application/dicom+json;q=0.9, */*;q=0.1", JSON)]:
        answer = find(d, "/studies", accept)
        assert answer.status == 200 and answer.headers["content-type"].startswith(kind), (accept, answer.headers)
    refused = find(d, "/studies", "text/html")
    assert refused.status == 406 and "application/dicom+json" in refused.json["detail"]
    assert len(parts_of(find(d, "/studies", XML))) == 3
    for part in parts_of(find(d, "/studies", XML)):
        ElementTree.fromstring(part)


def test_metadata(d):
    """PS3.18 10.4.1.1.2"""
    study, series, instances = uids[0]
    whole = find(d, f"/studies/{study}/metadata")
    assert [x["00080018"]["Value"][0] for x in whole.json] == instances
    assert find(d, f"/studies/{study}/series/{series}/metadata").json == whole.json
    one = find(d, f"/studies/{study}/series/{series}/instances/{instances[1]}/metadata")
    assert one.json == [whole.json[1]] and "7FE00010" not in one.json[0].get("InlineBinary", "")
    assert whole.json[0]["00100010"]["Value"][0]["Alphabetic"] == "Müller^Eva"
    assert whole.json[0]["00080005"]["Value"] == ["ISO_IR 192"]
    assert len(parts_of(find(d, f"/studies/{study}/metadata", XML))) == 3
    assert find(d, "/studies/1.2.3/metadata").status == 404


def test_conditional_and_coded(d):
    """RFC 9110: ETag, If-None-Match, gzip, HEAD"""
    path = f"/studies/{uids[0][0]}/metadata"
    plain = find(d, path)
    packed = find(d, path, **{"Accept-Encoding": "gzip"})
    assert packed.headers["content-encoding"] == "gzip" and gzip.decompress(packed.body) == plain.body
    assert "content-encoding" not in find(d, path, **{"Accept-Encoding": "gzip;q=0"}).headers
    same = find(d, path, **{"If-None-Match": plain.headers["etag"]})
    assert same.status == 304 and same.body == b""
    for name in ("etag", "vary", "cache-control"):  # RFC 9110 section 15.4.5
        assert same.headers[name] == plain.headers[name], (name, same.headers)
    for path_of_one in (f"/studies/{uids[0][0]}", f"/studies/{uids[0][0]}/rendered"):
        assert "Accept" in curl(d.url + "/dicom-web" + path_of_one).headers["vary"], path_of_one
    head = curl(d.url + "/dicom-web" + path, "--head", headers={"Accept": JSON})
    assert head.status == 200 and int(head.headers["content-length"]) == len(plain.body)


def test_cors_on_every_answer(d):
    """Fetch standard: errors and preflights, too"""
    origin = {"Origin": "https://viewer.example.org"}
    for path in ("/studies", "/studies?Foo=1", "/studies?PatientID=nobody", "/nothing", "/studies/1.2.3/metadata"):
        answer = find(d, path, **origin)
        assert answer.headers.get("access-control-allow-origin") == origin["Origin"], (path, answer.headers)
    preflight = curl(d.url + "/dicom-web/studies", "-X", "OPTIONS",
                     headers={**origin, "Access-Control-Request-Method": "GET"})
    assert preflight.status == 204 and "GET" in preflight.headers["access-control-allow-methods"]
    assert "access-control-allow-origin" not in find(d, "/studies", Origin="https://other.example.org").headers


def test_delete(d):
    study, series, instances = uids[1]
    path = f"{d.url}/dicom-web/studies/{study}/series/{series}"
    assert curl(path, "-X", "DELETE").status == 403, "off by default"
    with Daemon({"http.allow_delete": "yes"}) as other:
        mine = images.series(slices=3, **STUDIES[1])
        assert stow(other, [images.to_bytes(ds) for ds in mine]).status == 200
        place = f"{other.url}/dicom-web/studies/{mine[0].StudyInstanceUID}"
        one = f"{place}/series/{mine[0].SeriesInstanceUID}/instances/{mine[0].SOPInstanceUID}"
        assert curl(one, "-X", "DELETE").status == 204
        assert curl(one, "-X", "DELETE").status == 404
        assert find(other, "/studies").json[0]["00201208"]["Value"] == [2]
        assert curl(place, "-X", "DELETE").status == 204
        assert find(other, "/studies").status == 204 and curl(place, headers={"Accept": "*/*"}).status == 404
        mark = hashlib.sha256(mine[0].StudyInstanceUID.encode()).hexdigest()[:16]
        told = [line for line in other.log().splitlines() if "event=removed" in line]
        assert len(told) == 2 and all(f"study={mark}" in line for line in told), told
        assert not [line for line in told if mine[0].StudyInstanceUID in line], "no UID in the log"
        left = [name for _, _, names in os.walk(os.path.join(other.data, "store")) for name in names]
        assert not left, left


def test_delete_takes_results_along(_):
    """What was found in a series is gone with it; what is found in the rest is published again"""
    with Daemon({"http.allow_delete": "yes"}) as other:
        mine, rest = images.series(), images.series(slices=2, SeriesDescription="T2")
        for ds in rest:
            ds.StudyInstanceUID = mine[0].StudyInstanceUID
        assert stow(other, [images.to_bytes(ds) for ds in mine + rest]).status == 200
        assert other.wait_for_study(mine[0].StudyInstanceUID)["state"] == "done"
        path = f"/studies/{mine[0].StudyInstanceUID}"
        objects = find(other, path + "/instances").json
        assert len(objects) > len(mine + rest), objects
        assert curl(f"{other.url}/dicom-web{path}/series/{mine[0].SeriesInstanceUID}", "-X", "DELETE").status == 204
        assert len(find(other, path + "/instances").json) == len(rest)
        assert stow(other, [images.to_bytes(ds) for ds in mine]).status == 200
        assert other.wait_for_study(mine[0].StudyInstanceUID)["state"] == "done"
        again = find(other, path + "/instances").json
        assert {o["00080018"]["Value"][0] for o in again} == {o["00080018"]["Value"][0] for o in objects}


def test_delete_under_a_running_job(_):
    """The job ends with what it worked on, nothing of it stays, and the daemon goes on"""
    with Daemon({"http.allow_delete": "yes"}) as other:
        mine = images.series()
        place = f"{other.url}/dicom-web/studies/{mine[0].StudyInstanceUID}"
        assert stow(other, [images.to_bytes(ds) for ds in mine]).status == 200
        assert other.analyze(mine[0].StudyInstanceUID).status == 202
        wait_until(lambda: other.get("/api/v1/jobs").json["jobs"], 10, "a job")
        assert curl(place, "-X", "DELETE").status == 204
        assert other.get("/api/v1/jobs").json["jobs"] == [] and find(other, "/studies").status == 204
        next_one = images.series(slices=8)
        assert stow(other, [images.to_bytes(ds) for ds in next_one]).status == 200
        other.wait_for_study(next_one[0].StudyInstanceUID)
        assert len(find(other, "/studies").json) == 1, "nothing of the removed one came back"
        assert other.get("/readyz").status == 200


def test_how_many_remain(d):
    """PS3.18 8.3.4.4.1"""
    warning = find(d, "/studies?limit=1&offset=1").headers["warning"]
    assert warning == '299 lamina "There are 1 additional results that can be requested"', warning
    assert "warning" not in find(d, "/studies?limit=3").headers


def test_pixel_data_has_a_uri(d):
    """PS3.18 table F.2.3.1-1: and what it names is there"""
    study, series, instances = uids[0]
    found = find(d, f"/studies/{study}/series/{series}/metadata").json
    pixels = found[0]["7FE00010"]
    assert pixels["vr"] == "OW" and list(found[0])[-1] == "7FE00010", pixels
    uri = pixels["BulkDataURI"]
    answer = curl(d.url + uri if uri.startswith("/") else uri, headers={"Accept": "application/octet-stream"})
    assert answer.status == 200 and len(answer.body) == 48 * 40 * 2, answer


def test_pixel_data_of_every_kind_are_named_as_they_are(d):
    """PS3.18 table F.2.3.1-1: tag and VR are those of the object, whatever holds its pixels"""
    values = bytes(range(256)) * 4
    for tag, vr, name, bits, deflated in (("7FE00010", "OB", "PixelData", 8, False), ("7FE00010", "OW", "PixelData", 8, True),
                                          ("7FE00008", "OF", "FloatPixelData", 32, False),
                                          ("7FE00009", "OD", "DoubleFloatPixelData", 64, False)):
        ds = images.series(slices=1, rows=8, columns=len(values) // bits, SeriesDescription="pixels")[0]
        del ds.PixelData
        ds.BitsAllocated, ds.BitsStored, ds.HighBit = bits, bits, bits - 1
        setattr(ds, name, values)
        ds[name].VR = vr
        if deflated:
            ds.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.1.99"
        assert stow(d, [images.to_bytes(ds)]).status == 200, name
        place = f"/studies/{ds.StudyInstanceUID}/series/{ds.SeriesInstanceUID}/instances/{ds.SOPInstanceUID}"
        found = find(d, place + "/metadata").json[0]
        named = {key: found[key] for key in found if key.startswith("7FE0")}
        assert named == {tag: {"vr": vr, "BulkDataURI": f"/dicom-web{place}/bulkdata/{tag}"}}, named
        answer = curl(d.url + named[tag]["BulkDataURI"], headers={"Accept": "application/octet-stream"})
        assert answer.status == 200 and answer.body == values, (name, answer)


harness.run(globals(), Daemon({"http.cors_origins": "https://viewer.example.org"}))
