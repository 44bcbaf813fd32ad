"""A small DICOM node that fails as it is told to (PS3.8 and PS3.7 by hand, implicit VR little endian commands)."""
import itertools
import socket
import struct
import threading
import time

from .daemon import PATIENCE

COMMITMENT, IMPLICIT = "1.2.840.10008.1.20.1", "1.2.840.10008.1.2"
STORE, ACTION, EVENT_REPORT, RESPONSE = 0x0001, 0x0130, 0x0100, 0x8000


def uid_text(raw):
    return raw.rstrip(b"\0 ").decode()


def elements(data, explicit=False):
    """{tag: value} of a flat little endian data set; sequences keep their bytes."""
    found, at = {}, 0
    while at + 8 <= len(data):
        group, element, length = struct.unpack_from("<HHL", data, at)
        at += 8
        if length == 0xFFFFFFFF:  # a sequence of undefined length: to its delimiter
            end = data.index(struct.pack("<HHL", 0xFFFE, 0xE0DD, 0), at)
            found[group << 16 | element] = data[at:end]
            at = end + 8
            continue
        found[group << 16 | element] = data[at:at + length]
        at += length
    return found


def items(sequence):
    at, found = 0, []
    while at + 8 <= len(sequence):
        _, _, length = struct.unpack_from("<HHL", sequence, at)
        found.append(elements(sequence[at + 8:at + 8 + length]))
        at += 8 + length
    return found


def element(tag, value):
    if isinstance(value, str):
        value = value.encode()
        value += b"\0" * (len(value) % 2)
    elif isinstance(value, int):
        value = struct.pack("<H", value)
    return struct.pack("<HHL", tag >> 16, tag & 0xFFFF, len(value)) + value


def command(fields):
    body = b"".join(element(tag, value) for tag, value in sorted(fields.items()))
    return struct.pack("<HHLL", 0, 0, 4, len(body)) + body


class FaultyScp:
    """`plan` says for each C-STORE in turn what happens: a status, "drop" (closes in the middle of the data set) or
    "silent" (no answer at all), "slow" (success, a second later); when it is over, success. `refuses`: abstract syntaxes that are not taken. `commits`:
    for each N-ACTION in turn "yes", "no" (all instances failed), "other" (says yes over an association of its own),
    "never" (nothing is reported), "refuse" (the N-ACTION fails). `cuts`: lengths of the fragments that come before the
    last one of each command, in one PDU with it."""

    def __init__(self, plan=(), refuses=(), commits=("yes",), port=0, node=None, cuts=(), comment=b""):
        self.plan, self.refuses, self.commits, self.cuts = list(plan), set(refuses), list(commits), cuts
        self.comment = comment  # with each failure, in whatever character set
        self.confirmed, self.tried, self.asked, self.associations = [], [], [], 0
        self.node = node  # (host, port, AE title) to open associations to
        self.socket = socket.create_server(("127.0.0.1", port))
        self.port = self.socket.getsockname()[1]
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        # An accept that SIGSTOP interrupts begins again with whatever has this descriptor then: end it before closing.
        self.socket.shutdown(socket.SHUT_RDWR)
        self.thread.join()
        self.socket.close()

    def _serve(self):
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self._converse, args=(connection,), daemon=True).start()

    def _converse(self, connection):
        try:
            Conversation(self, connection).run()
        except (OSError, EOFError):
            pass
        finally:
            connection.close()

    def next_of(self, what, otherwise):
        return what.pop(0) if what else otherwise


