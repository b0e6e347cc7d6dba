"""Errors go from process to process, as from a worker to who gave it its work."""

from __future__ import annotations

import pickle

import pytest

from infra_gym import errors

MADE = [
    errors.InfraGymError("It failed.", environment="p/e", target="sim", next_command="try"),
    errors.UnknownNameError("agent", "hpaa", ["random", "hpa"]),
    errors.LayerFailedError("It failed.", layer="local/heater", not_run=["local/core"]),
    errors.TerraformError("It failed.", diagnostics=["because"]),
    errors.RemoteError("It failed.", kind="KeyError"),
    errors.WorkerLostError("It is gone."),
]


@pytest.mark.parametrize("error", MADE, ids=lambda error: type(error).__name__)
def test_an_error_arrives_as_it_was(error: errors.InfraGymError) -> None:
    arrived = pickle.loads(pickle.dumps(error))
    assert type(arrived) is type(error)
    assert str(arrived) == str(error)
    assert vars(arrived) == vars(error)
