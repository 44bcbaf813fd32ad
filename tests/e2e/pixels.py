#!/usr/bin/python3
"""Frames, bulk data, pictures and transcoding by WADO-RS, held against pydicom and DCMTK's decoders."""
import concurrent.futures
import io
import os
import tempfile

import numpy
import PIL.Image
import pydicom

import harness
from harness import images
from harness.clients import curl, parts_of, run, stow, wado
from harness.daemon import Daemon

LITTLE = "1.2.840.10008.1.2.1"
NATIVE = ("1.2.840.10008.1.2", LITTLE, "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99")
DEFLATED_FRAMES = "1.2.840.10008.1.2.8.1"  # younger than pydicom's list
OCTETS = "multipart/related; type=application/octet-stream"


def url(d, ds, rest=""):
    return (f"{d.url}/dicom-web/studies/{ds.StudyInstanceUID}/series/{ds.SeriesInstanceUID}"
            f"/instances/{ds.SOPInstanceUID}{rest}")


def get(d, ds, rest="", accept="*/*", **headers):
    return curl(url(d, ds, rest), headers={"Accept": accept, **headers})


def store(d, ds):
    answer = stow(d, [images.to_bytes(ds)])
    assert answer.status == 200, answer
    return ds


def grey(frames=1, bits=16, rows=10, columns=12, **attributes):
    """An uncompressed image of random pixels, and those."""
    ds = images.series(slices=1, SeriesDescription="T2")[0]
    limit = 2 if bits == 1 else 1 << min(bits, 12)
    shape = (frames, rows, columns)
    pixels = numpy.random.default_rng(7).integers(0, limit, shape, dtype=numpy.uint16)
    ds.Rows, ds.Columns, ds.NumberOfFrames = rows, columns, frames
    ds.BitsAllocated, ds.BitsStored, ds.HighBit = bits, min(bits, 12), min(bits, 12) - 1
    ds.PixelRepresentation, ds.SamplesPerPixel, ds.PhotometricInterpretation = 0, 1, "MONOCHROME2"
    if bits == 1:
        content = numpy.packbits(pixels.reshape(-1).astype(numpy.uint8), bitorder="little").tobytes()
    else:
        content = pixels.astype("<u2" if bits == 16 else "u1").tobytes()
    ds.PixelData = content + b"\0" * (len(content) % 2)
    for name, value in attributes.items():
        setattr(ds, name, value)
    return ds, pixels


def png_of(content):
    """Pixels of a PNG or JPEG."""
    return numpy.asarray(PIL.Image.open(io.BytesIO(content)))


def test_native_frames(d):
    ds, pixels = grey(frames=5)
    store(d, ds)
    single = get(d, ds, "/frames/3", "application/octet-stream")
    assert single.status == 200 and single.body == pixels[2].astype("<u2").tobytes(), single
    assert single.headers["content-type"] == f"application/octet-stream; transfer-syntax={LITTLE}", single.headers
    many = get(d, ds, "/frames/5,1,2", OCTETS + "; transfer-syntax=*")  # unquoted, as OHIF sends it
    assert many.status == 200, many
    assert parts_of(many) == [pixels[i].astype("<u2").tobytes() for i in (4, 0, 1)]
    quoted = get(d, ds, "/frames/1", 'multipart/related; type="application/octet-stream"; transfer-syntax="*"')
    assert parts_of(quoted) == [pixels[0].astype("<u2").tobytes()]


def test_frames_of_one_bit_begin_with_a_byte(d):
    ds, pixels = grey(frames=4, bits=1, rows=7, columns=5)
    store(d, ds)
    answer = get(d, ds, "/frames/1,2,3,4", OCTETS)
    assert answer.status == 200, answer
    for part, frame in zip(parts_of(answer), pixels):
        assert part == numpy.packbits(frame.reshape(-1).astype(numpy.uint8), bitorder="little").tobytes()


