"""lamina-worker without laminad: its messages (daemon/ipc/messages.h) spoken over a socket pair."""
import array
import glob
import hashlib
import json
import os
import socket
import struct
import subprocess
import tempfile

import pydicom

from .daemon import BUILD, PATIENCE, ROOT

READY, DRAIN, INDEX, INDEXED, BEGIN, INPUT, RUN, PROGRESS, DONE, FAILED = 1, 14, 30, 31, 32, 33, 34, 35, 36, 37
MAGIC, HEADER, CHILD_SOCKET, FILES_A_MESSAGE = 0x4C414D31, "<IIIII", 3, 16
MODEL = os.path.join(ROOT, "models", "hippocampus", "1.0.0")
OUTPUTS = ("SEG", "SR", "montage")


class Worker:
    def __init__(self, environment=None):
        self.socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.socket.settimeout(60 * PATIENCE)
        self.requests = 0
        self.process = subprocess.Popen(
            ["sh", "-c", f'exec "$0" {CHILD_SOCKET}<&{theirs.fileno()}', os.path.join(BUILD, "lamina-worker")],
            pass_fds=[theirs.fileno()], env={**os.environ, **(environment or {})})
        theirs.close()
        assert self.receive()[0] == READY

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()
        assert self.process.wait(10 * PATIENCE) is not None

    def send(self, kind, payload=None, paths=(), flags=os.O_RDONLY):
        fds = [os.open(path, flags | os.O_CLOEXEC, 0o644) for path in paths]
        text = json.dumps(payload or {}).encode()
        self.requests += 1
        try:
            rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
            self.socket.sendmsg([struct.pack(HEADER, MAGIC, kind, self.requests, len(text), 0), text], rights)
        finally:
            for fd in fds:
                os.close(fd)

    def receive(self):
        """(type, payload), or None when the worker is gone."""
        try:
            data, control, _, _ = self.socket.recvmsg(1 << 17, socket.CMSG_SPACE(4 * 33))
        except ConnectionResetError:
            return None
        if not data:
            return None
        fds = array.array("i")
        for _, _, content in control:
            fds.frombytes(content[:len(content) // 4 * 4])
        magic, kind, _, length, in_memory = struct.unpack(HEADER, data[:20])
        assert magic == MAGIC
        payload = os.pread(fds[-1], length, 0) if in_memory else data[20:]
        for fd in fds:
            os.close(fd)
        return kind, json.loads(payload) if payload else None

    def index(self, path):
        self.send(INDEX, {}, [path])
        return self.receive()

    def analyse(self, paths, inputs=None, names=OUTPUTS, replaces=None, bundle=MODEL):
        """(type, payload of DONE or FAILED, folder with seg.dcm, sr.dcm, montage.png …); None when it died."""
        first = pydicom.dcmread(paths[0], stop_before_pixels=True)
        uids = sorted(pydicom.dcmread(p, stop_before_pixels=True).SOPInstanceUID for p in paths)
        files = [os.path.join(bundle, name) for name in ("model.json", "weights.safetensors", "gate.safetensors")]
        with open(files[0], encoding="utf-8") as file:
            model = json.load(file)
        with open(files[1], "rb") as file:
            sha256 = hashlib.sha256(file.read()).hexdigest()
        self.send(BEGIN, {"job": 1, "model": {"name": model["name"], "version": model["version"],
                                              "weights_sha256": sha256},
                          "study_uid": first.StudyInstanceUID, "series_uid": first.SeriesInstanceUID,
                          "inputs": inputs or len(paths),
                          "input_set": hashlib.sha256("\n".join(uids).encode()).hexdigest(),
                          "device": {"manufacturer": "Lamina", "model_name": model["name"], "serial": "test",
                                     "software": "test"}, **({"replaces": replaces} if replaces else {})},
                  [path for path in files if os.path.exists(path)])
        for start in range(0, len(paths), FILES_A_MESSAGE):
            self.send(INPUT, {}, paths[start:start + FILES_A_MESSAGE])
        folder = tempfile.mkdtemp(prefix="lamina-objects-")
        outputs = [os.path.join(folder, name.lower() + (".png" if name == "montage" else ".dcm")) for name in names]
        self.send(RUN, {"outputs": list(names)}, outputs, os.O_RDWR | os.O_CREAT)
        answer = self.receive()
        while answer and answer[0] == PROGRESS:
            answer = self.receive()
        return answer and (*answer, folder)


def phantom(*options):
    """Paths of a series that lamina-phantom wrote, in the order of their names."""
    folder = tempfile.mkdtemp(prefix="lamina-phantom-")
    subprocess.run([os.path.join(BUILD, "lamina-phantom"), folder, *options], check=True, stdout=subprocess.DEVNULL)
    return sorted(glob.glob(os.path.join(folder, "*.dcm")))
