#!/usr/bin/python3
"""The Debian package of `make deb`: what is in it, the same bytes twice, and its scripts from installation to purge in an
empty folder. Under a live systemd: tests/package/live.py."""
import glob
import gzip
import hashlib
import json
import os
import re
import shutil
import stat
import subprocess
import tempfile

import harness
from harness.clients import run
from harness.daemon import BUILD, ROOT, SANITISED

SCRIPTS = ("postinst", "prerm", "postrm")
os.chdir(ROOT)
place = tempfile.mkdtemp()
control, files = os.path.join(place, "control"), os.path.join(place, "files")
package = None


def make_deb(folder):
    """Made into a folder of its own, and not compressed, which would take most of the time: the path."""
    os.mkdir(os.path.join(place, folder))
    version = run(os.path.join(BUILD, "lamina"), "--version")[1].split()[1]
    status, said = run("env", "DPKG_DEB_COMPRESSOR_TYPE=none", os.path.join(ROOT, "systemd/debian/build"), BUILD, version,
                       os.path.join(place, folder))
    assert status == 0, said
    (path,) = glob.glob(os.path.join(place, folder, f"lamina_{version}_*.deb"))
    return path


def content(path):
    with open(path, "rb") as file:
        return file.read()


def need_package():
    harness.need(package, "no package was made")


def text(*path):
    with open(os.path.join(*path), encoding="utf-8") as file:
        return file.read()


def test_it_is_made_with_the_same_bytes_twice():
    global package
    harness.need(not SANITISED, "a package of sanitised programs is for nobody")
    harness.need(shutil.which("dpkg-shlibdeps"), "dpkg-dev is not here")
    path = make_deb("first")
    assert content(make_deb("second")) == content(path)
    subprocess.run(["dpkg-deb", "-R", path, files], check=True)
    os.rename(os.path.join(files, "DEBIAN"), control)
    package = path


def test_its_control_fields():
    need_package()
    fields = dict(re.findall(r"(?m)^(\S+): (.*)$", text(control, "control")))
    version = run(os.path.join(BUILD, "lamina"), "--version")[1].split()[1]
    assert (fields["Package"], fields["Version"]) == ("lamina", version), fields
    needed = {re.split(r"[ (]", one.strip())[0] for one in fields["Depends"].split(",")}
    assert {"libdcmtk17", "libsqlite3-0", "libmicrohttpd12", "libopenblas0-pthread", "libsystemd0", "systemd"} <= needed, needed
    assert text(control, "conffiles") == "/etc/lamina/lamina.conf\n"


def test_every_file_is_as_its_sum_says_and_its_modes_are_plain():
    need_package()
    sums = dict(reversed(line.split("  ")) for line in text(control, "md5sums").splitlines())
    found = {os.path.relpath(os.path.join(where, name), files) for where, _, names in os.walk(files) for name in names}
    assert found == set(sums) | {"etc/lamina/lamina.conf"}, found ^ set(sums)
    for name, expected in sums.items():
        assert hashlib.md5(content(os.path.join(files, name))).hexdigest() == expected, name
    listing = run("dpkg-deb", "-c", package)[1].splitlines()
    assert listing and all(line.split()[1] == "root/root" for line in listing), listing
    assert {line.split()[0] for line in listing} == {"drwxr-xr-x", "-rw-r--r--", "-rwxr-xr-x"}, listing


def test_it_names_the_licence_of_every_file():
    need_package()
    paragraphs = text(files, "usr/share/doc/lamina/copyright").split("\n\n")
    explained = {name for one in paragraphs for name in re.findall(r"(?m)^License: (.*)\n ", one)}
    stated = {tuple(re.findall(r"(?m)^(?:Files|License): (.*)", one)) for one in paragraphs if one.startswith("Files: models/")}
    wanted = {(os.path.dirname(os.path.relpath(path, ROOT)) + "/*", json.loads(content(path))["provenance"]["licence"])
              for path in glob.glob(os.path.join(ROOT, "models/*/*/model.json"))}
    assert stated == wanted, stated ^ wanted
    assert {"Apache-2.0"} | {licence for _, licence in wanted} <= explained, explained