def test_frame_numbers_are_checked(d):
    ds, _ = grey(frames=2)
    store(d, ds)
    for numbers, status in (("0", 400), ("x", 400), ("1,,2", 400), ("-1", 400), ("1,", 400), ("3", 404), ("1,3", 404),
                            ("99999999999", 400)):
        answer = get(d, ds, f"/frames/{numbers}", OCTETS)
        assert answer.status == status, (numbers, answer)
        assert answer.headers["content-type"].startswith("application/problem+json"), answer.headers
    assert get(d, ds, "/frames/1", "text/plain").status == 406
    assert get(d, ds, "/frames/1,2", "application/octet-stream").status == 406


def test_bulk_data_and_ranges(d):
    ds, pixels = grey(frames=2)
    ds.add_new(0x00420011, "OB", bytes(range(256)) * 20)
    store(d, ds)
    whole = get(d, ds, "/bulkdata/00420011")
    assert whole.status == 200 and whole.body == bytes(range(256)) * 20, whole
    part = get(d, ds, "/bulkdata/00420011", Range="bytes=100-149")
    assert part.status == 206 and part.body == (bytes(range(256)) * 20)[100:150], part
    assert get(d, ds, "/bulkdata/00420011", **{"If-None-Match": whole.headers["etag"]}).status == 304
    assert get(d, ds, "/bulkdata/7FE00010").body == pixels.astype("<u2").tobytes()
    assert parts_of(get(d, ds, "/bulkdata/00420011", OCTETS)) == [bytes(range(256)) * 20]
    assert get(d, ds, "/bulkdata/00420012").status == 404
    assert get(d, ds, "/bulkdata/nonsense").status == 400
    assert get(d, ds, "/bulkdata/00420011", "text/plain").status == 406


def test_pictures(d):
    ds, pixels = grey(bits=16, rows=40, columns=60, WindowCenter="2048", WindowWidth="4096")
    store(d, ds)
    answer = get(d, ds, "/rendered", "image/png")
    assert answer.status == 200 and answer.headers["content-type"] == "image/png", answer
    drawn = png_of(answer.body)
    expected = pixels[0] / 4095 * 255
    assert drawn.shape[:2] == (40, 60)
    assert numpy.abs(drawn[..., 0].astype(float) - expected).max() <= 1.01
    jpeg = get(d, ds, "/frames/1/rendered?quality=80&viewport=30,30&annotation=patient,technique", "image/jpeg")
    assert jpeg.status == 200 and png_of(jpeg.body).shape[:2] == (20, 30), jpeg
    narrow = png_of(get(d, ds, "/rendered?window=100,1", "image/png").body)
    assert set(numpy.unique(narrow)) <= {0, 255}
    part = png_of(get(d, ds, "/rendered?viewport=10,10,20,10,10,10", "image/png").body)
    assert part.shape[:2] == (10, 10) and numpy.array_equal(part, drawn[10:20, 20:30])
    flipped = png_of(get(d, ds, "/rendered?viewport=60,40,0,0,-60,40", "image/png").body)
    assert numpy.array_equal(flipped, drawn[:, ::-1])
    assert png_of(get(d, ds, "/thumbnail", "image/jpeg").body).shape[:2] == (107, 160)
    study = f"{d.url}/dicom-web/studies/{ds.StudyInstanceUID}"
    for level in ("", f"/series/{ds.SeriesInstanceUID}"):
        for kind in ("rendered", "thumbnail"):
            assert curl(f"{study}{level}/{kind}", headers={"Accept": "image/png"}).status == 200
        many = curl(f"{study}{level}/rendered", headers={"Accept": 'multipart/related; type="image/png"'})
        assert parts_of(many) == [answer.body] or numpy.array_equal(png_of(parts_of(many)[0]), drawn), many


def add_plane(ds, group, bits, origin=(1, 1), vr="OW", **frames):
    """An overlay plane (PS3.3 C.9.2) of these bits, [frames, rows, columns] or less."""
    packed = numpy.packbits(bits.reshape(-1), bitorder="little").tobytes()
    for element, kind, value in ((0x10, "US", bits.shape[-2]), (0x11, "US", bits.shape[-1]), (0x40, "CS", "G"), (0x50, "SS", list(origin)),
                                 (0x100, "US", 1), (0x102, "US", 0), (0x3000, vr, packed + b"\0" * (len(packed) % 2))):
        ds.add_new((group, element), kind, value)
    for name, value in frames.items():
        ds.add_new((group, {"count": 0x15, "first": 0x51}[name]), {"count": "IS", "first": "US"}[name], value)


