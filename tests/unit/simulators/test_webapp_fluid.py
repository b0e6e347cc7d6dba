"""The fluid form: tables against theory, what it conserves, its error against the reference."""

from __future__ import annotations

import numpy as np
import pytest

from infra_gym.definitions.catalog import definition_file
from infra_gym.environments.make import make
from infra_gym.errors import SettingsError, UsageError
from infra_gym.simulators.webapp_fluid_queue import (
    BLOCKED,
    NUMBER,
    SERVED,
    WITHIN,
    forgetful_load,
    queue_table,
)
from infra_gym.simulators.webapp_parameters import WebAppParameters

# One worker compiles, once, what all of these need.
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("webapp")]

ID = "SimpleK8sWebApp-v0"
SERVICE_S = 0.1
OVERHEAD_S = WebAppParameters().overhead_s


def row(load: float, slots: int, queue_limit: int, bounds_s: tuple[float, ...]) -> np.ndarray:
    """The table where ``load`` is the share of all slots that is asked for."""
    table, low = queue_table(slots, SERVICE_S, queue_limit, 1e6, 0.0, bounds_s)
    assert low == 0
    offered = table[:, SERVED] / (1 - table[:, BLOCKED]) * SERVICE_S / slots
    known = offered < 1.2
    return np.array([np.interp(load, offered[known], column) for column in table[known].T])


@pytest.mark.parametrize("load", [0.2, 0.5, 0.8, 0.9])
def test_one_slot_is_pollaczek_s_and_khinchin_s_queue(load):
    found = row(load, 1, 400, (SERVICE_S, 2 * SERVICE_S))
    wait_s = load * SERVICE_S / (2 * (1 - load))
    assert found[NUMBER] == pytest.approx(load / SERVICE_S * (wait_s + SERVICE_S), rel=0.01)
    assert found[WITHIN] == pytest.approx(1 - load, abs=0.005)  # those who find it idle
    assert found[WITHIN + 1] == pytest.approx((1 - load) * np.exp(load), abs=0.005)  # Erlang, 1909


def test_an_overload_serves_what_it_can_and_refuses_the_rest():
    found = row(1.1, 4, 64, (0.2, 3.0))
    assert found[SERVED] == pytest.approx(4 / SERVICE_S, rel=0.001)
    assert found[BLOCKED] == pytest.approx(1 - 1 / 1.1, abs=0.005)


def infos(fidelity, replicas, *, seed=1, definition=ID, **arguments):
    """Of each step."""
    env = make(definition, target="sim", action="absolute", fidelity=fidelity, **arguments)
    env.reset(seed=seed)
    return [env.step(number - 2)[4] for number in replicas]


def run(fidelity, replicas, **arguments):
    """Metrics of each step."""
    return [info["metrics"] for info in infos(fidelity, replicas, **arguments)]


def column(steps, name):
    return np.array([step[name] for step in steps])


WALK = [2, 3, 4, 4, 3, 5, 6, 8, 10, 9, 7, 4, 2, 2, 3, 2, 4, 3, 3, 4] * 2
# Mean absolute error and bias of a step, of which the reference's own chance is a part.
BOUNDS = {
    "requests": (45, 15),
    "slo_share": (0.06, 0.035),
    "latency_p50": (0.05, 0.03),
    "latency_p95": (0.10, 0.05),
    "utilisation": (0.03, 0.015),
    "backlog": (10, 5),
}


@pytest.mark.parametrize(
    ("workload", "replicas"),
    [
        ({"profile": "constant", "mean_rps": 60}, [2] * 40),
        ({"profile": "constant", "mean_rps": 100}, [3] * 40),
        ({"profile": "daily", "mean_rps": 60, "period_s": 900}, WALK),
        ({"profile": "bursty", "mean_rps": 60}, [4] * 40),
    ],
    ids=["constant", "busy", "daily", "bursty"],
)
def test_its_error_stays_within_bounds(workload, replicas):
    reference = run("reference", replicas, workload=workload)
    fluid = run("fluid", replicas, workload=workload)
    for name, (mean_error, bias) in BOUNDS.items():
        error = column(fluid, name) - column(reference, name)
        assert np.abs(error).mean() < mean_error, name
        assert abs(error.mean()) < bias, name


def test_an_overload_is_met_as_in_the_reference():
    workload = {"profile": "constant", "mean_rps": 160}
    reference, fluid = (run(form, [2] * 30, workload=workload) for form in ("reference", "fluid"))
    for name in ("error_share", "slo_share", "latency_p95", "utilisation"):
        expected = column(reference, name)[5:].mean()
        assert column(fluid, name)[5:].mean() == pytest.approx(expected, rel=0.05, abs=0.01), name


@pytest.mark.parametrize("interval_s", [0.5, 0.7, 0.75, 2.5, 15])
def test_replicas_come_and_go_as_in_the_reference(interval_s):
    workload = {"profile": "constant", "mean_rps": 20}
    moves = np.random.default_rng(3).integers(2, 11, 60).tolist()
    reference, fluid = (
        infos(form, moves, workload=workload, interval_s=interval_s)
        for form in ("reference", "fluid")
    )
    for one, other in zip(reference, fluid, strict=True):
        for name in ("ready", "existing", "starting", "cost_usd"):
            assert one["metrics"][name] == other["metrics"][name], name
        for name in ("replica_ready", "replica_started"):
            assert one["by_label"][name] == other["by_label"][name], name


