"""Nodes that results are delivered to: DCMTK's storescp and dcmqrscp, Orthanc, and lamina-faulty-scp, which fails as it
is told to."""
import io
import json
import os
import shutil
import socket
import subprocess
import tempfile
import threading
import time
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pydicom

from . import images
from .daemon import PATIENCE, free_port, request, wait_until


class Process:
    """A peer that is a program; its output goes to a file."""

    def __init__(self, port=None):
        self.port = port or free_port()
        self.folder = tempfile.mkdtemp(prefix="lamina-peer-")
        self.process = None

    def command(self):
        raise NotImplementedError

    def start(self):
        log = open(os.path.join(self.folder, "log"), "ab")
        self.process = subprocess.Popen([str(c) for c in self.command()], stdin=subprocess.DEVNULL, stdout=log,
                                        stderr=log, cwd=self.folder, env=dict(os.environ, TCP_NODELAY="1"))
        return self

    def stop(self):
        if self.process:
            self.process.terminate()
            try:
                self.process.wait(5 * PATIENCE)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.process = None

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()

    def listens(self):
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def log(self):
        with open(os.path.join(self.folder, "log"), encoding="utf-8", errors="replace") as file:
            return file.read()


class StoreScp(Process):
    """storescp: what it took lies in .received, a file an object."""

    def __init__(self, *options, port=None, title="PACS"):
        super().__init__(port)
        self.options, self.title = options, title
        self.received = os.path.join(self.folder, "received")
        os.mkdir(self.received)

    def command(self):
        return ["storescp", "-v", "-aet", self.title, "-od", self.received, "+uf", *self.options, self.port]

    def start(self):
        super().start()
        wait_until(self.listens, 10, "storescp to listen")
        return self

    def uids(self):
        return sorted(pydicom.dcmread(path, stop_before_pixels=True).SOPInstanceUID
                      for path in images.files_below(self.received))

    def stores(self):
        """How many C-STORE requests came."""
        return self.log().count("Received Store Request")


class DcmQrScp(Process):
    """dcmqrscp: an archive that can be asked for what it took."""

    def __init__(self, port=None):
        super().__init__(port)
        self.archive = os.path.join(self.folder, "archive")
        os.mkdir(self.archive)

    def command(self):
        path = os.path.join(self.folder, "dcmqrscp.cfg")
        with open(path, "w", encoding="ascii") as file:
            file.write(f"NetworkTCPPort = {self.port}\nMaxPDUSize = 16384\nMaxAssociations = 16\n"
                       "HostTable BEGIN\nHostTable END\nVendorTable BEGIN\nVendorTable END\nAETable BEGIN\n"
                       f"PACS {self.archive} RW (200, 1024mb) ANY\nAETable END\n")
        return ["dcmqrscp", "-v", "-c", path, self.port]

    def start(self):
        super().start()
        wait_until(self.listens, 10, "dcmqrscp to listen")
        return self

    def stores(self):
        return self.log().count("Received Store SCP")

    def retrieve(self, study):
        """{SOP instance UID: path} of a study, by C-GET."""
        folder = tempfile.mkdtemp(prefix="lamina-get-")
        subprocess.run(["getscu", "-S", "-aec", "PACS", "-aet", "TESTER", "-od", folder, "-k", "QueryRetrieveLevel=STUDY",
                        "-k", f"StudyInstanceUID={study}", "127.0.0.1", str(self.port)], check=True, capture_output=True)
        return {pydicom.dcmread(path, stop_before_pixels=True).SOPInstanceUID: path for path in images.files_below(folder)}


class Orthanc(Process):
    """Orthanc with its DICOMweb plug-in, everything in memory and a folder of its own; `servers` by name are those that
    the plug-in is a client of."""

    PLUGIN = "/usr/share/orthanc/plugins/libOrthancDicomWeb.so"

    def __init__(self, servers=None):
        super().__init__()
        self.servers = servers or {}
        self.http_port = free_port()
        self.url = f"http://127.0.0.1:{self.http_port}"

    def command(self):
        path = os.path.join(self.folder, "orthanc.json")
        with open(path, "w", encoding="utf-8") as file:
            json.dump({"Name": "test", "StorageDirectory": self.folder, "IndexDirectory": self.folder, "DicomAet": "PACS",
                       "DicomPort": self.port, "HttpPort": self.http_port, "RemoteAccessAllowed": False,
                       "DicomAlwaysAllowStore": True, "AuthenticationEnabled": False, "Plugins": [self.PLUGIN],
                       "DicomWeb": {"Enable": True, "Root": "/dicom-web/", "Servers": self.servers}}, file)
        return [shutil.which("Orthanc") or "/usr/sbin/Orthanc", path]

    def start(self):
        super().start()
        wait_until(lambda: self.ask("/system"), 30, "Orthanc to answer")
        return self

    def ask(self, path):
        try:
            with urllib.request.urlopen(self.url + path, timeout=5 * PATIENCE) as answer:
                return json.loads(answer.read())
        except OSError:
            return None

    def post(self, path, body):
        """An answer to JSON, or to the bytes of an instance."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return request("POST", self.url + path, content)

    def delete(self, path):
        return request("DELETE", self.url + path)

    def instances(self):
        """{Orthanc's identifier: SOP instance UID}."""
        return {i: self.ask(f"/instances/{i}/simplified-tags")["SOPInstanceUID"] for i in self.ask("/instances")}

    def files(self):
        """{SOP instance UID: the file as Orthanc serves it}."""
        found = {}
        for instance in self.ask("/instances"):
            with urllib.request.urlopen(f"{self.url}/instances/{instance}/file", timeout=5 * PATIENCE) as answer:
                content = answer.read()
            found[pydicom.dcmread(io.BytesIO(content), stop_before_pixels=True).SOPInstanceUID] = content
        return found

    def uids(self):
        return sorted(self.instances().values())


class Hook:
    """An HTTP server whose answers the test decides: `answers` is a list of statuses, the last of which stays."""

    def __init__(self, *answers):
        self.answers, self.requests = list(answers) or [200], []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                outer.requests.append((self.path, dict(self.headers), body))
                status = outer.answers.pop(0) if len(outer.answers) > 1 else outer.answers[0]
                status, answer = status if isinstance(status, tuple) else (status, b"")
                self.send_response(status)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.shutdown()


def deliveries(daemon, **query):
    text = "&".join(f"{k}={v}" for k, v in query.items())
    return daemon.get("/api/v1/deliveries" + (f"?{text}" if text else "")).json["deliveries"]


def wait_for(daemon, state, count, seconds=60):
    """Waits until `count` deliveries are in this state; gives them."""
    def there():
        found = deliveries(daemon, state=state)
        return len(found) == count and found
    try:
        return wait_until(there, seconds, f"{count} deliveries in state {state}")
    except AssertionError as problem:
        raise AssertionError(f"{problem}: {json.dumps(deliveries(daemon), indent=1)[:3000]}") from None


def never(condition, seconds, what):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        assert not condition(), what
        time.sleep(0.05)
