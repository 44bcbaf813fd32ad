#!/usr/bin/python3
"""Walks /api/v1/openapi.json: every route is asked for, and fails where its answer is not what the document says: status,
media type, schema, parameters, problems, security. A route that the document gains is walked without a change here."""
import io
import json
import os
import re
import socket
import zipfile

from pydicom.dataset import Dataset

import harness
from delivery_common import analyse, peer
from harness.clients import curl, multipart
from harness import images
from harness.daemon import PATIENCE, Daemon
from harness.peers import StoreScp, wait_for

PROBLEM, DICOM_JSON = "application/problem+json", "application/dicom+json"
known = {}  # parameter of a path: a value that exists
paths = {}


# ---- JSON Schema, as far as the document uses it ----

TYPES = {"object": dict, "array": list, "string": str, "integer": int, "number": (int, float), "boolean": bool, "null": type(None)}


def is_type(value, name):
    return isinstance(value, TYPES[name]) and not (isinstance(value, bool) and name in ("integer", "number"))


def resolve(document, schema):
    while "$ref" in schema:
        found = document
        for step in schema["$ref"].removeprefix("#/").split("/"):
            found = found[step]
        schema = found
    return schema


def differences(document, schema, value, where="answer"):
    """What about `value` is not as the schema says."""
    schema = resolve(document, schema)
    unknown = set(schema) - {"type", "required", "properties", "items", "enum", "pattern", "maxLength", "additionalProperties",
                             "description"}
    assert not unknown, f"this test does not know {unknown} of JSON Schema"
    types = schema.get("type", list(TYPES))
    types = [types] if isinstance(types, str) else types
    if not any(is_type(value, name) for name in types):
        return [f"{where} is {value!r:.80}, not {types}"]
    found = []
    if "enum" in schema and value not in schema["enum"]:
        found.append(f"{where} is {value!r}, none of {schema['enum']}")
    if isinstance(value, str):
        if not re.search(schema.get("pattern", ""), value) or len(value) > schema.get("maxLength", len(value)):
            found.append(f"{where} is {value!r:.80}, which does not fit")
    if isinstance(value, list):
        for i, member in enumerate(value):
            found += differences(document, schema.get("items", {}), member, f"{where}[{i}]")
    if isinstance(value, dict):
        found += [f"{where} has no {name}" for name in schema.get("required", []) if name not in value]
        for name, member in value.items():
            further = schema.get("additionalProperties", {})
            inner = schema.get("properties", {}).get(name, further if isinstance(further, dict) else {})
            found += differences(document, inner, member, f"{where}.{name}")
    return found


# ---- routes ----

def fetch_document(d):
    answer = d.get("/api/v1/openapi.json")
    assert answer.status == 200 and answer.headers["content-type"] == "application/json"
    return answer.json


def operations(document):
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield method.upper(), path, operation


def ask(d, method, path, *options, accept="*/*", **headers):
    # Events never end; what they say is checked by events.py.
    if method == "HEAD" or (method == "GET" and path.split("?")[0] == "/api/v1/events"):
        answer = curl(d.url + path, "--head", headers={"Accept": accept, **headers})
        answer.body = b""  # curl shows the headers there
        return answer
    options += () if method == "GET" else ("-X", method)
    return curl(d.url + path, *options, headers={"Accept": accept, **headers})


def filled(path, **other):
    return re.sub(r"\{(\w+)\}", lambda name: str({**known, **other, "path": known_path(path)}[name[1]]), path)


def known_path(path):
    return "7FE00010" if "bulkdata" in path else "index.html"


def media_type(answer):
    return re.sub(r"\s", "", answer.headers.get("content-type", "")).replace('"', "").lower()


def check_answer(document, operation, answer, what):
    """An answer that is what its operation says about its status."""
    responses = operation["responses"]
    response = resolve(document, responses.get(str(answer.status), responses["default"]))
    content = response.get("content", {})
    if not content:
        return [f"{what}: {answer.status} has content"] if answer.body else []
    given = media_type(answer)
    for name, body in content.items():
        wanted = re.sub(r"\s", "", name).replace('"', "").lower()
        if wanted == "*/*" or all(piece in given.split(";") for piece in wanted.split(";")):
            schema = body.get("schema") if answer.body else None
            return [f"{what}: {text}" for text in differences(document, schema, answer.json)] if schema else []
    return [f"{what}: {answer.status} came as {given or 'nothing'}, not {list(content)}"]


