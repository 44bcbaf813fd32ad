#!/usr/bin/python3
"""Who may touch what (DESIGN section 2), as /proc shows it, and that no patient identifier leaks (promise 9)."""
import os
import re
import shutil
import tempfile

import harness
from harness import images
from harness.clients import ours, storescu, stow
from harness.daemon import SANITISED, Daemon, wait_until

NAME, ID = "Verysecret^Person", "SECRET-PATIENT-7"


def status_of(pid):
    with open(f"/proc/{pid}/status", encoding="utf-8") as file:
        return dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)


def limits_of(pid):
    with open(f"/proc/{pid}/limits", encoding="utf-8") as file:
        return {line[:26].strip(): line[26:].split()[0] for line in file.readlines()[1:]}


def open_files(pid):
    found = []
    for fd in os.listdir(f"/proc/{pid}/fd"):
        try:
            found.append(os.readlink(f"/proc/{pid}/fd/{fd}"))
        except FileNotFoundError:
            continue
    return found


def mapped(pid):
    with open(f"/proc/{pid}/maps", encoding="utf-8", errors="replace") as file:
        return file.read()


def test_children_cannot_gain_privileges(d):
    for program in ("lamina-dimse", "lamina-worker"):
        pids = d.children(program)
        assert pids, program
        for pid in pids:
            assert status_of(pid)["NoNewPrivs"].strip() == "1", program


def test_children_do_not_inherit_the_right_to_low_ports():
    """The drop-in of docs/operations.md for port 104 gives it to laminad, which opens the port."""
    harness.need(os.geteuid() == 0 and shutil.which("setpriv"), "only root can give capabilities")
    bind = 1 << 10
    given = 'setpriv --inh-caps=+net_bind_service --ambient-caps=+net_bind_service "$@"; exit $?'
    with Daemon(wrapper=("sh", "-c", given, "sh")) as own:
        assert int(status_of(own.pid)["CapAmb"], 16) & bind
        for pid in wait_until(own.children, 5, "children"):
            wait_until(lambda pid=pid: int(status_of(pid)["CapAmb"], 16) == 0, 5, "a child without capabilities")


def test_workers_are_bounded(d):
    for pid in d.children("lamina-worker"):
        if not SANITISED:  # whose reports need files
            wait_until(lambda pid=pid: status_of(pid)["Seccomp"].strip() == "2", 5, "a worker to give up system calls")
        limits = limits_of(pid)
        assert limits["Max core file size"] == "0", limits
        assert limits["Max file size"] != "unlimited", limits
        assert int(limits["Max open files"]) <= 256, limits
        if not SANITISED:  # which reserve terabytes of address space
            assert limits["Max address space"] != "unlimited", limits


def test_children_hold_no_database_and_no_listener(d):
    for program in ("lamina-dimse", "lamina-worker"):
        for pid in d.children(program):
            assert not [f for f in open_files(pid) if "lamina.db" in f], (program, open_files(pid))
    def files_of_workers():
        return [f for pid in d.children("lamina-worker") for f in open_files(pid)
                if f.startswith("/") and not f.startswith(("/dev/", "/memfd:")) and not f.endswith("laminad.log")]
    # While they start they read the dictionary.
    wait_until(lambda: not files_of_workers(), 5, f"workers without files: {files_of_workers()}")


def test_laminad_has_no_dicom_parser(d):
    """Promise 2."""
    assert not re.search(r"libdcm|liboflog|libofstd|libopenjp2", mapped(d.pid))


def test_no_patient_identifier_in_logs_metrics_or_lists(d):
    source = images.series(PatientName=NAME, PatientID=ID, AccessionNumber="SECRET-ACC")
    paths = images.save(source, tempfile.mkdtemp())
    assert storescu(d, paths[:18])[0] == 0
    assert stow(d, [images.to_bytes(ds) for ds in source[18:]]).status == 200
    d.wait_for_study(source[0].StudyInstanceUID)
    # Errors, too: the same UID with other bytes, and a broken file.
    source[0].PatientComments = "changed"
    stow(d, [images.to_bytes(source[0]), images.to_bytes(source[1])[:900]])
    places = {"log": d.log(), "metrics": d.get("/metrics").body.decode(), "status": str(d.get("/api/v1/status").json)}
    for where, text in places.items():
        for secret in ("Verysecret", ID, "SECRET-ACC"):
            assert secret not in text, f"{secret} in {where}"


def test_no_file_is_named_after_the_patient_or_a_uid(d):
    """UIDs come from outside and are never used as a path."""
    ds = images.series(slices=1, PatientID=ID, SeriesDescription="T2")[0]
    assert stow(d, [images.to_bytes(ds)]).status == 200
    for path in images.files_below(d.data):
        assert ID not in path and ds.SOPInstanceUID not in path and ds.StudyInstanceUID not in path, path


def test_children_refuse_to_run_alone():
    for program in ("lamina-dimse", "lamina-worker"):
        status, _ = ours(program, seconds=10)
        assert status > 0, (program, status)


harness.run(globals(), Daemon())
