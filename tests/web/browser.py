"""A real browser, driven over the WebDriver protocol: as much of it as the tests need.

Owns: starting chromedriver with a headless Chromium of its own profile, and ending both. Must not know: the console.
"""

from __future__ import annotations

import http.client
import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support import free_port

PATIENCE = 20.0
"""Seconds for which something is waited for on a page."""
CHROMIUM = shutil.which("chromium")
DRIVER = shutil.which("chromedriver")

_ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
_FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--hide-scrollbars"),
    *("--disable-dev-shm-usage", "--ignore-certificate-errors"),
)


class Browser:
    """One window."""

    def __init__(self, port: int, capabilities: dict[str, object]) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        self._session = ""
        made = self._ask("POST", "/session", {"capabilities": {"alwaysMatch": capabilities}})
        assert isinstance(made, dict)
        self._session = f"/session/{made['sessionId']}"

    def _ask(self, method: str, path: str, body: object = None) -> object:
        text = None if body is None else json.dumps(body)
        self._connection.request(method, self._session + path, text, {"content-type": "application/json"})
        answer = json.loads(self._connection.getresponse().read())["value"]
        if isinstance(answer, dict) and "error" in answer:
            raise AssertionError(f"{answer['error']}: {answer['message']}")
        return answer

    # --- pages ---

    def go(self, address: str) -> None:
        """Load a page."""
        self._ask("POST", "/url", {"url": address})

    @property
    def address(self) -> str:
        """Where the window is."""
        return str(self._ask("GET", "/url"))

    @property
    def title(self) -> str:
        """The title of the page."""
        return str(self._ask("GET", "/title"))

    def run(self, script: str, *arguments: object) -> object:
        """Run a script on the page; `return` hands its value back."""
        return self._ask("POST", "/execute/sync", {"script": script, "args": [*arguments]})

    def text(self, selector: str = "body") -> str:
        """The text that can be seen of an element."""
        return str(self._ask("GET", f"/element/{self._find(selector)}/text"))

    def texts(self, selector: str) -> list[str]:
        """The texts of all such elements."""
        found = self.run("return [...document.querySelectorAll(arguments[0])].map(e => e.innerText)", selector)
        assert isinstance(found, list)
        return found

    def count(self, selector: str) -> int:
        """How many such elements there are."""
        return len(self.texts(selector))

    def click(self, selector: str) -> None:
        """Click on an element."""
        self._ask("POST", f"/element/{self._find(selector)}/click", {})

    def type(self, selector: str, text: str) -> None:
        """Type into a field."""
        self._ask("POST", f"/element/{self._find(selector)}/value", {"text": text})

    def press(self, key: str) -> None:
        """Press a key, wherever the focus is."""
        actions = [{"type": "keyDown", "value": key}, {"type": "keyUp", "value": key}]
        self._ask("POST", "/actions", {"actions": [{"type": "key", "id": "keys", "actions": actions}]})

    def wait_for(self, script: str, *arguments: object) -> object:
        """Ask a script again and again until its value is true."""
        until = time.monotonic() + PATIENCE
        while not (value := self.run(script, *arguments)):
            assert time.monotonic() < until, f"still not: {script}\n{self.text()}"
            time.sleep(0.05)
        return value

    def _find(self, selector: str) -> str:
        found = self._ask("POST", "/element", {"using": "css selector", "value": selector})
        assert isinstance(found, dict)
        return str(found[_ELEMENT])

    # --- looks ---

    def look(self, *, width: int, height: int, dark: bool) -> None:
        """Set the size of the page, and whether its user prefers it dark."""
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self._command("Emulation.setDeviceMetricsOverride", metrics)
        media = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self._command("Emulation.setEmulatedMedia", {"features": media})

    def log(self) -> list[str]:
        """What the browser complained about since the last time: refused scripts, errors of ours."""
        found = self._ask("POST", "/se/log", {"type": "browser"})
        assert isinstance(found, list)
        return [entry["message"] for entry in found]

    def _command(self, name: str, parameters: dict[str, object]) -> object:
        return self._ask("POST", "/goog/cdp/execute", {"cmd": name, "params": parameters})

    def close(self) -> None:
        """Close the window."""
        self._ask("DELETE", "")
        self._connection.close()


@contextmanager
def browser(profile: Path, *, scripts: bool = True) -> Iterator[Browser]:
    """Run a browser that remembers nothing; `scripts` says whether pages may run any."""
    assert CHROMIUM
    assert DRIVER
    port = free_port()
    driver = subprocess.Popen(
        [DRIVER, f"--port={port}"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        _wait_until_ready(port)
        options: dict[str, object] = {
            "binary": CHROMIUM,
            "args": [*_FLAGS, f"--user-data-dir={profile}"],
            "prefs": {} if scripts else {"profile.managed_default_content_settings.javascript": 2},
        }
        made = Browser(port, {"goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}})
        try:
            yield made
        finally:
            made.close()
    finally:
        driver.terminate()
        driver.wait(timeout=PATIENCE)


def _wait_until_ready(port: int) -> None:
    until = time.monotonic() + PATIENCE
    while True:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            connection.request("GET", "/status")
            if json.loads(connection.getresponse().read())["value"]["ready"]:
                return
        except OSError:
            pass
        finally:
            connection.close()
        assert time.monotonic() < until, "chromedriver does not answer"
        time.sleep(0.05)
