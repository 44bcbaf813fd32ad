#!/usr/bin/python3
"""The worklist (UPS-RS): what a creator, a performer and a watcher get answered, and Lamina as the performer. Data sets are
made and read by pydicom, requests are curl's."""
import io
import json

import pydicom
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid

import harness
from harness import images
from harness.clients import curl, dciodvfy, pretty, stow, wado
from harness.daemon import Daemon, wait_until
from harness.follower import Follower

JSON = {"Content-Type": "application/dicom+json", "Accept": "application/dicom+json"}
PUSH, SEG, SR_3D = "1.2.840.10008.5.1.4.34.6.1", "1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.88.34"
NOW, LATER = "20260101000000", "20990101000000"
HANG = "LAMINA-TEST-HANG"
HOOKS = {"LAMINA_TEST_HOOKS": "1"}
PUBLIC = "https://lamina.example.org/hospital"


def code(value, scheme="DCM", meaning="a meaning"):
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return item


def step(study=None, series=None, instances=(), model="hippocampus", station="LAMINA", **attributes):
    """A workitem as an image manager makes it: analyse this study with that model."""
    ds = Dataset()
    ds.ScheduledProcedureStepStartDateTime, ds.InputReadinessState = NOW, "READY"
    ds.ProcedureStepState, ds.ScheduledProcedureStepPriority = "SCHEDULED", "MEDIUM"
    ds.ProcedureStepLabel, ds.WorklistLabel = "Hippocampus, please", "AI"
    ds.PatientName, ds.PatientID = "Virtual^Patient", "VIRTUAL-1"
    ds.ScheduledStationNameCodeSequence = [code(station, "99SITE")] if station else []
    ds.ScheduledWorkitemCodeSequence = [model if isinstance(model, Dataset) else code(model, "99LAMINA")]
    ds.InputInformationSequence = []
    if study:
        item = Dataset()
        item.TypeOfInstances, item.StudyInstanceUID = "DICOM", study
        if series:
            item.SeriesInstanceUID = series
        if instances:
            item.ReferencedSOPSequence = [Dataset() for _ in instances]
            for reference, ds_ in zip(item.ReferencedSOPSequence, instances, strict=True):
                reference.ReferencedSOPClassUID, reference.ReferencedSOPInstanceUID = ds_.SOPClassUID, ds_.SOPInstanceUID
        ds.InputInformationSequence = [item]
    for name, value in attributes.items():
        setattr(ds, name, value) if value is not None else delattr(ds, name)
    return ds


def body_of(ds):
    return json.dumps([ds.to_json_dict()]).encode()


def send(d, method, path, ds=None, headers=None):
    body = body_of(ds) if isinstance(ds, Dataset) else ds
    return curl(f"{d.url}/dicom-web/workitems{path}", "-X", method, body=body, headers=headers or JSON)


def create(d, ds, uid=None):
    uid = uid or generate_uid()
    answer = send(d, "POST", f"?{uid}", ds)
    assert answer.status == 201 and answer.headers["location"].endswith(f"/dicom-web/workitems/{uid}"), answer
    return uid


def get(d, uid):
    answer = send(d, "GET", f"/{uid}")
    assert answer.status == 200 and answer.headers["content-type"] == "application/dicom+json", answer
    assert len(answer.json) == 1
    return Dataset.from_json(answer.json[0])


def wait_for(d, uid, state, seconds=60):
    def there():
        ds = get(d, uid)
        final = ds.ProcedureStepState in ("COMPLETED", "CANCELED")
        assert not final or ds.ProcedureStepState == state, ds
        return ds if ds.ProcedureStepState == state else None
    return wait_until(there, seconds, f"the workitem to be {state}")


def change(d, uid, state, transaction=None):
    ds = Dataset()
    ds.ProcedureStepState = state
    if transaction:
        ds.TransactionUID = transaction
    return send(d, "PUT", f"/{uid}/state", ds)


def found(d, query):
    answer = send(d, "GET", f"?{query}")
    assert answer.status in (200, 204), answer
    return {item["00080018"]["Value"][0] for item in answer.json} if answer.status == 200 else set()


def store(d, **attributes):
    series = images.series(**attributes)
    answer = stow(d, [images.to_bytes(ds) for ds in series])
    assert answer.status == 200, answer
    return series


def why(ds):
    """Code and text of a canceled one."""
    progress = ds.ProcedureStepProgressInformationSequence[0]
    assert progress.ProcedureStepCancellationDateTime
    return progress.ProcedureStepDiscontinuationReasonCodeSequence[0].CodeValue, progress.ReasonForCancellation


