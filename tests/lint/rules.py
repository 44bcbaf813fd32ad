#!/usr/bin/python3
"""The rules of the house that need no compiler: who may include whom, where DCMTK and C++ may appear, what no file may
hold. Speaks TAP."""
import os
import re
import subprocess
import sys

# Who may include what, by the longest folder that fits. A part always sees itself.
MAY_INCLUDE = {
    "core/base": [],
    "core/rnn": ["core/base"],
    "dicom": ["core/base"],
    "api": ["core/base"],
    "daemon": ["core/base", "core/rnn", "dicom", "api"],
    "tests": ["core/base", "core/rnn", "dicom", "api", "daemon"],
}
# System headers that belong to one part only.
ONLY_IN = {
    r"dcmtk/": ["dicom/dcmtk"],
    r"sqlite3\.h": ["daemon/laminad", "tests"],
    r"microhttpd\.h": ["api", "tests"],
    r"gnutls/": ["api", "tests"],
    r"openssl/": ["dicom"],
    r"cblas\.h": ["core/rnn", "tests"],
    r"archive": ["daemon/worker"],
    r"curl/": ["daemon/cli", "daemon/laminad", "tests"],
}
# What laminad may see of dicom/: tables of names and numbers, which read no object.
TABLES = ("dictionary", "implementation", "profile", "sop_class", "tag", "transfer_syntax")
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', re.M)
SOURCE = (".c", ".cc", ".h", ".hh", ".cpp", ".hpp")
BINARY = (".safetensors", ".png", ".dcm", ".gz", ".ico", ".woff2")


def files():
    listed = subprocess.run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
                            capture_output=True, check=True).stdout
    return sorted(f for f in listed.decode().split("\0") if f and os.path.isfile(f))


def text_of(path):
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read()


def part_of(path):
    return next((p for p in sorted(MAY_INCLUDE, key=len, reverse=True) if path.startswith(p + "/")), None)


def includes():
    for path in files():
        if path.endswith(SOURCE):
            for kind, target in INCLUDE.findall(text_of(path)):
                # DCMTK's own headers are often named in quotes.
                yield path, "<" if target.startswith("dcmtk/") else kind, target


def include_edges():
    """Own headers are named from the root, and only along the allowed edges."""
    for path, kind, target in includes():
        if kind == "<":
            continue
        here, there = part_of(path), part_of(target)
        if not os.path.exists(target):
            yield f"{path}: \"{target}\" is not a path from the repository root"
        elif here != there and there not in MAY_INCLUDE.get(here, []):
            yield f"{path}: {here} may not include {target}"


def api_sees_only_the_backend():
    """What api/ knows of the daemon is api/backend.h, and laminad parses no DICOM (promise 2)."""
    for path, kind, target in includes():
        if kind == '"' and path.startswith("daemon/laminad/") and target.startswith("dicom/"):
            if target not in [f"dicom/{table}.h" for table in TABLES]:
                yield f"{path}: {target} is about DICOM objects, which laminad may not parse"
        if kind == '"' and path.startswith("daemon/laminad/") and target.startswith("core/rnn/network"):
            yield f"{path}: networks run in lamina-worker only"


def library_borders():
    """Each large library stays behind one border."""
    for path, kind, target in includes():
        for pattern, folders in ONLY_IN.items():
            if kind == "<" and re.match(pattern, target) and not path.startswith(tuple(f + "/" for f in folders)):
                yield f"{path}: <{target}> belongs in {' or '.join(folders)}"


def cxx_only_around_dcmtk():
    """C++ is there for DCMTK and nowhere else."""
    for path in files():
        if path.endswith((".cc", ".cpp", ".cxx", ".hh", ".hpp")) and not path.startswith("dicom/dcmtk/"):
            yield f"{path}: C++ belongs in dicom/dcmtk"


def nothing_left_over():
    """No machine's own paths, nothing left to do, no conflict markers, no tabs in C."""
    # Written so that these patterns do not match themselves.
    patterns = [(r"/wor[k]/|/tmp/brie[f]|/roo[t]/", "a path of one machine"),
                (r"\b(TOD[O]|FIXM[E]|XX[X])\b", "something left to do"),
                (r"^(<{7} |>{7} )", "a conflict marker")]
    for path in files():
        if path.endswith(BINARY) or path == "LICENSE":
            continue
        text = text_of(path)
        for pattern, what in patterns:
            for found in re.finditer(pattern, text, re.M):
                yield f"{path}:{text.count(chr(10), 0, found.start()) + 1}: {what}: {found.group(0)}"
        if path.endswith((".c", ".h", ".cc")) and "\t" in text:
            yield f"{path}: a tab"


def sizes():
    """A file is one idea: never over 1000 lines."""
    for path in files():
        if path.endswith(SOURCE) and text_of(path).count("\n") > 1000:
            yield f"{path}: over 1000 lines"


def every_file_says_what_it_is():
    """Sources open with a comment."""
    for path in files():
        if path.endswith((".c", ".h", ".cc")):
            head = text_of(path).lstrip()
            has_own_header = path.endswith((".c", ".cc")) and re.match(r'#include "', head)
            if not head.startswith(("/*", "//")) and not has_own_header:
                yield f"{path}: does not say what it is"


def cleaned_is_made():
    """What a scope releases (LAM_AUTO) is made before the first way out of it: else what is released is what the stack
    held. No compiler sees it, since the variable's address is taken."""
    declared = re.compile(r"LAM_AUTO\(\w+\)\s+\w+\s+([\w, ]+);")
    for path in files():
        if not path.endswith((".c", ".cc")):
            continue
        text = text_of(path)
        for found in declared.finditer(text):
            body = text[found.end():text.find("\n}\n", found.end())]
            way_out = re.search(r"\breturn\b", body)
            for name in found.group(1).split(", "):
                made = re.search(rf"&{name}\b|\b{name} =", body)
                if way_out and not (made and made.start() < way_out.start()):
                    yield f"{path}:{text.count(chr(10), 0, found.start()) + 1}: {name} is released unmade"


RULES = [include_edges, api_sees_only_the_backend, library_borders, cxx_only_around_dcmtk, nothing_left_over, sizes,
         every_file_says_what_it_is, cleaned_is_made]


def main():
    os.chdir(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
    print(f"1..{len(RULES)}")
    failed = False
    for number, rule in enumerate(RULES, 1):
        broken = list(rule())
        failed |= bool(broken)
        print(f"{'not ok' if broken else 'ok'} {number} - {rule.__name__}")
        for line in broken:
            print(f"# {line}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
