"""A headless Chromium, driven over its DevTools protocol: what a test of a page needs, no more."""

import contextlib
import http.client
import json
import os
import shutil
import subprocess
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from websockets.sync.client import ClientConnection, connect

from tests.running import wait_until

_OPTIONS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--remote-debugging-port=0",
)


class Page:
    """One page of the browser."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection
        self._number = 0
        self.errors: list[str] = []
        """What the page's scripts have thrown, and what it failed to load."""

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:  # noqa: ANN401
        """Call a method of the protocol and return its result."""
        self._number += 1
        call = {"id": self._number, "method": method, "params": parameters}
        self._connection.send(json.dumps(call))
        while True:
            message = json.loads(self._connection.recv(timeout=30))
            if message.get("id") == self._number:
                assert "result" in message, message
                return message["result"]
            if message.get("method") == "Runtime.exceptionThrown":
                self.errors.append(json.dumps(message["params"]))
            if message.get("method") == "Log.entryAdded":
                self.errors.append(message["params"]["entry"]["text"])

    def open(self, url: str, *, width: int = 1200, dark: bool = False) -> None:
        """Show a page, so wide, in light or dark."""
        self.call("Runtime.enable")
        self.call("Log.enable")
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=900,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        self.call("Page.navigate", url=url)
        wait_until(lambda: self.value("document.readyState") == "complete", what=url)

    def value(self, expression: str) -> Any:  # noqa: ANN401 - whatever the expression gives
        """The value of an expression on the page, or of the promise that it is."""
        result = self.call(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        return result["result"].get("value")

    def text(self, name: str) -> str:
        """The text of the element with this id."""
        return str(self.value(f"document.getElementById({json.dumps(name)}).innerText"))

    def click(self, name: str) -> None:
        """Click the element with this id."""
        self.value(f"document.getElementById({json.dumps(name)}).click()")

    def fill(self, name: str, text: str) -> None:
        """Put a text into the field with this id, in place of what it has."""
        self.value(f"document.getElementById({json.dumps(name)}).value = {json.dumps(text)}")

    def choose_file(self, name: str, path: Path) -> None:
        """Choose a file in the field with this id."""
        expression = f"document.getElementById({json.dumps(name)})"
        element = self.call("Runtime.evaluate", expression=expression)["result"]["objectId"]
        self.call("DOM.setFileInputFiles", files=[str(path)], objectId=element)

    def shown(self, name: str) -> bool:
        """Whether the element with this id can be seen."""
        return bool(
            self.value(f"document.getElementById({json.dumps(name)}).getClientRects().length")
        )

    def type(self, text: str) -> None:
        """Type into whatever has the focus, letter by letter."""
        for letter in text:
            self.call("Input.insertText", text=letter)


@contextlib.contextmanager
def browser(folder: Path) -> Generator[Page]:
    """Start a browser with one empty page; without one, skip, but fail where CI=true."""
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        if os.environ.get("CI") == "true":
            pytest.fail("no chromium is installed")
        pytest.skip("no chromium is installed")
    profile = folder / "browser"
    process = subprocess.Popen(
        [program, *_OPTIONS, f"--user-data-dir={profile}", "about:blank"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        with connect(_address_of(profile), max_size=None, proxy=None) as connection:
            yield Page(connection)
    finally:
        process.terminate()
        process.wait(30)


def _address_of(profile: Path) -> str:
    """Where the browser's page is driven; the browser writes its port to a file."""

    def found() -> str | None:
        with contextlib.suppress(FileNotFoundError, ValueError):
            port, _ = (profile / "DevToolsActivePort").read_text().split("\n")
            return port
        return None

    connection = http.client.HTTPConnection("127.0.0.1", int(wait_until(found, what="the browser")))
    with contextlib.closing(connection):
        connection.request("GET", "/json")
        targets = json.loads(connection.getresponse().read())
    return next(each["webSocketDebuggerUrl"] for each in targets if each["type"] == "page")