# ---- the origin server ----

def test_creating(d):
    ds = step(station="OTHER")
    uid = create(d, ds)
    back = get(d, uid)
    assert back.SOPInstanceUID == uid and back.SOPClassUID == PUSH and back.ProcedureStepState == "SCHEDULED"
    assert back.ScheduledProcedureStepModificationDateTime and "TransactionUID" not in back
    for element in ds:
        assert back[element.tag].value == element.value, element
    again = send(d, "POST", f"?{uid}", ds)
    assert again.status == 409, again
    for query in (f"?AffectedSOPInstanceUID={uid}", f"?workitem={uid}"):
        assert send(d, "POST", query, ds).status == 409
    ds.SOPInstanceUID = generate_uid()
    assert send(d, "POST", "", ds).headers["location"].endswith(ds.SOPInstanceUID)
    del ds.SOPInstanceUID
    made = send(d, "POST", "", ds)
    assert made.status == 201 and "/workitems/2.25." in made.headers["location"], made
    xml = curl(f"{d.url}/dicom-web/workitems/{uid}", headers={"Accept": 'multipart/related; type="application/dicom+xml"'})
    assert xml.status == 200 and b'tag="00741204"' in xml.body, xml


def test_what_is_not_taken(d):
    bad = [
        (step(ProcedureStepLabel=None, ScheduledProcedureStepPriority=None), "ProcedureStepLabel is missing"),
        (step(ProcedureStepLabel=None, ScheduledProcedureStepPriority=None), "ScheduledProcedureStepPriority is missing"),
        (step(ProcedureStepState="IN PROGRESS"), "ProcedureStepState must be one of SCHEDULED"),
        (step(InputReadinessState="SOON"), "InputReadinessState must be"),
        (step(TransactionUID="1.2.3"), "TransactionUID must be empty"),
        (step(SOPClassUID="1.2.3"), "SOPClassUID"),
        (step(ScheduledProcedureStepStartDateTime="2026"), None),
        (b"[{\"00741000\":{\"Value\":[]}}]", "has no vr"),
        (b"[{\"ProcedureStepState\":{\"vr\":\"CS\"}}]", "is no tag"),
        (b"[{}, {}]", "one data set"), (b"{", "line 1"), (b"[1]", "one data set"), (b"", "send a data set"),
        (b"[{\"00404021\":" + b'{"vr":"SQ","Value":[{"00404021":' * 40 + b"{}" + b"}]}" * 40 + b"}]", "deeper"),
    ]
    for ds, words in bad:
        answer = send(d, "POST", "", ds)
        assert answer.status == (400 if words else 201), (words, answer)
        assert not words or words in answer.json["detail"], (words, answer.json)
    assert send(d, "POST", "?workitem=1..2", step()).status == 400
    for kind in ("application/dicom+xml", "text/plain"):
        assert send(d, "POST", "", step(), {"Content-Type": kind}).status == 415
    large = step(ProcedureStepLabel="x" * 1100000)
    assert send(d, "POST", "", large, {**JSON, "Transfer-Encoding": "chunked"}).status == 413
    assert send(d, "GET", "/1.2.3").status == 404
    assert send(d, "GET", "/1.2.3", headers={"Accept": "image/png"}).status == 406
    assert send(d, "POST", "/1.2.3/subscribers/WATCHER").status == 404


