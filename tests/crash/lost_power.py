"""What a disk may hold after the power failed, made from a record of what programs wrote, named and synced (recorder.c). What
was synced is there; of everything else any part may be: bytes without their names, names without their bytes, a move
without what came before it.

No test of its own: powerloss.py and migration.py ask what must hold then.
"""
import collections
import os
import struct
import subprocess

HERE = os.path.dirname(os.path.abspath(__file__))
WRITE, TRUNCATE, CREATE, FOLDER, RENAME, LINK, UNLINK, SYNC_BEGIN, SYNC_END, TOLD = range(1, 11)
HEAD = struct.Struct("<IIQQQq")
SECTOR = 512  # what a disk writes whole

Record = collections.namedtuple("Record", "kind file source target offset content")


class Recorder:
    """A log in `folder`; programs with this environment write to it."""

    def __init__(self, folder):
        self.log = os.path.join(folder, "record")
        library = os.path.join(folder, "recorder.so")
        subprocess.run(["gcc", "-std=c11", "-D_GNU_SOURCE", "-O1", "-shared", "-fPIC", "-o", library,
                        os.path.join(HERE, "recorder.c"), "-ldl"], check=True)
        self.environment = {"LD_PRELOAD": library, "LAMINA_RECORD": self.log}

    def note(self, kind, file, source=0, target=0, content=b""):
        """A record of the test's own."""
        with open(self.log, "ab", buffering=0) as log:
            log.write(HEAD.pack(kind, len(content), file, source, target, 0) + content)

    def note_files(self, folder):
        """The files that lie in `folder`: on the disk since long ago."""
        parent = os.stat(folder).st_ino
        for name in os.listdir(folder):
            path = os.path.join(folder, name)
            file = os.stat(path).st_ino
            with open(path, "rb") as stream:
                content = stream.read()
            self.note(CREATE, file, target=parent, content=os.fsencode(name) + b"\0")
            self.note(WRITE, file, content=content)
            self.sync(file)
        self.sync(parent)

    def sync(self, file):
        self.note(SYNC_BEGIN, file)
        self.note(SYNC_END, file)

    def records(self):
        """An inode serves one file after another: here each file has a name of its own."""
        with open(self.log, "rb") as file:
            log = file.read()
        at, found, current = 0, [], {}
        while at < len(log):
            kind, length, file, source, target, offset = HEAD.unpack_from(log, at)
            at += HEAD.size
            if kind in (CREATE, FOLDER):
                current[file] = (file, len(found))
            if kind != TOLD:
                file, target = current.get(file, file), current.get(target, target)
            if kind in (RENAME, UNLINK):
                source = current.get(source, source)
            found.append(Record(kind, file, source, target, offset, log[at:at + length]))
            at += length
        return found


class Disk:
    """What may be left of files and folders when the power fails after `cut` records."""

    # Of what was not synced: all is there, nothing is, or each with a chance; bytes and names apart.
    KEPT = [(0, 0), (1, 1), (0, 1), (1, 0), (0.5, 0.5), (0.5, 1), (0.9, 0.5)]

    def __init__(self, records, cut, dice, kept):
        self.records, self.cut, self.dice = records, cut, dice
        self.bytes_kept, self.names_kept = kept
        self.durable = self.last_syncs()
        self.files, self.entries = {}, collections.defaultdict(dict)

    def last_syncs(self):
        """For each inode the record before which everything about it is durable."""
        begun, durable = {}, {}
        for index, record in enumerate(self.records[:self.cut]):
            if record.kind == SYNC_BEGIN:
                begun[record.source] = index
            elif record.kind == SYNC_END:
                durable[record.file] = max(durable.get(record.file, 0), begun[record.source])
        return durable

    def survives(self, index, inode, chance):
        return index < self.durable.get(inode, 0) or self.dice.random() < chance

    def make(self):
        for index, record in enumerate(self.records[:self.cut]):
            if record.kind in (WRITE, TRUNCATE):
                self.change(index, record)
            elif record.kind in (CREATE, FOLDER, LINK, RENAME, UNLINK):
                self.name(index, record)
        return self

    def change(self, index, record):
        content = self.files.setdefault(record.file, bytearray())
        kept = self.survives(index, record.file, self.bytes_kept)
        piece = record.content
        if record.kind == TRUNCATE:
            if kept:
                del content[record.offset:]
                content.extend(bytes(record.offset - len(content)))
            return
        if not kept and self.bytes_kept:  # some sectors of it
            whole = len(piece) // SECTOR
            piece = piece[:SECTOR * self.dice.randrange(whole + 1)]
        elif not kept:
            return
        content.extend(bytes(max(0, record.offset + len(piece) - len(content))))
        content[record.offset:record.offset + len(piece)] = piece

    def name(self, index, record):
        names = [name.decode() for name in record.content.split(b"\0")[:-1]]
        if record.kind == CREATE:
            self.files[record.file] = bytearray()
        if record.kind == UNLINK:
            if self.survives(index, record.source, self.names_kept):
                self.entries[record.source].pop(names[0], None)
            return
        arrives = self.survives(index, record.target, self.names_kept)
        if record.kind == RENAME:
            # Both halves or none, unless one of the folders has been synced since.
            leaves = arrives or self.survives(index, record.source, 0)
            if leaves:
                self.entries[record.source].pop(names[0], None)
        if arrives:
            self.entries[record.target][names[-1]] = record.file

    def write(self, folder, inode):
        """Makes the files of the folder `inode`. The shared memory of SQLite is no file on the disk."""
        os.makedirs(folder, exist_ok=True)
        for name, entry in self.entries[inode].items():
            path = os.path.join(folder, name)
            if entry in self.files:
                if not name.endswith("-shm"):
                    with open(path, "wb") as file:
                        file.write(self.files[entry])
            else:
                self.write(path, entry)
