#!/usr/bin/python3
"""DICOMweb case by case: each row is a request by curl, the clause that says what is to come of it (PS3.18 2024 unless another is named),
and what is expected. Searching by values has its own table in qido.py, decoding in pixels.py."""
import collections
import io
import re
import sqlite3
import subprocess
import xml.etree.ElementTree as ElementTree

import numpy
import pydicom
from pydicom.uid import RLELossless, generate_uid

import harness
from harness import images
from harness.clients import curl, parts_of, stow
from harness.daemon import Daemon

JSON, XML = "application/dicom+json", 'multipart/related; type="application/dicom+xml"'
LITTLE, RLE, J2K = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.5", "1.2.840.10008.1.2.4.90"
OCTETS = 'multipart/related; type="application/octet-stream"'
DICOM = 'multipart/related; type="application/dicom"'
PROBLEM = "application/problem+json"
ORIGIN = "https://viewer.example.org"

Case = collections.namedtuple("Case", "clause path status accept kind has lacks holds send method")
known = {}


def case(clause, path, status=200, accept="*/*", kind=None, has=None, lacks=(), holds=None, send=None, method="GET"):
    """`kind`: how the Content-Type begins; `has`: headers by regular expressions; `holds`: what is true of the answer."""
    return Case(clause, path, status, accept, kind, has or {}, lacks, holds, send or {}, method)


def first(answer):
    return answer.json[0]


# One study: {image}, native with a value apart; {rle}, the same pixels in RLE; {bits}, two frames of one bit; {text}, without pixels.
IMAGE = "/studies/{study}/series/{series}/instances/{image}"
RLES = "/studies/{study}/series/{series}/instances/{rle}"
BITS = "/studies/{study}/series/{series}/instances/{bits}"
TEXT = "/studies/{study}/series/{series}/instances/{text}"

