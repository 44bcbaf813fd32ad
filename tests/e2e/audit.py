#!/usr/bin/python3
"""The audit trail (PS3.15 section A.5): each deed gives the record that it should, well-formed and by the schema, and
what it says of patients stands in no other log (promise 9)."""
import base64
import glob
import os
import re
import socket
import stat
import tempfile
import xml.etree.ElementTree as ElementTree

import harness
from delivery_common import SEG, analyse, peer
from harness import images
from harness.clients import curl, echoscu, run, stow, storescu, wado
from harness.daemon import Daemon, wait_until
from harness.peers import StoreScp, deliveries, wait_for

MR = "1.2.840.10008.5.1.4.1.1.4"
HEAD = re.compile(r"<(8[45])>1 \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z \S+ laminad \d+ DICOM\+RFC3881 - \ufeff(<\?xml .*)")

# What an element has within it, in this order, and which attributes, by the schema of PS3.15 section A.5.1.
CODED = ("csd-code", "codeSystemName", "originalText")
SCHEMA = {
    "AuditMessage": (["EventIdentification", "ActiveParticipant", "AuditSourceIdentification",
                      "ParticipantObjectIdentification"], (), ()),
    "EventIdentification": (["EventID", "EventTypeCode", "EventOutcomeDescription"],
                            ("EventActionCode", "EventDateTime", "EventOutcomeIndicator"), ()),
    "ActiveParticipant": (["RoleIDCode"], ("UserID", "UserIsRequestor"),
                          ("AlternativeUserID", "NetworkAccessPointID", "NetworkAccessPointTypeCode")),
    "AuditSourceIdentification": (["AuditSourceTypeCode"], ("AuditSourceID",), ()),
    "ParticipantObjectIdentification": (
        ["ParticipantObjectIDTypeCode", "ParticipantObjectName", "ParticipantObjectQuery", "ParticipantObjectDetail",
         "ParticipantObjectDescription"],
        ("ParticipantObjectID", "ParticipantObjectTypeCode", "ParticipantObjectTypeCodeRole"), ()),
    "ParticipantObjectDescription": (["SOPClass"], (), ()),
    "SOPClass": (["Instance"], ("NumberOfInstances",), ("UID",)),
    "Instance": ([], ("UID",), ()),
    "ParticipantObjectDetail": ([], ("type", "value"), ()),
    "AuditSourceTypeCode": ([], ("csd-code",), ()),
    **{name: ([], CODED, ()) for name in ("EventID", "EventTypeCode", "RoleIDCode", "ParticipantObjectIDTypeCode")},
    **{name: ([], (), ()) for name in ("EventOutcomeDescription", "ParticipantObjectName", "ParticipantObjectQuery")},
}


def check(element):
    order, needed, allowed = SCHEMA[element.tag]
    places = [order.index(child.tag) for child in element]
    assert places == sorted(places), f"{element.tag}: {[child.tag for child in element]}"
    assert set(needed) <= set(element.keys()) <= set(needed) | set(allowed), (element.tag, element.keys())
    for child in element:
        check(child)


class Record:
    """A line of the trail."""

    def __init__(self, line):
        head = HEAD.fullmatch(line)
        assert head, line
        self.xml = ElementTree.fromstring(head[2])
        assert self.xml.tag == "AuditMessage"
        check(self.xml)
        event = self.xml.find("EventIdentification")
        self.name = event.find("EventID").get("originalText")
        kind = event.find("EventTypeCode")
        self.type = None if kind is None else kind.get("originalText")
        self.action, self.outcome = event.get("EventActionCode"), event.get("EventOutcomeIndicator")
        assert head[1] == ("85" if self.outcome == "0" else "84"), line
        self.reason = event.findtext("EventOutcomeDescription", "")
        participants = list(self.xml.iter("ActiveParticipant"))
        self.users = [(p.get("UserID"), p.get("NetworkAccessPointID")) for p in participants]
        self.titles = [p.get("AlternativeUserID", "").removeprefix("AETITLES=") for p in participants]
        self.requestors = [p.get("UserIsRequestor") for p in participants]
        objects = {o.find("ParticipantObjectIDTypeCode").get("originalText"): o
                   for o in self.xml.iter("ParticipantObjectIdentification")}
        ids = {kind: o.get("ParticipantObjectID") for kind, o in objects.items()}
        self.study, self.patient = ids.get("Study Instance UID"), ids.get("Patient Number")
        self.classes = {c.get("UID"): int(c.get("NumberOfInstances")) for c in self.xml.iter("SOPClass")}
        self.instances = [i.get("UID") for i in self.xml.iter("Instance")]
        query = next(self.xml.iter("ParticipantObjectQuery"), None)
        self.query = None if query is None else base64.b64decode(query.text, validate=True).decode()

    def __repr__(self):
        return ElementTree.tostring(self.xml).decode()


