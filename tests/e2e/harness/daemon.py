"""A laminad of one's own: free ports, fresh data, started and stopped."""
import glob
import json
import os
import random
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", "..", ".."))
BUILD = os.environ.get("LAMINA_BUILD", os.path.join(ROOT, "build"))
SANITISED = os.path.basename(BUILD) in ("asan", "tsan")
# Times are what an idle machine needs at most. Waits are limits, not figures: a busy one may take many times as long, and
# sanitizers slow everything down.
PATIENCE = 24 if SANITISED else 4

_ports = random.Random(os.getpid() ^ time.time_ns())
_reserved = []


def free_port():
    """Below the ephemeral range, so that no outgoing connection takes it in between; and no other test, as each holds a
    name for every port it chose until it ends."""
    while True:
        port = _ports.randrange(20000, 32000)
        name = socket.socket(socket.AF_UNIX)
        try:
            name.bind(f"\0lamina-test-port-{port}")
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", port))
        except OSError:
            name.close()
            continue
        _reserved.append(name)
        return port


def wait_until(condition, seconds, what):
    """The first true value of condition(), or an AssertionError that says what was waited for."""
    deadline = time.monotonic() + seconds * PATIENCE
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {seconds * PATIENCE} s in vain for {what}")
        time.sleep(0.02)


def wait_gone(pids):
    """Until none of these processes is there any more."""
    wait_until(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in pids), 5, f"processes {pids} to end")


class HttpResponse:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    @property
    def json(self):
        return json.loads(self.body)

    def __repr__(self):
        return f"HTTP {self.status} {self.body[:500]!r}"


def request(method, url, body=None, headers=None, timeout=60 * PATIENCE):
    """A request by Python's own client: HttpResponse, whatever its status."""
    question = urllib.request.Request(url, data=body, headers=headers or {}, method=method)
    try:
        with urllib.request.urlopen(question, timeout=timeout) as answer:
            return HttpResponse(answer.status, answer.headers, answer.read())
    except urllib.error.HTTPError as answer:
        with answer:
            return HttpResponse(answer.code, answer.headers, answer.read())