NEGOTIATION = [
    # ---- searches and metadata ----
    case("8.7.5 nothing asked for: the default", "/studies", accept="", kind=JSON),
    case("8.7.5 anything", "/studies", accept="*/*", kind=JSON),
    case("8.7.5 any of a type", "/studies", accept="application/*", kind=JSON),
    case("8.7.3.2 table 8.7.3-2 JSON", "/studies", accept="application/dicom+json", kind=JSON),
    case("8.7.3.2 as plain JSON", "/studies", accept="application/json", kind="application/json"),
    case("8.7.3.2 XML in parts", "/studies", accept=XML, kind="multipart/related", holds=lambda a: all(map(ElementTree.fromstring, parts_of(a))) or True),
    case("8.7.3.2 unquoted", "/studies", accept="multipart/related; type=application/dicom+xml", kind="multipart/related"),
    case("RFC 9110 12.5.1 by q", "/studies", accept="application/json;q=0.5, application/dicom+json;q=0.9", kind=JSON),
    case("RFC 9110 12.5.1 q of the closer range", "/studies", accept="*/*;q=0.9, application/dicom+json;q=0", kind="application/json"),
    case("RFC 9110 12.5.1 what cannot be read is passed over", "/studies", accept="nonsense, application/json", kind="application/json"),
    case("8.3.3.1 accept as a parameter", "/studies?accept=application/json", accept="text/html", kind="application/json"),
    case("8.7.5 406 with what is on offer, not 400", "/studies", 406, accept="text/html", kind=PROBLEM, holds=lambda a: "application/dicom+json" in a.json["detail"]),
    case("8.7.5 406, metadata", IMAGE + "/metadata", 406, accept="image/png", kind=PROBLEM, holds=lambda a: "dicom+json" in a.json["detail"]),
    case("10.4.1.1.2 metadata, JSON", IMAGE + "/metadata", accept=JSON, kind=JSON, holds=lambda a: len(a.json) == 1),
    case("10.4.1.1.2 metadata, XML", IMAGE + "/metadata", accept=XML, kind="multipart/related", holds=lambda a: len(parts_of(a)) == 1),
    # ---- instances ----
    case("8.7.3.1 the default is multipart", IMAGE, accept="", kind="multipart/related", holds=lambda a: parts_of(a) == [known["bytes"]]),
    case("8.7.3.1 single part", IMAGE, accept="application/dicom", kind="application/dicom", holds=lambda a: a.body == known["bytes"]),
    case("8.7.3.5.2 stored, whichever it is", RLES, accept=DICOM + "; transfer-syntax=*", kind="multipart/related", holds=lambda a: parts_of(a) == [known["rle bytes"]]),
    case("8.7.3.5.2 stored, by its name", RLES, accept=f"application/dicom; transfer-syntax={RLE}", holds=lambda a: a.body == known["rle bytes"]),
    case("8.7.3.5.2 transcoded", RLES, accept=f"application/dicom; transfer-syntax={LITTLE}", holds=lambda a: plain(a.body)),
    case("8.7.3.5.2 transcoded in parts", RLES, accept=f"{DICOM}; transfer-syntax={LITTLE}", holds=lambda a: plain(parts_of(a)[0])),
    case("8.7.3.5.2 one that is not to be had", IMAGE, 406, accept=f"application/dicom; transfer-syntax={J2K}", kind=PROBLEM, holds=lambda a: LITTLE in a.json["detail"]),
    case("8.7.3.1 a study is only to be had in parts", "/studies/{study}", 406, accept="application/dicom", kind=PROBLEM),
    case("10.4.1.1.1 a study", "/studies/{study}", accept=DICOM + "; transfer-syntax=*", holds=lambda a: len(parts_of(a)) == 4),
    case("10.4.1.1.1 a series", "/studies/{study}/series/{series}", accept=DICOM + "; transfer-syntax=*", holds=lambda a: len(parts_of(a)) == 4),
    case("8.6.1.2 each part says its type and place", IMAGE, accept=DICOM, holds=lambda a: f"transfer-syntax={LITTLE}".encode() in a.body and b"Content-Location: " in a.body),
    # ---- frames ----
    case("8.7.3.3 as OHIF asks, unquoted", IMAGE + "/frames/1", accept="multipart/related; type=application/octet-stream; transfer-syntax=*", kind="multipart/related",
         holds=lambda a: parts_of(a) == [known["pixels"]]),
    case("8.7.3.3 single part", IMAGE + "/frames/1", accept="application/octet-stream", kind="application/octet-stream", holds=lambda a: a.body == known["pixels"]),
    case("8.7.3.3 decoded from RLE", RLES + "/frames/1", accept=OCTETS, holds=lambda a: parts_of(a) == [known["pixels"]]),
    case("table 8.7.3-5 as it is stored", RLES + "/frames/1", accept='multipart/related; type="image/dicom-rle"', kind='multipart/related; type="image/dicom-rle"'),
    case("table 8.7.3-5 as octets, by the transfer syntax", RLES + "/frames/1", accept=f"{OCTETS}; transfer-syntax={RLE}", holds=lambda a: parts_of(a)[0] != known["pixels"]),
    case("8.7.3.3 several", BITS + "/frames/2,1", accept=OCTETS, holds=lambda a: len(parts_of(a)) == 2),
    case("10.4.1.1.6 one bit a pixel: begins with a byte", BITS + "/frames/2", accept="application/octet-stream", holds=lambda a: a.body == known["second mask"]),
    case("8.7.5 several are no single part", BITS + "/frames/1,2", 406, accept="application/octet-stream", kind=PROBLEM),
    case("8.7.5 406, frames", IMAGE + "/frames/1", 406, accept="image/jpeg", kind=PROBLEM, holds=lambda a: "octet-stream" in a.json["detail"]),
    # ---- bulk data ----
    case("8.7.3.3 bulk data", IMAGE + "/bulkdata/00420011", accept="application/octet-stream", holds=lambda a: a.body == known["value"]),
    case("8.7.3.3 bulk data in parts", IMAGE + "/bulkdata/00420011", accept=OCTETS, holds=lambda a: parts_of(a) == [known["value"]]),
    case("10.4.1.1.5 pixel data", IMAGE + "/bulkdata/7FE00010", accept="*/*", holds=lambda a: a.body == known["pixels"]),
    case("8.7.3.3 pixel data of a compressed object, as octets", RLES + "/bulkdata/7FE00010", accept=OCTETS, holds=lambda a: parts_of(a) == [known["pixels"]]),
    case("8.7.3.3 in one part", RLES + "/bulkdata/7FE00010", accept="application/octet-stream", holds=lambda a: a.body == known["pixels"]),
    case("table 8.7.3-5 and as they are stored", RLES + "/bulkdata/7FE00010", accept='multipart/related; type="image/dicom-rle"', kind='multipart/related; type="image/dicom-rle"'),
    case("8.7.5 406, bulk data", IMAGE + "/bulkdata/00420011", 406, accept=JSON, kind=PROBLEM),
    # ---- pictures ----
    case("8.7.4 JPEG is the default", IMAGE + "/rendered", accept="*/*", kind="image/jpeg"),
    case("8.7.4 PNG", IMAGE + "/rendered", accept="image/png", kind="image/png", holds=lambda a: a.body[:4] == b"\x89PNG"),
    case("8.7.4 in parts", "/studies/{study}/rendered", accept='multipart/related; type="image/png"', kind="multipart/related"),
    case("8.7.4 of a frame", BITS + "/frames/2/rendered", accept="image/png", kind="image/png"),
    case("10.4.1.1.3 of several frames", BITS + "/frames/2,1/rendered", accept='multipart/related; type="image/png"', kind="multipart/related",
         holds=lambda a: [part[:4] for part in parts_of(a)] == [b"\x89PNG"] * 2),
    case("10.4.1.1.3 of several frames, one of which is not there", BITS + "/frames/1,3/rendered", 404, accept="multipart/related", kind=PROBLEM),
    case("10.4.1.1.4 thumbnails of each level", "/studies/{study}/thumbnail", accept="image/png", kind="image/png"),
    case("10.4.1.1.4", "/studies/{study}/series/{series}/thumbnail", kind="image/jpeg"),
    case("10.4.1.1.4", IMAGE + "/thumbnail", kind="image/jpeg"),
    case("10.4.1.1.4", BITS + "/frames/1/thumbnail", kind="image/jpeg"),
    case("8.7.5 406, pictures", IMAGE + "/rendered", 406, accept="image/gif", kind=PROBLEM, holds=lambda a: "image/png" in a.json["detail"]),
    case("10.4.3 what is no image cannot be drawn", TEXT + "/rendered", 406, kind=PROBLEM),
    # ---- coding of contents ----
    case("RFC 9110 12.5.3 zstd", "/studies/{study}/metadata", send={"Accept-Encoding": "gzip, zstd"}, has={"content-encoding": "zstd", "vary": "Accept-Encoding"},
         holds=lambda a: unzstd(a.body) == known["metadata"]),
    case("RFC 9110 12.5.3 gzip", "/studies/{study}/metadata", send={"Accept-Encoding": "gzip"}, has={"content-encoding": "gzip"}),
    case("RFC 9110 12.5.3 none that we have", "/studies/{study}/metadata", send={"Accept-Encoding": "br"}, lacks=["content-encoding"]),
    case("objects are not coded", IMAGE, accept="application/dicom", send={"Accept-Encoding": "gzip, zstd"}, lacks=["content-encoding"]),
]

