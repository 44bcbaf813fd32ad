#!/usr/bin/python3
"""The command `lamina`: what it prints, its JSON, and exit status 0, 1 or 2 for done, failed or misused."""
import json
import os
import subprocess
import tempfile

import pydicom

import harness
from harness import images
from harness.clients import ours, stow
from harness.daemon import BUILD, Daemon
from harness.faulty import FaultyScp

DONE, FAILED, USAGE = 0, 1, 2


def lamina(d, *arguments, expect=DONE):
    remote = arguments[0] not in ("send", "echo", "help", "predict", "eval", "train")
    status, said = ours("lamina", arguments[0], *(["--url", d.url] if remote else []), *arguments[1:])
    assert status == expect, f"lamina {' '.join(map(str, arguments))}: {status}\n{said}"
    return said


def lamina_json(d, *arguments):
    """Standard output alone is one JSON document; what people should know besides goes to standard error."""
    remote = [] if arguments[0] in ("send", "echo") else ["--url", d.url]
    done = subprocess.run([os.path.join(BUILD, "lamina"), arguments[0], *remote, "--json", *arguments[1:]], check=True,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    return json.loads(done.stdout)


def node(d, title="LAMINA"):
    return f"127.0.0.1:{d.dicom_port}/{title}"


def test_echo(d):
    assert lamina(d, "echo", node(d))
    assert lamina_json(d, "echo", node(d))
    lamina(d, "echo", node(d, "SOMEONE"), expect=FAILED)
    lamina(d, "echo", "127.0.0.1:1/LAMINA", expect=FAILED)


def test_send_results_and_the_rest(d):
    source = images.series()
    folder = tempfile.mkdtemp()
    images.save(source, folder)
    with open(os.path.join(folder, "notes.txt"), "w", encoding="utf-8") as file:
        file.write("no DICOM\n")
    outcome = lamina_json(d, "send", node(d), folder)
    assert outcome["sent"] == len(source) and outcome["failed"] == 0, outcome
    study = source[0].StudyInstanceUID

    results = lamina_json(d, "results", "--wait", study)
    assert results["state"] == "done" and len(results["results"]) == 1, results
    saved = tempfile.mkdtemp()
    said = lamina(d, "results", "--save", saved, study)
    assert "VOLUME/ML" in said and "hippocampus" in said.lower(), said
    names = os.listdir(saved)
    assert "results.json" in names and [n for n in names if n.endswith(".png")], names
    kinds = {pydicom.dcmread(os.path.join(saved, n)).Modality for n in names if n.endswith(".dcm")}
    assert kinds == {"SEG", "SR"}, names

    assert lamina_json(d, "status")["ae_title"] == "LAMINA"
    assert study in lamina(d, "studies") and study in lamina(d, "studies", "--state", "done")
    assert study not in lamina(d, "studies", "--state", "failed")
    assert any(s["study_uid"] == study for s in lamina_json(d, "studies")["studies"])
    job = results["results"][0]["job"]
    assert any(j["job"] == job for j in lamina_json(d, "jobs")["jobs"])
    assert lamina_json(d, "job", str(job))["state"] == "done"
    assert lamina(d, "jobs") and lamina(d, "job", str(job)) and lamina(d, "status")
    assert "hippocampus" in lamina(d, "models") and lamina(d, "models", "hippocampus")
    lamina(d, "retry", str(job), expect=FAILED)  # a job that is done cannot be retried
    lamina(d, "analyze", study)


def test_send_believes_the_data_set_and_not_the_meta_information(d):
    """A private class in one, and UIDs of nothing in the other."""
    ds = images.series(slices=1)[0]
    ds.SOPInstanceUID = pydicom.uid.generate_uid()
    ds.file_meta.MediaStorageSOPClassUID = "1.2.840.113619.4.26"
    path = os.path.join(tempfile.mkdtemp(), "meta.dcm")
    ds.save_as(path, write_like_original=True)
    assert pydicom.dcmread(path).file_meta.MediaStorageSOPInstanceUID != ds.SOPInstanceUID
    assert lamina_json(d, "send", node(d), path)["sent"] == 1
    assert d.get(f"/dicom-web/instances?SOPInstanceUID={ds.SOPInstanceUID}").json


def test_send_reads_answers_in_pieces():
    """Several fragments of several lengths in one PDU, which DCMTK 3.6.7 reads wrongly."""
    path = images.save(images.series(slices=1), tempfile.mkdtemp())[0]
    with FaultyScp(cuts=(10, 3, 47)) as scp:
        status, said = ours("lamina", "send", f"127.0.0.1:{scp.port}/FAULTY", path)
        assert status == DONE and len(scp.confirmed) == 1, said


def test_a_peers_words_are_text():
    """Neither do they command the terminal, nor does a failure vanish from the JSON."""
    path = images.save(images.series(slices=1), tempfile.mkdtemp())[0]
    with FaultyScp(plan=[0xA700, 0xA700], comment=b"voll \xfc\x1b[31m") as scp:
        for options in ([], ["--json"]):
            status, said = ours("lamina", "send", *options, f"127.0.0.1:{scp.port}/FAULTY", path)
            assert status == FAILED and "A700H: voll ??[31m" in said, said


def test_a_study_without_a_result_fails_and_says_why(d):
    source = images.series(SeriesDescription="T2 knee")
    assert stow(d, [images.to_bytes(ds) for ds in source]).status == 200
    said = lamina(d, "results", "--wait", source[0].StudyInstanceUID, expect=FAILED)
    assert "hippocampus" in said and "SeriesDescription" in said, said


def test_what_is_not_there(d):
    lamina(d, "results", "1.2.3.4", expect=FAILED)
    lamina(d, "job", "999999", expect=FAILED)
    lamina(d, "send", node(d), "/nonexistent/file", expect=FAILED)
    lamina(d, "send", node(d), tempfile.mkdtemp(), expect=FAILED)


def test_no_daemon():
    for command in (["status"], ["studies"], ["results", "1.2.3"]):
        status, said = ours("lamina", command[0], "--url", "http://127.0.0.1:1", *command[1:])
        assert status == FAILED and "127.0.0.1:1" in said, (command, status, said)


def test_misuse(d):
    for wrong in ([], ["nonsense"], ["send"], ["send", "nowhere"], ["results"], ["results", "no-uid"], ["job", "x"],
                  ["studies", "--limit", "0"], ["studies", "--nonsense"], ["echo", "127.0.0.1:99999"]):
        status, said = ours("lamina", *wrong)
        assert status == USAGE and said, (wrong, status, said)


def test_every_command_has_help(d):
    overview = lamina(d, "help")
    commands = [line.split()[0] for line in overview.splitlines() if line.startswith("  ") and line.strip()]
    for command in set(commands) - {"lamina"}:
        assert "usage: lamina " + command in lamina(d, "help", command), command
        status, said = ours("lamina", command, "--help")
        assert status == DONE and "usage" in said, command


harness.run(globals(), Daemon())