def files(d):
    return sorted(glob.glob(os.path.join(d.data, "audit", "*.log")))


def lines(d):
    """Those of all files; one that is being written is left out."""
    text = ""
    for path in files(d):
        with open(path, encoding="utf-8") as file:
            text += file.read()
    return text.split("\n")[:-1]


def trail(d, name=None):
    """All records, or those of an event."""
    records = [Record(line) for line in lines(d)]
    return [r for r in records if name in (None, r.name)]


def recorded(d, name, count=1):
    """The records of an event, once there are so many; there are no more then."""
    wait_until(lambda: len(trail(d, name)) >= count, 20, f"{count} × {name}")
    found = trail(d, name)
    assert len(found) == count, found
    return found


def source(slices=4, **attributes):
    return images.series(slices=slices, PatientID="AUDIT-0815", PatientName="Secret^Person", **attributes)


def test_start_and_stop():
    d = Daemon().start()
    assert [r.type for r in recorded(d, "Application Activity")] == ["Application Start"]
    assert [stat.S_IMODE(os.stat(path).st_mode) for path in files(d)] == [0o640]
    d.stop()
    assert [r.type for r in trail(d)] == ["Application Start", "Application Stop"]
    assert all(r.titles == ["LAMINA"] and r.action == "E" and r.outcome == "0" for r in trail(d))


def test_an_association_gives_a_record_for_each_study():
    with Daemon() as d:
        one, two = source(4), source(3)
        status, said = storescu(d, images.save(one + two, tempfile.mkdtemp()))
        assert status == 0, said
        records = recorded(d, "DICOM Instances Transferred", 2)
        assert {(r.study, r.classes[MR]) for r in records} == {(one[0].StudyInstanceUID, 4), (two[0].StudyInstanceUID, 3)}
        for r in records:
            assert (r.action, r.outcome, r.patient) == ("C", "0", "AUDIT-0815"), r
            assert r.users[0] == ("TESTER", "127.0.0.1") and r.titles == ["TESTER", "LAMINA"], r
            assert r.users[1][0] == str(d.pid), r


def test_refused_objects_have_a_record_of_their_own():
    with Daemon() as d:
        good = source(2)
        assert stow(d, [images.to_bytes(good[0])]).status == 200
        same_uid = source(1)[0]
        same_uid.SOPInstanceUID = same_uid.file_meta.MediaStorageSOPInstanceUID = good[0].SOPInstanceUID
        assert stow(d, [images.to_bytes(good[1]), images.to_bytes(same_uid)]).status == 202
        records = recorded(d, "DICOM Instances Transferred", 3)
        assert sorted(r.outcome for r in records) == ["0", "0", "4"]
        refused = next(r for r in records if r.outcome == "4")
        assert refused.reason and refused.users[0][1] == "127.0.0.1", refused
        assert sum(refused.classes.values()) == 1, refused