@pytest.mark.parametrize("mean_rps", [1, 60, 170, 900])
def test_nothing_is_lost(mean_rps):
    steps = run("fluid", WALK, workload={"profile": "constant", "mean_rps": mean_rps})
    ended, waiting = column(steps, "requests").sum(), steps[-1]["backlog"]
    assert ended + waiting == pytest.approx(mean_rps * 15 * len(WALK))
    for step in steps:
        assert 0 <= step["within_slo"] <= step["ok"] * (1 + 1e-12) <= step["requests"] * (1 + 2e-12)
        assert 0 <= step["backlog"] <= 512
        assert 0 <= step["busy"] <= 10 * (1 + 1e-9)


@pytest.mark.parametrize("mean_rps", [60, 170])
def test_every_answer_is_worked_for(mean_rps):
    steps = run("fluid", WALK, workload={"profile": "constant", "mean_rps": mean_rps})
    answered = sum(step["requests"] * (1 - step["error_share"]) for step in steps)
    assert column(steps, "busy").sum() * 15 == pytest.approx(answered * SERVICE_S / 4, rel=0.01)


def test_a_calm_step_is_the_steady_state_of_theory():
    workload = {"profile": "constant", "mean_rps": 121}  # between two rows of the table
    *_, step = run("fluid", [5] * 5, workload=workload)
    load = 121 * SERVICE_S / 4 / 5
    found = row(load, 4, 64, (0.25 - OVERHEAD_S,))
    assert step["utilisation"] == pytest.approx(load)
    assert step["slo_share"] == pytest.approx(found[WITHIN], abs=1e-9)
    assert step["backlog"] == pytest.approx(5 * found[NUMBER] + 121 * OVERHEAD_S, rel=0.01)


def test_uneven_loads_are_no_calm_step():
    """Half of each step has 0.17 of what the replicas can serve, the other half 0.75."""
    workload = {"profile": "staircase", "levels_rps": [20, 90], "hold_s": 30}
    forms = (run(form, [3] * 40, workload=workload) for form in ("reference", "fluid"))
    reference, fluid = (column(form, "latency_p95").mean() for form in forms)
    assert fluid == pytest.approx(reference, rel=0.05)


def test_a_full_queue_is_worked_off_before_a_step_is_calm():
    workload = {"profile": "staircase", "levels_rps": [160, 60], "hold_s": 600}
    reference, fluid = (run(form, [2] * 13, workload=workload) for form in ("reference", "fluid"))
    for name in ("latency_p95", "ok"):
        expected = column(reference, name)[10]
        assert column(fluid, name)[10] == pytest.approx(expected, rel=0.1), name


@pytest.mark.parametrize(("cap", "mean_rps"), [(3, 60), (10, 120), (200, 300)])
def test_no_more_are_in_flight_than_may_be(tmp_path, cap, mean_rps):
    text = definition_file(ID).read_text().replace(ID, "Capped-v0")
    path = tmp_path / "Capped-v0.yaml"
    path.write_text(text.replace("max_in_flight: 512", f"max_in_flight: {cap}"))
    workload = {"profile": "constant", "mean_rps": mean_rps}
    reference, fluid = (
        run(form, [4] * 20, workload=workload, definition=str(path))
        for form in ("reference", "fluid")
    )
    for name in ("ok", "latency_p50"):
        expected = column(reference, name)[2:].mean()
        assert column(fluid, name)[2:].mean() == pytest.approx(expected, rel=0.25), name
    assert column(fluid, "backlog").max() <= cap


def test_a_queue_forgets_the_sooner_the_less_it_has_to_do():
    assert forgetful_load(1, 5.9) == 0.0
    assert forgetful_load(4, 150) == pytest.approx(0.81)  # 1 - sqrt(0.81) = 1 / 10
    assert forgetful_load(4, 150) < forgetful_load(8, 150) == forgetful_load(4, 300)
    assert forgetful_load(64, 1e9) == 0.9


def test_random_curves_are_those_of_the_reference_for_the_same_seed():
    workload = {"profile": "random", "mean_rps": 60, "hold_s": 120}
    for seed in (1, 2):
        reference, fluid = (
            column(run(form, [8] * 30, workload=workload, seed=seed), "requests")
            for form in ("reference", "fluid")
        )
        assert np.corrcoef(reference, fluid)[0, 1] > 0.98


def test_what_it_cannot_do_is_refused():
    with pytest.raises(UsageError, match="512"):
        queue_table(4, 0.1, 1000, 5.0, 0.003, (0.1,))


def test_exponential_services_are_left_to_the_reference(tmp_path):
    text = "".join(
        line.replace("slots: 4,", "slots: 4, service: exponential,").replace(ID, "Memoryless-v0")
        for line in definition_file(ID).read_text().splitlines(keepends=True)
    )
    path = tmp_path / "Memoryless-v0.yaml"
    path.write_text(text)
    with pytest.raises(SettingsError, match="constant services"):
        make(str(path), target="sim", fidelity="fluid")
