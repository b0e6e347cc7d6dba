"""The report in a real browser: readable on a phone and on a desk, light and dark, without a word
in the console."""

from __future__ import annotations

import base64
import itertools
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import websocket  # of the Kubernetes client

from infra_gym.environments.make import make
from infra_gym.evaluation.report import write_report

BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
pytestmark = [
    pytest.mark.skipif(
        BROWSER is None, reason="no chromium is installed: apt-get install chromium"
    ),
    pytest.mark.xdist_group("browser"),  # one for all
]

OVERFLOWING = """
[...document.querySelectorAll('main *')]
  .filter(one => !one.closest('.scroll') && one.getBoundingClientRect().right > innerWidth + 1)
  .map(one => one.tagName + '.' + one.className)
"""
SMALLEST_TEXT = """
Math.min(...[...document.querySelectorAll('svg text')]
  .filter(one => one.getBoundingClientRect().height)
  .map(one => parseFloat(getComputedStyle(one).fontSize) * one.getScreenCTM().a))
"""


class Browser:
    """Chromium without a window, driven by its debugging protocol."""

    def __init__(self, folder: Path) -> None:
        assert BROWSER is not None
        self._process = subprocess.Popen(
            [
                BROWSER,
                "--headless",
                "--remote-debugging-port=0",
                "--remote-allow-origins=*",
                f"--user-data-dir={folder}",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-dev-shm-usage",
                "--no-first-run",
                "about:blank",
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "HOME": str(folder)},
        )
        self.said: list[str] = []
        self.asked_for: list[str] = []
        self._numbers = itertools.count(1)
        self._port = folder / "DevToolsActivePort"
        self._socket: Any = None

    def connect(self) -> None:
        port, path = self._address(self._port)
        self._socket = websocket.create_connection(f"ws://127.0.0.1:{port}{path}", timeout=60)
        target = self._call("Target.createTarget", url="about:blank")["targetId"]
        attached = self._call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = {"sessionId": attached["sessionId"]}
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def _address(self, file: Path) -> list[str]:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and self._process.poll() is None:
            if file.exists() and len(lines := file.read_text().split()) == 2:
                return lines
            time.sleep(0.05)
        pytest.skip(f"{BROWSER} does not start here")

    def call(self, method: str, **parameters: Any) -> Any:
        return self._call(method, self._session, **parameters)

    def _call(self, method: str, session: dict[str, str] | None = None, **parameters: Any) -> Any:
        number = next(self._numbers)
        message = {"id": number, "method": method, "params": parameters, **(session or {})}
        self._socket.send(json.dumps(message))
        while True:
            answer = json.loads(self._socket.recv())
            self._listen(answer)
            if answer.get("id") == number:
                assert "error" not in answer, answer
                return answer["result"]

    def _listen(self, event: dict[str, Any]) -> None:
        match event.get("method"):
            case "Runtime.consoleAPICalled" | "Runtime.exceptionThrown" | "Log.entryAdded":
                self.said.append(json.dumps(event["params"]))
            case "Network.requestWillBeSent":
                self.asked_for.append(event["params"]["request"]["url"])

    def show(self, page: Path, *, width: int, scheme: str) -> None:
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=900,
            deviceScaleFactor=2 if width < 600 else 1,
            mobile=width < 600,
        )
        self.call(
            "Emulation.setEmulatedMedia",
            features=[{"name": "prefers-color-scheme", "value": scheme}],
        )
        self.call("Page.navigate", url=page.as_uri())
        deadline = time.monotonic() + 60
        while self.value("document.readyState") != "complete" or not self.value(
            "document.title.length"
        ):
            assert time.monotonic() < deadline
            time.sleep(0.05)

    def value(self, expression: str) -> Any:
        return self.call("Runtime.evaluate", expression=expression, returnByValue=True)["result"][
            "value"
        ]

    def picture(self, path: Path) -> None:
        size = self.call("Page.getLayoutMetrics")["cssContentSize"]
        data = self.call(
            "Page.captureScreenshot",
            captureBeyondViewport=True,
            clip={"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1},
        )["data"]
        path.write_bytes(base64.b64decode(data))

    def close(self) -> None:
        children = psutil.Process(self._process.pid).children(recursive=True)
        if self._socket is not None:
            self._socket.close()
        self._process.terminate()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        for child in psutil.wait_procs(children, timeout=10)[1]:
            child.kill()


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    made = Browser(tmp_path_factory.mktemp("browser"))
    try:
        made.connect()
        yield made
    finally:
        made.close()


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    logs = [folder / "one.jsonl", folder / "two.jsonl"]
    for log, agent in zip(logs, ("rule", "<script>alert(1)</script>"), strict=True):
        env = make("SimpleK8sWebApp-v0", target="sim", log=log, log_info={"agent": agent})
        env.reset(seed=1)
        for step in range(30):
            env.step(2 if step < 6 else 1)
        env.close()
    return write_report(logs, folder / "report.html")


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize("width", [390, 768, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_is_readable(browser: Browser, page: Path, width: int, scheme: str) -> None:
    browser.said.clear()
    browser.asked_for.clear()
    browser.show(page, width=width, scheme=scheme)
    assert browser.said == []
    assert [url for url in browser.asked_for if not url.startswith(("file:", "data:"))] == []
    assert browser.value("document.documentElement.scrollWidth") <= width
    assert browser.value(OVERFLOWING) == []
    assert browser.value(SMALLEST_TEXT) >= 10
    background = browser.value("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, background[4:-1].split(","))) < 300) == (scheme == "dark")
    assert browser.value("document.scripts.length") == 0
    assert browser.value("document.querySelectorAll('figure').length") >= 6