class Conversation:
    def __init__(self, scp, connection):
        self.scp, self.connection, self.contexts = scp, connection, {}
        self.cuts = scp.cuts if scp else ()

    def read(self, count):
        data = b""
        while len(data) < count:
            got = self.connection.recv(count - len(data))
            if not got:
                raise EOFError
            data += got
        return data

    def pdu(self):
        kind, _, length = struct.unpack(">BBL", self.read(6))
        return kind, self.read(length)

    def send_pdu(self, kind, body):
        self.connection.sendall(struct.pack(">BBL", kind, 0, len(body)) + body)

    def send_fragments(self, context, *fragments):
        """One PDU of (control byte, bytes)s (PS3.8 section 9.3.5.1)."""
        self.send_pdu(4, b"".join(struct.pack(">LBB", len(piece) + 2, context, control) + piece
                                  for control, piece in fragments))

    def run(self):
        self.scp.associations += 1
        _, body = self.pdu()
        self.accept(body)
        while True:
            kind, body = self.pdu()
            if kind == 5:
                self.send_pdu(6, b"\0\0\0\0")
                return
            if kind == 7:
                return
            if not self.data(body):
                return

    def accept(self, body):
        answer, at = element_item(0x10, b"1.2.840.10008.3.1.1.1"), 68
        while at < len(body):
            kind, _, length = struct.unpack_from(">BBH", body, at)
            item = body[at + 4:at + 4 + length]
            at += 4 + length
            if kind == 0x20:
                answer += self.accept_context(item)
        user = element_item(0x51, struct.pack(">L", 65536)) + element_item(0x52, b"1.2.3.4")
        answer += element_item(0x50, user)
        self.send_pdu(2, body[:68] + answer)

    def accept_context(self, item):
        number, subs, at = item[0], [], 4
        while at < len(item):
            kind, _, length = struct.unpack_from(">BBH", item, at)
            subs.append((kind, item[at + 4:at + 4 + length].rstrip(b"\0").decode()))
            at += 4 + length
        abstract = next(v for k, v in subs if k == 0x30)
        syntax = next(v for k, v in subs if k == 0x40)
        refused = abstract in self.scp.refuses
        self.contexts[number] = abstract
        return element_item(0x21, bytes([number, 0, 3 if refused else 0, 0]) + element_item(0x40, syntax.encode()))

    def message(self, body):
        """The rest of a message that begins with this PDU: (context, command, data set)."""
        commands, data, context, request = b"", b"", None, None
        while True:
            at = 0
            while at < len(body):
                length, context, flags = struct.unpack_from(">LBB", body, at)
                piece = body[at + 6:at + 4 + length]
                at += 4 + length
                if flags & 1:
                    commands += piece
                    if flags & 2:
                        request = elements(commands)
                        if struct.unpack("<H", request[0x00000800])[0] == 0x0101:
                            return context, request, b""
                else:
                    data += piece
                    if flags & 2:
                        return context, request, data
            if request and self.drops_now(request):
                raise EOFError
            _, body = self.pdu()

    def drops_now(self, request):
        """In the middle of the data set of a C-STORE."""
        return struct.unpack("<H", request[0x00000100])[0] == STORE and self.scp.plan[:1] == ["drop"] and \
            self.scp.plan.pop(0)

    def send(self, context, fields, data=None):
        body = command({**fields, 0x00000800: 0x0101 if data is None else 0})
        cut = [0, *itertools.accumulate(self.cuts), len(body)]
        pieces = [body[begin:end] for begin, end in zip(cut, cut[1:])]
        self.send_fragments(context, *((1, piece) for piece in pieces[:-1]), (3, pieces[-1]))
        if data is not None:
            self.send_fragments(context, (2, data))

    def data(self, body):
        context, request, data = self.message(body)
        field = struct.unpack("<H", request[0x00000100])[0]
        if field == STORE:
            return self.store(context, request)
        if field == ACTION:
            return self.action(context, request, data)
        return True

    def store(self, context, request):
        uid = uid_text(request[0x00001000])
        self.scp.tried.append(uid)
        what = self.scp.next_of(self.scp.plan, 0)
        if what == "drop":
            return False  # it came in one PDU: gone before the answer
        if what == "silent":
            time.sleep(60)
            return False
        if what == "slow":
            time.sleep(1)
            what = 0
        if what == 0 or what & 0xF000 == 0xB000:
            self.scp.confirmed.append(uid)
        words = {0x00000902: self.scp.comment} if what and self.scp.comment else {}
        self.send(context, {0x00000002: uid_text(request[0x00000002]), 0x00000100: STORE | RESPONSE,
                            0x00000120: struct.unpack("<H", request[0x00000110])[0], 0x00000900: what, 0x00001000: uid,
                            **words})
        return True

    def action(self, context, request, data):
        document = elements(data)
        transaction = uid_text(document[0x00081195])
        referenced = [(uid_text(i[0x00081150]), uid_text(i[0x00081155])) for i in items(document[0x00081199])]
        self.scp.asked.append([uid for _, uid in referenced])
        what = self.scp.next_of(self.scp.commits, "yes")
        self.send(context, {0x00000002: COMMITMENT, 0x00000100: ACTION | RESPONSE,
                            0x00000120: struct.unpack("<H", request[0x00000110])[0],
                            0x00000900: 0x0110 if what == "refuse" else 0, 0x00001000: "1.2.840.10008.1.20.1.1"})
        if what in ("yes", "no"):
            self.report(context, transaction, referenced, what == "yes")
        elif what == "other":
            threading.Thread(target=report_elsewhere, args=(self.scp.node, transaction, referenced), daemon=True).start()
        return True

    def report(self, context, transaction, referenced, good):
        self.send(context, event_command(1 if good else 2), report_data(transaction, referenced, good))


