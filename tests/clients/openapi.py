#!/usr/bin/python3
"""The OpenAPI document against the specification (3.1), by a validator that is not ours (from npm)."""
import os
import subprocess
import tempfile

from npm import harness, modules
from harness.daemon import PATIENCE, Daemon

VALIDATOR = "@seriousme/openapi-schema-validator@2.2.5"


def validate(document):
    program = os.path.join(modules(VALIDATOR), "@seriousme", "openapi-schema-validator", "bin", "validate-api-cli.js")
    with tempfile.NamedTemporaryFile("wb", suffix=".json") as file:
        file.write(document)
        file.flush()
        return subprocess.run(["node", program, file.name], capture_output=True, text=True, timeout=120 * PATIENCE, check=False)


def test_the_document_is_valid(d):
    said = validate(d.get("/api/v1/openapi.json").body)
    assert said.returncode == 0, said.stdout + said.stderr


def test_the_validator_sees_what_is_wrong(d):
    """Else the test before would say nothing"""
    document = d.get("/api/v1/openapi.json").body
    for old, new in ((b'"in":"path"', b'"in":"nowhere"'), (b"#/components/schemas/Study", b"#/components/schemas/Nothing")):
        assert old in document
        said = validate(document.replace(old, new))
        assert said.returncode != 0, (new, said.stdout)


harness.run(globals(), Daemon())
