#!/usr/bin/python3
"""What arrives: every kind of object that a destination switched on, in a transfer syntax that it takes, by IPv4 and IPv6,
and element for element what is stored here, also when the peer gives it back."""
import io
import os
import socket
import tempfile

import pydicom

import harness
from delivery_common import analyse, peer
from harness.clients import ours, wado
from harness.daemon import Daemon
from harness.faulty import FaultyScp
from harness.peers import DcmQrScp, Orthanc, StoreScp, deliveries, wait_for

EXPLICIT, IMPLICIT, RLE = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2", "1.2.840.10008.1.2.5"
ALL_KINDS = {f"{kind}": "yes" for kind in ("secondary_captures", "presentation_states", "key_objects", "parametric_maps")}


def stored(d, study):
    """{SOP instance UID: the file as it is stored here} of the study's results."""
    return {o["sop_uid"]: wado(d, study, o["series_uid"], o["sop_uid"]).body
            for r in d.results(study) for o in r["objects"]}


def data_set(content):
    """The bytes of a file after its meta information."""
    file = io.BytesIO(content)
    pydicom.filereader.read_preamble(file, False)
    pydicom.filereader._read_file_meta_info(file)
    return content[file.tell():]


def elements(content):
    return pydicom.dcmread(io.BytesIO(content))


def received(scp):
    found = {}
    for name in os.listdir(scp.received):
        with open(os.path.join(scp.received, name), "rb") as file:
            content = file.read()
        found[elements(content).SOPInstanceUID] = content
    return found


def test_every_kind_that_is_switched_on_arrives():
    with StoreScp() as scp, Daemon(peer(scp.port, **ALL_KINDS)) as d:
        study, _ = analyse(d)
        wait_for(d, "delivered", 6)
        ours_, theirs = stored(d, study), received(scp)
        kinds = {elements(theirs[uid]).SOPClassUID.name for uid in theirs}
        assert kinds == {"Segmentation Storage", "Comprehensive 3D SR Storage", "Secondary Capture Image Storage",
                         "Grayscale Softcopy Presentation State Storage", "Key Object Selection Document Storage",
                         "Parametric Map Storage"}, kinds
        for uid, content in theirs.items():
            assert data_set(content) == data_set(ours_[uid]), uid


def test_a_destination_gets_only_what_it_switched_on():
    with StoreScp() as scp, Daemon(peer(scp.port, key_objects="yes")) as d:
        analyse(d)
        wait_for(d, "delivered", 3)
        assert {elements(c).Modality for c in received(scp).values()} == {"SEG", "SR", "KO"}
        assert len(deliveries(d)) == 3


def check_transcoded(options, transfer_syntax, **settings):
    with StoreScp(*options) as scp, Daemon({**peer(scp.port), **settings}) as d:
        study, uids = analyse(d)
        wait_for(d, "delivered", len(uids))
        ours_, theirs = stored(d, study), received(scp)
        assert sorted(theirs) == uids and scp.stores() == len(uids)
        for uid, content in theirs.items():
            there, here = elements(content), elements(ours_[uid])
            assert there.file_meta.TransferSyntaxUID == transfer_syntax, there.file_meta
            if here.Modality == "SEG":
                assert (there.pixel_array == here.pixel_array).all()
                del there.PixelData, here.PixelData
            assert there == here, uid
        return {elements(c).file_meta.TransferSyntaxUID for c in ours_.values()}


def test_run_lengths_are_decoded_for_a_peer_that_takes_none():
    before = check_transcoded((), EXPLICIT, **{"analysis.segmentation": "occupancy", "analysis.compress_segmentations": "yes"})
    assert before == {EXPLICIT, RLE}, before


def test_a_peer_that_takes_nothing_but_implicit_vr():
    assert check_transcoded(("+xi",), IMPLICIT) == {EXPLICIT}
    check_transcoded(("+xi",), IMPLICIT, **{"analysis.segmentation": "occupancy", "analysis.compress_segmentations": "yes"})