SEARCHING = [
    case("table 10.6.3-1 204 where nothing is found", "/studies?PatientID=nobody", 204, lacks=["content-type"], holds=lambda a: a.body == b""),
    case("table 10.6.3-1 400 names what is wrong", "/studies?NoSuchAttribute=1", 400, kind=PROBLEM, holds=lambda a: "NoSuchAttribute" in a.json["detail"]),
    case("table 10.6.3-1 400", "/studies?limit=-1", 400, kind=PROBLEM, holds=lambda a: "limit" in a.json["detail"]),
    case("table 10.6.3-1 400", "/studies?offset=x", 400, kind=PROBLEM, holds=lambda a: "offset" in a.json["detail"]),
    case("table 10.6.3-1 400", "/studies?StudyDate=yesterday", 400, kind=PROBLEM, holds=lambda a: "StudyDate" in a.json["detail"]),
    case("8.3.4.2 fuzzymatching is honoured, so no warning", "/studies?PatientName=virt&fuzzymatching=true", lacks=["warning"], holds=lambda a: len(a.json) == 1),
    case("8.3.4.2 the same without is another answer", "/studies?PatientName=virt", 204),
    case("8.3.4 299 where a parameter is not honoured", "/studies?emptyvaluematching=true", has={"warning": '^299 .*emptyvaluematching'}),
    case("8.3.4 299 where it is in part", "/studies?multiplevaluematching=true&ModalitiesInStudy=CT%5CMR", has={"warning": '^299 .*multiplevaluematching'},
         holds=lambda a: len(a.json) == 1),
    case("8.3.4.4.1 299 while there are more", "/studies/{study}/instances?limit=1", has={"warning": '^299 .*3 additional results'}),
    case("8.3.4.4 the last page says nothing", "/studies/{study}/instances?limit=2&offset=2", lacks=["warning"], holds=lambda a: len(a.json) == 2),
    case("8.3.4.3 includefield, list of tags with %2C", "/studies?includefield=00081030%2C00080060%2C00080090%2C00100030", holds=lambda a: "00100030" in first(a)),
    case("8.3.4.3 includefield, keywords", "/studies?includefield=PatientComments,StudyDescription"),
    case("8.3.4.3 includefield, several times", IMAGE[:IMAGE.rindex("/")] + "?includefield=PixelSpacing&includefield=00180050", holds=lambda a: {"00280030", "00180050"} <= set(first(a))),
    case("8.3.4.3 includefield=all", "/studies/{study}/instances?includefield=all", holds=lambda a: "00280030" in first(a)),
    case("PS3.4 C.2.2.2.4 an encoded *", "/studies?PatientID=VIRT%2A", holds=lambda a: len(a.json) == 1),
    case("PS3.4 C.2.2.2.4 ?", "/studies?PatientID=VIRTUAL%2D%3F", holds=lambda a: len(a.json) == 1),
    case("PS3.4 C.2.2.2.2 lists of UIDs", "/studies?StudyInstanceUID=1.2.3,{study}", holds=lambda a: len(a.json) == 1),
    case("PS3.4 C.2.2.2.2 lists of UIDs, with backslashes", "/studies?StudyInstanceUID=1.2.3%5C{study}", holds=lambda a: len(a.json) == 1),
    case("PS3.4 C.2.2.2.5 ranges", "/studies?StudyDate=20251231-20260102&StudyTime=1100-1300", holds=lambda a: len(a.json) == 1),
    case("table 10.6.1-1 all series", "/series", holds=lambda a: len(a.json) == 1),
    case("table 10.6.1-1 all instances", "/instances", holds=lambda a: len(a.json) == 4),
    case("table 10.6.1-1 series of a study", "/studies/{study}/series", holds=lambda a: len(a.json) == 1),
    case("table 10.6.1-1 instances of a study", "/studies/{study}/instances", holds=lambda a: len(a.json) == 4),
    case("table 10.6.1-1 instances of a series", "/studies/{study}/series/{series}/instances", holds=lambda a: len(a.json) == 4),
    case("10.6.3.3 attributes of the levels above", "/instances?limit=1", holds=lambda a: {"0020000D", "0020000E", "00100020", "00080060"} <= set(first(a))),
    case("tables 10.6.3-3 to -5 RetrieveURL, relative without a public URL", "/studies", holds=lambda a: first(a)["00081190"]["Value"][0] == f"/dicom-web/studies/{known['study']}"),
    case("F.2.2 UTF-8, whatever the object's character set", "/studies", holds=lambda a: "Gödel".encode() in a.body and first(a)["00080005"]["Value"] == ["ISO_IR 192"]),
]