def test_a_series_is_shown_by_its_middle(d):
    """By number, in whatever order its images came"""
    made = images.series(slices=5, SeriesDescription="T2")
    for i in (4, 2, 0, 1, 3):
        store(d, made[i])
    series = url(d, made[0]).rsplit("/instances", 1)[0]
    shown = curl(series + "/rendered", headers={"Accept": "image/png"})
    assert shown.status == 200 and shown.body == get(d, made[2], "/rendered", "image/png").body
    whole = parts_of(wado(d, made[0].StudyInstanceUID, made[0].SeriesInstanceUID, accept='multipart/related; type="application/dicom"; transfer-syntax=*'))
    assert [pydicom.dcmread(io.BytesIO(part)).InstanceNumber for part in whole] == [1, 2, 3, 4, 5]


def test_overlay_planes_are_drawn(d):
    """White where a bit is set, and the image where none is; a plane may be smaller than its image, or reach past it."""
    random = numpy.random.default_rng(5)
    whole, part = random.integers(0, 2, (10, 12), dtype=numpy.uint8), random.integers(0, 2, (4, 5), dtype=numpy.uint8)
    for vr in ("OW", "OB"):
        ds, _ = grey(WindowCenter="8192", WindowWidth="16384")
        store(d, ds)
        plain = png_of(get(d, ds, "/rendered", "image/png").body)
        assert plain.max() < 200
        ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = pydicom.uid.generate_uid()
        add_plane(ds, 0x6000, whole, vr=vr)
        add_plane(ds, 0x6002, part, origin=(9, -1), vr=vr)
        add_plane(ds, 0x6004, part[:0], vr=vr)
        store(d, ds)
        drawn = png_of(get(d, ds, "/rendered", "image/png").body)
        bits = whole.astype(bool)
        bits[8:10, 0:3] |= part[0:2, 2:5].astype(bool)
        assert numpy.array_equal(drawn == 255, numpy.broadcast_to(bits.reshape(10, 12, *[1] * (drawn.ndim - 2)), drawn.shape)), vr
        assert numpy.array_equal(drawn[~bits], plain[~bits]), vr


def test_overlay_planes_of_some_frames(d):
    """PS3.3 C.9.2.1.4: two frames, the first of them on the second frame of the image"""
    bits = numpy.zeros((2, 10, 12), numpy.uint8)
    bits[0, 2, 3] = bits[1, 5, 6] = 1
    ds, _ = grey(frames=4, WindowCenter="8192", WindowWidth="16384")
    add_plane(ds, 0x6000, bits, count=2, first=2)
    store(d, ds)
    for frame, place in ((1, None), (2, (2, 3)), (3, (5, 6)), (4, None)):
        drawn = png_of(get(d, ds, f"/frames/{frame}/rendered", "image/png").body)
        found = [tuple(int(n) for n in at[:2]) for at in numpy.argwhere(drawn.reshape(10, 12, -1)[..., :1] == 255)]
        assert found == ([place] if place else []), (frame, found)


def state_of(ds, **attributes):
    """A presentation state (PS3.3 A.33.1) of one image: a polyline along its first row, and a circle."""
    state = images.series(slices=1, study=ds.StudyInstanceUID, SeriesDescription="state")[0]
    del state.PixelData
    state.SOPClassUID = state.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.11.1"
    state.Modality, state.PresentationLUTShape = "PR", "IDENTITY"
    reference = pydicom.Dataset()
    reference.ReferencedSOPClassUID, reference.ReferencedSOPInstanceUID = ds.SOPClassUID, ds.SOPInstanceUID
    series = pydicom.Dataset()
    series.SeriesInstanceUID, series.ReferencedImageSequence = ds.SeriesInstanceUID, [reference]
    window = pydicom.Dataset()
    window.WindowCenter, window.WindowWidth = "8192", "16384"
    graphics = []
    for kind, points in (("POLYLINE", [0.5, 0.5, 11.5, 0.5]), ("CIRCLE", [6.5, 6.5, 8.5, 6.5])):
        graphic = pydicom.Dataset()
        graphic.GraphicAnnotationUnits, graphic.GraphicDimensions, graphic.NumberOfGraphicPoints = "PIXEL", 2, len(points) // 2
        graphic.GraphicData, graphic.GraphicType, graphic.GraphicFilled = points, kind, "N"
        graphics.append(graphic)
    annotation = pydicom.Dataset()
    annotation.ReferencedImageSequence, annotation.GraphicLayer, annotation.GraphicObjectSequence = [reference], "ONE", graphics
    state.ReferencedSeriesSequence, state.SoftcopyVOILUTSequence = [series], [window]
    state.GraphicAnnotationSequence = [annotation]
    for name, value in attributes.items():
        setattr(state, name, value)
    return state


