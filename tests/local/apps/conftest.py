"""Real programs on real ports, and what tests ask of them."""

from __future__ import annotations

import gzip
import http.client
import random
import re
import socket
import struct
import subprocess
import sys
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest

import infra_gym.apps

APPS = Path(infra_gym.apps.__file__).parent
SAMPLE = re.compile(r"([a-z_]+(?:\{[^}]*\})?) (\S+)")


@pytest.fixture(scope="session")
def apps():
    """The folder of the programs."""
    return APPS


@pytest.fixture(scope="session")
def until():
    """Wait until a condition holds; whoever it asks may not answer yet."""

    def holds(condition):
        try:
            return bool(condition())
        except ConnectionError:
            return False

    def wait(condition, seconds=20.0):
        deadline = time.monotonic() + seconds
        while not holds(condition):
            assert time.monotonic() < deadline, f"not within {seconds} s"
            time.sleep(0.02)

    return wait


@pytest.fixture(scope="session")
def free_ports():
    """The first of so many ports in a row that nobody has."""

    def find(count=1):
        for _ in range(100):
            first = random.randrange(24000, 31000)
            try:
                for port in range(first, first + count):
                    with closing(socket.socket()) as probe:
                        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                        probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return first
        raise AssertionError("no free ports")

    return find


@pytest.fixture(scope="session")
def ask():
    """One HTTP request; returns status and text."""

    def request(port, path, body=None, timeout=10.0):
        with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)) as connection:
            connection.request("GET" if body is None else "POST", path, body)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()

    return request


@pytest.fixture(scope="session")
def samples(ask):
    """What a program tells Prometheus, by the sample's text."""

    def read(port):
        found = (SAMPLE.fullmatch(line) for line in ask(port, "/metrics")[1].splitlines())
        return {match[1]: float(match[2]) for match in found if match}

    return read


@pytest.fixture
def launch(ask, until):
    """Start a program, wait until it answers, and end it after the test."""
    processes = []

    def answers(process, port):
        assert process.poll() is None, process.stderr.read()
        return ask(port, "/healthz")[0] == 200

    def start(program, port, **options):
        words = [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]
        process = subprocess.Popen(
            [sys.executable, "-I", APPS / program, f"--port={port}", *words],
            stderr=subprocess.PIPE,
            text=True,
        )
        processes.append(process)
        until(lambda: answers(process, port))
        return process

    yield start
    for process in processes:
        process.kill()
        process.wait()
        process.stderr.close()


@pytest.fixture(scope="session")
def write_schedule():
    """Write an arrival schedule, byte by byte as the siege engine documents it."""

    def write(path, times, seconds):
        units, words = 0, b""
        for time_s in times:
            gap = round(time_s * 20_000) - units
            units += gap
            words += b"\xff\xff" * (gap // 0xFFFF) + struct.pack("<H", gap % 0xFFFF)
        path.write_bytes(gzip.compress(struct.pack("<4sId", b"IGS1", len(times), seconds) + words))
        return path

    return write


@pytest.fixture
def host_is_starved():
    """Whether somebody who needs a tenth of a core had to wait 10 ms for it in 1 of 100 turns."""
    waits, stop = [], threading.Event()

    def take_turns():
        while not stop.is_set():
            begin = time.monotonic()
            time.sleep(0.009)
            busy_until = time.thread_time() + 0.001
            while time.thread_time() < busy_until:
                pass
            waits.append(time.monotonic() - begin - 0.01)

    thread = threading.Thread(target=take_turns)
    thread.start()

    def starved():
        recent, waits[:] = list(waits), []
        return sum(wait > 0.01 for wait in recent) > len(recent) / 100

    yield starved
    stop.set()
    thread.join()
