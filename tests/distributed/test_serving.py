"""The TCP server with its environments in Ray actors, and what happens when one is lost."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import gymnasium as gym
import numpy as np
import psutil
import pytest

from infra_gym.distributed.cluster import Cluster
from infra_gym.distributed.serving import RayOffer
from infra_gym.errors import NotReadyError, RemoteError, UnknownNameError, WorkerLostError
from infra_gym.remote.client import RemoteEnv, RemoteVectorEnv

PROGRAM = [sys.executable, "-c", "from infra_gym.cli.main import main; main()"]


@pytest.fixture
def offer(cluster: str) -> Iterator[RayOffer]:
    with Cluster(cluster, workers=0) as connection:
        yield RayOffer(("CartPole-v1", "Scaling-v0"), "sim", cluster=connection)


def hosts() -> set[int]:
    """The actors that are there; Ray names its processes by what they run."""
    found = set()
    for process in psutil.process_iter():
        try:
            if process.cmdline()[:1] and process.cmdline()[0].startswith("ray::Host"):
                found.add(process.pid)
        except (psutil.Error, OSError):
            continue
    return found


def kill_a_host(before: set[int]) -> None:
    (host,) = hosts() - before
    os.kill(host, signal.SIGKILL)
    psutil.wait_procs([psutil.Process(host)] if psutil.pid_exists(host) else [], timeout=30)


def test_an_environment_in_an_actor_is_the_same(offer: RayOffer) -> None:
    there, here = offer.make("CartPole-v1"), gym.make("CartPole-v1")
    try:
        assert there.observation_space == here.observation_space
        assert np.array_equal(there.reset(seed=3)[0], here.reset(seed=3)[0])
        for action in (0, 1, 1):
            theirs, ours = there.step(action), here.step(action)
            assert np.array_equal(theirs[0], ours[0])
            assert theirs[1:] == ours[1:]
    finally:
        there.close()


def test_only_what_is_offered_is_made(offer: RayOffer) -> None:
    with pytest.raises(UnknownNameError, match="Acrobot"):
        offer.make("Acrobot-v1")


def test_what_the_environment_raises_arrives(offer: RayOffer) -> None:
    env = offer.make("Scaling-v0")
    try:
        env.reset(seed=1)
        with pytest.raises(Exception, match="action"):
            env.step(99)
    finally:
        env.close()


def test_a_lost_actor_is_told_and_replaced(offer: RayOffer) -> None:
    before = hosts()
    env = offer.make("CartPole-v1")
    try:
        env.reset(seed=1)
        kill_a_host(before)
        with pytest.raises(WorkerLostError, match="was lost"):
            env.step(0)
        with pytest.raises(NotReadyError, match="was lost"):
            env.step(0)
        assert np.array_equal(env.reset(seed=1)[0], gym.make("CartPole-v1").reset(seed=1)[0])
        kill_a_host(before)
        env.reset(seed=2)  # nobody was in the middle of an episode
        env.step(1)
    finally:
        env.close()
    end = time.monotonic() + 30
    while hosts() - before:
        assert time.monotonic() < end
        time.sleep(0.1)


def test_the_command_serves_actors(cluster: str) -> None:
    before = hosts()
    server = subprocess.Popen(
        [*PROGRAM, "serve", "--ray", "--ray-address", cluster, "--port", "0", "--json",
         "--allow", "CartPole-v1", "--allow", "Scaling-v0"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert server.stdout is not None
        lines = iter(server.stdout.readline, "")
        text = ""
        for line in lines:
            text += line
            if line.startswith("}"):
                break
        port = json.loads(text)["port"]
        env = RemoteEnv("CartPole-v1", f"127.0.0.1:{port}")
        first, _ = env.reset(seed=5)
        assert np.allclose(first, gym.make("CartPole-v1").reset(seed=5)[0])
        kill_a_host(before)
        with pytest.raises(RemoteError, match="was lost"):
            env.step(0)
        env.reset(seed=5)
        env.step(0)
        env.close()
        many = RemoteVectorEnv("Scaling-v0", 3, f"127.0.0.1:{port}")
        observations, _ = many.reset(seed=1)
        assert len(observations) == 3
        many.close()
    finally:
        server.send_signal(signal.SIGINT)
        _, errors = server.communicate(timeout=100)
    assert server.returncode == 0, errors
    assert hosts() == before