def test_presentation_states_are_drawn_with_their_image(d):
    ds, pixels = grey(WindowCenter="100", WindowWidth="1")
    store(d, ds)
    state = store(d, state_of(ds))
    drawn = png_of(get(d, state, "/rendered", "image/png").body).reshape(10, 12, -1)[..., 0].astype(int)
    assert (drawn[0] == 255).all() and drawn[6, 8] == drawn[6, 4] == 255, "polyline and circle"
    assert abs(drawn[3, 1] - pixels[0][3, 1] / 16384 * 255) < 1.5, "in the window of the state"
    inverse = store(d, state_of(ds, PresentationLUTShape="INVERSE"))
    other = png_of(get(d, inverse, "/frames/1/rendered", "image/png").body).reshape(10, 12, -1)[..., 0].astype(int)
    assert abs(other[3, 1] + drawn[3, 1] - 255) <= 1, "polarity"
    named = png_of(get(d, state, "/rendered?window=100,1", "image/png").body).reshape(10, 12, -1)[..., 0]
    assert set(numpy.unique(named)) <= {0, 255}, "the window of the request goes first"
    assert get(d, state, "/frames/2/rendered", "image/png").status == 404
    turned = get(d, store(d, state_of(ds, ImageRotation=90)), "/rendered", "image/png")
    assert turned.status == 406 and "turned" in turned.json["detail"], turned
    lost, _ = grey()
    answer = get(d, store(d, state_of(lost)), "/rendered", "image/png")
    assert answer.status == 404 and "not stored" in answer.json["detail"], answer


def test_wrong_parameters_keep_the_connection(d):
    ds, _ = grey()
    store(d, ds)
    for query in ("viewport=0,0", "viewport=x", "viewport=10", "viewport=99999,10", "window=1", "window=1,0",
                  "window=1,2,cubic", "quality=0", "quality=101", "quality=x", "annotation=all", "overlay=x"):
        answer = get(d, ds, f"/rendered?{query}", "image/png")
        assert answer.status == 400, (query, answer)
        assert query.split("=")[0] in answer.json["detail"], answer
        assert answer.headers.get("connection", "").lower() != "close", answer.headers
    outside = get(d, ds, "/rendered?viewport=10,10,5,5,100,100", "image/png")
    assert outside.status == 400 and "past the image" in outside.json["detail"], outside
    assert get(d, ds, "/rendered?window=40,400,sigmoid", "image/png").status == 200
    assert get(d, ds, "/rendered?&window=40,400,linear&&", "image/png").status == 200
    assert get(d, ds, "/rendered", "text/html").status == 406


def test_what_is_no_image_is_not_drawn(d):
    ds = images.series(slices=1, SeriesDescription="T2")[0]
    del ds.PixelData
    store(d, ds)
    answer = get(d, ds, "/rendered", "image/png")
    assert answer.status == 406 and "no pixel data" in answer.json["detail"], answer


