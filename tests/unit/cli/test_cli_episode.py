"""What a run shows and adds up."""

import io

import pytest
from rich.console import Console

from infra_gym.cli.dashboard import Dashboard, Lines, choose, latest
from infra_gym.cli.episode import Episode, Row
from infra_gym.cli.output import Output
from infra_gym.definitions.catalog import find_definition
from infra_gym.terraform.documents import Event

ENDED = Event.of(
    {"type": "change_summary", "changes": {"add": 1, "operation": "apply"}, "@message": ""}
)


def info(replicas=2, p95=0.1, requests=100.0, within=90.0, apply=0.2, jitter=0.001):
    return {
        "metrics": {
            "replicas": float(replicas),
            "ready": 2.0,
            "latency_p95": p95,
            "request_rate": 20.0,
            "slo_share": 0.9,
            "requests": requests,
            "within_slo": within,
        },
        "controls": {"replicas": replicas},
        "cost_usd": 0.5,
        "rewards": {"cost": -0.5, "slo": -0.1},
        "seconds": {"apply": apply, "sample": 0.1, "jitter": jitter},
    }


@pytest.fixture
def episode():
    made = Episode(find_definition("SimpleK8sWebApp-v0"))
    made.begin(info(p95=9.0))
    made.add(-0.6, info(3, 0.2))
    made.add(-0.6, info(3, 0.4, requests=300.0, within=300.0, apply=0.0, jitter=0.003))
    return made


def text(renderable, width=100):
    console = Console(file=io.StringIO(), width=width)
    console.print(renderable)
    return console.file.getvalue()


def test_the_summary_adds_up(episode):
    summary = episode.summary()
    assert summary["steps"] == 2
    assert summary["reward"] == pytest.approx(-1.2)
    assert summary["rewards"] == pytest.approx({"cost": -1.0, "slo": -0.2})
    assert summary["cost_usd"] == pytest.approx(1.0)
    assert summary["slo_share"] == pytest.approx(390 / 400)  # by requests, not by steps
    assert summary["latency_p95_mean_s"] == pytest.approx(0.3)  # without the reading at reset
    assert summary["latency_p95_max_s"] == pytest.approx(0.4)
    assert summary["moves"] == {"replicas": 1}
    assert summary["tick_jitter_p99_s"] == pytest.approx(0.003)
    assert summary["apply_median_s"] == pytest.approx(0.2)  # of the steps that applied something


def test_of_a_hundred_jitters_the_99th_percentile_leaves_one_out(episode):
    for number in range(98):
        episode.add(0.0, info(jitter=0.002 if number else 1.0))
    assert episode.summary()["tick_jitter_p99_s"] == pytest.approx(0.003)


def test_an_episode_that_never_began_has_no_numbers():
    summary = Episode(find_definition("SimpleK8sWebApp-v0")).summary()
    assert summary["ended"] == "not begun"
    assert summary["slo_share"] is None
    assert summary["latency_p95_mean_s"] is None


def test_the_dashboard_shows_stack_and_app(episode):
    dashboard = Dashboard(Console(), episode, 20)
    dashboard.on_event("local/heater", ENDED)
    shown = text(dashboard)
    for part in (
        "step 2/20",
        "local/heater",
        "1 added",
        "latency p95",
        "0.400  s",
        "▁",
        "cost $1.0000",
    ):
        assert part in shown


def test_the_dashboard_fits_a_small_terminal(episode):
    dashboard = Dashboard(Console(), episode, 20)
    for layer in ("local/core", "local/heater", "local/siege-engine", "local/prometheus"):
        dashboard.on_event(layer, ENDED)
    lines = text(dashboard, width=80).splitlines()
    assert len(lines) <= 24
    assert max(map(len, lines)) <= 80


def test_lines_tell_each_step_and_the_stack_only_outside_of_steps(episode):
    console = Console(file=io.StringIO(), width=40)
    lines = Lines(console, episode, 20)
    lines.on_event("local/heater", ENDED)  # running: a step's own apply
    lines.phase("nothing of this")
    lines.stepped(-0.6)
    episode.ended = "after 2 steps"
    lines.phase("destroying")
    lines.on_event("local/heater", ENDED)
    step, *rest = console.file.getvalue().splitlines()
    assert step.split("  ") == [
        "step",
        " 2/20",
        "replicas 3",
        "ready 2",
        "request rate 20.0 requests/s",
        "latency p95 0.400 s",
        "slo share 90.0 %",
        "cost $1.0000",
        "reward $-0.6000",
    ]
    assert rest == ["destroying", "local/heater: 1 added"]


def test_the_view_fits_the_output(episode):
    assert type(choose(Output(quiet=True), episode, 1)).__name__ == "Silence"
    assert type(choose(Output(json=True), episode, 1)).__name__ == "Lines"
    assert type(choose(Output(), episode, 1)).__name__ == "Lines"


@pytest.mark.parametrize(
    ("value", "unit", "shown"),
    [(3.0, "replicas", "3"), (0.987, "%", "98.7"), (0.25, "s", "0.250"), (123.456, "s", "123.5")],
)
def test_values_are_short(value, unit, shown):
    assert latest(Row("x", unit, [value])) == shown


def test_a_value_that_was_not_measured_yet_is_a_dash():
    assert latest(Row("x", "s", [])) == "-"
