"""What the TCP server costs above a bare asyncio echo of the same reply size.

    python benchmarks/server.py [--seconds 1] [--rounds 6] [--drops 10000] [--json FILE]

The servers run side by side in processes of their own, on one machine with the clients, and take
turns: a turn of each makes a round, ratios are medians of the rounds' own. All talk plain sockets,
one request under way a client, and read the JSON of every reply; what counts is steps, so an
episode's resets are a cost of the server.

========================== =================================================================
N_clients_over_echo        CartPole steps a second of N clients / echoes a second
N_clients_spread_over_echo the same with the clients shared among two processes
N_clients_over_uvloop_echo the same as the first, but the echo runs on uvloop too
N_clients_bound_over_echo  an echo on uvloop that calls CartPole's step before it answers with a
                           fixed reply, over the bare echo: what is left for a server to gain
N_clients_WHOSE_s          steps or echoes a second of these
N_clients_WHOSE_cpu_us     the processor time for one of them, in microseconds
image_steps_s              84 x 84 x 4 bytes of noise, plain, at compression 1 and at 9
image_drawn_steps_s        the same of a drawn picture, which compresses as games do
batch_steps_s              steps a second of 256 CartPoles in one request
connection_kb              memory of a connection with a CartPole that was reset, in KiB
drops_*                    what is left after so many connects, makes, resets and drops
========================== =================================================================
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import selectors
import signal
import socket
import statistics
import time
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import psutil
import uvloop
from rich.console import Console
from rich.table import Table

END = b"\r\n\r\n"
MAKE = b'{"env":{"name": "%s"}}\r\n'
RESET = b'{"env":{"action": "reset"}}\r\n'
STEPS = [b'{"step":{"action":%d, "render":0}}\r\n' % action for action in (0, 1)]
BATCH = 256
CONNECTIONS = 400
LIMITS = {
    "1_clients_over_echo": "goal 1.0, must 0.8",
    "4_clients_over_echo": "goal 0.8, must 0.5",
    "4_clients_spread_over_echo": "goal 0.8, must 0.5",
    "batch_steps_s": "must 100,000",
    "drops_connections": "must 0",
}


class Image(gym.Env):
    """A picture a step, made beforehand: what is measured is sending it."""

    observation_space = gym.spaces.Box(0, 255, (84, 84, 4), np.uint8)
    action_space = gym.spaces.Discrete(2)

    def __init__(self, drawn: bool) -> None:
        if drawn:
            self._picture = np.zeros((84, 84, 4), np.uint8)
            self._picture[30:50, 10:60] = (20, 120, 200, 255)
        else:
            self._picture = np.random.default_rng(1).integers(0, 256, (84, 84, 4), np.uint8)

    def reset(self, *, seed: Any = None, options: Any = None) -> Any:  # noqa: ARG002
        super().reset(seed=seed)
        return self._picture, {}

    def step(self, action: Any) -> Any:  # noqa: ARG002
        return self._picture, 1.0, False, False, {}


# ---------------------------------------------------------------- the two servers


class Echo(asyncio.Protocol):
    reply = END

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:  # noqa: ARG002
        self.transport.write(self.reply)


class Stepping(Echo):
    """As much of CartPole as no server gets around."""

    def __init__(self) -> None:
        from infra_gym.remote.offer import Offer

        self._env = Offer(target="sim").make("CartPole-v1")
        self._env.reset()

    def data_received(self, data: bytes) -> None:
        if data == RESET:
            self._env.reset()
        elif data in STEPS:
            _, _, terminated, truncated, _ = self._env.step(STEPS.index(data))
            if terminated or truncated:
                self._env.reset()
        self.transport.write(self.reply)


def run_echo(ready: Any, reply: bytes, runner: Any, kind: type[Echo]) -> None:
    Echo.reply = reply

    async def serve() -> None:
        server = await asyncio.get_running_loop().create_server(kind, "127.0.0.1", 0)
        ready.put(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    runner(serve())


def run_server(ready: Any, processes: int) -> None:
    from infra_gym.remote.offer import Offer
    from infra_gym.remote.server import Limits, Server
    from infra_gym.remote.worker import Work
    from infra_gym.remote.workers import Workers

    for name, drawn in (("Noise-v0", False), ("Drawn-v0", True)):
        gym.register(name, entry_point=Image, kwargs={"drawn": drawn})
    offer, limits = Offer(target="sim"), Limits(connections=1000)

    async def serve() -> None:
        server: Any = (
            Server(offer, port=0, limits=limits)
            if processes == 1
            else Workers(Work(offer, limits), processes, port=0)
        )
        async with server:
            ready.put(server.port)
            stop = asyncio.Event()
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
            await stop.wait()

    uvloop.run(serve())


class Contender:
    """A server in a process of its own."""

    def __init__(self, context: Any, target: Any, *arguments: Any) -> None:
        ready = context.Queue()
        self._started = context.Process(target=target, args=(ready, *arguments))
        self._started.start()
        self.port = ready.get(timeout=120)
        self.process = psutil.Process(self._started.pid)
        self._all = [self.process, *self.process.children()]

    def cpu_s(self) -> float:
        return sum(sum(one.cpu_times()[:2]) for one in self._all)

    def stop(self) -> None:
        self._started.terminate()
        self._started.join()


# ---------------------------------------------------------------- the clients


class Client:
    def __init__(self, port: int, name: str | None = None, *before: bytes) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.steps = 0
        self.replies = 0
        for request in before:
            self.ask(request)
        if name is not None:
            self.ask(MAKE % name.encode())
            self.ask(RESET)

    def ask(self, request: bytes) -> bytes:
        self.socket.sendall(request)
        return self.receive()

    def receive(self) -> bytes:
        reply = self.socket.recv(1 << 18)
        while not reply.endswith(END):
            more = self.socket.recv(1 << 18)
            if not more:
                raise ConnectionError("closed")
            reply += more
        return reply

    def send_next(self, over: bool) -> None:
        if over:
            self.socket.sendall(RESET)
        else:
            self.steps += 1
            self.socket.sendall(STEPS[self.steps % 2])


def drive(clients: list[Client], seconds: float) -> float:
    """Steps a second of all clients together; an episode goes on where the turn before left it."""
    for client in clients:
        client.steps = 0
    begin = time.perf_counter()
    if len(clients) == 1:
        client = clients[0]
        over = True
        while time.perf_counter() - begin < seconds:
            client.send_next(over)
            over = json.loads(client.receive()).get("done")
        return client.steps / (time.perf_counter() - begin)
    with selectors.DefaultSelector() as selector:
        for client in clients:
            selector.register(client.socket, selectors.EVENT_READ, client)
            client.send_next(over=True)
        while time.perf_counter() - begin < seconds:
            for key, _ in selector.select():
                key.data.send_next(json.loads(key.data.receive()).get("done"))
    took = time.perf_counter() - begin
    for client in clients:
        client.receive()
    return sum(client.steps for client in clients) / took


def compare(
    context: Any,
    contenders: dict[str, Contender],
    learners: int,
    each: int,
    rounds: int,
    seconds: float,
) -> dict[str, float]:
    """Clients in processes of their own, as learners are, ``each`` with so many connections."""
    pipes = []
    for _ in range(learners):
        here, there = context.Pipe()
        ports = {name: contender.port for name, contender in contenders.items()}
        context.Process(target=work, args=(there, ports, each), daemon=True).start()
        pipes.append(here)

    def turn(name: str) -> tuple[float, float]:
        """Steps a second, and microseconds of the server's processor time for each."""
        before = contenders[name].cpu_s()
        for pipe in pipes:
            pipe.send((name, seconds))
        rate = sum(pipe.recv() for pipe in pipes)
        return rate, (contenders[name].cpu_s() - before) / seconds / rate * 1e6

    turn("steps")
    turns = [{name: turn(name) for name in contenders} for _ in range(rounds)]
    for pipe in pipes:
        pipe.send(None)

    def ratio(one: str, other: str) -> float:
        return statistics.median(each[one][0] / each[other][0] for each in turns)

    count = f"{learners * each}_clients"
    found = {
        f"{count}_over_echo": ratio("steps", "echoes"),
        f"{count}_spread_over_echo": ratio("spread", "echoes"),
        f"{count}_over_uvloop_echo": ratio("steps", "uvloop_echoes"),
        f"{count}_bound_over_echo": ratio("bound", "echoes"),
    }
    for name in contenders:
        found[f"{count}_{name}_s"] = statistics.median(each[name][0] for each in turns)
    for name in contenders:
        found[f"{count}_{name}_cpu_us"] = statistics.median(each[name][1] for each in turns)
    return found