def reference(path):
    """(pixels of all frames as bytes, in memory order) by DCMTK's command line decoders or pydicom; None without."""
    with tempfile.TemporaryDirectory() as folder:
        out = os.path.join(folder, "out.dcm")
        syntax = pydicom.dcmread(path, stop_before_pixels=True).file_meta.TransferSyntaxUID
        program = {"1.2.840.10008.1.2.5": "dcmdrle", "1.2.840.10008.1.2.4.80": "dcmdjpls",
                   "1.2.840.10008.1.2.4.81": "dcmdjpls"}.get(syntax, "dcmdjpeg")
        if syntax == DEFLATED_FRAMES:  # the same object lies beside, as it is
            return pydicom.dcmread(path.replace("_deflate", "")).pixel_array
        if syntax.startswith("1.2.840.10008.1.2.4.9"):
            try:
                return pydicom.dcmread(path).pixel_array
            except Exception:
                return None
        status, _ = run(program, path, out)
        if status != 0:
            return None
        ds = pydicom.dcmread(out)
        ds.PlanarConfiguration = getattr(ds, "PlanarConfiguration", 0)
        return ds.pixel_array


def test_every_fixture_is_drawn_or_refused_with_a_reason(d):
    drawn, refused, compared, transcoded = 0, {}, 0, 0
    for path in images.files_below(harness.shared("data", "dicom", "fixtures")):
        with open(path, "rb") as file:
            content = file.read()
        if stow(d, [content]).status != 200:
            continue
        ds = pydicom.dcmread(path, stop_before_pixels=True, force=True)
        syntax = ds.file_meta.TransferSyntaxUID
        answer = get(d, ds, "/rendered", "image/png")
        assert answer.status in (200, 406, 413), (path, answer)  # none is our fault
        if answer.status != 200:
            assert answer.json["detail"], (path, answer)
            assert "crashed" not in answer.json["detail"], (path, answer)
            refused.setdefault(answer.json["detail"][:70], []).append(os.path.basename(path))
            continue
        drawn += 1
        if syntax in NATIVE:
            continue
        expected = reference(path)
        whole = wado(d, ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.SOPInstanceUID,
                     accept=f"application/dicom; transfer-syntax={LITTLE}")
        if whole.status != 200:  # DCMTK cannot write what has its UIDs as UN
            assert "no valid SOP class" in whole.json["detail"], (path, whole)
            continue
        plain = pydicom.dcmread(io.BytesIO(whole.body))
        assert plain.file_meta.TransferSyntaxUID == LITTLE and plain.SOPInstanceUID == ds.SOPInstanceUID
        transcoded += 1
        frames = get(d, ds, "/frames/1", "application/octet-stream")
        assert frames.status == 200, (path, frames)
        if expected is None:
            continue
        ours = plain.pixel_array
        assert ours.shape == expected.shape, (path, ours.shape, expected.shape)
        assert numpy.array_equal(ours, expected), (path, syntax.name, int(numpy.abs(ours.astype(int) - expected.astype(int)).max()))
        compared += 1
    for reason, paths in sorted(refused.items()):
        print(f"# refused: {reason}: {len(paths)}, such as {paths[0]}")
    print(f"# {drawn} drawn, {sum(map(len, refused.values()))} refused, {transcoded} transcoded, {compared} equal to other decoders")
    assert drawn >= 100 and compared >= 15, (drawn, compared)


def test_stored_code_streams(d):
    found = 0
    for path in images.files_below(harness.shared("data", "dicom", "fixtures", "pydicom")):
        try:
            ds = pydicom.dcmread(path)
            if not ds.file_meta.TransferSyntaxUID.is_encapsulated or stow(d, [open(path, "rb").read()]).status != 200:
                continue
            count = int(getattr(ds, "NumberOfFrames", 1))
            expected = list(pydicom.encaps.generate_pixel_data_frame(ds.PixelData, count))
        except Exception:
            continue
        answer = get(d, ds, "/frames/" + ",".join(str(i + 1) for i in range(count)), OCTETS + "; transfer-syntax=*")
        if answer.status != 200:
            continue
        assert parts_of(answer) == expected, path
        assert f"transfer-syntax={ds.file_meta.TransferSyntaxUID}".encode() in answer.body[:400]
        found += 1
    print(f"# {found} objects, code streams as pydicom takes them apart")
    assert found >= 10, found


