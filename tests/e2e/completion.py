#!/usr/bin/python3
"""What bash offers for a command line of `lamina`, after the script that `lamina completion bash` prints."""
import os
import re
import shutil
import tempfile

import harness
from harness.clients import ours, run

place = tempfile.mkdtemp()
SCRIPT = os.path.join(place, "lamina")
status, text = ours("lamina", "completion", "bash")
assert status == 0, text
with open(SCRIPT, "w", encoding="utf-8") as file:
    file.write(text)

# Reads the words of a line as readline hands them over, and prints what would be offered for the last.
ASK = 'cd "$1"; . "$2"; shift 2; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _lamina; ' \
      'for one in "${COMPREPLY[@]}"; do printf "%s\\n" "$one"; done'


def offered(*line):
    exit_status, said = run("bash", "--norc", "-c", ASK, "bash", place, SCRIPT, "lamina", *line)
    assert exit_status == 0, said
    return set(said.split("\n")[:-1])


def commands():
    return {line.split()[0] for line in ours("lamina", "help")[1].split("\n\n")[1].splitlines()}


def test_every_command_is_offered():
    assert len(commands()) > 20 and offered("") == commands() | {"--help", "--version"}, commands() ^ offered("")
    assert offered("stu") == {"studies"}


def test_every_option_is_offered_where_it_belongs():
    for command in sorted(commands()):
        text = ours("lamina", "help", command)[1]
        options = set(re.findall(r"--[a-z][a-z-]*", text.split("\n")[0]))
        for line in re.findall(r"(?m)^  --.*", text):
            options |= set(re.findall(r"(?:^  |, )(--[a-z][a-z-]*)", line))
        assert offered(command, "--") == options | {"--help"}, (command, options ^ offered(command, "--"))


def test_values_are_files_folders_or_nothing():
    os.mkdir(os.path.join(place, "some folder"))
    everything = {"some folder", "lamina"}
    assert offered("train", "--bundle", "") == {"some folder"}
    assert offered("train", "--bundle", "x", "--data", "a", "") == everything
    assert offered("send", "--tls-ca", "") == everything
    assert offered("send", "HOST:104", "") == everything
    assert offered("studies", "--state", "") == set() and offered("studies", "") == set()
    assert offered("nonsense", "") == set()


def test_words_are_offered():
    assert offered("deliveries", "") == {"destinations", "retry", "pause", "resume"}
    assert {"import", "check"} <= offered("model", "")
    assert offered("help", "doc") == {"doctor"}
    assert offered("completion", "") == {"bash"}


def test_another_shell_is_refused():
    assert ours("lamina", "completion", "fish")[0] == 2


def test_shellcheck_finds_no_fault():
    harness.need(shutil.which("shellcheck"), "shellcheck is not here")
    found, said = run("shellcheck", "-s", "bash", SCRIPT)
    assert found == 0, said


harness.run(globals())
