#!/usr/bin/python3
"""Promise 1, seen from outside: when success is sent, the object's bytes and its row have been synced. strace records
the order of system calls of all three programs."""
import os
import re
import tempfile

import harness
from harness import images
from harness.clients import run, storescu, stow
from harness.daemon import SANITISED, Daemon

CALL = re.compile(r"^(\d+)\s+([\d.]+)\s+(\w+)\((.*)$")
CALLS = "fsync,fdatasync,sync_file_range,sendto,sendmsg,write,writev,rename,renameat,renameat2,linkat,link,openat"


def traced(act):
    """The system calls, in order, of a daemon during act(daemon): (seconds, name, arguments and result)."""
    harness.need(not SANITISED, "strace and sanitizers do not go together")
    record = os.path.join(tempfile.mkdtemp(), "strace")
    wrapper = ["strace", "-f", "-ttt", "-y", "-s", "64", "-o", record, "-e", f"trace={CALLS}"]
    try:
        status, said = run(*wrapper, "true")
    except FileNotFoundError as missing:
        raise harness.Skip("strace is not here") from missing
    harness.need(status == 0, f"strace may not trace here: {said.strip()}")
    with Daemon(wrapper=wrapper) as d:
        act(d)
    calls = []
    with open(record, encoding="utf-8", errors="replace") as file:
        for line in file:
            found = CALL.match(line)
            if found:
                calls.append((found.group(3), found.group(4)))
    return calls


def position(calls, what, *names, after=0):
    """Index of the first call from `after` on, of one of `names`, whose arguments match `what`."""
    for i in range(after, len(calls)):
        if calls[i][0] in names and re.search(what, calls[i][1]):
            return i
    raise AssertionError(f"no {'/'.join(names)} with {what} after call {after} of {len(calls)}")


def synced_before(calls, answer):
    """Before call `answer`: the object's file, its folder and the database's log were synced; the log last."""
    before = calls[:answer]
    syncs = [(i, args) for i, (name, args) in enumerate(before) if name in ("fsync", "fdatasync")]
    file_sync = [i for i, args in syncs if re.search(r"/(spool|store)/[^>]*[^/>]>", args) and not args.endswith("/>")]
    wal_sync = [i for i, args in syncs if "lamina.db-wal" in args or "lamina.db>" in args]
    assert file_sync, f"no sync of the object's file: {syncs}"
    assert wal_sync, f"no sync of the database: {syncs}"
    assert max(wal_sync) > min(file_sync), "the row was committed before the bytes were synced"


def test_the_cstore_response_comes_last():
    one = images.series(slices=1, SeriesDescription="T2")
    path = images.save(one, tempfile.mkdtemp())

    def act(d):
        status, said = storescu(d, path)
        assert status == 0, said
    calls = traced(act)
    # C-STORE-RSP: command field 8001H in an element (0000,0100).
    answer = position(calls, r"TCP:.*\\1\\200|\\0\\0\\0\\1\\2\\0\\0\\0\\1\\200", "sendto", "sendmsg", "write", "writev")
    synced_before(calls, answer)


def test_the_stow_response_comes_last():
    one = images.series(slices=1, SeriesDescription="T2")[0]

    def act(d):
        assert stow(d, [images.to_bytes(one)]).status == 200
    calls = traced(act)
    answer = position(calls, r"TCP.*HTTP/1\.1 200 OK", "sendto", "sendmsg", "write", "writev",
                      after=position(calls, r"/(spool|store)/", "fsync", "fdatasync"))
    synced_before(calls, answer)


harness.run(globals())
