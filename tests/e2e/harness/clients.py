"""Clients that are not ours: DCMTK's storescu and echoscu, curl; and checkers: dciodvfy, dcentvfy."""
import json
import os
import subprocess
import uuid

from .daemon import BUILD, PATIENCE, HttpResponse

# storescu proposes only the transfer syntaxes it is told to.
PROPOSE = {
    "1.2.840.10008.1.2": "-xi",
    "1.2.840.10008.1.2.1": "-xe",
    "1.2.840.10008.1.2.2": "-xb",
    "1.2.840.10008.1.2.1.99": "-xd",
    "1.2.840.10008.1.2.5": "-xr",
    "1.2.840.10008.1.2.4.50": "-xy",
    "1.2.840.10008.1.2.4.51": "-xx",
    "1.2.840.10008.1.2.4.70": "-xs",
    "1.2.840.10008.1.2.4.80": "-xt",
    "1.2.840.10008.1.2.4.81": "-xu",
    "1.2.840.10008.1.2.4.90": "-xv",
    "1.2.840.10008.1.2.4.91": "-xw",
}


def run(*command, seconds=120):
    """(exit status, standard output and error together). TCP_NODELAY, because DCMTK leaves Nagle on."""
    done = subprocess.run([str(c) for c in command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, timeout=seconds * PATIENCE, check=False,
                          env=dict(os.environ, TCP_NODELAY="1"))
    return done.returncode, done.stdout.decode("utf-8", "replace")


def ours(program, *arguments, seconds=120):
    """One of our own programs."""
    return run(os.path.join(BUILD, program), *arguments, seconds=seconds)


def echoscu(daemon, *options, called="LAMINA", calling="TESTER"):
    return run("echoscu", "-aec", called, "-aet", calling, *options, "127.0.0.1", daemon.dicom_port)


def storescu(daemon, files, *options, called="LAMINA", calling="TESTER"):
    """Sends files or folders; (exit status, what it said)."""
    return run("storescu", "-v", "+sd", "+r", "-aec", called, "-aet", calling, *options, "127.0.0.1",
               daemon.dicom_port, *([files] if isinstance(files, str) else files))


def multipart(parts, boundary=None, media_type="application/dicom", preamble=b"", epilogue=b"\r\n"):
    """(Content-Type, body) of multipart/related; a part is bytes or (content type, bytes)."""
    boundary = boundary or uuid.uuid4().hex
    body = bytearray(preamble)
    for part in parts:
        kind, content = part if isinstance(part, tuple) else (media_type, part)
        body += f"--{boundary}\r\nContent-Type: {kind}\r\n\r\n".encode() + content + b"\r\n"
    body += f"--{boundary}--".encode() + epilogue
    return f'multipart/related; type="{media_type}"; boundary={boundary}', bytes(body)


def curl(url, *options, body=None, headers=None):
    """A request by curl: HttpResponse."""
    command = ["curl", "-sS", "--max-time", str(60 * PATIENCE), "-D", "/dev/stderr", "-o", "-"]
    for name, value in (headers or {}).items():
        command += ["-H", f"{name}: {value}"]
    if body is not None:
        command += ["--data-binary", "@-"]
    done = subprocess.run([*command, *options, url], input=body, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          check=False)
    heads = done.stderr.decode("latin-1").replace("\r", "").strip().split("\n\n")
    assert done.returncode == 0, f"curl {done.returncode}: {heads[-1]}"
    first, *lines = heads[-1].split("\n")
    fields = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return HttpResponse(int(first.split()[1]), fields, done.stdout)


def stow(daemon, parts, study_uid=None, **how):
    """STOW-RS by curl; the DICOM JSON of the answer is in .json."""
    kind, body = multipart(parts, **how)
    return post_stow(daemon, kind, body, study_uid)


def post_stow(daemon, kind, body, study_uid=None, accept="application/dicom+json"):
    path = "/dicom-web/studies" + (f"/{study_uid}" if study_uid else "")
    return curl(daemon.url + path, body=body, headers={"Content-Type": kind, "Accept": accept, "Expect": ""})


def wado(daemon, study, series=None, instance=None, accept='application/dicom; transfer-syntax=*'):
    path = f"/dicom-web/studies/{study}"
    path += f"/series/{series}" if series else ""
    path += f"/instances/{instance}" if instance else ""
    return curl(daemon.url + path, headers={"Accept": accept})


def parts_of(response):
    """The bodies of a multipart/related answer."""
    kind = response.headers["content-type"]
    boundary = kind.split("boundary=")[1].split(";")[0].strip('"').encode()
    body = b"\r\n" + response.body
    pieces = body.split(b"\r\n--" + boundary)
    assert pieces[-1].startswith(b"--"), "no closing delimiter"
    return [piece.split(b"\r\n\r\n", 1)[1] for piece in pieces[1:-1]]


def problems_of(output):
    """The error lines of dciodvfy and dcentvfy; warnings are not counted."""
    return [line for line in output.splitlines() if line.startswith("Error")]


def dciodvfy(path):
    return problems_of(run("dciodvfy", "-new", path)[1])


def dcentvfy(paths):
    return problems_of(run("dcentvfy", *paths)[1])


def pretty(value):
    return json.dumps(value, indent=1)[:3000]


def associate_request():
    """An A-ASSOCIATE-RQ for Verification, written by hand (PS3.8 section 9.3.2)."""
    def item(kind, content):
        return bytes([kind, 0]) + len(content).to_bytes(2, "big") + content
    context = item(0x20, b"\x01\0\0\0" + item(0x30, b"1.2.840.10008.1.1") + item(0x40, b"1.2.840.10008.1.2"))
    user = item(0x50, item(0x51, (16384).to_bytes(4, "big")) + item(0x52, b"1.2.3.4"))
    body = (b"\0\1\0\0" + b"LAMINA".ljust(16) + b"HOLDER".ljust(16) + bytes(32)
            + item(0x10, b"1.2.840.10008.3.1.1.1") + context + user)
    return b"\x01\0" + len(body).to_bytes(4, "big") + body
