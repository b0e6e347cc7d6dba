"""The environment on a cluster: real pods, and what becomes of a run when somebody meddles."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest

from infra_gym.environments.env import InfraEnv
from infra_gym.environments.make import make
from infra_gym.errors import WorldError
from infra_gym.workloads import arrival_schedule

ID = "SimpleK8sWebApp-v0"
INTERVAL_S = 5.0
STALL_S = 20.0

pytestmark = pytest.mark.timeout(240)


@pytest.fixture(scope="module")
def live(gate, project, kubectl) -> Iterator[InfraEnv]:
    env = make(ID, target="k8s", project=project, environment="live", interval_s=INTERVAL_S)
    yield env
    env.close()
    env.close()
    assert kubectl.namespaces(project) == []


@pytest.fixture
def env(live) -> InfraEnv:
    live.reset(seed=1)
    return live


@pytest.fixture
def namespace(live, env) -> str:
    return live.world.stack.outputs("k8s/core")["namespace"]


def steps(env: InfraEnv, number: int) -> None:
    for _ in range(number):
        env.step(1)


def test_an_action_becomes_a_pod_and_its_work_a_reward(env, namespace, kubectl):
    before = set(kubectl.pods(namespace))
    assert len(before) == 2
    requests = []
    for action in (2, 1, 1, 1):
        observation, reward, terminated, truncated, info = env.step(action)
        assert env.observation_space.contains(observation)
        assert not terminated
        assert not truncated
        assert info["mismatch"] == {}
        assert sum(info["rewards"].values()) == pytest.approx(reward)
        requests.append(info["metrics"]["requests"])
    after = set(kubectl.pods(namespace))
    assert len(after) == 3
    assert before < after, "nobody was replaced"
    assert info["metrics"]["ready"] == 3
    assert info["metrics"]["starting"] == 0
    assert set(info["by_label"]["replica_utilisation"]) == after
    assert info["pods"] == []
    schedule = arrival_schedule(
        env.place.workload,
        seconds=(env.definition.max_episode_steps + 2) * INTERVAL_S,
        time_scale=env.place.time_scale,
        seed=1,
    )
    sent = np.searchsorted(schedule.times, [info["tick"] * INTERVAL_S + age for age in (-1.2, 0)])
    ended = sum(requests) + info["metrics"]["backlog"]
    assert sent[0] - 20 <= ended <= sent[1] + 20


def test_a_pod_that_somebody_kills_comes_back(env, namespace, kubectl):
    killed, kept = kubectl.pods(namespace)
    kubectl("-n", namespace, "delete", "pod", killed, "--grace-period=0", "--force")
    for _ in range(5):
        *_, info = env.step(1)
        assert info["mismatch"] == {}, "what is wanted was not changed"
        if info["metrics"]["ready"] == 2:
            break
    assert info["metrics"]["ready"] == 2
    pods = kubectl.pods(namespace)
    assert kept in pods
    assert killed not in pods


def test_a_scale_by_hand_is_told_and_mended(env, namespace, kubectl, until):
    kubectl("-n", namespace, "scale", "deployment/heater", "--replicas=5")
    *_, told = env.step(1)
    assert told["mismatch"] == {"replicas": {"wanted": 2.0, "existing": 5.0}}
    *_, mended = env.step(1)
    assert mended["repaired"] == ["k8s/heater"]
    assert mended["mismatch"] == {}
    until(lambda: len(kubectl.pods(namespace)) == 2, "the controller takes the others away")


def test_the_run_outlives_its_prometheus(env, namespace, kubectl):
    total = 0.0
    *_, info = env.step(1)
    total += info["metrics"]["requests"]
    (pod,) = kubectl.pods(namespace, "prometheus")
    kubectl("-n", namespace, "delete", "pod", pod, "--grace-period=0", "--force")
    for _ in range(3):
        *_, info = env.step(1)
        total += info["metrics"]["requests"]
    assert kubectl.pods(namespace, "prometheus") != [pod]
    status = env.world._load().status()
    times = arrival_schedule(
        env.place.workload,
        seconds=(env.definition.max_episode_steps + 2) * INTERVAL_S,
        time_scale=env.place.time_scale,
        seed=1,
    ).times
    # All of them, also those that were answered while nobody looked.
    sent = np.searchsorted(times, info["tick"] * INTERVAL_S - 1.2)
    assert total + info["metrics"]["backlog"] >= sent - 20
    assert status["running"]


def test_the_run_outlives_an_api_server_that_is_away(env, gate, kubectl, namespace):
    env.step(1)
    gate.block()
    threading.Timer(STALL_S, gate.unblock).start()
    begin = time.monotonic()
    *_, info = env.step(2)
    assert time.monotonic() - begin > STALL_S - INTERVAL_S
    assert info["metrics"]["requests"] > 0
    *_, info = env.step(1)
    assert info["controls"] == {"replicas": 3}
    assert info["mismatch"] == {}
    assert len(kubectl.pods(namespace)) == 3


def test_a_load_that_began_anew_is_an_error_and_no_peace(env, namespace, kubectl):
    (pod,) = kubectl.pods(namespace, "siege-engine")
    kubectl("-n", namespace, "delete", "pod", pod, "--grace-period=0", "--force")
    with pytest.raises(WorldError, match="has lost its place") as told:
        steps(env, 4)
    assert "env.reset()" in str(told.value)
    _, info = env.reset(seed=2)
    assert info["metrics"]["ready"] == 2
    *_, info = env.step(1)
    assert info["metrics"]["requests"] > 0


def test_a_deleted_namespace_is_told_and_made_anew(env, namespace, kubectl):
    kubectl("delete", "namespace", namespace, "--wait=false")
    with pytest.raises(WorldError, match=f"namespace {namespace} is gone, or being deleted"):
        steps(env, 3)
    _, info = env.reset(seed=3)
    assert info["metrics"]["ready"] == 2
    assert len(kubectl.pods(namespace)) == 2