RETRIEVING = [
    case("table 10.4.3-1 404", "/studies/1.2.3", 404, kind=PROBLEM),
    case("table 10.4.3-1 404", IMAGE[:-len("{image}")] + "1.2.3", 404, kind=PROBLEM),
    case("table 10.4.3-1 404, of another series", "/studies/{study}/series/1.2.3/instances/{image}", 404, kind=PROBLEM),
    case("table 10.4.3-1 404, frame", IMAGE + "/frames/2", 404, accept=OCTETS, kind=PROBLEM),
    case("table 10.4.3-1 400, frame", IMAGE + "/frames/0", 400, accept=OCTETS, kind=PROBLEM),
    case("table 10.4.3-1 400, UID", "/studies/x/metadata", 400, kind=PROBLEM),
    case("table F.2.3.1-1 BulkDataURI of what is left out", IMAGE + "/metadata", holds=lambda a: bulk_uris(a) == {"00420011", "7FE00010"}),
    case("8.3.5.1.4 window", IMAGE + "/rendered?window=100,200,linear-exact", accept="image/png"),
    case("8.3.5.1.4 window that is none", IMAGE + "/rendered?window=1", 400, kind=PROBLEM, holds=lambda a: "window" in a.json["detail"]),
    case("8.3.5.1.3 viewport", IMAGE + "/rendered?viewport=10,10", accept="image/png", holds=lambda a: a.body[16:24] == bytes.fromhex("000000080000000a")),
    case("8.3.5.1.3 viewport that is none: 400 and the connection stays", IMAGE + "/rendered?viewport=0,x", 400, kind=PROBLEM, lacks=["connection"]),
    case("8.3.5.1.2 quality", IMAGE + "/rendered?quality=1000", 400, kind=PROBLEM, holds=lambda a: "quality" in a.json["detail"]),
    case("8.3.5.1.1 annotation", IMAGE + "/rendered?annotation=patient,technique", kind="image/jpeg"),
    case("RFC 9110 14.2 a range", IMAGE + "/bulkdata/00420011", 206, send={"Range": "bytes=2-5"}, has={"content-range": r"^bytes 2-5/4096$"}, holds=lambda a: a.body == known["value"][2:6]),
    case("RFC 9110 14.2 of an object", IMAGE, 206, accept="application/dicom", send={"Range": "bytes=-10"}, holds=lambda a: a.body == known["bytes"][-10:]),
    case("RFC 9110 15.5.17", IMAGE, 416, accept="application/dicom", send={"Range": "bytes=99999999-"}, has={"content-range": r"^bytes \*/"}),
    case("RFC 9110 13.1.5 If-Range of another version", IMAGE, 200, accept="application/dicom", send={"Range": "bytes=0-1", "If-Range": '"old"'}),
    case("RFC 9110 13.1.2 If-None-Match", IMAGE, 304, accept="application/dicom", send={"If-None-Match": "{etag}"}, has={"etag": "."}, holds=lambda a: a.body == b""),
    case("RFC 9110 13.1.2 If-None-Match: *", IMAGE, 304, accept="application/dicom", send={"If-None-Match": "*"}),
    case("RFC 9110 9.3.2 HEAD", IMAGE, 200, accept="application/dicom", method="HEAD", has={"content-length": "^[1-9]"}),
    case("RFC 9110 9.3.2 HEAD of a search", "/studies", 200, method="HEAD", kind=JSON),
    case("RFC 9110 9.3.2 HEAD of what is not there", "/studies/1.2.3", 404, method="HEAD"),
]

