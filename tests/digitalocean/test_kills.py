"""SIGKILL at every change of ledger and lock, and at every event of Terraform, of a do stack.

The real provider works on the fake account. Afterwards ``infra-gym sweep`` leaves nothing there,
nor anywhere else: with Terraform killed in the same moment, with Terraform alive, and with the
ledger lost as well.
"""

from __future__ import annotations

import itertools
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import pytest

from infra_gym.stack.leftovers import processes_in
from infra_gym.testing.digitalocean import Durations, FakeDigitalOcean

pytestmark = [pytest.mark.usefixtures("needs_provider")]

After = Literal["alive", "killed", "lost"]
"""What a kill leaves: Terraform that goes on, a ledger alone, or neither."""
AFTER: tuple[After, ...] = ("alive", "killed", "lost")
ROOT = Path(__file__).resolve().parents[2]
AT_ONCE = 12  # most of a life is waiting: the provider looks at a cluster each ten seconds
CHUNKS = 10
POINTS = 150  # a few less than a whole life has
SAMPLE = 9
ALL = "INFRA_GYM_TEST_KILLS"


class Zygote:
    """Children of a process of its own, several at once; see zygote.py."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.digitalocean.zygote"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._lock = threading.Lock()
        self._numbers = itertools.count()
        self._waiting: dict[int, Future[dict[str, Any]]] = {}
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def run(self, **order: Any) -> dict[str, Any]:
        """One child from its start to its end."""
        answer: Future[dict[str, Any]] = Future()
        with self._lock:
            number = next(self._numbers)
            self._waiting[number] = answer
            assert self._process.stdin is not None
            self._process.stdin.write(json.dumps({"number": number, **order}) + "\n")
            self._process.stdin.flush()
        return answer.result(timeout=500)

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            answer = json.loads(line)
            self._waiting.pop(answer["number"]).set_result(answer)

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait()
        self._reader.join()
        self._process.stdout.close()


@pytest.fixture(scope="session")
def zygote() -> Iterator[Zygote]:
    running = Zygote()
    yield running
    running.close()


class Machine:
    """One machine and one account, on which a run dies."""

    def __init__(self, zygote: Zygote, folder: Path, fake: FakeDigitalOcean) -> None:
        self._zygote = zygote
        self._fake = fake
        self.data = folder / "data"
        self.data.mkdir(parents=True)
        self._output = folder / "told"

    def live(self, die_at: int, after: After) -> dict[str, Any]:
        # What is found by its name alone has to be past the expiry in it, which has no seconds.
        hours = "0.00001" if after == "lost" else "24"
        return self._run(die_at=die_at, terraform=after != "alive", expiry_hours=hours)

    def lose_the_ledger(self) -> None:
        shutil.rmtree(self.data)
        self.data.mkdir()

    def sweep(self, *arguments: str) -> dict[str, Any]:
        told = self._run(sweep=[*arguments, "--json", "--quiet"])
        assert told["exit"] == 0, told["told"]
        return told

    def left(self) -> list[str]:
        files = [str(path) for path in self.data.rglob("*") if not path.is_dir()]
        processes = [process.name() for process in processes_in(self.data)]
        return [one.urn for one in self._fake.left()] + files + processes

    def _run(self, *, expiry_hours: str = "24", **order: Any) -> dict[str, Any]:
        environ = {
            "DIGITALOCEAN_TOKEN": "any",
            "DIGITALOCEAN_API_URL": self._fake.url,
            "INFRA_GYM_DATA_FOLDER": str(self.data),
            "INFRA_GYM_SPEND_MONEY": "true",
            "INFRA_GYM_EXPIRY_HOURS": expiry_hours,
        }
        return self._zygote.run(environ=environ, output=str(self._output), **order)


@contextmanager
def machine_in(folder: Path, zygote: Zygote) -> Iterator[Machine]:
    durations = Durations(cluster_boot_s=1, node_boot_s=1, cluster_delete_s=1)
    with FakeDigitalOcean(durations=durations, a_minute=100_000, an_hour=1_000_000) as fake:
        yield Machine(zygote, folder, fake)


@pytest.fixture(scope="session")
def points(zygote: Zygote, tmp_path_factory: pytest.TempPathFactory) -> int:
    """How many points the whole life has."""
    with machine_in(tmp_path_factory.mktemp("whole"), zygote) as machine:
        told = machine.live(0, "alive")
        assert told["exit"] == 0, told["told"]
        assert machine.left() == []
        assert told["points"] > POINTS
        return int(told["points"])


def kill_and_sweep(zygote: Zygote, folder: Path, point: int, after: After) -> bool:
    """Whether the run died; where it has fewer points than that, it has ended well."""
    with machine_in(folder, zygote) as machine:
        told = machine.live(point, after)
        died = told["signal"] == signal.SIGKILL
        assert died or told["exit"] == 0, told["told"]
        if after == "lost":
            machine.lose_the_ledger()
        machine.sweep()
        assert machine.left() == [], (point, after)
        return died


def kill_at(zygote: Zygote, folder: Path, chosen: Iterable[tuple[int, After]]) -> int:
    """Several lives at once, all of them before the first failure is told; how many died."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        deaths = [
            pool.submit(kill_and_sweep, zygote, folder / f"{point}-{after}", point, after)
            for point, after in chosen
        ]
    return sum(death.result() for death in deaths)


@pytest.mark.timeout(600)
def test_a_sample_of_the_kill_points(zygote, tmp_path):
    chosen = sorted(random.Random(5).sample(range(1, POINTS + 1), SAMPLE))
    assert (
        kill_at(zygote, tmp_path, zip(chosen, itertools.cycle(AFTER), strict=False)) >= SAMPLE - 1
    )


@pytest.mark.slow
@pytest.mark.skipif(not os.environ.get(ALL), reason=f"takes most of an hour; {ALL}=1 runs it")
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("chunk", range(CHUNKS))
@pytest.mark.parametrize("after", AFTER)
def test_all_kill_points(zygote, points, tmp_path, chunk, after):
    kill_at(zygote, tmp_path, ((at, after) for at in range(1 + chunk, points + 1, CHUNKS)))
