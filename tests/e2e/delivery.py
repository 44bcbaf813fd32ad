#!/usr/bin/python3
"""Results reach the nodes they are for: by C-STORE, STOW-RS, MLLP and webhook, whatever the peer does (issue: nothing
lost, nothing sent twice to a peer that confirmed)."""
import hashlib
import hmac
import json
import os
import socket
import sqlite3
import tempfile
import threading
import time

try:
    import hl7
except ImportError:
    hl7 = None

import harness
from delivery_common import analyse, peer
from harness.daemon import Daemon, free_port, wait_until
from harness.peers import Hook, Orthanc, StoreScp, deliveries, never, wait_for


def test_a_peer_gets_every_object_once():
    with StoreScp() as scp, Daemon(peer(scp.port)) as d:
        _, uids = analyse(d)
        wait_for(d, "delivered", len(uids))
        assert scp.uids() == uids, (scp.uids(), uids)
        assert scp.stores() == len(uids), "sent twice"
        for delivery in deliveries(d):
            assert delivery["attempts"] == 1 and delivery["answer"] == 0 and not delivery["last_error"], delivery


def test_a_peer_that_is_down_gets_it_when_it_is_back():
    port = free_port()
    with Daemon(peer(port)) as d:
        _, uids = analyse(d)
        wait_until(lambda: all(w["last_error"] for w in deliveries(d)), 10, "an attempt for each object")
        assert {w["state"] for w in deliveries(d)} <= {"queued", "sending"} and len(deliveries(d)) == len(uids)
        with StoreScp(port=port) as scp:
            wait_for(d, "delivered", len(uids))
            assert scp.uids() == uids and scp.stores() == len(uids)


def test_a_pause_holds_back_and_survives_a_restart():
    with StoreScp() as scp, Daemon(peer(scp.port)) as d:
        assert d.post("/api/v1/destinations/pacs/pause").status == 202
        _, uids = analyse(d)
        d.stop()
        d.start()
        never(lambda: scp.stores(), 1, "sent although paused")
        assert len(deliveries(d, state="queued")) == len(uids)
        assert d.post("/api/v1/destinations/pacs/resume").status == 202
        wait_for(d, "delivered", len(uids))
        assert d.post("/api/v1/destinations/nobody/pause").status == 404


def test_kill_9_loses_and_repeats_nothing():
    port = free_port()
    with Daemon(peer(port)) as d:
        _, uids = analyse(d)
        d.kill()
        with StoreScp(port=port) as scp:
            d.start()
            wait_for(d, "delivered", len(uids))
            d.kill()
            d.start()
            time.sleep(1)
            assert scp.uids() == uids and scp.stores() == len(uids)


def test_what_takes_too_long_is_given_up_and_can_be_retried():
    port = free_port()
    with Daemon(peer(port, give_up_after="3s")) as d:
        _, uids = analyse(d)
        failed = wait_for(d, "failed", len(uids))
        assert all("given up" in f["last_error"] for f in failed), failed
        with StoreScp(port=port) as scp:
            for delivery in failed:
                answer = d.post(f"/api/v1/deliveries/{delivery['delivery']}/retry")
                assert answer.status == 202, answer
            wait_for(d, "delivered", len(uids))
            assert scp.uids() == uids
        assert d.post(f"/api/v1/deliveries/{failed[0]['delivery']}/retry").status == 409


def test_metrics_count_by_state():
    with StoreScp() as scp, Daemon(peer(scp.port)) as d:
        _, uids = analyse(d)
        wait_for(d, "delivered", len(uids))
        text = d.get("/metrics").body.decode()
        assert f'lamina_deliveries{{destination="pacs",state="delivered"}} {len(uids)}' in text, text[-2000:]


def secret_file(text):
    path = os.path.join(tempfile.mkdtemp(), "secret")
    with open(path, "w", encoding="utf-8") as file:
        file.write(text + "\n")
    os.chmod(path, 0o600)
    return path