def test_another_performer(d):
    uid, mine = create(d, step(station="OTHER")), generate_uid()
    follower = Follower(d)
    wait_until(lambda: follower.take() and b"id: " in follower.text, 10, "the opening")
    early = change(d, uid, "COMPLETED", mine)
    assert early.status == 409 and "inconsistent" in early.headers["warning"] and "C310H" in early.json["detail"], early
    assert change(d, uid, "IN PROGRESS").headers["warning"] == '299 lamina "The Transaction UID is missing."'
    assert change(d, uid, "IN PROGRESS", mine).status == 200
    assert change(d, uid, "IN PROGRESS", mine).status == 409
    wrong = change(d, uid, "COMPLETED", generate_uid())
    assert wrong.status == 409 and wrong.headers["warning"] == '299 lamina "The Transaction UID is incorrect."', wrong
    assert change(d, uid, "SCHEDULED", mine).status == 409
    assert change(d, uid, "DONE", mine).status == 400
    unfinished = change(d, uid, "COMPLETED", mine)
    assert unfinished.status == 409 and "C304H" in unfinished.json["detail"], unfinished
    done = Dataset()
    done.PerformedStationNameCodeSequence, done.PerformedWorkitemCodeSequence = [code("OTHER")], [code("110001")]
    done.PerformedProcedureStepStartDateTime = done.PerformedProcedureStepEndDateTime = NOW
    done.OutputInformationSequence = []
    update = Dataset()
    update.UnifiedProcedureStepPerformedProcedureSequence = [done]
    assert send(d, "POST", f"/{uid}", update).status == 409
    assert send(d, "POST", f"/{uid}?transaction-uid={mine}", update).status == 200
    assert send(d, "POST", f"/{uid}?{mine}", update).status == 200
    assert "TransactionUID" not in get(d, uid)
    refused = send(d, "POST", f"/{uid}/cancelrequest")
    assert refused.status == 409 and "cannot be contacted" in refused.headers["warning"], refused
    assert change(d, uid, "COMPLETED", mine).status == 200
    again = change(d, uid, "COMPLETED", mine)
    assert again.status == 200 and "already in the requested state of COMPLETED" in again.headers["warning"], again
    assert send(d, "POST", f"/{uid}?{mine}", update).status == 409
    over = send(d, "POST", f"/{uid}/cancelrequest")
    assert over.status == 409 and "already COMPLETED" in over.headers["warning"], over
    follower.wait_for(lambda event, data, _: event == "workitem" and data == {"workitem_uid": uid, "state": "COMPLETED"},
                      "the event")
    follower.close()


def test_updating_what_is_scheduled(d):
    uid = create(d, step(station="OTHER"))
    update = Dataset()
    update.ProcedureStepLabel = "Another"
    assert send(d, "POST", f"/{uid}", update).status == 200 and get(d, uid).ProcedureStepLabel == "Another"
    for name, value in (("PatientID", "X"), ("ProcedureStepState", "CANCELED"), ("ProcedureStepLabel", "")):
        wrong = Dataset()
        setattr(wrong, name, value)
        assert send(d, "POST", f"/{uid}", wrong).status == 400, name
    assert send(d, "POST", f"/{uid}?{generate_uid()}", update).status == 409
    assert get(d, uid).ProcedureStepLabel == "Another" and get(d, uid).PatientID == "VIRTUAL-1"


def test_canceling_what_is_scheduled(d):
    uid, reason = create(d, step(station="OTHER")), Dataset()
    reason.ReasonForCancellation = "the wrong patient"
    reason.ProcedureStepDiscontinuationReasonCodeSequence = [code("110514")]
    assert send(d, "POST", f"/{uid}/cancelrequest", reason).status == 202
    assert why(wait_for(d, uid, "CANCELED")) == ("110514", "the wrong patient")
    again = send(d, "POST", f"/{uid}/cancelrequest")
    assert again.status == 202 and "already in the requested state of CANCELED" in again.headers["warning"], again
    assert send(d, "POST", f"/{generate_uid()}/cancelrequest").status == 404


def test_searching(d):
    label, study, other = "SEARCH", generate_uid(), generate_uid()
    ds = step(study, station="OTHER", WorklistLabel=label, PatientID="SEARCHED", ScheduledProcedureStepPriority="HIGH",
              ScheduledProcedureStepStartDateTime="20300105103000", PatientName="Müller^Eva")
    second = Dataset()
    second.TypeOfInstances, second.StudyInstanceUID = "DICOM", other
    ds.InputInformationSequence.append(second)
    one = create(d, ds)
    two = create(d, step(other, station="OTHER", WorklistLabel=label, model="adrenal"))
    three = create(d, step(station="OTHER", WorklistLabel=label))
    assert change(d, three, "IN PROGRESS", generate_uid()).status == 200
    for query, expected in (
            ("", {one, two, three}), ("ProcedureStepState=SCHEDULED", {one, two}), ("00741000=IN PROGRESS", {three}),
            ("ScheduledProcedureStepPriority=HIGH", {one}), ("PatientID=SEARCHED", {one}), ("PatientName=muller*", {one}),
            (f"StudyInstanceUID={study}", {one}), (f"StudyInstanceUID={other}", {one, two}),
            (f"InputInformationSequence.StudyInstanceUID={other}", {one, two}),
            ("ScheduledWorkitemCodeSequence.CodeValue=adrenal", {two}),
            ("ScheduledStationNameCodeSequence.00080100=OTHER", {one, two, three}),
            ("ScheduledProcedureStepStartDateTime=20300105", {one}), ("ScheduledProcedureStepStartDateTime=2030-", {one}),
            ("ScheduledProcedureStepStartDateTime=20260101-20260201", {two, three}),
            ("ScheduledProcedureStepStartDateTime=-20300105103000", {one, two, three}),
            ("PatientID=NOBODY", set()), ("ProcedureStepState=SCHEDULED&limit=1", {one}),
            ("ProcedureStepState=SCHEDULED&offset=1", {two})):
        assert found(d, f"WorklistLabel={label}&{query.replace(' ', '%20')}") == expected, query
    page = send(d, "GET", f"?WorklistLabel={label}&limit=1")
    assert "2 additional results" in page.headers["warning"], page.headers
    item = page.json[0]
    assert "00741204" in item and "00081190" not in item and "00400400" not in item, pretty(item)
    Dataset.from_json(item)
    for query in ("ScheduledProcedureStepStartDateTime=soon", "Nonsense=1", "Rows=1"):
        assert send(d, "GET", f"?{query}").status == 400, query