CAPABILITIES = [
    case("8.9 OPTIONS of the service", "", accept="*/*", kind="application/vnd.sun.wadl+xml", method="OPTIONS", holds=lambda a: ElementTree.fromstring(a.body) is not None),
    case("8.9 names every resource", "", method="OPTIONS", holds=lambda a: all(name in a.body.decode() for name in (
        'path="studies"', 'path="studies/{study}/series/{series}/metadata"', "frames/{frames}/rendered", "thumbnail", "bulkdata/{path}", '"DELETE"', '"POST"'))),
    case("8.9 406", "", 406, accept="image/png", method="OPTIONS"),
    case("RFC 9110 9.3.7 OPTIONS of a resource", "/studies", 204, method="OPTIONS", has={"allow": "GET, HEAD.*OPTIONS"}),
    case("RFC 9110 15.5.6 405 with Allow", "/studies", 405, method="PUT", kind=PROBLEM, has={"allow": "GET, HEAD"}),
    case("DELETE is off unless switched on", "/studies/{study}", 403, method="DELETE", kind=PROBLEM, holds=lambda a: "allow_delete" in a.json["detail"]),
    # ---- CORS: on every answer, errors included ----
    *[case("Fetch 3.2 CORS", path, status, accept=accept, send={"Origin": ORIGIN}, has={"access-control-allow-origin": "^" + re.escape(ORIGIN) + "$", "vary": "Origin"})
      for path, status, accept in (("/studies", 200, JSON), ("/studies?x=1", 400, JSON), ("/studies", 406, "text/html"), ("/studies?PatientID=nobody", 204, JSON),
                                   ("/nothing", 404, "*/*"), (IMAGE + "/frames/1", 200, OCTETS), (IMAGE + "/rendered?viewport=x", 400, "*/*"))],
    case("Fetch 3.2 a preflight", "/studies", 204, method="OPTIONS", send={"Origin": ORIGIN, "Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": "authorization"},
         has={"access-control-allow-methods": "GET", "access-control-allow-headers": "Authorization"}),
    case("Fetch 3.2 a page that is not listed", "/studies", send={"Origin": "https://other.example.org"}, lacks=["access-control-allow-origin"]),
    case("Host without its port, as some clients send it", "/studies", send={"Host": "127.0.0.1"}, holds=lambda a: first(a)["00081190"]["Value"][0].startswith("/dicom-web")),
]