def crash_and_hang():
    with Daemon(environment={"LAMINA_TEST_HOOKS": "1"}) as d:
        good, _ = grey()
        bad, _ = grey(PatientID="LAMINA-TEST-CRASH")
        store(d, good)
        store(d, bad)
        stuck, _ = grey(PatientID="LAMINA-TEST-HANG")
        store(d, stuck)
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(get, d, stuck, "/rendered", "image/png")
            assert get(d, good, "/rendered", "image/png").status == 200  # by another process
            answer = waiting.result()
        assert answer.status == 500 and "too long" in answer.json["detail"], answer
        for _ in range(3):
            answer = get(d, bad, "/rendered", "image/png")
            assert answer.status == 500 and "crashed" in answer.json["detail"], answer
        harness.daemon.wait_until(lambda: get(d, good, "/rendered", "image/png").status == 200, 10, "a fresh decoder")


# Half a minute of waiting, while the other tests go on.
beside = concurrent.futures.ThreadPoolExecutor(1).submit(crash_and_hang)


def compressed(pixels, **options):
    """A JPEG 2000 code stream of 16 bit pixels, without loss."""
    out = io.BytesIO()
    PIL.Image.fromarray(pixels.astype("<u2")).save(out, "JPEG2000", no_jp2=True, irreversible=False, **options)
    return out.getvalue()


def test_jpeg_2000_frames_of_ours(d):
    ds, pixels = grey(frames=3, rows=20, columns=24)
    ds.PixelData = pydicom.encaps.encapsulate([compressed(p) for p in pixels])
    ds["PixelData"].is_undefined_length = True
    ds["PixelData"].VR = "OB"
    ds.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.4.90"
    store(d, ds)
    answer = get(d, ds, "/frames/1,2,3", OCTETS)
    assert parts_of(answer) == [p.astype("<u2").tobytes() for p in pixels], answer


def encoded(streams, syntax, **attributes):
    """An image of these code streams, as bytes; pydicom does not know the younger transfer syntaxes."""
    known = "1.2.840.10008.1.2.4.100"
    ds, _ = grey(frames=len(streams), **attributes)
    ds.PixelData = pydicom.encaps.encapsulate(streams)
    ds["PixelData"].is_undefined_length = True
    ds["PixelData"].VR = "OB"
    ds.file_meta.TransferSyntaxUID = known
    assert len(syntax) == len(known)
    return ds, images.to_bytes(ds).replace(known.encode(), syntax.encode())


def test_htj2k_is_decoded(d):
    with open(os.path.join(harness.ROOT, "tests", "golden", "dicom", "htj2k_unsigned.j2c"), "rb") as file:
        stream = file.read()  # tests/golden/make_htj2k.js says of which pixels
    ds, content = encoded([stream, stream], "1.2.840.10008.1.2.4.201", rows=37, columns=29, BitsStored=16, HighBit=15)
    place = numpy.arange(37 * 29)
    expected = (place * 1237 % 4096 + numpy.where(place % 29 > place // 29, 20000, 0)).astype("<u2")
    assert stow(d, [content]).status == 200
    assert parts_of(get(d, ds, "/frames/2", OCTETS))[0] == expected.tobytes()
    assert pydicom.dcmread(io.BytesIO(parts_of(get(
        d, ds, "", f'multipart/related; type="application/dicom"; transfer-syntax={LITTLE}'))[0])).PixelData == 2 * expected.tobytes()
    assert png_of(get(d, ds, "/rendered", "image/png").body).shape[:2] == (37, 29)


def test_what_nothing_here_decodes_is_named(d):
    ds, content = encoded([b"\xff\x0a" + b"\0" * 60], "1.2.840.10008.1.2.4.110")
    assert stow(d, [content]).status == 200
    for rest in ("/rendered", "/thumbnail"):
        answer = get(d, ds, rest)
        assert answer.status == 406 and "JPEG XL" in answer.json["detail"], answer
    assert "JPEG XL" in get(d, ds, "/frames/1", "application/octet-stream").json["detail"]
    assert get(d, ds, "/frames/1", "image/jxl").status == 200  # as it is stored


def test_a_decoder_that_crashes_or_hangs_costs_one_request():
    beside.result()


harness.run(globals(), Daemon())
