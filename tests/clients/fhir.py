#!/usr/bin/python3
"""The FHIR bundle of results against the definitions of R4, by a validator from npm."""
import json
import os
import subprocess
import tempfile

from npm import HERE, harness, modules
from harness import images
from harness.clients import storescu
from harness.daemon import PATIENCE, Daemon


def problems(document):
    found = modules("fhir@4.12.0")
    with tempfile.NamedTemporaryFile("w", suffix=".json", encoding="utf-8") as file:
        json.dump(document, file)
        file.flush()
        ran = subprocess.run(["node", os.path.join(HERE, "fhir.js"), found, file.name], capture_output=True, text=True,
                             timeout=120 * PATIENCE, check=False)
    assert ran.returncode == 0, ran.stderr
    said = json.loads(ran.stdout)
    # Of examples of codes, which is what R4 binds here, any other may be used.
    return [m for m in said["messages"] if m["severity"] in ("fatal", "error", "warning")
            and "not found in value set" not in m["message"]]


def bundle(d):
    source = images.series()
    status, said = storescu(d, images.save(source, tempfile.mkdtemp()))
    assert status == 0, said
    study = source[0].StudyInstanceUID
    d.wait_for_study(study)
    return d.get(f"/api/v1/studies/{study}/results?format=fhir").json


def test_the_bundle_is_valid(d):
    document = bundle(d)
    assert {e["resource"]["resourceType"] for e in document["entry"]} == {"ImagingStudy", "DiagnosticReport", "Observation"}
    assert not problems(document), problems(document)


def test_the_validator_notices(d):
    """So that a silence of it means something."""
    document = bundle(d)
    report = next(e["resource"] for e in document["entry"] if e["resource"]["resourceType"] == "DiagnosticReport")
    del report["status"]
    report["colour"] = "red"
    said = " ".join(m["message"] + m["location"] for m in problems(document))
    assert "status" in said and "colour" in said, said


harness.run(globals(), Daemon())