def test_what_is_asked_for_is_recorded():
    with Daemon() as d:
        images_of = source(4)
        first = images_of[0]
        study, series, sop = first.StudyInstanceUID, first.SeriesInstanceUID, first.SOPInstanceUID
        assert stow(d, [images.to_bytes(ds) for ds in images_of]).status == 200
        asked = "/dicom-web/studies?PatientName=S%26%22%3C*&limit=5"
        assert d.get(asked).status == 204
        query, = recorded(d, "Query")
        assert query.query == asked and query.outcome == "0" and query.titles == ["", "LAMINA"], query
        records = []
        for ask in (lambda: wado(d, study, accept='multipart/related; type="application/dicom"; transfer-syntax=*'),
                    lambda: wado(d, study, series, sop),
                    lambda: curl(f"{d.url}/dicom-web/studies/{study}/series/{series}/instances/{sop}/rendered"),
                    lambda: d.get(f"/api/v1/studies/{study}/results"),
                    lambda: wado(d, "1.2.3")):
            assert ask().status == (404 if len(records) == 4 else 200), len(records)
            records = recorded(d, "DICOM Instances Accessed", len(records) + 1)  # noted once the answer is out
        whole, one, picture, results, nothing = records
        assert (whole.study, whole.patient, whole.classes, whole.action) == (study, "AUDIT-0815", {MR: 4}, "R"), whole
        assert one.instances == picture.instances == [sop] and one.classes == {MR: 1}, one
        assert results.study == study and results.patient == "AUDIT-0815"
        assert (nothing.study, nothing.outcome, nothing.patient) == ("1.2.3", "4", "unknown"), nothing


def test_a_long_query_is_cut_where_it_is_seen():
    with Daemon() as d:
        d.get("/dicom-web/studies?limit=1&PatientName=" + "x" * 20000)
        query, = recorded(d, "Query")
        assert query.query.endswith("…") and query.query.startswith("/dicom-web/studies?limit=1"), query


def test_a_workitem_that_is_asked_for_is_recorded():
    with Daemon() as d:
        assert d.get("/dicom-web/workitems/1.2.3").status == 404
        query, = recorded(d, "Query")
        assert (query.query, query.outcome) == ("/dicom-web/workitems/1.2.3", "4"), query


def test_deleting_is_recorded_with_the_patient():
    with Daemon({"http.allow_delete": "yes"}) as d:
        images_of = source(2)
        study = images_of[0].StudyInstanceUID
        assert stow(d, [images.to_bytes(ds) for ds in images_of]).status == 200
        path = f"/dicom-web/studies/{study}"
        assert d.request("DELETE", f"{path}/series/{images_of[0].SeriesInstanceUID}/instances/{images_of[0].SOPInstanceUID}").status == 204
        assert d.request("DELETE", path).status == 204
        assert d.request("DELETE", path).status == 404
        part, = recorded(d, "DICOM Instances Accessed")
        assert (part.action, part.study, part.patient) == ("D", study, "AUDIT-0815"), part
        gone, failed = recorded(d, "DICOM Study Deleted", 2)
        assert (gone.action, gone.study, gone.patient, gone.outcome) == ("D", study, "AUDIT-0815", "0"), gone
        assert (failed.study, failed.outcome) == (study, "4"), failed


def test_who_is_refused_is_recorded_and_counted():
    folder = tempfile.mkdtemp()
    token = "a-token-of-more-than-16-characters"
    with open(folder + "/tokens", "w", encoding="ascii", opener=lambda p, f: os.open(p, f, 0o600)) as file:
        file.write(f"# readers\n{token}\n")
    with Daemon({"http.auth": "token", "http.token_file": folder + "/tokens", "dicom.accept": "known",
                 "peer pacs.ae_title": "PACS"}) as d:
        assert echoscu(d, calling="STRANGER")[0] != 0
        alert, = recorded(d, "Security Alert")
        assert alert.type == "Node Authentication" and alert.users[0] == ("STRANGER", "127.0.0.1"), alert
        assert alert.requestors == ["false", "true"], alert
        assert alert.outcome == "4" and "alling" in alert.reason, alert
        for _ in range(30):
            assert d.get("/dicom-web/studies", Authorization="Bearer wrong-wrong-wrong-wrong").status == 401
        assert d.get("/dicom-web/studies", Authorization="Bearer " + token).status == 204
        query, = recorded(d, "Query")
        assert query.users[0] == ("token of line 2", "127.0.0.1"), query
        d.stop()
        refusals = trail(d, "User Authentication")
        folded = [int(r.reason.split()[0]) for r in refusals if " more " in r.reason]
        assert sum(folded) + len(refusals) - len(folded) == 30, refusals
        assert folded, "ten are taken in a minute, and thirty take less than three"
        assert token not in "".join(map(repr, trail(d))) and "wrong-wrong" not in "".join(map(repr, trail(d)))


