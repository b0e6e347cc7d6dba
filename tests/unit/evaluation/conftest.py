"""Logs as a live run writes them, made by the twin."""

from __future__ import annotations

import json

import pytest

from infra_gym.definitions.catalog import find_definition
from infra_gym.environments.calibration import Calibration
from infra_gym.environments.make import make
from infra_gym.evaluation.probe import OpenLoop, plan_probe
from infra_gym.worlds.webapp_inputs import twin_inputs

ID = "SimpleK8sWebApp-v0"


def rewrite(log, **header):
    """Change fields of a log's header."""
    first, rest = log.read_text().split("\n", 1)
    log.write_text(f"{json.dumps({**json.loads(first), **header})}\n{rest}")


@pytest.fixture
def write_log(tmp_path):
    """Writes a log of a probe of the twin that says it is of target local."""

    def write(name="probe.jsonl", *, steps=10, seed=1, target="local", replicas=None, **more):
        path = tmp_path / name
        place = make(ID, target="sim", interval_s=5).place
        env_of = {"target": "sim", "interval_s": 5, "action": "absolute", "log": path}
        probe = plan_probe(
            make(ID, target="sim").definition,
            interval_s=5,
            time_scale=place.time_scale,
            steps=max(steps, 10),
        )
        env = make(ID, workload=probe.workload, **env_of, **more)
        agent = OpenLoop(replicas or probe.replicas)
        observation, info = env.reset(seed=seed)
        agent.reset(seed, env)
        for _ in range(steps):
            observation, *_, info = env.step(agent.act(observation, info))
        env.close()
        rewrite(path, target=target)
        return path

    return write


@pytest.fixture
def calibration_of(tmp_path):
    """Writes a calibration file with these parameters, and nothing left open."""

    def write(parameters):
        path = tmp_path / "true.json"
        Calibration(
            id=ID,
            target="local",
            interval_s=5,
            inputs=twin_inputs(find_definition(ID)),
            parameters=parameters,
            level=0.9,
            low=parameters,
            high=parameters,
            names=(),
            covariance=(),
            unseen=(),
            fitted_to=(),
        ).write(path)
        return path

    return write