def work(pipe: Any, ports: dict[str, int], count: int) -> None:
    clients = {
        name: [Client(port, "CartPole-v1") for _ in range(count)] for name, port in ports.items()
    }
    while (wanted := pipe.recv()) is not None:
        name, seconds = wanted
        pipe.send(drive(clients[name], seconds))


def images(port: int, seconds: float) -> dict[str, float]:
    found = {}
    for name, label in (("Noise-v0", "image"), ("Drawn-v0", "image_drawn")):
        for level in (0, 1, 9):
            client = Client(port, name)
            client.socket.sendall(b'{"server":{"compression": "%d"}}\r\n' % level)
            suffix = f"_zlib{level}" if level else ""
            begin = time.perf_counter()
            while time.perf_counter() - begin < seconds:
                client.steps += 1
                client.ask(STEPS[0])
            took = time.perf_counter() - begin
            found[f"{label}{suffix}_steps_s"] = client.steps / took
            client.socket.close()
    return found


def batch(port: int, seconds: float) -> dict[str, float]:
    client = Client(port, None, b'{"hello": {"version": 1}}\r\n')
    client.ask(b'{"env": {"name": "CartPole-v1", "count": %d}}\r\n' % BATCH)
    client.ask(RESET)
    requests = [json.dumps({"step": {"action": [a] * BATCH}}).encode() + b"\r\n" for a in (0, 1)]
    begin = None
    steps = 0
    for number in range(100_000):
        if number == 50:
            begin = time.perf_counter()
        document = json.loads(client.ask(requests[number % 2]))
        if begin is not None:
            steps += len(document["reward"])
            if time.perf_counter() - begin > seconds:
                break
    client.socket.close()
    return {"batch_steps_s": steps / (time.perf_counter() - begin)}


