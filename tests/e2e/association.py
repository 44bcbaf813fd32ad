#!/usr/bin/python3
"""Associations: C-ECHO and C-STORE by DCMTK's own clients; who is refused, and how."""
import concurrent.futures
import contextlib
import os
import socket
import tempfile

import harness
from harness import images
from harness.clients import associate_request, echoscu, storescu
from harness.daemon import Daemon, wait_until


def test_echo_is_answered(d):
    status, said = echoscu(d)
    assert status == 0, said


def test_a_stored_object_is_there_when_the_sender_hears_success(d):
    one = images.series(slices=1, SeriesDescription="T2")
    status, said = storescu(d, images.save(one, tempfile.mkdtemp()))
    assert status == 0 and "Received Store Response (Success)" in said, said
    study = d.study(one[0].StudyInstanceUID)
    assert study and study["series"][0]["instances"] == 1, study
    assert study["series"][0]["modality"] == "MR", study


def test_an_unknown_called_title_is_refused(d):
    status, said = echoscu(d, called="SOMEONE")
    assert status != 0 and "Called AE Title Not Recognized" in said, said


def test_the_title_is_case_sensitive_and_trimmed(d):
    assert echoscu(d, called="lamina")[0] != 0
    assert echoscu(d, called=" LAMINA ")[0] == 0


def test_many_associations_at_once(d):
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(lambda _: echoscu(d, "--repeat", "5"), range(8)))
    assert all(status == 0 for status, _ in outcomes), outcomes


def test_noise_on_the_port_does_no_harm(d):
    for noise in (b"GET / HTTP/1.1\r\n\r\n", os.urandom(5000), b"\x01\x00\xff\xff\xff\xff",
                  b"\x04\x00\x00\x00\x00\x04abcd", b""):
        with socket.create_connection(("127.0.0.1", d.dicom_port)) as peer:
            with contextlib.suppress(OSError):  # closed while there is more to send, or waiting for more
                peer.settimeout(5)
                peer.sendall(noise)
                while peer.recv(1000):
                    pass
    status, said = echoscu(d)
    assert status == 0, said


def test_only_known_peers_once_there_are_some():
    with Daemon({"dicom.accept": "known", "peer scanner.ae_title": "SCANNER"}) as d:
        assert echoscu(d, calling="SCANNER")[0] == 0
        status, said = echoscu(d, calling="STRANGER")
        assert status != 0 and "Calling AE Title Not Recognized" in said, said


def test_a_peer_from_another_address_is_refused():
    with Daemon({"dicom.accept": "known", "peer scanner.ae_title": "SCANNER",
                 "peer scanner.address": "192.0.2.1:104"}) as d:
        assert echoscu(d, calling="SCANNER")[0] != 0


def test_a_peer_whose_host_is_not_known_is_refused_and_logged():
    """As at a start before the name server's"""
    with Daemon({"dicom.accept": "known", "peer scanner.ae_title": "SCANNER",
                 "peer scanner.address": "scanner.invalid:104"}) as d:
        assert echoscu(d, calling="SCANNER")[0] != 0
        wait_until(lambda: 'event=peer_not_found ae_title="SCANNER" host="scanner.invalid"' in d.log(), 10, "a line in the log")


def test_too_many_associations_are_refused_for_now():
    with Daemon({"dicom.max_associations": "2"}) as d:
        holders = [socket.create_connection(("127.0.0.1", d.dicom_port)) for _ in range(2)]
        for holder in holders:
            holder.sendall(associate_request())
            assert holder.recv(1) == b"\x02", "the association was not accepted"
        status, said = echoscu(d)
        assert status != 0 and "Local Limit Exceeded" in said, said
        for holder in holders:
            holder.close()
        wait_until(lambda: echoscu(d)[0] == 0, 5, "room for an association")


harness.run(globals(), Daemon())
