"""A headless Chromium, spoken to over its remote debugging protocol."""

from __future__ import annotations

import base64
import contextlib
import json
import re
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

from websockets.sync.client import connect

WITHIN_S = 60.0


def find_chromium() -> str | None:
    """Where Chromium is, if it is installed."""
    names = ("chromium", "chromium-browser", "google-chrome")
    return next((path for name in names if (path := shutil.which(name))), None)


class Browser:
    """One page in a browser of its own."""

    def __init__(self, profile: Path, *, size: tuple[int, int] = (1200, 1000)) -> None:
        path = find_chromium()
        assert path is not None
        self._errors = (profile.parent / "chromium.log").open("w+")
        self._process = subprocess.Popen(
            [
                *(path, "--headless=new", "--no-sandbox", "--disable-gpu"),
                *("--disable-dev-shm-usage", "--no-first-run"),
                *("--disable-background-networking", "--disable-component-update"),
                *(f"--user-data-dir={profile}", "--remote-debugging-port=0"),
                *(f"--window-size={size[0]},{size[1]}", "about:blank"),
            ],
            stdout=subprocess.DEVNULL,
            stderr=self._errors,
        )
        self._stack = contextlib.ExitStack()
        self._stack.callback(self._end)
        with contextlib.ExitStack() as unless_ready:
            unless_ready.callback(self.close)
            self._attach()
            unless_ready.pop_all()

    def _attach(self) -> None:
        address = self._address(Path(self._errors.name))
        self._socket = self._stack.enter_context(connect(address, max_size=None))
        self._number = 0
        self._session: str | None = None
        self.events: list[dict[str, Any]] = []
        targets = self.call("Target.getTargets")["targetInfos"]
        page = next(each for each in targets if each["type"] == "page")
        attached = self.call(
            "Target.attachToTarget", targetId=page["targetId"], flatten=True
        )
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call a method of the protocol, and wait for its answer."""
        self._number += 1
        request = {"id": self._number, "method": method, "params": parameters}
        if self._session is not None:
            request["sessionId"] = self._session
        self._socket.send(json.dumps(request))
        while True:
            answer = json.loads(self._socket.recv(WITHIN_S))
            if answer.get("id") == self._number:
                assert "error" not in answer, answer
                result: dict[str, Any] = answer["result"]
                return result
            self.events.append(answer)

    def open(self, url: str) -> None:
        """Go to an address, and wait until its scripts have run."""
        self.call("Page.navigate", url=url)
        self.wait_for("document.readyState === 'complete'")

    def run(self, expression: str) -> Any:
        """What a piece of JavaScript comes to."""
        answer = self.call(
            "Runtime.evaluate",
            expression=expression,
            returnByValue=True,
            awaitPromise=True,
            userGesture=True,
        )
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def wait_for(self, expression: str, within_s: float = WITHIN_S) -> None:
        """Wait until a piece of JavaScript comes to something true."""
        end = time.monotonic() + within_s
        while not self.run(f"Boolean({expression})"):
            if time.monotonic() > end:
                text = self.run("document.body.innerText")
                raise AssertionError(f"not within {within_s} s: {expression}\n{text}")
            time.sleep(0.05)

    def text(self, selector: str) -> str:
        """The text of an element as it is seen."""
        return str(
            self.run(f"document.querySelector({json.dumps(selector)}).innerText")
        )

    def click(self, selector: str) -> None:
        """Click with the mouse on the middle of an element, once it is seen."""
        self._wait_until_seen(selector)
        self.run(f"document.querySelector({json.dumps(selector)}).scrollIntoView()")
        box = self.run(
            "(() => { const box = document.querySelector("
            f"{json.dumps(selector)}).getBoundingClientRect(); "
            "return [box.x + box.width / 2, box.y + box.height / 2]; })()"
        )
        for kind in ("mousePressed", "mouseReleased"):
            self.call(
                "Input.dispatchMouseEvent",
                type=kind,
                x=box[0],
                y=box[1],
                button="left",
                clickCount=1,
            )

    def type(self, selector: str, text: str) -> None:
        """Type into a field, once it is seen."""
        self._wait_until_seen(selector)
        self.run(f"document.querySelector({json.dumps(selector)}).focus()")
        self.call("Input.insertText", text=text)

    def _wait_until_seen(self, selector: str) -> None:
        self.wait_for(
            f"document.querySelector({json.dumps(selector)})?.offsetParent != null"
        )

    def requested(self) -> set[str]:
        """Addresses that the page asked for."""
        return {
            each["params"]["request"]["url"]
            for each in self.events
            if each.get("method") == "Network.requestWillBeSent"
        }

    def complaints(self) -> list[str]:
        """What the browser wrote to its console as an error, or refused to run."""
        thrown = [
            str(each["params"]["exceptionDetails"])
            for each in self.events
            if each.get("method") == "Runtime.exceptionThrown"
        ]
        logged = [
            str(each["params"]["entry"])
            for each in self.events
            if each.get("method") == "Log.entryAdded"
            and each["params"]["entry"]["level"] == "error"
        ]
        return thrown + logged

    def colours(self, scheme: str) -> None:
        """Prefer ``dark`` or ``light``."""
        feature = {"name": "prefers-color-scheme", "value": scheme}
        self.call("Emulation.setEmulatedMedia", features=[feature])

    def screenshot(self, path: Path) -> None:
        """Write what is seen into a PNG file."""
        answer = self.call("Page.captureScreenshot", format="png")
        path.write_bytes(base64.b64decode(answer["data"]))

    def close(self) -> None:
        """End the browser."""
        self._stack.close()

    def _end(self) -> None:
        self._process.terminate()
        self._process.wait(WITHIN_S)
        self._errors.close()

    def _address(self, log: Path) -> str:
        end = time.monotonic() + WITHIN_S
        while time.monotonic() < end:
            if found := re.search(r"listening on (ws://\S+)", log.read_text()):
                return found[1]
            time.sleep(0.05)
        raise AssertionError(log.read_text())