def memory(process: Any, port: int) -> dict[str, float]:
    before = process.memory_info().rss
    clients = [Client(port, "CartPole-v1") for _ in range(CONNECTIONS)]
    kb = (process.memory_info().rss - before) / CONNECTIONS / 1024
    for client in clients:
        client.socket.close()
    return {"connection_kb": kb}


def drops(process: Any, port: int, count: int) -> dict[str, float]:
    before = None
    for number in range(count):
        if number == count // 10:  # what the first ones allocate is not a leak
            before = process.memory_info().rss
        Client(port, "CartPole-v1").socket.close()
    time.sleep(1)
    connections = [one for one in process.net_connections() if one.status == "ESTABLISHED"]
    return {
        "drops_memory_kb": (process.memory_info().rss - (before or 0)) / 1024,
        "drops_connections": float(len(connections)),
        "drops_threads": float(process.num_threads()),
        "drops_files": float(process.num_fds()),
    }


def measure(rounds: int, seconds: float, dropped: int) -> dict[str, float]:
    context = multiprocessing.get_context("spawn")
    contenders = {"steps": Contender(context, run_server, 1)}
    try:
        port = contenders["steps"].port
        reply = Client(port, "CartPole-v1").ask(STEPS[1])
        contenders |= {
            "echoes": Contender(context, run_echo, reply, asyncio.run, Echo),
            "uvloop_echoes": Contender(context, run_echo, reply, uvloop.run, Echo),
            "bound": Contender(context, run_echo, reply, uvloop.run, Stepping),
            "spread": Contender(context, run_server, 2),
        }
        results: dict[str, float] = {}
        for learners, each in ((1, 1), (4, 1), (2, 32)):
            results |= compare(context, contenders, learners, each, rounds, seconds)
        results |= images(port, seconds)
        results |= batch(port, seconds)
        results |= memory(contenders["steps"].process, port)
        results |= drops(contenders["steps"].process, port, dropped)
    finally:
        for contender in contenders.values():
            contender.stop()
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--drops", type=int, default=10_000)
    parser.add_argument("--json", type=Path, help="also write the figures here")
    arguments = parser.parse_args()
    results = measure(arguments.rounds, arguments.seconds, arguments.drops)
    table = Table(
        title=f"TCP server, {arguments.rounds} rounds of {arguments.seconds:g} s, medians"
    )
    for column in ("figure", "value", "limit"):
        table.add_column(column, justify="right" if column == "value" else "left")
    for name, value in results.items():
        shown = f"{value:.2f}" if name.endswith("_echo") else f"{value:,.0f}"
        table.add_row(name, shown, LIMITS.get(name, ""))
    Console().print(table)
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