def webhook(hook):
    return {"dicom.accept": "known", "peer tester.ae_title": "TESTER", "peer hook.kind": "webhook",
            "peer hook.url": hook.url + "/results", "peer hook.secret_file": secret_file("a secret of sixteen"),
            "peer hook.deliver": "results", "peer hook.retry_delay": "100ms"}


def test_a_webhook_is_signed_and_repeated_until_it_is_taken():
    with Hook(503, 429, 200) as hook, Daemon(webhook(hook)) as d:
        study, _ = analyse(d)
        wait_for(d, "delivered", 1)
        assert len(hook.requests) == 3, hook.requests
        path, headers, body = hook.requests[-1]
        signed = headers["X-Lamina-Timestamp"].encode() + b"." + body
        expected = hmac.new(b"a secret of sixteen", signed, hashlib.sha256).hexdigest()
        assert path == "/results" and headers["X-Lamina-Signature"] == f"sha256={expected}", headers
        document = json.loads(body)
        assert document["event"] == "result" and document["study_uid"] == study, document
        assert document["result"] == d.results(study)[0], "the words of REST"
        time.sleep(0.5)
        assert len(hook.requests) == 3, "sent again after it was taken"


def test_a_webhook_that_refuses_is_not_repeated():
    with Hook(422) as hook, Daemon(webhook(hook)) as d:
        analyse(d)
        failed = wait_for(d, "failed", 1)
        assert "422" in failed[0]["last_error"] and failed[0]["answer"] == 422, failed
        never(lambda: len(hook.requests) > 1, 0.5, "repeated")


class Mllp:
    """A receiver of HL7 messages that answers with the given acknowledgement codes."""

    def __init__(self, *codes):
        self.codes, self.messages = list(codes), []
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            connection, _ = self.socket.accept()
            threading.Thread(target=self.converse, args=(connection,), daemon=True).start()

    def converse(self, connection):
        data = b""
        while True:
            got = connection.recv(65536)
            if not got:
                return
            data += got
            while b"\x1c\r" in data:
                message, data = data.split(b"\x1c\r", 1)
                self.messages.append(message.lstrip(b"\x0b").decode())
                control = self.messages[-1].split("|")[9]
                code = self.codes.pop(0) if len(self.codes) > 1 else self.codes[0]
                answer = f"MSH|^~\\&|X|Y|LAMINA||||ACK|1|P|2.5\rMSA|{code}|{control}\r"
                connection.sendall(b"\x0b" + answer.encode() + b"\x1c\r")


def mllp(receiver):
    return {"dicom.accept": "known", "peer tester.ae_title": "TESTER", "peer his.kind": "mllp",
            "peer his.address": f"127.0.0.1:{receiver.port}", "peer his.deliver": "results",
            "peer his.retry_delay": "100ms"}


def test_an_hl7_message_is_sent_until_it_is_acknowledged():
    receiver = Mllp("AR", "AA")
    with Daemon(mllp(receiver)) as d:
        analyse(d)
        wait_for(d, "delivered", 1)
        assert len(receiver.messages) == 2, receiver.messages
        first, second = (m.split("|")[9] for m in receiver.messages)
        assert first == second, "a message that is sent again keeps its control ID"
        assert receiver.messages[0].startswith("MSH|^~\\&|") and "ORU^R01" in receiver.messages[0]