class Daemon:
    """`settings` are keys of the configuration file: {"lamina.workers": "1"}; None leaves a default out. Unless a test says
    how long a series is to be quiet, one that came by C-STORE is complete with the release of its association."""

    DEFAULTS = {
        "lamina.workers": "2",
        "lamina.log_level": "debug",
        "dicom.accept": "any",
        "storage.reserve": "0",
        "analysis.stable_after": "3s",  # longer than a busy machine pauses between two objects
        "analysis.stable_after_release": "24h",
        "analysis.retry_delay": "100ms",
    }

    def __init__(self, settings=None, environment=None, wrapper=(), program=os.path.join(BUILD, "laminad")):
        self.directory = tempfile.mkdtemp(prefix="lamina-")
        self.data = os.path.join(self.directory, "data")
        self.dicom_port, self.http_port = free_port(), free_port()
        self.url = f"http://127.0.0.1:{self.http_port}"
        self.settings = {
            "lamina.data_dir": self.data,
            "lamina.models_dir": os.path.join(ROOT, "models"),
            "dicom.listen": f"127.0.0.1:{self.dicom_port}",
            "http.listen": f"127.0.0.1:{self.http_port}",
            **self.DEFAULTS,
            **({} if "analysis.stable_after" in (settings or {}) else {"analysis.stable_after_release": "100ms"}),
            **(settings or {}),
        }
        self.environment = dict(os.environ, **(environment or {}))
        reports = os.path.join(self.directory, "sanitizer")
        for name in ("ASAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS"):
            self.environment[name] = f"{self.environment.get(name, '')}:log_path={reports}:print_stacktrace=1"
        self.environment["LSAN_OPTIONS"] = f"suppressions={ROOT}/tests/lsan.supp:print_suppressions=0"
        self.wrapper, self.program = list(wrapper), program
        self.process = None
        self.log_path = os.path.join(self.directory, "laminad.log")

    # ---- starting and stopping ----

    def write_config(self):
        path = os.path.join(self.directory, "lamina.conf")
        sections = {}
        for name, value in self.settings.items():
            section, key = name.rsplit(".", 1)
            if value is not None:
                sections.setdefault(section, []).append(f"{key} = {value}\n")
        with open(path, "w", encoding="utf-8") as file:
            for section, lines in sections.items():
                file.write(f"[{section}]\n" + "".join(lines))
        return path

    def launch(self, *arguments):
        """Starts the program and does not wait until it is ready."""
        command = [*self.wrapper, self.program, "--config", self.write_config(), *arguments]
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            env=self.environment)
        return self.process

    def start(self):
        self.launch()
        self.wait_ready()
        return self

    def wait_ready(self):
        def ready():
            if self.process.poll() is not None:
                raise AssertionError(f"laminad ended with {self.process.returncode}:\n{self.log()[-4000:]}")
            try:
                return self.get("/readyz").status == 200
            except OSError:
                return False
        wait_until(ready, 15, "laminad to be ready")

    def stop(self):
        """SIGTERM; it must drain and exit 0, leaving no child and no sanitizer report."""
        children = self.children()
        os.kill(self.pid, signal.SIGTERM)
        status = self.process.wait(30 * PATIENCE)
        self.process = None
        reports = self.sanitizer_reports()
        assert not reports, reports
        assert status == 0, f"laminad ended with {status}"
        wait_gone(children)

    def kill(self):
        """kill -9, as the out-of-memory killer would; its children must go with it, as they hold the DICOM port."""
        children = self.children()
        if self.wrapper and self.process.poll() is None:
            os.kill(self.pid, signal.SIGKILL)
        self.process.kill()
        self.process.wait()
        self.process = None
        wait_gone(children)

    def __enter__(self):
        return self.start()

    def __exit__(self, kind, *_):
        if self.process is None:
            return
        if kind is None:
            self.stop()
        else:
            self.kill()
            print("---- daemon's log\n" + self.log()[-20000:], flush=True)

    # ---- looking at it ----

    def log(self):
        try:
            with open(self.log_path, encoding="utf-8", errors="replace") as file:
                return file.read()
        except FileNotFoundError:
            return ""

    def sanitizer_reports(self):
        text = ""
        for name in sorted(os.listdir(self.directory)):
            if name.startswith("sanitizer."):
                with open(os.path.join(self.directory, name), encoding="utf-8", errors="replace") as file:
                    text += file.read()
        return text

    @property
    def pid(self):
        """Of laminad itself, below a wrapper such as strace."""
        if not self.wrapper:
            return self.process.pid
        return next(pid for pid, name in descendants(self.process.pid) if name == "laminad")

    def children(self, program=None):
        """Process ids of laminad's children, of one program or all."""
        if self.process is None:
            return []
        return [pid for pid, name in descendants(self.process.pid)
                if name.startswith("lamina-") and (program is None or name == program[:15])]

    # ---- HTTP ----

    def request(self, method, path, body=None, headers=None, timeout=60 * PATIENCE):
        return request(method, self.url + path, body, headers, timeout)

    def get(self, path, **headers):
        return self.request("GET", path, headers={k.replace("_", "-"): v for k, v in headers.items()})

    def post(self, path, body=b"", headers=None):
        return self.request("POST", path, body, headers)

    def study(self, study_uid):
        answer = self.get(f"/api/v1/studies/{study_uid}")
        return answer.json if answer.status == 200 else None

    def results(self, study_uid):
        answer = self.get(f"/api/v1/studies/{study_uid}/results")
        assert answer.status == 200, answer
        return answer.json["results"]

    def wait_for_study(self, study_uid, states=("done",), seconds=60):
        """The study once it is in one of `states`; another final state fails at once."""
        final = {"done", "failed", "no_model"}

        def settled():
            study = self.study(study_uid)
            if study and study["state"] in final - set(states):
                raise AssertionError(f"the study is {study['state']}: {json.dumps(study)[:2000]}")
            return study if study and study["state"] in states else None
        return wait_until(settled, seconds, f"study to be {' or '.join(states)}")

    def analyze(self, study_uid, model=None):
        return self.post(f"/api/v1/studies/{study_uid}/analyze" + (f"?model={model}" if model else ""))


def _read(path):
    """The text of a file in /proc; none when its process has ended."""
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def descendants(pid):
    """(pid, name) of all processes below `pid`; threads and processes may end while one looks."""
    found, queue = [], [pid]
    while queue:
        for path in glob.glob(f"/proc/{queue.pop()}/task/*/children"):
            for child in map(int, _read(path).split()):
                found.append((child, _read(f"/proc/{child}/comm").strip()))
                queue.append(child)
    return found
