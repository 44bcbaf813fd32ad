#!/usr/bin/python3
"""The header index against pydicom, over real files of 18 transfer syntaxes, many character sets and some that are
broken: every value equal, nothing crashes."""
import collections
import json
import math
import os
import tempfile
import warnings

import pydicom

import harness
from harness import images
from harness.worker import FAILED, INDEXED, Worker

# Fixtures of other kinds, without the UIDs that an instance of a study has, or not Part 10 files.
REFUSALS = ("has no SOPClassUID", "has no StudyInstanceUID", "not a DICOM file", "file meta information",
            "not a valid UID", "damaged data set")
AT_LEAST_INDEXED = 185
BINARY = ("OB", "OW", "OF", "OD", "OL", "OV", "UN")
GROUPS = ("Alphabetic", "Ideographic", "Phonetic")


def fixtures():
    folder = harness.shared("data", "dicom", "fixtures")
    return [os.path.join(where, name) for where, _, names in sorted(os.walk(folder)) for name in sorted(names)
            if not name.endswith(".md")]


def value_of(written):
    if isinstance(written, dict):
        return "=".join(written.get(g, "") for g in GROUPS).rstrip("=")
    return "" if written is None else written


def expected_values(element):
    value = element.value
    if value is None or value == "":
        return []
    many = isinstance(value, (list, pydicom.multival.MultiValue))
    for one in value if many else [value]:
        if element.VR == "AT":
            yield f"{int(one):08X}"
        elif isinstance(one, (int, float)) or isinstance(one, pydicom.valuerep.DSdecimal):
            yield float(one)
        else:
            yield str(one).strip(" \0").rstrip("=") if one is not None else ""


def same(written, expected):
    if isinstance(expected, float) and isinstance(written, (int, float)):
        return math.isclose(written, expected, rel_tol=1e-6, abs_tol=1e-12)
    return str(written).strip() == str(expected).strip()


def differences(attributes, ds, path=""):
    tags = {f"{tag:08X}" for tag in ds.keys() if tag & 0xFFFF and tag >> 16 < 0x7FE0}
    if tags != {tag for tag in attributes if int(tag, 16) >> 16 < 0x7FE0}:
        yield f"{path}: elements {sorted(tags ^ set(attributes))[:4]}"
        return
    for tag in tags:
        element, written = ds[int(tag, 16)], attributes[tag]
        if element.VR == "SQ":
            items = written.get("Value", [])
            if len(items) != len(element.value):
                yield f"{path}/{tag}: {len(items)} items instead of {len(element.value)}"
            for number, (item, inner) in enumerate(zip(items, element.value)):
                yield from differences(item, inner, f"{path}/{tag}/{number}")
        elif "BulkDataURI" not in written and written["vr"] not in BINARY and element.VR not in BINARY:
            mine, theirs = [value_of(v) for v in written.get("Value", [])], list(expected_values(element))
            if len(mine) != len(theirs) or not all(map(same, mine, theirs)):
                yield f"{path}/{tag}: {mine[:3]} instead of {theirs[:3]}"


def test_every_fixture_is_indexed_or_refused_with_a_reason():
    counts, unexpected = collections.Counter(), []
    with Worker() as worker:
        for path in fixtures():
            answer = worker.index(path)
            assert answer, f"the worker died of {path}"
            counts[answer[0]] += 1
            if answer[0] == FAILED and not any(words in answer[1]["reason"] for words in REFUSALS):
                unexpected.append((os.path.basename(path), answer[1]))
    print(f"# {counts[INDEXED]} indexed, {counts[FAILED]} refused")
    assert not unexpected, unexpected
    assert counts[INDEXED] >= AT_LEAST_INDEXED, counts


def test_values_are_those_that_pydicom_reads():
    warnings.simplefilter("ignore")
    pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE
    pydicom.config.replace_un_with_known_vr = True
    wrong, compared = [], 0
    with Worker() as worker:
        for path in fixtures():
            kind, payload = worker.index(path)
            if kind != INDEXED:
                continue
            ds = pydicom.dcmread(path, stop_before_pixels=True)
            ds.decode()
            assert payload["transfer_syntax_uid"] == ds.file_meta.TransferSyntaxUID, path
            found = list(differences(payload["attributes"], ds))
            wrong += [(os.path.basename(path), found[:3])] if found else []
            compared += 1
    print(f"# {compared} files compared")
    assert not wrong, json.dumps(wrong[:10], indent=1, ensure_ascii=False)


def test_integers_that_no_double_holds_are_text():
    """PS3.18 table F.2.3-1: SV and UV are numbers or strings."""
    ds = images.series(slices=1, rows=8, columns=8)[0]
    block = ds.private_block(0x0011, "LAMINA TESTS", create=True)
    block.add_new(1, "UV", [2 ** 64 - 1, 2 ** 53, 2 ** 53 - 1, 0])
    block.add_new(2, "SV", [-2 ** 63, -2 ** 53, -2 ** 53 + 1, -1, 7])
    with tempfile.TemporaryDirectory() as folder, Worker() as worker:
        kind, payload = worker.index(images.save([ds], folder)[0])
    assert kind == INDEXED, payload
    assert payload["attributes"]["00111001"]["Value"] == [str(2 ** 64 - 1), str(2 ** 53), 2 ** 53 - 1, 0]
    assert payload["attributes"]["00111002"]["Value"] == [str(-2 ** 63), str(-2 ** 53), -2 ** 53 + 1, -1, 7]


harness.run(globals())