def settle(found):
    assert not found, "\n".join(["document and behaviour differ:", *found])


def reads(document):
    """What can be asked for and exists: OHIF is not installed here."""
    return [(path, operation) for method, path, operation in operations(document)
            if method == "GET" and not path.startswith("/ohif")]


def test_set_up(d):
    known["study"], made = analyse(d)
    study = d.study(known["study"])
    known["series"] = next(s["series_uid"] for s in study["series"] if s["modality"] == "MR")
    listed = curl(f"{d.url}/dicom-web/studies/{known['study']}/series/{known['series']}/instances").json
    known.update(instance=listed[0]["00080018"]["Value"][0], frames="1", job=d.get("/api/v1/jobs").json["jobs"][0]["job"])
    known["delivery"] = wait_for(d, "delivered", len(made))[0]["delivery"]
    known["model"] = d.get("/api/v1/models").json["models"][0]["name"]
    known["workitem"] = new_workitem(d)


def workitem_for(path):
    """What a request about workitems has in its body; its own answers are checked by worklist.py."""
    ds = Dataset()
    if path.endswith("/state"):
        ds.ProcedureStepState, ds.TransactionUID = "IN PROGRESS", "1.2.3"
    elif path.endswith("/workitems"):
        ds.ProcedureStepState, ds.ScheduledProcedureStepPriority, ds.InputReadinessState = "SCHEDULED", "LOW", "READY"
        ds.ScheduledProcedureStepStartDateTime, ds.ProcedureStepLabel = "20260101", "x"
    return json.dumps([ds.to_json_dict()]).encode()


def new_workitem(d):
    answer = curl(f"{d.url}/dicom-web/workitems", body=workitem_for("/workitems"), headers={"Content-Type": DICOM_JSON})
    return answer.headers["location"].rsplit("/", 1)[1]


def name_for(path):
    if "models" in path:
        return known["model"]
    if "destinations" in path:
        return "pacs"
    return "app.js" if path.startswith("/ui") else "montage"


def test_the_document_is_whole(d):
    """Every parameter of a path is described, every reference leads somewhere, every operation has an answer."""
    document = fetch_document(d)
    assert document["openapi"].startswith("3.1") and document["info"]["version"]
    for method, path, operation in operations(document):
        described = {p["name"] for p in operation["parameters"] if p["in"] == "path"}
        assert described == set(re.findall(r"\{(\w+)\}", path)), (method, path)
        assert operation["summary"] and "default" in operation["responses"], (method, path)
        for response in operation["responses"].values():
            for content in resolve(document, response).get("content", {}).values():
                resolve(document, content.get("schema", {}))


def test_what_can_be_read(d):
    document, found = fetch_document(d), []
    for path, operation in reads(document):
        answer = ask(d, "GET", filled(path, name=name_for(path)))
        success = [status for status in operation["responses"] if status.startswith("2")]
        if str(answer.status) not in success:
            found.append(f"{path}: {answer!r}")
        else:
            found += check_answer(document, operation, answer, path)
    settle(found)


def test_media_types_that_are_offered(d):
    """Each one of the document can be asked for, and one that is not offered is 406 where there is a choice."""
    document, found = fetch_document(d), []
    for path, operation in reads(document):
        place = filled(path, name=name_for(path))
        for name in operation["responses"]["200"]["content"]:
            answer = ask(d, "GET", place, accept=name)
            if answer.status != 200:
                found.append(f"{path} as {name}: {answer!r}")
        if path.startswith("/dicom-web"):
            answer = ask(d, "GET", place, accept="audio/ogg")
            found += [] if answer.status == 406 else [f"{path} as audio/ogg: {answer!r}"]
            found += check_answer(document, operation, answer, path)
    settle(found)


def test_head(d):
    document = fetch_document(d)
    settle([f"HEAD {path}: {answer!r}" for path, operation in reads(document)
            for answer in [ask(d, "HEAD", filled(path, name=name_for(path)))]
            if answer.status != 200 or "content-type" not in answer.headers])