def test_its_changelog_has_a_point_for_each_commit():
    need_package()
    with gzip.open(os.path.join(files, "usr/share/doc/lamina/changelog.gz"), "rt", encoding="utf-8") as file:
        lines = file.read().split("\n")[2:-3]
    status, said = run("git", "-C", ROOT, "log", "--no-merges", "-n", "15", "--format=%s")
    assert len([line for line in lines if line.startswith("  * ")]) == (len(said.splitlines()) if status == 0 else 1), lines
    assert all(re.fullmatch(r"(  \* |    )\S.{0,73}", line) for line in lines), lines


def test_what_make_install_installs_is_in_it():
    need_package()
    for name in ("usr/bin/laminad", "usr/bin/lamina", "usr/libexec/lamina/lamina-dimse", "usr/libexec/lamina/lamina-worker",
                 "usr/share/man/man8/laminad.8.gz", "usr/share/bash-completion/completions/lamina",
                 "usr/lib/systemd/system/laminad.service", "usr/share/doc/lamina/copyright", "usr/share/doc/lamina/changelog.gz"):
        assert os.path.isfile(os.path.join(files, name)), name
    for name in glob.glob(os.path.join(ROOT, "models/*/*/model.json")):
        assert os.path.isfile(os.path.join(files, "usr/share/lamina", os.path.relpath(name, ROOT))), name


def test_its_scripts_are_sound():
    need_package()
    scripts = [os.path.join(control, name) for name in SCRIPTS]
    for name in scripts:
        assert stat.S_IMODE(os.stat(name).st_mode) == 0o755, name
        assert run("sh", "-n", name) == (0, ""), name
    harness.need(shutil.which("shellcheck"), "shellcheck is not here")
    scripts.append(os.path.join(ROOT, "systemd/debian/build"))
    assert run("shellcheck", *scripts) == (0, ""), run("shellcheck", *scripts)[1]


def test_lintian_finds_no_fault():
    need_package()
    harness.need(shutil.which("lintian"), "lintian is not here")
    as_made_here = "uses-no-compression-for-control-tarball,uses-no-compression-for-data-tarball"
    status, said = run("lintian", "--allow-root", "--fail-on", "error,warning", "--suppress-tags", as_made_here, package)
    assert status == 0, said


def dpkg(root, *arguments):
    """dpkg for a system below `root`, whose scripts run in this one and are told where it is."""
    status, said = run("dpkg", f"--root={root}", "--force-script-chrootless", "--force-depends", *arguments)
    assert status == 0, said
    return said


def test_it_installs_and_goes_and_leaves_the_data():
    need_package()
    harness.need(os.geteuid() == 0, "only root can install packages")
    harness.need(shutil.which("systemd-sysusers") and shutil.which("deb-systemd-helper"), "systemd-sysusers is not here")
    root = tempfile.mkdtemp()
    for folder in ("var/lib/dpkg/info", "var/lib/dpkg/updates", "etc", "usr/lib", "usr/bin"):
        os.makedirs(os.path.join(root, folder))
    os.symlink("usr/lib", os.path.join(root, "lib"))
    shutil.copy(shutil.which("deb-systemd-helper"), os.path.join(root, "usr/bin"))
    for name in ("status", "available"):
        with open(os.path.join(root, "var/lib/dpkg", name), "w", encoding="utf-8"):
            pass
    data, conf = os.path.join(root, "var/lib/lamina"), os.path.join(root, "etc/lamina/lamina.conf")
    enabled = os.path.join(root, "etc/systemd/system/multi-user.target.wants/laminad.service")

    dpkg(root, "-i", package)
    assert re.search(r"(?m)^lamina:", text(root, "etc/passwd"))
    assert os.path.lexists(enabled) and stat.S_IMODE(os.stat(data).st_mode) == 0o700
    with open(conf, "a", encoding="utf-8") as file:
        file.write("; mine\n")
    with open(os.path.join(data, "lamina.db"), "w", encoding="utf-8") as file:
        file.write("data")
    dpkg(root, "-i", package)
    assert text(conf).endswith("; mine\n")

    dpkg(root, "-r", "lamina")
    assert os.path.exists(conf) and not os.path.exists(os.path.join(root, "usr/bin/laminad"))
    said = dpkg(root, "-P", "lamina")
    assert "/var/lib/lamina is kept" in said, said
    assert not os.path.exists(os.path.dirname(conf)) and not os.path.lexists(enabled)
    assert text(data, "lamina.db") == "data"


harness.run(globals())