def test_an_hl7_message_says_what_the_result_says():
    """Read by a library that is not ours."""
    harness.need(hl7, "python3-hl7 is not installed")
    receiver = Mllp("AA")
    with Daemon(mllp(receiver)) as d:
        study, _ = analyse(d)
        wait_for(d, "delivered", 1)
        message, result = hl7.parse(receiver.messages[0]), d.results(study)[0]
    header, patient, order = (message.segment(name) for name in ("MSH", "PID", "OBR"))
    assert str(header[9]) == "ORU^R01^ORU_R01" and str(header[12]) == "2.5" and str(header[18]) == "UNICODE UTF-8"
    assert str(patient[3]) == "VIRTUAL-1" and str(patient[5]) == "Virtual^Patient", patient
    assert str(order[4](0)(0)) == result["model"]["name"] and str(order[25]) == "P", order
    observations = message.segments("OBX")
    assert [int(str(o[1])) for o in observations] == list(range(1, len(observations) + 1))
    volumes = [float(str(o[5])) for o in observations if str(o[2]) == "NM"]
    expected = [segment["volume_ml"] for segment in result["segments"]]
    assert len(volumes) == len(expected) and all(abs(a - b) < 1e-5 for a, b in zip(volumes, expected)), (volumes, expected)
    assert any(study in str(o[5]) for o in observations) and all(str(o[11]) == "P" for o in observations)


def test_an_hl7_message_with_an_error_is_not_repeated():
    receiver = Mllp("AE")
    with Daemon(mllp(receiver)) as d:
        analyse(d)
        failed = wait_for(d, "failed", 1)
        assert "AE" in failed[0]["last_error"], failed


def dicomweb(url, **keys):
    settings = {"kind": "dicomweb", "url": url, "deliver": "results", "retry_delay": "100ms", **keys}
    return {"dicom.accept": "known", "peer tester.ae_title": "TESTER",
            **{f"peer web.{key}": value for key, value in settings.items()}}


def test_stow_to_another_lamina_with_a_token():
    token = secret_file("a-token-of-more-than-16-characters")
    with Daemon({"http.auth": "token", "http.token_file": token}) as archive:
        with Daemon(dicomweb(archive.url + "/dicom-web", token_file=token)) as d:
            study, uids = analyse(d)
            wait_for(d, "delivered", len(uids))
            connection = sqlite3.connect(f"file:{archive.data}/lamina.db?mode=ro", uri=True)
            stored = sorted(row[0] for row in connection.execute("SELECT uid FROM instance"))
            assert stored == uids, (stored, uids)
            assert all(v["attempts"] == 1 and v["answer"] == 200 for v in deliveries(d)), deliveries(d)


def test_stow_is_repeated_until_it_is_answered():
    with Hook(503, 401, 200) as hook, Daemon(dicomweb(hook.url)) as d:
        _, uids = analyse(d)
        wait_for(d, "delivered", len(uids))
        assert hook.requests[0][0] == "/studies" and len(hook.requests) >= 3, [r[0] for r in hook.requests]


def test_stow_reads_the_answer_of_each_instance():
    """202: one was stored, the other refused for good."""
    with Hook(503) as hook, Daemon(dicomweb(hook.url)) as d:
        _, uids = analyse(d)
        stored = {"00081155": {"vr": "UI", "Value": [uids[0]]}}
        failed = {"00081155": {"vr": "UI", "Value": [uids[1]]}, "00081197": {"vr": "US", "Value": [0xC000]}}
        answer = {"00081199": {"vr": "SQ", "Value": [stored]}, "00081198": {"vr": "SQ", "Value": [failed]}}
        hook.answers[:] = [(202, json.dumps(answer).encode())]
        assert wait_for(d, "delivered", 1)[0]["sop_uid"] == uids[0]
        refused = wait_for(d, "failed", 1)[0]
        assert refused["sop_uid"] == uids[1] and "C000" in refused["last_error"], refused


def test_orthanc_takes_results_both_ways():
    harness.need(os.path.exists(Orthanc.PLUGIN), "Orthanc and its DICOMweb plug-in are not here")
    with Orthanc() as orthanc, Daemon(peer(orthanc.port)) as d:
        _, uids = analyse(d)
        wait_for(d, "delivered", len(uids))
        assert orthanc.uids() == uids
    with Orthanc() as orthanc, Daemon(dicomweb(orthanc.url + "/dicom-web")) as d:
        _, uids = analyse(d)
        wait_for(d, "delivered", len(uids))
        assert orthanc.uids() == uids


harness.run(globals())
