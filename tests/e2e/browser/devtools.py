"""A headless Chromium, driven by the DevTools protocol over a pair of pipes (--remote-debugging-pipe): messages are JSON,
each ended by a NUL."""

import fcntl
import json
import os
import shutil
import subprocess
import tempfile


def high_pipe():
    """A pipe whose ends are not among the numbers that the browser is to have."""
    low = os.pipe()
    high = [fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for end in low]
    for end in low:
        os.close(end)
    return high


class Browser:
    """One browser with one page. Use it in a `with`."""

    def __enter__(self):
        self._home = tempfile.mkdtemp(prefix="mesh-browser-")
        to_browser, self._writer = high_pipe()
        self._reader, from_browser = high_pipe()
        # The protocol's pipes are 3 and 4 in the browser.
        wiring = f"exec 3<&{to_browser} 4>&{from_browser} {to_browser}<&- {from_browser}>&-; exec \"$@\""
        self._process = subprocess.Popen(
            ["bash", "-c", wiring, "browser", "chromium", "--headless=new", "--remote-debugging-pipe", "--no-sandbox", "--disable-gpu",
             "--disable-dev-shm-usage", "--no-first-run", "--disable-background-networking", f"--user-data-dir={self._home}", "about:blank"],
            pass_fds=(to_browser, from_browser), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        os.close(to_browser)
        os.close(from_browser)
        self._left, self._number, self._session, self.events = b"", 0, None, []
        target = next(of for of in self.call("Target.getTargets")["targetInfos"] if of["type"] == "page")
        self._session = self.call("Target.attachToTarget", targetId=target["targetId"], flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")
        return self

    def __exit__(self, *_):
        self._process.terminate()
        self._process.wait()
        os.close(self._writer)
        os.close(self._reader)
        shutil.rmtree(self._home, ignore_errors=True)

    def call(self, method, **params):
        """Calls a method and waits for its answer; what is told meanwhile is kept in `events`."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._writer, json.dumps(message).encode() + b"\0")
        while True:
            message = self._next()
            if message.get("id") == self._number:
                assert "error" not in message, f"{method}: {message['error']}"
                return message["result"]

    def open(self, address):
        """Goes to a page and waits until it is loaded."""
        self.events.clear()
        self.call("Page.navigate", url=address)
        self.wait_for("Page.loadEventFired")

    def wait_for(self, event):
        while not any(of["method"] == event for of in self.events):
            self._next()

    def value(self, script):
        """What a script comes to, in the page; a promise is waited for."""
        told = self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in told, told["exceptionDetails"]
        return told["result"].get("value")

    def screen(self, width, height, dark=False):
        """The size of the window, and whether its user likes it dark."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600)
        scheme = "dark" if dark else "light"
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def key(self, name, code):
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=name, code=name, windowsVirtualKeyCode=code)

    def complaints(self):
        """Errors of scripts, of the policy that the page is served with, and of what could not be loaded."""
        logged = [of["params"]["entry"] for of in self.events if of["method"] == "Log.entryAdded"]
        thrown = [of["params"] for of in self.events if of["method"] == "Runtime.exceptionThrown"]
        return [of for of in logged if of["level"] == "error"] + thrown

    def asked(self):
        """Every address that the page asked."""
        return [of["params"]["request"]["url"] for of in self.events if of["method"] == "Network.requestWillBeSent"]

    def _next(self):
        while b"\0" not in self._left:
            more = os.read(self._reader, 1 << 16)
            assert more, "the browser is gone"
            self._left += more
        message, self._left = self._left.split(b"\0", 1)
        message = json.loads(message)
        if "method" in message:
            self.events.append(message)
        return message
