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

SYNCS = ("fsync", "fdatasync")
SENDS = ("sendto", "sendmsg", "write", "writev")
# "1234  1795419651.886639 fdatasync(8</path> <unfinished ...>" and "1234  …  <... fdatasync resumed>) = 0"
BEGUN = re.compile(r"^(\d+)\s+[\d.]+\s+(\w+)\((.*)$")
RESUMED = re.compile(r"^(\d+)\s+[\d.]+\s+<\.\.\. (\w+) resumed>(.*)$")


def calls_in(record):
    """[(name, arguments and result)] in order: a sync counts when it has returned, a send when it begins."""
    calls, begun = [], {}
    with open(record, encoding="utf-8", errors="replace") as file:
        for line in file:
            found = BEGUN.match(line)
            resumed = RESUMED.match(line)
            if found:
                thread, name, arguments = found.groups()
                if name in SYNCS and "<unfinished" in arguments:
                    begun[thread] = arguments
                else:
                    calls.append((name, arguments))
            elif resumed and resumed.group(1) in begun:
                calls.append((resumed.group(2), begun.pop(resumed.group(1)) + resumed.group(3)))
    return calls


def traced(act):
    """The system calls of a daemon during act(daemon)."""
    harness.need(not SANITISED, "strace and sanitizers do not go together")
    record = os.path.join(tempfile.mkdtemp(), "strace")
    wrapper = ["strace", "-f", "-ttt", "-yy", "-s", "200", "-o", record, "-e", "trace=" + ",".join(SYNCS + SENDS)]
    try:
        status, said = run(*wrapper, "true")
    except FileNotFoundError as missing:
        raise harness.Skip("strace is not here") from missing
    harness.need(status == 0, f"strace may not trace here: {said.strip()}")
    with Daemon(wrapper=wrapper) as d:
        act(d)
    return calls_in(record)


def position(calls, what, names, after=0):
    """Index of the first call from `after` on, of one of `names`, whose arguments match `what`."""
    for i in range(after, len(calls)):
        if calls[i][0] in names and re.search(what, calls[i][1]):
            return i
    raise AssertionError(f"no {'/'.join(names)} with {what} after call {after} of {len(calls)}: {calls[after:]}")


def synced_in_order(calls):
    """The object's bytes and the folder it was moved to, then its row; the index after the last."""
    file = position(calls, r"/store/[0-9a-f]+/[0-9a-f]+>.* = 0", SYNCS)
    folder = position(calls, r"/store/[0-9a-f]+>.* = 0", SYNCS)
    return position(calls, r"lamina\.db-wal>.* = 0", SYNCS, after=max(file, folder) + 1) + 1


def test_the_cstore_response_comes_last():
    one = images.series(slices=1, SeriesDescription="T2")
    path = images.save(one, tempfile.mkdtemp())

    def act(d):
        status, said = storescu(d, path)
        assert status == 0, said
    calls = traced(act)
    committed = synced_in_order(calls)
    # A C-STORE-RSP holds the command field 8001H as (0000,0100) US (PS3.7 section 9.3.1.2).
    response = r"TCP:.*\\0\\0\\0\\1\\2\\0\\0\\0\\1\\200"
    assert position(calls, response, SENDS) >= committed, "the response was sent before the commit"


def test_the_stow_response_comes_last():
    one = images.series(slices=1, SeriesDescription="T2")[0]

    def act(d):
        assert stow(d, [images.to_bytes(one)]).status == 200
    calls = traced(act)
    committed = synced_in_order(calls)
    # The answer names what was stored; those to /readyz do not.
    assert position(calls, "TCP:.*HTTP/1.1 200 .*dicom[+]json", SENDS) >= committed


harness.run(globals())
