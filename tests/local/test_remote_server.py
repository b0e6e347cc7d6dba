"""The TCP server over real sockets on this machine."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import random
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Iterator
from typing import Any

import gymnasium as gym
import numpy as np
import psutil
import pytest
import uvloop
from gymnasium.utils.env_checker import check_env

from infra_gym.errors import RemoteError, SettingsError
from infra_gym.remote.client import RemoteEnv, RemoteVectorEnv
from infra_gym.remote.encoding import END_OF_REPLY
from infra_gym.remote.offer import Offer
from infra_gym.remote.server import Limits, Server
from infra_gym.remote.worker import Work
from infra_gym.remote.workers import Workers

MAKE = b'{"env":{"name": "CartPole-v1"}}\r\n'
RESET = b'{"env":{"action": "reset"}}\r\n'
STEP = b'{"step":{"action":1, "render":0}}\r\n'
SLOW_S = 0.4


class Slow(gym.Env):
    """Waits in every call, and counts those that were not closed."""

    observation_space = gym.spaces.Box(0, 1, (1,), np.float32)
    action_space = gym.spaces.Discrete(2)
    open = 0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        type(self).open += 1
        time.sleep(SLOW_S)
        return np.zeros(1, np.float32), {}

    def step(self, action):
        time.sleep(SLOW_S)
        return np.zeros(1, np.float32), float("nan"), False, False, {"time": np.float64(1)}

    def close(self):
        type(self).open -= 1


class Broken(Slow):
    def reset(self, *, seed=None, options=None):
        raise RuntimeError("no such luck")

    def close(self):
        raise RuntimeError("will not close")


@pytest.fixture(autouse=True)
def registered() -> Iterator[None]:
    Slow.open = 0
    gym.register("Slow-v0", entry_point=Slow)
    gym.register("Broken-v0", entry_point=Broken)
    yield
    del gym.registry["Slow-v0"], gym.registry["Broken-v0"]


class Running:
    """A server in a thread, on the loop that ``infra-gym serve`` runs it on."""

    def __init__(
        self, server: Server | Workers, loop: asyncio.AbstractEventLoop | None = None
    ) -> None:
        self.server = server
        self._loop = loop or uvloop.new_event_loop()
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._run(),))

    async def _run(self) -> None:
        self._stop = asyncio.Event()
        async with self.server:
            self._started.set()
            await self._stop.wait()

    def __enter__(self) -> Running:
        self._thread.start()
        assert self._started.wait(90)
        self.address = f"127.0.0.1:{self.server.port}"
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(30)
        assert not self._thread.is_alive()
        if isinstance(self.server, Server):
            assert self.server.connections == set()
        self._loop.close()

    def connect(self) -> Peer:
        return Peer(self.server.port)


class Peer:
    """A client that only knows bytes."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), 20)
        self.buffer = b""

    def __enter__(self) -> Peer:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def raw(self) -> bytes:
        """The next reply; empty when the connection was closed."""
        while END_OF_REPLY not in self.buffer:
            try:
                data = self.socket.recv(1 << 16)
            except ConnectionResetError:
                return b""
            if not data:
                return b""
            self.buffer += data
        line, _, self.buffer = self.buffer.partition(END_OF_REPLY)
        return line

    def raw_after(self, data: bytes) -> bytes:
        with contextlib.suppress(ConnectionError):
            self.send(data)
        return self.raw()

    def ask(self, data: bytes) -> Any:
        self.send(data)
        return json.loads(self.raw())


@pytest.fixture
def running() -> Iterator[Running]:
    with Running(Server(Offer(target="sim"), port=0)) as one:
        yield one


@contextlib.contextmanager
def limited(**limits: Any) -> Iterator[Running]:
    with Running(Server(Offer(target="sim"), port=0, limits=Limits(**limits))) as one:
        yield one