def plain(content):
    ds = pydicom.dcmread(io.BytesIO(content))
    return ds.file_meta.TransferSyntaxUID == LITTLE and ds.PixelData == known["pixels"]


def bulk_uris(answer):
    """Tags of the values that are apart; each must be where its URI says."""
    found = {tag: element["BulkDataURI"] for tag, element in first(answer).items() if "BulkDataURI" in element}
    assert all(uri.endswith(f"/instances/{known['image']}/bulkdata/{tag}") for tag, uri in found.items()), found
    return set(found)


def unzstd(content):
    return subprocess.run(["zstd", "-dc"], input=content, capture_output=True, check=True).stdout


def image(pixels, **attributes):
    """An object of the study that all belong to."""
    ds = images.series(slices=1, rows=pixels.shape[-2], columns=pixels.shape[-1], study=known["study"], SpecificCharacterSet="ISO_IR 100",
                       PatientName="Virtual^Gödel")[0]
    ds.SeriesInstanceUID, ds.PixelData = known["series"], pixels.tobytes()
    for name, value in attributes.items():
        setattr(ds, name, value)
    return ds


def mask():
    """Two frames of 5 x 7 pixels of one bit, packed without a gap."""
    bits = numpy.random.default_rng(3).integers(0, 2, (2, 7, 5), dtype=numpy.uint8)
    ds = image(numpy.zeros((7, 5), numpy.uint16), NumberOfFrames=2, BitsAllocated=1, BitsStored=1, HighBit=0)
    packed = numpy.packbits(bits.reshape(-1), bitorder="little").tobytes()
    ds.PixelData = packed + b"\0" * (len(packed) % 2)
    known["second mask"] = numpy.packbits(bits[1].reshape(-1), bitorder="little").tobytes()
    return ds


def test_set_up(d):
    known.update(study=generate_uid(), series=generate_uid())
    pixels = numpy.random.default_rng(1).integers(0, 4096, (20, 16), dtype=numpy.uint16)
    native, rle, bits = image(pixels), image(pixels), mask()
    known.update(pixels=pixels.tobytes(), value=bytes(range(256)) * 16)
    native.add_new(0x00420011, "OB", known["value"])
    rle.compress(RLELossless)
    text = image(pixels)
    del text.PixelData
    objects = {"image": native, "rle": rle, "bits": bits, "text": text}
    for name, ds in objects.items():
        ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
        known[name] = ds.SOPInstanceUID
        content = images.to_bytes(ds)
        known.update({"bytes": content} if name == "image" else {"rle bytes": content} if name == "rle" else {})
        assert stow(d, [content]).status == 200, name
    known["metadata"] = ask(d, case("", "/studies/{study}/metadata")).body
    known["etag"] = ask(d, case("", IMAGE, accept="application/dicom")).headers["etag"]


def filled(text):
    return re.sub(r"\{(\w+)\}", lambda name: known[name[1]], text)


def ask(d, row, root="/dicom-web"):
    """Without Accept where a row has none: curl sends one of its own otherwise."""
    headers = {"Accept": row.accept, **{name: filled(value) for name, value in row.send.items()}}
    options = ["--head"] if row.method == "HEAD" else ["-X", row.method]
    answer = curl(d.url + root + filled(row.path), *options, headers=headers)
    answer.body = b"" if row.method == "HEAD" else answer.body
    return answer