def cut_short(d, content):
    """Takes the end of its pixels from the stored file with this content."""
    for folder, _, names in os.walk(os.path.join(d.data, "store")):
        for path in (os.path.join(folder, name) for name in names):
            with open(path, "rb") as file:
                if file.read() == content:
                    os.truncate(path, len(content) - 100)
                    return
    raise AssertionError("it is not in the store")


def test_what_cannot_be_converted_fails_alone():
    with StoreScp() as scp, Daemon({**peer(scp.port), "analysis.segmentation": "occupancy",
                                    "analysis.compress_segmentations": "yes"}) as d:
        assert d.post("/api/v1/destinations/pacs/pause").status == 202
        study, uids = analyse(d)
        [segmentation] = [o["sop_uid"] for r in d.results(study) for o in r["objects"] if o["type"] == "SEG"]
        cut_short(d, stored(d, study)[segmentation])
        assert d.post("/api/v1/destinations/pacs/resume").status == 202
        [failed] = wait_for(d, "failed", 1)
        wait_for(d, "delivered", len(uids) - 1)
        assert failed["sop_uid"] == segmentation, failed
        assert f"takes it in transfer syntax {EXPLICIT} only: " in failed["last_error"], failed
        assert segmentation not in received(scp)


def test_a_peers_words_stay_text():
    """Bytes that are no UTF-8 come as three each, and the text is cut: with half a character in its reason a delivery would
    be in no list."""
    with FaultyScp(plan=[0xC000] * 100, comment=b"ab" + b"\xbd" * 60) as scp, Daemon(peer(scp.port)) as d:
        _, uids = analyse(d)
        failed = wait_for(d, "failed", len(uids))
        assert all("C000H: ab\ufffd" in v["last_error"] for v in failed), failed


def test_dcmqrscp_gives_back_what_it_got():
    with DcmQrScp() as archive, Daemon(peer(archive.port)) as d:
        study, uids = analyse(d)
        wait_for(d, "delivered", len(uids))
        ours_, theirs = stored(d, study), archive.retrieve(study)
        assert sorted(theirs) == uids, (theirs, uids)
        for uid, path in theirs.items():
            assert pydicom.dcmread(path) == elements(ours_[uid]), uid


def test_orthanc_gives_back_the_same_bytes():
    harness.need(os.path.exists(Orthanc.PLUGIN), "Orthanc and its DICOMweb plug-in are not here")
    with Orthanc() as orthanc, Daemon(peer(orthanc.port)) as d:
        study, uids = analyse(d)
        wait_for(d, "delivered", len(uids))
        ours_, theirs = stored(d, study), orthanc.files()
        assert sorted(theirs) == uids
        for uid, content in theirs.items():
            assert data_set(content) == data_set(ours_[uid]), uid


def test_a_peer_on_ipv6():
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        raise harness.Skip("there is no IPv6 here") from None
    archive = Daemon()
    archive.settings["dicom.listen"] = f"[::1]:{archive.dicom_port}"
    with archive, Daemon({**peer(archive.dicom_port, ae_title="LAMINA"),
                          "peer pacs.address": f"[::1]:{archive.dicom_port}"}) as d:
        study, uids = analyse(d)
        wait_for(d, "delivered", len(uids))
        for uid in uids:
            assert archive.get(f"/dicom-web/studies/{study}/instances?SOPInstanceUID={uid}").json
        status, said = ours("lamina", "echo", f"[::1]:{archive.dicom_port}/LAMINA")
        assert status == 0, said
        folder = tempfile.mkdtemp()
        with open(os.path.join(folder, "seg.dcm"), "wb") as file:
            file.write(next(iter(stored(d, study).values())))
        status, said = ours("lamina", "send", f"[::1]:{archive.dicom_port}/LAMINA", folder)
        assert status == 0, said


harness.run(globals())
