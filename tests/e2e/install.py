#!/usr/bin/python3
"""`make install` into a folder of its own: everything in its place, and what was installed runs from there."""
import os
import re
import shutil
import stat
import tempfile
import textwrap

import harness
from harness import images
from harness.clients import run, stow
from harness.daemon import BUILD, ROOT, Daemon

PLACES = {
    "usr/bin/laminad": 0o755, "usr/bin/lamina": 0o755,
    "usr/libexec/lamina/lamina-dimse": 0o755, "usr/libexec/lamina/lamina-worker": 0o755,
    "usr/share/lamina/models/hippocampus/1.0.0/model.json": 0o644,
    "usr/share/lamina/models/hippocampus/1.0.0/weights.safetensors": 0o644,
    "usr/share/lamina/models/hippocampus/1.0.0/card.md": 0o644,
    "usr/share/lamina/models/hippocampus/1.1.0/gate.safetensors": 0o644,
    "usr/share/man/man8/laminad.8": 0o644, "usr/share/man/man1/lamina.1": 0o644, "usr/share/man/man5/lamina.conf.5": 0o644,
    "usr/share/bash-completion/completions/lamina": 0o644,
    "usr/lib/systemd/system/laminad.service": 0o644, "usr/lib/sysusers.d/lamina.conf": 0o644,
    "usr/lib/tmpfiles.d/lamina.conf": 0o644, "etc/lamina/lamina.conf": 0o644,
}
place = tempfile.mkdtemp()


def make(*arguments):
    status, said = run("make", "-C", ROOT, f"BUILD={BUILD}", f"DESTDIR={place}", "PREFIX=/usr", *arguments)
    assert status == 0, said
    return said


def test_everything_is_in_its_place():
    make("install")
    for name, mode in PLACES.items():
        path = os.path.join(place, name)
        assert os.path.exists(path), name
        assert stat.S_IMODE(os.stat(path).st_mode) == mode, (name, oct(os.stat(path).st_mode))


def test_a_configuration_that_is_there_is_kept():
    path = os.path.join(place, "etc/lamina/lamina.conf")
    with open(path, "a", encoding="utf-8") as file:
        file.write("; mine\n")
    make("install")
    with open(path, encoding="utf-8") as file:
        assert file.read().endswith("; mine\n")


def test_the_example_configuration_is_good():
    status, said = run(os.path.join(place, "usr/bin/laminad"), "--check-config", "--config",
                       os.path.join(place, "etc/lamina/lamina.conf"))
    assert status == 0, said


def test_the_examples_of_the_documents_are_good():
    """Each block of configuration in docs/*.md as it stands; the files that it names are not here, which alone may be said."""
    found = 0
    for name in sorted(os.listdir(os.path.join(ROOT, "docs"))):
        if not name.endswith(".md"):
            continue
        with open(os.path.join(ROOT, "docs", name), encoding="utf-8") as file:
            blocks = re.findall(r"(?m)(?:^    .*\n|^\n(?=    ))+", file.read())
        for block in (textwrap.dedent(b).strip("\n") for b in blocks):
            section = re.search(r"(?m)^\[(dicom|http|analysis|storage|lamina|peer \S+|rule \S+)\]$", block)
            if not section:
                continue
            path = os.path.join(place, "example.conf")
            with open(path, "w", encoding="utf-8") as file:
                file.write(block[section.start():] + "\n")
            said = run(os.path.join(place, "usr/bin/laminad"), "--check-config", "--config", path)[1]
            os.unlink(path)
            wrong = [line for line in said.splitlines() if line.startswith("error") and
                     not re.search(r"cannot read \S+ = \S+: No such file", line) and "is not a loopback address" not in line]
            assert not wrong, (name, block, wrong)
            found += 1
    assert found


def test_what_was_installed_runs():
    d = Daemon({"lamina.models_dir": None}, program=os.path.join(place, "usr/bin/laminad"))
    with d:
        source = images.series()
        assert stow(d, [images.to_bytes(ds) for ds in source]).status == 200
        d.wait_for_study(source[0].StudyInstanceUID)
        for pid in d.children():
            assert os.readlink(f"/proc/{pid}/exe").startswith(os.path.join(place, "usr/libexec/lamina")), pid


def test_systemd_finds_no_fault_in_the_unit():
    harness.need(shutil.which("systemd-analyze"), "systemd-analyze is not here")
    unit = os.path.join(place, "laminad.service")
    with open(os.path.join(place, "usr/lib/systemd/system/laminad.service"), encoding="utf-8") as file:
        text = file.read()
    programs = set(re.findall(r"(?m)^Exec\w+=[-@:+!]*(\S+)", text))
    assert programs == {"/usr/bin/laminad", "/bin/sh"}, f"not on every Debian: {programs}"
    with open(unit, "w", encoding="utf-8") as file:
        file.write(text.replace("/usr/bin/laminad", os.path.join(place, "usr/bin/laminad")))
    status, said = run("systemd-analyze", "verify", "--man=no", unit)
    complaints = [line for line in said.splitlines() if "laminad.service" in line]
    assert not complaints, complaints


def test_uninstalling_leaves_configuration_only():
    make("uninstall")
    left = [os.path.relpath(p, place) for p in images.files_below(place)]
    assert sorted(left) in (["etc/lamina/lamina.conf"], ["etc/lamina/lamina.conf", "laminad.service"]), left


harness.run(globals())
