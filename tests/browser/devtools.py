"""Chromium through its DevTools protocol: a page, expressions in it, pictures of it.

Nothing is downloaded, and the browser's own calls home are switched off.
"""

import base64
import json
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import websocket

_FLAGS = """
    --headless --no-sandbox --disable-gpu --disable-quic --no-first-run --hide-scrollbars
    --disable-background-networking --disable-component-update --disable-sync
    --disable-dev-shm-usage --remote-debugging-port=0 --remote-allow-origins=*
"""
FLAGS = _FLAGS.split()


def find_chromium() -> str | None:
    """Where the browser is; None without one."""
    found = map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))
    return next(filter(None, found), None)


class Browser:
    """A headless Chromium with one page.

    `dialogs` are the alerts that pages opened (each is closed), `errors` the uncaught exceptions,
    `asked` the addresses of all requests.
    """

    def __init__(self, program: str, profile: Path) -> None:
        self.dialogs, self.errors, self.asked, self._number = [], [], [], 0
        self._process = subprocess.Popen(
            [program, *FLAGS, f"--user-data-dir={profile}", "about:blank"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        port_file = profile / "DevToolsActivePort"
        wait_for(lambda: port_file.is_file() and port_file.read_text().count("\n"), 60)
        port, path = port_file.read_text().split("\n")[:2]
        self._socket = websocket.create_connection(
            f"ws://127.0.0.1:{port}{path}", timeout=120, http_no_proxy=["127.0.0.1"]
        )
        self._session = None
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Network"):
            self.call(f"{domain}.enable")

    def __enter__(self) -> "Browser":
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()
        self._process.terminate()
        self._process.wait(30)

    def call(self, method: str, **parameters: object) -> dict:
        """One command and its result; events that arrive before are kept."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        self._socket.send(json.dumps(message))
        while True:
            got = json.loads(self._socket.recv())
            if got.get("id") == self._number:
                if "error" in got:
                    raise RuntimeError(f"{method}: {got['error']}")
                return got["result"]
            self._event(got)

    def _event(self, event: dict) -> None:
        name, about = event.get("method"), event.get("params", {})
        if name == "Page.javascriptDialogOpening":
            self.dialogs.append(about["message"])
            # no answer is waited for: this may be in the middle of another call
            message = {"id": 0, "method": "Page.handleJavaScriptDialog", "params": {"accept": True}}
            self._socket.send(json.dumps({**message, "sessionId": self._session}))
        elif name == "Runtime.exceptionThrown":
            self.errors.append(about["exceptionDetails"])
        elif name == "Network.requestWillBeSent":
            self.asked.append(about["request"]["url"])

    def open(self, address: str) -> None:
        """Go to a page."""
        self.call("Page.navigate", url=address)

    def run(self, expression: str) -> object:
        """The value of a JavaScript expression, a promise's when it is kept.

        Raises:
            RuntimeError: it throws.
        """
        got = self.call(
            "Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True
        )
        if "exceptionDetails" in got:
            raise RuntimeError(f"{expression[:80]}: {got['exceptionDetails']}")
        return got["result"].get("value")

    def wait(self, expression: str, seconds: float = 60) -> object:
        """The value of an expression as soon as it is true."""
        return wait_for(lambda: self.run(expression), seconds, expression[:120])

    def size(self, width: int, height: int) -> None:
        """Of the window, in CSS pixels."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )

    def picture(self, path: Path) -> Path:
        """What the window shows, as a PNG."""
        data = self.call("Page.captureScreenshot", format="png")["data"]
        path.write_bytes(base64.b64decode(data))
        return path


def wait_for(ready: Callable[[], object], seconds: float, what: str = "the browser") -> object:
    """The first true value of a function that is asked again and again.

    Raises:
        TimeoutError: none came in time.
    """
    end = time.monotonic() + seconds
    while not (value := ready()):
        if time.monotonic() > end:
            raise TimeoutError(f"waited {seconds:.0f} s for {what}")
        time.sleep(0.3)
    return value