# ---- the performer ----

def check_output(d, ds, study):
    """Completed, with references to objects that are there, in the form that others read."""
    performed = ds.UnifiedProcedureStepPerformedProcedureSequence[0]
    assert performed.PerformedStationNameCodeSequence[0].CodeValue == "LAMINA"
    assert performed.PerformedProcedureStepStartDateTime and performed.PerformedProcedureStepEndDateTime
    assert performed.PerformedWorkitemCodeSequence[0].CodeValue == ds.ScheduledWorkitemCodeSequence[0].CodeValue
    assert ds.ProcedureStepProgressInformationSequence[0].ProcedureStepProgress == 100
    classes = set()
    for output in performed.OutputInformationSequence:
        assert output.StudyInstanceUID == study and output.TypeOfInstances == "DICOM"
        url = output.WADORSRetrievalSequence[0].RetrieveURL
        assert url == f"{PUBLIC}/dicom-web/studies/{study}/series/{output.SeriesInstanceUID}", url
        for reference in output.ReferencedSOPSequence:
            answer = wado(d, study, output.SeriesInstanceUID, reference.ReferencedSOPInstanceUID)
            assert answer.status == 200, answer
            assert pydicom.dcmread(io.BytesIO(answer.body)).SOPClassUID == reference.ReferencedSOPClassUID
            classes.add(reference.ReferencedSOPClassUID)
    assert classes >= {SEG, SR_3D}, classes
    return performed


def test_performing(d):
    series = store(d)
    study = series[0].StudyInstanceUID
    uid = create(d, step(study))
    ds = wait_for(d, uid, "COMPLETED")
    check_output(d, ds, study)
    jobs = d.study(study)["jobs"]
    assert [job["model"]["name"] for job in jobs] == ["hippocampus"], jobs
    seen["study"], seen["series"] = study, series
    refused = change(d, uid, "COMPLETED", generate_uid())
    assert refused.status == 409, "nobody else has its Transaction UID"


seen = {}


def test_what_is_done_is_not_done_again(d):
    """Promise 5: the same objects are the output of the second workitem, too."""
    study, series = seen["study"], seen["series"]
    before = d.study(study)["jobs"]
    uid = create(d, step(study, series[0].SeriesInstanceUID, series, model=code("110004")))
    check_output(d, wait_for(d, uid, "COMPLETED"), study)
    assert [job["job"] for job in d.study(study)["jobs"]] == [job["job"] for job in before]


def test_input_that_comes_late(d):
    series = images.series()
    study, half = series[0].StudyInstanceUID, len(series) // 2
    uid = create(d, step(study, series[0].SeriesInstanceUID, series))
    assert get(d, uid).ProcedureStepState == "SCHEDULED"
    assert stow(d, [images.to_bytes(ds) for ds in series[:half]]).status == 200
    d.wait_for_study(study, ("done", "failed", "no_model"))
    assert get(d, uid).ProcedureStepState == "SCHEDULED", "half of it is not all of it"
    assert stow(d, [images.to_bytes(ds) for ds in series[half:]]).status == 200
    check_output(d, wait_for(d, uid, "COMPLETED"), study)


def test_its_time(d):
    study = seen["study"]
    later = create(d, step(study, ScheduledProcedureStepStartDateTime=LATER))
    unready = create(d, step(study, InputReadinessState="INCOMPLETE"))
    gone = create(d, step(generate_uid(), ScheduledProcedureStepExpirationDateTime="20260102000000"))
    assert why(wait_for(d, gone, "CANCELED"))[0] == "110523"
    assert get(d, later).ProcedureStepState == get(d, unready).ProcedureStepState == "SCHEDULED"
    for uid, name, value in ((later, "ScheduledProcedureStepStartDateTime", NOW), (unready, "InputReadinessState", "READY")):
        update = Dataset()
        setattr(update, name, value)
        assert send(d, "POST", f"/{uid}", update).status == 200
        wait_for(d, uid, "COMPLETED")


