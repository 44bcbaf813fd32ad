#!/usr/bin/python3
"""How laminad begins where things are not as they should be. A start that cannot be, as a user without rights, on data of
somebody else, without room or open files, with an address that is not this machine's, says what is wrong, where, and what to
do; the exit status is 1."""
import os
import shutil

import harness
from harness.clients import run
from harness.daemon import BUILD, PATIENCE, ROOT, Daemon

NOBODY = 65534
AS_NOBODY = ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups")


class Replacing(Daemon):
    """A daemon that its wrapper becomes by exec."""

    @property
    def pid(self):
        return self.process.pid


class Unprivileged(Replacing):
    """A daemon of another user, with its data in a folder of that user."""

    def __init__(self, settings=None):
        super().__init__(settings, wrapper=AS_NOBODY)
        os.chmod(self.directory, 0o755)
        os.mkdir(self.data, 0o750)
        os.chown(self.data, NOBODY, NOBODY)


def need_two_users():
    harness.need(os.geteuid() == 0 and shutil.which("setpriv"), "only root can be two users")
    harness.need(run(*AS_NOBODY, "test", "-x", os.path.join(BUILD, "laminad"))[0] == 0, "nobody else can run laminad here")
    probe = Unprivileged()
    harness.need(run(*AS_NOBODY, "test", "-w", probe.data)[0] == 0, "nobody else can reach the folder for temporary files")


def refusal(d, expected=1):
    status = d.launch().wait(20 * PATIENCE)
    d.process = None
    assert status == expected, f"{status}: {d.log()[-2000:]}"
    return d.log()


def test_a_file_that_it_may_not_write():
    need_two_users()
    d = Unprivileged()
    with d:
        pass
    for name in ("lamina.db", "store", "spool"):
        path = os.path.join(d.data, name)
        os.chown(path, 0, 0)
        os.chmod(path, 0o700 if os.path.isdir(path) else 0o600)
        said = refusal(d)
        assert f"every file in data_dir {d.data} must be writable (chown -R)" in said, (name, said)
        assert f"laminad runs as user {NOBODY}" in said, (name, said)
        os.chown(path, NOBODY, NOBODY)
    with d:  # and all is well again
        pass


def test_a_folder_that_it_may_not_write():
    need_two_users()
    d = Unprivileged()
    os.chown(d.data, 0, 0)
    os.chmod(d.data, 0o700)
    said = refusal(d)
    assert f"cannot open {d.data}/lock: Permission denied (laminad runs as user {NOBODY})" in said, said


def test_root_does_not_write_into_the_data_of_others():
    need_two_users()
    d = Daemon()
    os.mkdir(d.data)
    os.chown(d.data, NOBODY, NOBODY)
    said = refusal(d)
    assert f"data_dir {d.data} belongs to the user {NOBODY}: run laminad as that user" in said, said
    assert not os.listdir(d.data)


def test_what_root_migrates_is_not_root_s():
    need_two_users()
    d = Unprivileged()
    with d:
        pass
    os.unlink(os.path.join(d.data, "lock"))  # as in a restored copy
    conf = d.write_config()
    status, said = run(os.path.join(BUILD, "lamina"), "migrate", "--config", conf)
    assert status == 0, said
    owners = {name: os.lstat(os.path.join(d.data, name)).st_uid for name in os.listdir(d.data)}
    assert set(owners.values()) == {NOBODY} and "lock" in owners, owners
    with d:
        pass


def test_nothing_to_migrate():
    d = Daemon()
    os.mkdir(d.data)
    status, said = run(os.path.join(BUILD, "lamina"), "migrate", "--config", d.write_config())
    assert status == 1 and f"cannot find a database {d.data}/lamina.db" in said and not os.listdir(d.data), said


def test_no_room_for_a_database():
    d = Daemon()
    os.mkdir(d.data)
    status, said = run("mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", d.data)
    harness.need(status == 0, f"nothing can be mounted here: {said.strip()}")
    try:
        said = refusal(d)
    finally:
        run("umount", d.data)
    assert f"no room for {d.data}/lamina.db: free space on its disk" in said, said


def test_an_error_in_the_configuration_is_not_tried_again():
    said = refusal(Daemon({"analysis.max_attempts": "many"}), expected=2)
    assert "max_attempts" in said, said
    with open(os.path.join(ROOT, "systemd/laminad.service"), encoding="utf-8") as unit:
        assert "\nRestartPreventExitStatus=2\n" in unit.read()


def test_few_open_files():
    said = refusal(Daemon(wrapper=("sh", "-c", 'ulimit -n 64; exec "$@"', "sh")))
    assert "only 64 files may be open" in said and "LimitNOFILE" in said, said


def test_closed_standard_descriptors():
    """What laminad says must not go into a file that it opened in their place."""
    with Replacing(wrapper=("sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh")) as d:
        assert [os.readlink(f"/proc/{d.pid}/fd/{fd}") for fd in range(3)] == ["/dev/null"] * 3
        assert os.path.getsize(os.path.join(d.data, "lock")) == 0


def test_an_address_of_another_machine():
    """192.0.2.0/24 is nobody's (RFC 5737)."""
    d = Daemon()
    token = os.path.join(d.directory, "token")
    with open(token, "w", encoding="ascii", opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
        file.write("0123456789abcdef0123456789abcdef\n")
    d.settings.update({"http.listen": f"192.0.2.7:{d.http_port}", "http.auth": "token", "http.token_file": token})
    said = refusal(d)
    assert f"192.0.2.7 port {d.http_port}: this machine has no such address" in said and "change [http] listen" in said, said


harness.run(globals())
