"""FaaSScaling-v0 over a real stack: cold starts, scale to zero, failures, the contract."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from infra_gym.agents import make_agent
from infra_gym.definitions import definitions_folder
from infra_gym.environments.env import InfraEnv
from infra_gym.environments.make import make
from infra_gym.errors import MetricsError
from infra_gym.stack.leftovers import processes_in
from infra_gym.testing import check_environment

ID = "FaaSScaling-v0"
INTERVAL_S = 2.0
DOWN, UP = 0, 1

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture(autouse=True, scope="module")
def data_folder(tmp_path_factory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("data")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("INFRA_GYM_DATA_FOLDER", str(folder))
        yield folder


@pytest.fixture
def env(tmp_path, data_folder) -> Iterator[InfraEnv]:
    """The environment with a lower bound of 0."""
    definition = yaml.safe_load((definitions_folder() / f"{ID}.yaml").read_text())
    definition["controls"]["replicas"]["low"] = 0
    path = tmp_path / f"{ID}.yaml"
    path.write_text(yaml.safe_dump(definition))
    env = make(
        str(path),
        target="local",
        project="tests",
        environment="faas",
        interval_s=INTERVAL_S,
        workload={"profile": "constant", "mean_rps": 3},
    )
    yield env
    env.close()
    root = data_folder / "runs" / "tests" / "faas"
    assert processes_in(root) == []
    assert not root.exists()


def steps(env: InfraEnv, *actions: int) -> None:
    for action in actions:
        env.step(action)


def test_the_first_requests_after_zero_wait_for_the_boot(env, panel_values):
    env.reset(seed=1)
    env.step(DOWN)
    for _ in range(6):  # it may still finish what it has
        *_, at_zero = env.step(DOWN)
        if at_zero["metrics"]["existing"] == 0:
            break
    assert at_zero["metrics"]["ready"] == at_zero["metrics"]["existing"] == 0
    assert at_zero["metrics"]["held"] == at_zero["metrics"]["backlog"] > 0
    assert at_zero["metrics"]["out_of_bounds"] == 1
    assert at_zero["rewards"]["unsuccessful"] == -1000
    assert {"cpu", "memory"} <= set(at_zero["empty"])
    seen = []
    for _ in range(8):  # the boot takes a second, and a replica that still boots is no error
        *_, info = env.step(UP)
        seen.append(info["metrics"])
        if seen[-1]["held"] == seen[-1]["cold_starts"] == 0:
            break
    cold_starts = sum(step["cold_starts"] for step in seen)
    assert cold_starts >= at_zero["metrics"]["held"]
    # Held since before the step, and then for a boot of a second.
    assert sum(step["cold_start_seconds"] for step in seen) / cold_starts > 1.0
    assert seen[-1]["ready"] > 0
    assert seen[-1]["cold_starts"] == 0
    shown = panel_values(env)
    assert len(shown) > 10
    assert [title for title, values in shown.items() if not values] == []


def test_a_gateway_that_hangs_is_an_error_and_no_number(env, data_folder):
    env.reset(seed=1)
    root = data_folder / "runs" / "tests" / "faas"
    (gateway,) = [
        one for one in processes_in(root) if any("gateway.py" in part for part in one.cmdline())
    ]
    gateway.send_signal(signal.SIGSTOP)
    try:
        with pytest.raises(MetricsError):
            steps(env, UP, UP)  # in the first one it may still have been scraped
    finally:
        gateway.send_signal(signal.SIGCONT)
    _, info = env.reset(seed=2, options={"mode": "full"})
    assert info["metrics"]["ready"] == 1


def test_knatives_autoscaler_follows_the_load():
    env = make(ID, target="local", interval_s=INTERVAL_S, action="absolute")
    try:
        observation, info = env.reset(seed=1)
        agent = make_agent("knative")
        agent.reset(1, env)
        wanted = []
        for _ in range(5):
            observation, *_, info = env.step(agent.act(observation, info))
            wanted.append(info["controls"]["replicas"])
        assert max(wanted) > 2
    finally:
        env.close()


def test_the_live_environment_conforms():
    report = check_environment(ID, steps=6, target="local")
    print(report)
    report.raise_for_failures()