def test_what_cannot_be_done(d):
    study = seen["study"]
    cases = ((step(study, model="no-such-model"), "110502", "no model of the name"),
             (step(study, model=code("110002")), "110502", "Scheduled Workitem Code"),
             (step(study, model="adrenal"), "110522", "adrenal"),
             (step(), "110523", "there is no input"))
    for ds, wanted, words in cases:
        uid = create(d, ds)
        value, text = why(wait_for(d, uid, "CANCELED"))
        assert value == wanted and words in text, (value, text)


def test_who_performs_what(d):
    """Only what is scheduled for its AE title, unless [worklist] perform says otherwise."""
    study = seen["study"]
    held = [create(d, step(study, station=None)), create(d, step(study, station="LAMINA2"))]
    wait_for(d, create(d, step(study)), "COMPLETED")
    assert all(get(d, uid).ProcedureStepState == "SCHEDULED" for uid in held)


def test_open_workitems():
    with Daemon({"worklist.perform": "open"}) as d:
        study = store(d)[0].StudyInstanceUID
        held = [create(d, step(study, station=None, model=code("110002"))), create(d, step(study, station="OTHER"))]
        wait_for(d, create(d, step(study, station=None)), "COMPLETED")
        assert all(get(d, uid).ProcedureStepState == "SCHEDULED" for uid in held)


def begin_to_hang(d):
    """A workitem whose job runs and does not end."""
    study = store(d, PatientID=HANG)[0].StudyInstanceUID
    uid = create(d, step(study, PatientID=HANG))
    wait_for(d, uid, "IN PROGRESS")
    d.wait_for_study(study, ("running",))
    return study, uid


def test_canceling_what_is_in_progress(d):
    study, uid = begin_to_hang(d)
    progress = get(d, uid).ProcedureStepProgressInformationSequence[0]
    assert progress.ProcedureStepProgress == 0 and "0 of 1" in progress.ProcedureStepProgressDescription
    assert change(d, uid, "CANCELED", generate_uid()).status == 409
    assert send(d, "POST", f"/{uid}/cancelrequest").status == 202
    assert why(wait_for(d, uid, "CANCELED")) == ("110513", "cancelled by request")
    assert [job["state"] for job in d.study(study)["jobs"]] == ["cancelled"]


def test_a_job_that_is_cancelled(d):
    study, uid = begin_to_hang(d)
    assert d.post(f"/api/v1/jobs/{d.study(study)['jobs'][0]['job']}/cancel").status == 202
    assert "cancelled by hand" in why(wait_for(d, uid, "CANCELED"))[1]


def test_input_that_is_removed():
    with Daemon({"http.allow_delete": "yes"}, HOOKS) as d:
        study, uid = begin_to_hang(d)
        assert curl(f"{d.url}/dicom-web/studies/{study}", "-X", "DELETE").status == 204
        assert why(wait_for(d, uid, "CANCELED"))[0] == "110523"


def test_kill_9_in_the_middle():
    d = Daemon({"http.public_url": PUBLIC}, HOOKS).start()
    try:
        study, uid = begin_to_hang(d)
        waiting, others = create(d, step(study, ScheduledProcedureStepStartDateTime=LATER)), create(d, step(station="OTHER"))
        mine = generate_uid()
        assert change(d, others, "IN PROGRESS", mine).status == 200
    finally:
        d.kill()
    del d.environment["LAMINA_TEST_HOOKS"]  # the image is a good one
    with d:
        check_output(d, wait_for(d, uid, "COMPLETED"), study)
        assert len(d.study(study)["jobs"]) == 1
        assert get(d, waiting).ProcedureStepState == "SCHEDULED" and get(d, others).ProcedureStepState == "IN PROGRESS"
        assert change(d, others, "CANCELED", mine).status == 200
        assert get(d, others).ProcedureStepProgressInformationSequence[0].ProcedureStepCancellationDateTime


def test_no_patient_in_the_log(d):
    for word in ("VIRTUAL-1", "Virtual^Patient", HANG, "SEARCHED"):
        assert word not in d.log(), word


harness.run(globals(), Daemon({"http.public_url": PUBLIC}, HOOKS))