def wait_for(condition: Any, seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come to be"
        time.sleep(0.01)


@pytest.mark.parametrize("loop", [uvloop.new_event_loop, asyncio.new_event_loop])
def test_a_session_of_an_old_client(loop: Any) -> None:
    server = Server(Offer(target="sim"), port=0)
    with Running(server, loop()) as running, running.connect() as peer:
        assert re.fullmatch("[0-9a-f]{13}", peer.ask(MAKE)["instance"])
        peer.send(b'{"server":{"compression": "9"}}\r\n{"env":{"seed": "3"}}\r\n')
        peer.send(b'{"record_episode_stats":{"action": "start"}}\r\n' + RESET)
        assert "observation" in json.loads(zlib.decompress(peer.raw()))
        peer.send(b'{"server":{"compression": "0"}}\n')
        done = False
        while not done:
            step = peer.ask(STEP)
            done = step["done"]
        assert list(step["info"]["episode"]) == ["r", "l", "t"]
        peer.send(b'{"env":{"action": "close"}}\r\n')
        assert peer.ask(b'{"url":{"action": "url"}}\r\n') == {"url": ""}
        assert peer.ask(RESET)["observation"]


def test_requests_sent_ahead_and_in_pieces(running: Running) -> None:
    with running.connect() as peer:
        peer.send(MAKE + (RESET + STEP) * 250)
        kinds = [next(iter(json.loads(peer.raw()))) for _ in range(501)]
        assert kinds == ["instance"] + ["observation"] * 500
        peer.ask(RESET)
        for byte in STEP:
            peer.send(bytes([byte]))
        assert peer.raw()


def test_a_half_closed_client_gets_its_answers(running: Running) -> None:
    with running.connect() as peer:
        peer.send(b'{"env":{"name": "Slow-v0-render"}}\n' + RESET)
        peer.socket.shutdown(socket.SHUT_WR)
        assert b"instance" in peer.raw()
        assert b"observation" in peer.raw()
        assert peer.raw() == b""


def test_a_slow_environment_delays_nobody(running: Running) -> None:
    with running.connect() as slow, running.connect() as quick:
        slow.ask(b'{"env":{"name": "Slow-v0"}}\n')
        quick.ask(MAKE)
        quick.ask(RESET)
        for _ in range(40):
            quick.ask(STEP)
            quick.ask(RESET)
        begin = time.monotonic()
        slow.send(RESET + STEP + STEP)
        slowest = 0.0
        while time.monotonic() < begin + 3 * SLOW_S:
            before = time.monotonic()
            quick.ask(RESET)
            slowest = max(slowest, time.monotonic() - before)
        assert slowest < SLOW_S / 2
        assert slow.raw()
        step = json.loads(slow.raw())
        assert step["reward"] is None
        assert slow.raw()


def test_quick_environments_earn_the_loop_and_slow_ones_do_not(running: Running) -> None:
    for name, earns in (("CartPole-v1", True), ("Slow-v0", False)):
        with running.connect() as peer:
            peer.ask(b'{"env":{"name": "%s"}}\n' % name.encode())
            for _ in range(60 if earns else 3):
                peer.ask(RESET)
        assert running.server.pace(name, None).on_loop is earns


def test_who_goes_away_frees_the_environment(running: Running) -> None:
    for _ in range(3):
        with running.connect() as peer:
            peer.ask(b'{"env":{"name": "Slow-v0"}}\n')
            peer.ask(RESET)
            peer.send(STEP)  # and is gone while it runs
    wait_for(lambda: Slow.open == 0)
    wait_for(lambda: not running.server.connections)


def test_nothing_is_left_after_many_drops(running: Running) -> None:
    def session(*requests: bytes) -> None:
        with running.connect() as peer:
            for request in requests:
                peer.send(request)
                peer.raw()

    for _ in range(50):
        session(MAKE, RESET)
    process = psutil.Process()
    threads, files = process.num_threads(), process.num_fds()
    for number in range(300):
        session(*(MAKE, RESET, STEP)[: number % 4])
    wait_for(lambda: not running.server.connections)
    wait_for(lambda: process.num_threads() <= threads and process.num_fds() <= files)


def test_an_error_closes_a_plain_connection_and_is_logged(
    running: Running, caplog: pytest.LogCaptureFixture
) -> None:
    with running.connect() as peer, running.connect() as other:
        peer.ask(b'{"env":{"name": "Broken-v0"}}\n')
        peer.send(RESET)
        assert peer.raw() == b""
        assert "instance" in other.ask(MAKE)
    wait_for(lambda: "will not close" in caplog.text)
    assert "no such luck" in caplog.text


def test_limits(caplog: pytest.LogCaptureFixture) -> None:
    with (
        limited(connections=2, request_bytes=1000, idle_s=0.3) as running,
        running.connect() as one,
        running.connect() as two,
        running.connect() as three,
    ):
        assert three.raw() == b""
        assert one.ask(MAKE)
        two.send(b"x" * 2000)
        assert two.raw() == b""
        for _ in range(30):  # slow senders are idle too
            with contextlib.suppress(OSError):
                one.send(b" ")
            time.sleep(0.02)
        assert one.raw() == b""
    for said in ("2 are connected", "longer than 1000 bytes", "idle for 0.3 s"):
        assert said in caplog.text


def test_a_client_that_reads_nothing_is_stopped() -> None:
    with limited(idle_s=1.0, request_bytes=10_000) as running, running.connect() as peer:
        peer.ask(MAKE)
        peer.ask(RESET)
        peer.socket.settimeout(0.2)
        with contextlib.suppress(TimeoutError, ConnectionError):
            while True:  # until all buffers are full
                peer.send(b'{"env":{"action": "observationspace"}}\n' * 200)
        wait_for(lambda: not running.server.connections)


def test_only_what_is_allowed() -> None:
    server = Server(Offer(allow=["Cart*"], target="sim"), port=0)
    with Running(server) as running, running.connect() as peer:
        assert peer.ask(MAKE)
        assert peer.ask(b'{"env":{"name": "CartPole-v1-render"}}\n')
        peer.send(b'{"env":{"name": "Acrobot-v1"}}\n')
        assert peer.raw() == b""
    with pytest.raises(SettingsError, match="fits"):
        Offer(allow=["nothing-*"]).check()


def test_money_is_spent_only_where_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INFRA_GYM_TARGET", "do")
    with pytest.raises(SettingsError, match="spend money"):
        Offer().check()
    Offer(target="do").check()


def test_an_address_that_is_taken(running: Running) -> None:
    async def second() -> None:
        async with Server(Offer(), port=running.server.port):
            pass

    with pytest.raises(SettingsError, match="cannot be listened on"):
        asyncio.run(second())


def test_names_that_clients_make_up_are_forgotten() -> None:
    server = Server(Offer(target="sim"), port=0)
    known = server.pace("CartPole-v1", None)
    assert server.pace("CartPole-v1", None) is known
    for number in range(3000):
        server.pace(f"None-v{number}", None)
    assert len(server._paces) <= 1024


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*:UserWarning")
@pytest.mark.parametrize("processes", [1, 2])
def test_a_minute_of_nonsense(processes: int, caplog: pytest.LogCaptureFixture) -> None:
    """Whatever comes, cut and dropped anywhere: the others are served, and nothing is left."""
    caplog.set_level(logging.CRITICAL, "infra_gym")  # pytest keeps every record, which is memory
    offer = Offer(target="sim")
    server = Server(offer, port=0)
    if processes > 1:
        server = Workers(Work(offer, Limits(), log_level=logging.ERROR), processes, port=0)
    with Running(server) as running:
        serving = [psutil.Process()]
        if processes > 1:
            serving = [psutil.Process(process.pid) for process in server.processes]

        def idle() -> bool:
            return not (server.connections if processes == 1 else sum(server.clients))

        def held() -> dict[str, int]:
            return {
                "files": sum(process.num_fds() for process in serving),
                "threads": sum(process.num_threads() for process in serving),
                "memory": sum(process.memory_info().rss for process in serving),
            }

        chance = random.Random(4)
        seconds = float(os.environ.get("INFRA_GYM_TEST_FUZZ_SECONDS", "60"))
        talk_nonsense(running, chance, seconds / 10)
        wait_for(idle)
        before = held()
        sessions = talk_nonsense(running, chance, seconds)
        wait_for(idle)
        wait_for(lambda: all(held()[what] <= before[what] for what in ("files", "threads")))
        after = held()
        print(f"{sessions} sessions; before {before}, after {after}")
        assert after["memory"] < before["memory"] + (20 << 20) * processes
        assert not [record.getMessage() for record in caplog.records if record.name == "asyncio"]


def talk_nonsense(running: Running, chance: random.Random, seconds: float) -> int:
    """How many connections there were."""
    orders = [
        *(MAKE, RESET, STEP, STEP, STEP, b'{"hello": {"version": 1}}\n'),
        *(b'{"env":{"action": "close"}}\n', b'{"record_episode_stats":{"action": "start"}}\n'),
        *(b'{"server":{"compression": "9"}}\n', b'{"env":{"name": "CartPole-v1", "count": 3}}\n'),
        *(b'{"step":{"action": [0, 1, 0]}}\n', b'{"env":{"actionspace": "sample"}}\n'),
        *(b'{"step": {"action": "1"}}\n', b'{"step": {"action": {}}}\n', b'{"env": [1]}\n'),
        *(b"\n", b"[" * 5000 + b"\n", b'{"step":' * 500 + b"\n", b"x" * 70_000 + b"\n"),
    ]  # fmt: skip
    end = time.monotonic() + seconds
    sessions = 0
    while time.monotonic() < end:
        sessions += 1
        with running.connect() as peer, contextlib.suppress(OSError):
            if chance.random() < 0.5:
                peer.send(MAKE + RESET)
            for _ in range(chance.randrange(1, 15)):
                data = bytearray(chance.choice(orders))
                if chance.random() < 0.3:
                    data[chance.randrange(len(data))] = chance.randrange(256)
                if chance.random() < 0.1:
                    data = bytearray(chance.randbytes(chance.randrange(1, 3000)))
                cut = chance.randrange(len(data) + 1)
                peer.send(data[:cut])
                peer.send(data[cut:])
                if chance.random() < 0.2:
                    peer.socket.settimeout(0.01)
                    with contextlib.suppress(TimeoutError):
                        peer.raw()
        if chance.random() < 0.01:
            with running.connect() as sound:
                assert "instance" in sound.ask(MAKE)
                assert "observation" in sound.ask(RESET)
    return sessions


# ---------------------------------------------------------------- the Python client


def test_the_client_is_the_environment(running: Running) -> None:
    for name, target in (("CartPole-v1", {}), ("SimpleK8sWebApp-v0", {"target": "sim"})):
        remote, here = RemoteEnv(name, running.address, compression=1), gym.make(name, **target)
        assert remote.observation_space == here.observation_space
        assert remote.action_space == here.action_space
        one, _ = remote.reset(seed=3)
        other, _ = here.reset(seed=3)
        assert (one == other).all()
        for action in (1, 0, 1, 1):
            far, near = remote.step(action), here.step(action)
            assert (far[0] == near[0]).all()
            assert far[1:4] == pytest.approx(near[1:4])
        remote.close()
        here.close()


@pytest.mark.filterwarnings("ignore:.*:UserWarning")
def test_gymnasiums_checker_takes_the_client(running: Running) -> None:
    env = RemoteEnv("Pendulum-v1", running.address)
    check_env(env, skip_render_check=True)
    env.close()


def test_the_vector_client(running: Running) -> None:
    for name in ("CartPole-v1", "MountainCar-v0"):
        far = RemoteVectorEnv(name, 3, running.address)
        near = gym.make_vec(name, num_envs=3)
        assert (far.reset(seed=5)[0] == near.reset(seed=5)[0]).all()
        for _ in range(40):
            one, other = far.step(np.array([1, 0, 1])), near.step(np.array([1, 0, 1]))
            for left, right in zip(one[:4], other[:4], strict=True):
                assert (left == right).all()
        far.close()
        near.close()


def test_the_clients_errors() -> None:
    with Running(Server(Offer(target="sim"), port=0, token="sesame")) as running:
        with pytest.raises(RemoteError, match="token"):
            RemoteEnv("CartPole-v1", running.address)
        with pytest.raises(RemoteError, match="Did you mean") as caught:
            RemoteEnv("CartPole-v11", running.address, token="sesame")
        assert caught.value.kind == "UnknownNameError"
        env = RemoteEnv("CartPole-v1", running.address, token="sesame")
        with pytest.raises(RemoteError, match="needs a reset"):
            env.step(0)
        env.reset()
        with pytest.raises(RemoteError, match="not in Discrete"):
            env.step(2)
        env.step(1)
    with pytest.raises(RemoteError, match="did not answer"):
        env.step(1)
    with pytest.raises(RemoteError, match="cannot be reached"):
        RemoteEnv("CartPole-v1", running.address)


# ---------------------------------------------------------------- several processes


def test_processes_share_the_clients(caplog: pytest.LogCaptureFixture) -> None:
    workers = Workers(Work(Offer(target="sim"), Limits(connections=5)), 2, port=0)
    with Running(workers) as running, contextlib.ExitStack() as stack:
        peers = [stack.enter_context(running.connect()) for _ in range(5)]
        for peer in peers:
            peer.ask(MAKE)
            assert peer.ask(RESET)["observation"]
        assert sorted(workers.clients) == [2, 3]
        with running.connect() as sixth:
            assert sixth.raw() == b""
        wait_for(lambda: "5 are connected" in caplog.text)
        peers.pop().socket.close()
        wait_for(lambda: sum(workers.clients) == 4)

        first = workers.processes[0]
        first.kill()  # its clients are lost, another takes its place, the second hears nothing
        wait_for(lambda: f"process {first.pid} ended" in caplog.text)
        answers = [peer.raw_after(STEP) for peer in peers]
        assert answers.count(b"") == 4 - max(workers.clients)

        def the_new_one_serves() -> bool:
            with running.connect() as another:
                assert another.ask(MAKE)
                return workers.clients[1:] == [1]

        wait_for(the_new_one_serves, 60)


@pytest.mark.slow
def test_a_process_that_does_not_come_up() -> None:
    work = Work(Offer(target="sim"), Limits(), imports=["no_such_module"], log_level=logging.ERROR)

    async def up() -> None:
        async with Workers(work, 2, port=0):
            pass

    with pytest.raises(SettingsError, match="ended with 1"):
        uvloop.run(up())


# ---------------------------------------------------------------- the command


@pytest.mark.parametrize(
    ("stop", "processes"),
    [
        (signal.SIGINT, 1),
        (signal.SIGTERM, 1),
        pytest.param(signal.SIGINT, 2, marks=pytest.mark.slow),
    ],
)
def test_the_command(stop: signal.Signals, processes: int, tmp_path: Any) -> None:
    (tmp_path / "more.py").write_text(
        "import gymnasium as gym\n"
        "gym.register('More-v0', entry_point='gymnasium.envs.classic_control:CartPoleEnv')\n"
    )
    command = [
        sys.executable, "-m", "infra_gym", "serve", "--port", "0", "--json", "--target", "sim",
        "--import", "more", "--allow", "More-*", "--processes", str(processes),
    ]  # fmt: skip
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environ
    ) as process:
        text = ""
        while not text.endswith("}\n"):
            line = process.stdout.readline()
            assert line, process.stderr.read()
            text += line
        document = json.loads(text)
        assert document["environments"] == ["More-v0"]
        with Peer(document["port"]) as peer:
            assert "instance" in peer.ask(b'{"env":{"name": "More-v0"}}\n')
            process.send_signal(stop)
            assert process.wait(60) == 0