def test_a_client_is_called_by_the_subject_of_its_certificate():
    folder = tempfile.mkdtemp()
    certificate, key = folder + "/all.pem", folder + "/all.key"  # of the server, the client and the authority
    status, said = run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                       "-subj", "/O=Clinic & Sons/CN=viewer", "-keyout", key, "-out", certificate)
    assert status == 0, said
    d = Daemon({"http.auth": "mtls", "http.tls_certificate": certificate, "http.tls_key": key, "http.tls_client_ca": certificate})
    d.launch()
    url = f"https://localhost:{d.http_port}/dicom-web/studies"
    shown = ("--cert", certificate, "--key", key)
    wait_until(lambda: run("curl", "-sf", "-k", "-o", "/dev/null", url.replace("dicom-web/studies", "healthz"))[0] == 0, 15, "the server")
    assert curl(url, "-k", *shown).status == 204
    assert curl(url, "-k").status == 403
    query, = recorded(d, "Query")
    assert query.users[0] == ("CN=viewer,O=Clinic & Sons", "127.0.0.1"), query
    refused, = recorded(d, "User Authentication")
    assert refused.users[0] == ("127.0.0.1", "127.0.0.1") and "403" in refused.reason, refused
    d.stop()


def test_what_is_no_association_is_an_alert():
    with Daemon() as d:
        with socket.create_connection(("127.0.0.1", d.dicom_port)) as s:
            s.sendall(b"GET / HTTP/1.1\r\n\r\n")
            alert, = recorded(d, "Security Alert")
        assert alert.outcome == "4", alert


def test_an_association_that_breaks_off_has_its_record():
    with Daemon() as d:
        status, said = storescu(d, images.save(source(2), tempfile.mkdtemp()), "--abort")
        assert status == 0, said
        record, = recorded(d, "DICOM Instances Transferred")
        assert record.classes == {MR: 2}, record


def test_deliveries_are_recorded():
    with StoreScp() as scp, Daemon(peer(scp.port)) as d:
        study, uids = analyse(d)
        wait_for(d, "delivered", len(uids))
        wait_until(lambda: sum(sum(r.classes.values()) for r in trail(d, "DICOM Instances Transferred") if r.action == "R") == len(uids),
                   20, "the records")
        sent = [r for r in trail(d, "DICOM Instances Transferred") if r.action == "R"]
        begun = trail(d, "Begin Transferring DICOM Instances")
        assert len(begun) == len(sent) and any(SEG in r.classes for r in sent), (begun, sent)
        for r in begun + sent:
            assert (r.study, r.outcome, r.users[0]) == (study, "0", ("PACS", "127.0.0.1")), r
        assert len(deliveries(d)) == len(uids)


def test_promise_9_patients_stand_in_the_trail_alone():
    with Daemon() as d:
        images_of = source(3)
        assert stow(d, [images.to_bytes(ds) for ds in images_of]).status == 200
        assert d.get("/dicom-web/studies?PatientID=AUDIT-0815").status == 200
        recorded(d, "Query")
        assert "AUDIT-0815" not in d.log() and "Secret" not in d.log() and images_of[0].StudyInstanceUID not in d.log()


def test_switched_off_it_does_not_exist():
    with Daemon({"audit.enabled": "no"}) as d:
        assert stow(d, [images.to_bytes(source(1)[0])]).status == 200
        assert not os.path.exists(os.path.join(d.data, "audit"))


def test_a_kill_leaves_whole_lines_and_the_next_start_goes_on():
    with Daemon() as d:
        assert stow(d, [images.to_bytes(source(1)[0])]).status == 200
        recorded(d, "DICOM Instances Transferred")
        d.kill()
        with open(files(d)[-1], "ab") as file:
            file.write(b"<85>1 a record that was cut")
        d.start()
        wait_until(lambda: "".join(lines(d)).count("Application Start") == 2, 20, "the second start")
        whole = [line for line in lines(d) if not line.endswith("was cut")]
        assert len(whole) == len(lines(d)) - 1 and all(Record(line) for line in whole)


harness.run(globals())