def differences(row, answer):
    what = f"{row.clause}: {row.method} {row.path} ({row.accept})"
    if answer.status != row.status:
        return [f"{what}: {answer!r:.300}, expected {row.status}"]
    found = []
    if row.kind and not answer.headers.get("content-type", "").startswith(row.kind):
        found.append(f"{what}: {answer.headers.get('content-type')}, expected {row.kind}")
    found += [f"{what}: {name} is {answer.headers.get(name)}" for name, pattern in row.has.items() if not re.search(pattern, answer.headers.get(name, ""))]
    found += [f"{what}: {name} is {answer.headers[name]}" for name in row.lacks if name in answer.headers]
    if row.holds and not found and not row.holds(answer):
        found.append(f"{what}: {answer!r:.300}")
    return found


def check(d, rows):
    found = [text for row in rows for text in differences(row, ask(d, row))]
    print(f"# {len(rows)} rows")
    assert not found, "\n".join(found)


def test_negotiation(d):
    check(d, NEGOTIATION)


def test_searching(d):
    check(d, SEARCHING)


def test_retrieving(d):
    check(d, RETRIEVING)


def test_capabilities_and_who_may_ask(d):
    check(d, CAPABILITIES)


def test_no_answer_closes_the_connection(d):
    """RFC 9112 9.3: all of these over one connection, in this order"""
    paths = ["/nothing/{study}", "/studies/x/metadata", IMAGE + "/rendered?viewport=x", "/studies?x=1", "/nothing", "/studies/1.2.3", "/studies?PatientID=nobody", "/studies/{study}", IMAGE + "/frames/9",
             "/studies/{study}/metadata"]
    said = curl(d.url + "/dicom-web" + filled(paths[0]), *(d.url + "/dicom-web" + filled(path) for path in paths[1:]), "-w", "\nconnects %{num_connects}\n",
                headers={"Accept": "*/*"})
    connects = [int(n) for n in re.findall(rb"\nconnects (\d+)\n", said.body)]
    assert len(connects) == len(paths) and sum(connects) == 1, connects


def test_behind_a_reverse_proxy():
    """URLs from the public one, whatever Host says"""
    with Daemon({"http.public_url": "https://pacs.example.org/lamina"}) as d:
        ds = images.series(slices=1)[0]
        assert stow(d, [images.to_bytes(ds)]).status == 200
        place = f"/dicom-web/studies/{ds.StudyInstanceUID}"
        for host in ("pacs.example.org", "pacs.example.org:443", "127.0.0.1"):
            found = curl(f"{d.url}{place}/series", headers={"Host": host, "Accept": JSON}).json[0]
            assert found["00081190"]["Value"] == [f"https://pacs.example.org/lamina{place}/series/{ds.SeriesInstanceUID}"], found
            uri = curl(f"{d.url}{place}/metadata", headers={"Host": host}).json[0]["7FE00010"]["BulkDataURI"]
            assert uri.startswith(f"https://pacs.example.org/lamina{place}/series/"), uri
        wadl = curl(d.url + "/dicom-web", "-X", "OPTIONS").body.decode()
        assert 'base="https://pacs.example.org/lamina/dicom-web"' in wadl, wadl[:300]
        assert curl(d.url + "/dicom-web/studies", headers={"Host": "elsewhere.example.org"}).status == 421


def test_a_search_that_is_too_broad():
    """Table 10.6.3-1: 413, with what to do"""
    with Daemon() as d:
        for ds in images.series(slices=4, SeriesDescription="T2"):
            assert stow(d, [images.to_bytes(ds)]).status == 200
        d.stop()
        with sqlite3.connect(d.data + "/lamina.db") as db:
            db.execute("UPDATE metadata SET attributes = json_set(attributes, '$.\"00104000\"', json_object('vr', 'LT', 'Value', json_array(hex(zeroblob(9000000)))))")
        d.start()
        answer = curl(d.url + "/dicom-web/instances?includefield=all", headers={"Accept": JSON})
        assert answer.status == 413 and "limit" in answer.json["detail"], answer
        assert curl(d.url + "/dicom-web/instances?includefield=all&limit=1", headers={"Accept": JSON}).status == 200


harness.run(globals(), Daemon({"http.cors_origins": ORIGIN}))
