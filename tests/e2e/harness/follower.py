"""A client of the server-sent events."""
import json
import socket
import struct

from .daemon import PATIENCE, wait_until


class Follower:
    """GET /api/v1/events over a socket of its own, the chunks left in: events are found by their lines."""

    def __init__(self, daemon, last_id=None):
        self.socket = socket.create_connection(("127.0.0.1", daemon.http_port), timeout=30 * PATIENCE)
        header = f"Last-Event-ID: {last_id}\r\n" if last_id else ""
        self.socket.sendall(f"GET /api/v1/events HTTP/1.1\r\nHost: 127.0.0.1\r\n{header}\r\n".encode())
        self.text = b""

    def take(self, seconds=0.3):
        """What has come; b"" when the server has ended it."""
        self.socket.settimeout(seconds * PATIENCE)
        try:
            got = self.socket.recv(65536)
        except TimeoutError:
            return None
        self.text += got
        return got

    def events(self):
        """[(event, data, id)] of what has come."""
        found, current = [], {}
        for line in self.text.decode().replace("\r\n", "\n").split("\n"):
            name, colon, value = line.partition(": ")
            if colon and name in ("id", "event", "data"):
                current[name] = value
            if name == "data":
                found.append((current["event"], json.loads(value), current["id"]))
        return found

    def wait_for(self, wanted, what, seconds=20):
        def look():
            self.take()
            return [event for event in self.events() if wanted(*event)]
        return wait_until(look, seconds, what)[0]

    def last_id(self):
        return [line[4:] for line in self.text.decode().splitlines() if line.startswith("id: ")][-1]

    def close(self):
        self.socket.close()

    def reset(self):
        """Gone without a farewell: the next write of the server fails, not the one after it."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()
