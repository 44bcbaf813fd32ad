"""A page in headless Chromium, driven over its debugging pipe (Chrome DevTools Protocol): no package is needed for it."""
import base64
import itertools
import json
import os
import shutil
import signal
import subprocess
import tempfile

from harness.daemon import wait_until

FLAGS = ["--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
         "--disable-sync", "--remote-debugging-pipe", "--window-size=1400,1000"]


def program():
    return shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


class Page:
    """`with Page(url) as page:` opens it. What the page logs as an error is collected in `errors`."""

    def __init__(self, url):
        self.url = url
        self.errors = []
        self.numbers = itertools.count(1)
        self.buffer = b""

    def __enter__(self):
        self.profile = tempfile.mkdtemp(prefix="lamina-chromium-")
        to_read, self.to_write = os.pipe()
        self.from_read, from_write = os.pipe()

        def descriptors():  # the browser reads 3 and writes 4
            os.setsid()
            for source, target in ((os.dup(to_read), 3), (os.dup(from_write), 4)):
                os.dup2(source, target)

        self.process = subprocess.Popen([program(), *FLAGS, f"--user-data-dir={self.profile}", "about:blank"],
                                        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                        close_fds=False, preexec_fn=descriptors)
        os.close(to_read)
        os.close(from_write)
        self.session = None
        target = wait_until(self.first_page, 15, "the browser to have a page")
        self.session = self.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self.send(f"{domain}.enable")
        self.send("Page.navigate", url=self.url)
        return self

    def __exit__(self, *_):
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        os.close(self.to_write)
        os.close(self.from_read)
        shutil.rmtree(self.profile, ignore_errors=True)

    def first_page(self):
        return next((t["targetId"] for t in self.send("Target.getTargets")["targetInfos"] if t["type"] == "page"), None)

    def read(self):
        while b"\0" not in self.buffer:
            piece = os.read(self.from_read, 65536)
            if not piece:
                raise AssertionError("the browser ended")
            self.buffer += piece
        message, self.buffer = self.buffer.split(b"\0", 1)
        return json.loads(message)

    def note(self, event):
        if event.get("method") == "Runtime.exceptionThrown":
            self.errors.append(event["params"]["exceptionDetails"])
        elif event.get("method") == "Log.entryAdded" and event["params"]["entry"]["level"] == "error":
            self.errors.append(event["params"]["entry"]["text"])

    def send(self, method, **parameters):
        message = {"id": next(self.numbers), "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.to_write, json.dumps(message).encode() + b"\0")
        while True:
            answer = self.read()
            if answer.get("id") == message["id"]:
                assert "error" not in answer, answer
                return answer["result"]
            self.note(answer)

    def js(self, expression):
        """The value of an expression, awaited."""
        answer = self.send("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def until(self, expression, seconds=15):
        """Waits until an expression is true; one that throws, as while the page is still loading, is not."""
        tried = f"(() => {{ try {{ return Boolean({expression}); }} catch {{ return false; }} }})()"
        try:
            wait_until(lambda: self.js(tried), seconds, expression)
        except AssertionError as problem:
            raise AssertionError(f"{problem}; the page says: {self.text()[:2000]}") from None

    def look_like(self, scheme, width, height=900):
        """A system that is "light" or "dark", and a window of that size."""
        self.send("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        self.send("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)

    def press(self, key):
        """A key by its name, such as Tab or Enter."""
        code = {"Tab": 9, "Enter": 13, "Escape": 27, "ArrowRight": 39}[key]
        text = {"text": "\r"} if key == "Enter" else {}
        for kind in ("keyDown", "keyUp"):
            self.send("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code, **(text if kind == "keyDown" else {}))

    def text(self):
        return self.js("document.body.innerText")

    def screenshot(self, path):
        with open(path, "wb") as file:
            file.write(base64.b64decode(self.send("Page.captureScreenshot")["data"]))
