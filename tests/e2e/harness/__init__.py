"""What every end-to-end script shares: TAP, a laminad with fresh data, and clients that are not ours.

A script is a list of functions named test_*, and ends in `harness.run(globals(), …)`. Each takes the running daemon.
"""
import inspect
import os
import sys
import traceback

from .daemon import BUILD, ROOT, Daemon  # noqa: F401

SHARED = os.path.join(ROOT, "..", "shared")


class Skip(Exception):
    """Raised by a test that cannot run here; says why."""


def shared(*path):
    """A path in the shared data, which may not be in the repository; the test is skipped where it is absent."""
    found = os.path.join(SHARED, *path)
    if not os.path.exists(found):
        raise Skip(f"../shared/{'/'.join(path)} is not here")
    return found


def need(condition, why):
    if not condition:
        raise Skip(why)


def _story(problem):
    """What failed and where, without the frames of this folder."""
    frames = [f for f in traceback.extract_tb(problem.__traceback__) if not f.filename.startswith(os.path.dirname(__file__))]
    for frame in frames:
        yield f"{os.path.relpath(frame.filename, ROOT)}:{frame.lineno} {frame.name}: {frame.line}"
    yield from f"{type(problem).__name__}: {problem}".splitlines()


def _report(number, name, outcome):
    """One TAP line for a call that returned (None), was skipped, or raised."""
    if outcome is None:
        print(f"ok {number} - {name}", flush=True)
    elif isinstance(outcome, Skip):
        print(f"ok {number} - {name} # SKIP {outcome}", flush=True)
    else:
        print(f"not ok {number} - {name}", flush=True)
        for line in _story(outcome):
            print(f"# {line}", flush=True)


def _attempt(call):
    try:
        call()
    except Exception as problem:  # a failing test must not end the others
        return problem
    return None


def run(namespace, daemon=None):
    """Runs the test_* functions of a script in order, each with `daemon` if it takes an argument. The daemon is started
    before and must stop cleanly after, which is a test of its own. Ends the process."""
    tests = [f for name, f in namespace.items() if name.startswith("test_") and inspect.isfunction(f)]
    print(f"1..{len(tests) + (daemon is not None)}", flush=True)
    failed = False
    problem = _attempt(daemon.start) if daemon else None
    for number, test in enumerate(tests, 1):
        call = (lambda t=test: t(daemon)) if inspect.signature(test).parameters else test
        outcome = problem or _attempt(call)
        failed |= outcome is not None and not isinstance(outcome, Skip)
        _report(number, test.__name__[len("test_"):], outcome)
    if daemon:
        outcome = _attempt(daemon.stop)
        failed |= outcome is not None
        _report(len(tests) + 1, "the_daemon_stops_cleanly", outcome)
        if failed:
            print("---- daemon's log\n" + daemon.log()[-20000:], flush=True)
    sys.exit(1 if failed else 0)
