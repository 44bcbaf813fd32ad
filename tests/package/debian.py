"""A Debian 12 that boots systemd: debootstrap once into build/debian12, then systemd-nspawn with everything that is
written in memory, and a network of its own. Commands run in it, or beside it with only its network."""
import os
import shutil
import subprocess

from harness import need
from harness.daemon import BUILD, wait_until

TREE = os.path.join(BUILD, "debian12")
# What a machine permits and a container of systemd 252 does not by itself.
LANDLOCK = "landlock_create_ruleset landlock_add_rule landlock_restrict_self"
BARE = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive"}


def make_tree(package):
    """The bare system, and what `package` (its path in there) needs of it in apt's cache, so that the booted one needs no network."""
    need(os.geteuid() == 0, "only root can boot a Debian")
    for tool in ("debootstrap", "systemd-nspawn", "nsenter"):
        need(shutil.which(tool), f"{tool} is not here")
    if not os.path.isdir(TREE):
        subprocess.run(["debootstrap", "--variant=minbase", "--include=systemd-sysv,dbus,procps", "bookworm", TREE + ".new"],
                       check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        os.rename(TREE + ".new", TREE)
    subprocess.run(["systemd-nspawn", "--quiet", "-D", TREE, "--register=no", "--keep-unit", "--pipe",
                    f"--bind-ro={BUILD}:/mnt", "apt-get", "install", "-qq", "--download-only", package],
                   check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)


class Machine:
    """One boot of the tree. What is below build/ is at /mnt in it."""

    def __init__(self):
        with open(os.path.join(BUILD, "debian12.log"), "wb") as log:
            self.nspawn = subprocess.Popen(
                ["systemd-nspawn", "-D", TREE, "--register=no", "--keep-unit", "--private-network", "--boot", "--console=pipe",
                 "--volatile=overlay", f"--system-call-filter={LANDLOCK}", f"--bind-ro={BUILD}:/mnt"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.leader = wait_until(self._leader, 30, "systemd to start")
        wait_until(lambda: self.run("systemctl", "is-system-running", status=None).strip() in ("running", "degraded"),
                   30, "systemd to be up")

    def _leader(self):
        with open(f"/proc/{self.nspawn.pid}/task/{self.nspawn.pid}/children", encoding="ascii") as file:
            for pid in file.read().split():
                with open(f"/proc/{pid}/comm", encoding="utf-8") as comm:
                    if comm.read().strip() == "systemd":
                        return pid
        return None

    def _enter(self, *namespaces):
        return ["nsenter", "-t", self.leader, *namespaces]

    def start(self, *command):
        """A command in the machine, under way."""
        return subprocess.Popen(self._enter("-m", "-u", "-i", "-n", "-p", "-C") + list(command), cwd="/", env=BARE,
                                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def run(self, *command, status=0):
        """What a command in the machine says; any exit status is good with status=None."""
        process = self.start(*command)
        said = process.communicate()[0]
        assert status is None or process.returncode == status, (command, process.returncode, said)
        return said

    def beside(self, *command, stdout=subprocess.PIPE, **how):
        """A program of this machine's, under way with the network of the booted one."""
        return subprocess.Popen(self._enter("-n") + [str(c) for c in command], stdin=subprocess.DEVNULL, stdout=stdout,
                                stderr=subprocess.STDOUT, text=True, **how)

    def path(self, name):
        """Where a file of the machine is for this one."""
        return f"/proc/{self.leader}/root{name}"

    def read(self, name):
        with open(self.path(name), encoding="utf-8") as file:
            return file.read()

    def write(self, name, text):
        os.makedirs(os.path.dirname(self.path(name)), exist_ok=True)
        with open(self.path(name), "w", encoding="utf-8") as file:
            file.write(text)

    def unit(self, what):
        """A property of laminad.service."""
        return self.run("systemctl", "show", "--value", "-p", what, "laminad").strip()

    def stop(self):
        self.nspawn.terminate()
        self.nspawn.wait()