def after_head(d, path):
    """What follows the head of the answer to HEAD on the wire, where another request was sent with it."""
    with socket.create_connection(("127.0.0.1", d.http_port), 60 * PATIENCE) as connection:
        connection.sendall(f"HEAD {path} HTTP/1.1\r\nHost: localhost\r\n\r\n"
                           "GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        return b"".join(iter(lambda: connection.recv(65536), b"")).partition(b"\r\n\r\n")[2]


def test_head_ends_with_its_head(d):
    """RFC 9112 section 6.3: nothing of a body, or it would be taken for the next answer"""
    settle([f"HEAD {path}: {rest[:100]}" for path, _ in reads(fetch_document(d))
            for rest in [after_head(d, filled(path, name=name_for(path)))] if rest and not rest.startswith(b"HTTP/1.1 200")])


ABSENT = {"study": "1.2.3.4", "series": "1.2.3.4", "instance": "1.2.3.4", "job": "999999", "delivery": "999999", "name": "nobody",
          "workitem": "1.2.3.4", "frames": "99999"}


def test_what_does_not_exist(d):
    """404 for each parameter of a path in turn; 400 for one that is malformed"""
    document, found = fetch_document(d), []
    for method, path, operation in operations(document):
        if path.startswith("/ohif") or operation.get("requestBody"):
            continue
        for name in re.findall(r"\{(\w+)\}", path):
            if name == "path":
                continue
            for value, statuses in ((ABSENT[name], (404,)), ("!x", (400, 404))):
                if method == "GET" and "dicom-web" in path and path.endswith(("/series", "/instances")) and value != "!x":
                    statuses = (204, 404)  # a search below a study that is not there finds nothing
                answer = ask(d, method, filled(path, **{"name": name_for(path), name: value}))
                if answer.status not in statuses:
                    found.append(f"{method} {path} with {name}={value}: {answer!r}")
                found += check_answer(document, operation, answer, f"{method} {path} with {name}={value}")
    settle(found)


WRONG = {"integer": "x", "boolean": "perhaps"}


def test_query_parameters(d):
    """Those of the document are taken; wrong values and, where the document is complete, others are 400."""
    document, found = fetch_document(d), []
    for method, path, operation in operations(document):
        if method != "GET" or path.startswith("/ohif"):
            continue
        place = filled(path, name=name_for(path))
        query = [p for p in operation["parameters"] if p["in"] == "query"]
        for parameter in query:
            wrong = WRONG.get(parameter["schema"]["type"])
            if wrong:
                answer = ask(d, "GET", f"{place}?{parameter['name']}={wrong}")
                if answer.status != 400 or parameter["name"] not in answer.json["detail"]:
                    found.append(f"{path}?{parameter['name']}={wrong}: {answer!r}")
        if path.startswith("/api/v1") and query:
            name = query[0]["name"]
            answer = ask(d, "GET", f"{place}?{name}=1&{name}=1")
            if answer.status != 400 or name not in answer.json["detail"]:
                found.append(f"{path}?{name}=1 twice: {answer!r}")
        if path.startswith("/api/v1"):
            answer = ask(d, "GET", f"{place}?nonsense=1")
            if answer.status != 400 or answer.body and "nonsense" not in answer.json["detail"]:
                found.append(f"{path}?nonsense=1: {answer!r}")
    settle(found)


def test_lists(d):
    """state, limit, offset: what is named by the document filters, and every member is of the kind asked for"""
    document, found = fetch_document(d), []
    for path, operation in reads(document):
        query = {p["name"]: p for p in operation["parameters"] if p["in"] == "query"}
        if "state" not in query:
            continue
        name = path.rsplit("/", 1)[1]
        whole = ask(d, "GET", path + "?limit=1000").json
        assert whole["limit"] == 1000 and whole["offset"] == 0 and whole[name], whole
        key = {"studies": "study_uid", "jobs": "job", "deliveries": "delivery"}[name]
        every = [member[key] for member in whole[name]]
        paged = [m[key] for i in range(len(every)) for m in ask(d, "GET", f"{path}?limit=1&offset={i}").json[name]]
        found += [] if paged == every else [f"{path}: by pages {paged}, whole {every}"]
        found += [] if ask(d, "GET", f"{path}?offset={len(every)}").json[name] == [] else [f"{path}: more after the last"]
        states = {member["state"] for member in whole[name]}
        for state in sorted(states | set(query["state"]["schema"]["enum"])):
            got = ask(d, "GET", f"{path}?state={state}").json[name]
            expected = [m[key] for m in whole[name] if m["state"] == state]
            found += [] if [m[key] for m in got] == expected else [f"{path}?state={state}: {got}"]
        named = query["state"]["schema"]["enum"]
        found += [] if states <= set(named) else [f"{path}: states {states}, the document names {named}"]
        for bad in ("limit=0", "limit=1001", "limit=-1", "limit=", "offset=-1", "offset=99999999999999999999", "state=Nothing!",
                    "state=nosuchstate"):
            answer = ask(d, "GET", f"{path}?{bad}")
            if answer.status != 400 or bad.split("=")[0] not in answer.json["detail"]:
                found.append(f"{path}?{bad}: {answer!r}")
    settle(found)


def test_other_methods(d):
    """405 with Allow, in which is what the document has and nothing else"""
    document, found = fetch_document(d), []
    for path, methods in document["paths"].items():
        answer = ask(d, "PATCH", filled(path, name=name_for(path)))
        allowed = {m.strip() for m in answer.headers.get("allow", "").split(",")}
        wanted = {m.upper() for m in methods} | ({"HEAD"} if "get" in methods else set()) | {"OPTIONS"}
        if answer.status != 405 or allowed != wanted or media_type(answer) != PROBLEM:
            found.append(f"PATCH {path}: {answer.status}, Allow {allowed}, expected {wanted}")
    settle(found)


def body_as(media_type, ds, path):
    """(Content-Type, body) with an object in it, of a type that the document says is taken."""
    content = images.to_bytes(ds)
    if media_type.startswith("multipart/related"):
        return multipart([content])
    if media_type == "application/zip":
        archive = io.BytesIO()
        with zipfile.ZipFile(archive, "w") as file:
            file.writestr("image.dcm", content)
        return media_type, archive.getvalue()
    if media_type == DICOM_JSON:
        return media_type, workitem_for(path)
    assert media_type == "application/dicom", media_type
    return media_type, content


def test_what_does_something(d):
    """POST and PUT of the document in each type that is taken, DELETE last, for it removes what the others need"""
    document, found = fetch_document(d), []
    source = images.series(slices=1)
    doing = [o for o in operations(document) if o[0] in ("POST", "PUT", "DELETE", "OPTIONS")]
    doing.sort(key=lambda o: (o[0] == "DELETE", -o[1].count("/")))
    asked = [(operation, media_type) for operation in doing for media_type in operation[2].get("requestBody", {}).get("content", [None])]
    for (method, path, operation), media_type in asked:
        own = {"study": source[0].StudyInstanceUID, "workitem": new_workitem(d)} if media_type else {}
        place = filled(path, name=name_for(path), **own)
        if media_type:
            kind, body = body_as(media_type, source[0], path)
            answer = curl(d.url + place, "-X", method, body=body, headers={"Content-Type": kind, "Expect": ""})
        else:
            answer = ask(d, method, place)
        conflict = answer.status == 409 and place.endswith(("/retry", "/cancel"))  # not legal in the state it is in
        gone = answer.status == 404 and method == "DELETE" and "/instances" not in path  # what was below it is gone, and all with it
        success = [status for status in operation["responses"] if status.startswith("2")]
        if str(answer.status) not in success and not conflict and not gone:
            found.append(f"{method} {path}: {answer!r}")
        found += check_answer(document, operation, answer, f"{method} {path}")
    settle(found)


def test_security():
    """With a token: what the document leaves open answers without, all else is 401"""
    with Daemon() as plain:
        token = "x" * 32
        path = plain.directory + "/tokens"
        with open(path, "w", encoding="utf-8") as file:
            file.write(token + "\n")
        os.chmod(path, 0o600)
        with Daemon({"http.auth": "token", "http.token_file": path}) as d:
            document, found = fetch_document(d), []
            assert document["security"] == [{"token": []}]
            for method, route, operation in operations(document):
                answer = ask(d, method, re.sub(r"\{(study|series|instance|job|delivery|workitem)\}", "1", route).replace("{frames}", "1")
                             .replace("{path}", "x").replace("{name}", "x"))
                is_open = operation.get("security") == []
                if (answer.status == 401) == is_open:
                    found.append(f"{method} {route}: {answer.status}, the document says {'open' if is_open else 'token'}")
            settle(found)


with StoreScp() as pacs:
    harness.run(globals(), Daemon({**peer(pacs.port), "http.allow_delete": "yes"}))