def element_item(kind, body):
    return struct.pack(">BBH", kind, 0, len(body)) + body


def event_command(kind):
    return {0x00000002: COMMITMENT, 0x00000100: EVENT_REPORT, 0x00000110: 77, 0x00001000: "1.2.840.10008.1.20.1.1",
            0x00001002: kind}


def report_data(transaction, referenced, good):
    sequence = b""
    for sop_class, uid in referenced:
        item = element(0x00081150, sop_class) + element(0x00081155, uid)
        item += b"" if good else element(0x00081197, 0x0112)
        sequence += struct.pack("<HHL", 0xFFFE, 0xE000, len(item)) + item
    sequence_tag = 0x00081199 if good else 0x00081198
    parts = {0x00081195: element(0x00081195, transaction), sequence_tag: element(sequence_tag, sequence)}
    return b"".join(parts[tag] for tag in sorted(parts))


class Caller(Conversation):
    """An association that is opened by the test, with one presentation context, numbered 1, 3, 5 …, for each of
    `proposals`: (abstract syntax, transfer syntax …). `results` says of each what became of it: (result, transfer
    syntax)."""

    def __init__(self, node, calling, proposals=((COMMITMENT, IMPLICIT),), provider=False):
        host, port, called = node
        super().__init__(None, socket.create_connection((host, port), 10 * PATIENCE))
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.results, self.messages, self.longest = {}, 0, 0
        request = element_item(0x10, b"1.2.840.10008.3.1.1.1")
        for number, (abstract, *syntaxes) in enumerate(proposals):
            self.contexts[2 * number + 1] = abstract
            syntaxes = b"".join(element_item(0x40, syntax.encode()) for syntax in syntaxes)
            request += element_item(0x20, bytes([2 * number + 1, 0, 0, 0]) + element_item(0x30, abstract.encode())
                                    + syntaxes)
        user = element_item(0x51, struct.pack(">L", 65536)) + element_item(0x52, b"1.2.3.4")
        for abstract in {proposal[0] for proposal in proposals} if provider else ():
            user += element_item(0x54, struct.pack(">H", len(abstract)) + abstract.encode() + b"\0\1")
        request += element_item(0x50, user)
        titles = called.ljust(16).encode(), calling.ljust(16).encode()
        self.send_pdu(1, struct.pack(">HH16s16s32s", 1, 0, *titles, b"") + request)
        kind, self.answer = self.pdu()
        assert kind == 2, f"the association was refused: {kind} {self.answer!r}"
        self.read_answer(self.answer, 68)

    def read_answer(self, body, at):
        while at < len(body):
            kind, _, length = struct.unpack_from(">BBH", body, at)
            item = body[at + 4:at + 4 + length]
            at += 4 + length
            if kind == 0x21:
                self.results[item[0]] = (item[2], item[8:].rstrip(b"\0").decode() if item[2] == 0 else None)
            elif kind == 0x50:
                self.read_answer(item, 0)
            elif kind == 0x51:
                self.longest = struct.unpack(">L", item)[0]

    def exchange(self, fields, data):
        self.send(1, fields, data)
        return self.receive()

    def receive(self):
        _, body = self.pdu()
        return self.message(body)[1:]

    def store_command(self, context, uid, sop_class=None):
        self.messages += 1
        return command({0x00000002: sop_class or self.contexts[context], 0x00000100: STORE, 0x00000110: self.messages,
                        0x00000700: 0, 0x00000800: 0, 0x00001000: uid})

    def ask_to_store(self, context, uid, sop_class=None):
        """The command of a C-STORE, whose data set is to follow."""
        self.send_fragments(context, (3, self.store_command(context, uid, sop_class)))

    def send_data(self, context, data, last=True):
        """Bytes of a data set, in PDUs as long as the other end takes."""
        size = self.longest - 6
        pieces = [data[at:at + size] for at in range(0, len(data), size)] or [b""]
        for number, piece in enumerate(pieces, 1):
            self.send_fragments(context, (2 if last and number == len(pieces) else 0, piece))

    def store(self, context, uid, data, sop_class=None):
        """The status of a C-STORE of exactly these bytes."""
        self.ask_to_store(context, uid, sop_class)
        self.send_data(context, data)
        return struct.unpack("<H", self.receive()[0][0x00000900])[0]

    def release(self):
        self.send_pdu(5, b"\0\0\0\0")
        self.pdu()
        self.connection.close()


def report_elsewhere(node, transaction, referenced):
    time.sleep(0.5)
    caller = Caller(node[:3], node[3], provider=True)
    caller.exchange(event_command(1), report_data(transaction, referenced, True))
    caller.release()
