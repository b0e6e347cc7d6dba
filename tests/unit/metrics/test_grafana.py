"""The Grafana dashboards that the Prometheus layers bring along."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from infra_gym.definitions.catalog import definition_ids, find_definition
from infra_gym.definitions.models import CounterMetric, GaugeMetric
from infra_gym.metrics.grafana import dashboard, queries_of

LAYERS = Path(__file__).parents[3] / "layers"
FILES = sorted(LAYERS.glob("*/prometheus/dashboards/*.json"))
UNKNOWN = re.compile(r"\$__rate_interval")


def read(file: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return found


def test_each_definition_has_one_where_its_prometheus_is() -> None:
    wanted = {
        (layer.split("/")[0], name)
        for name in definition_ids()
        for layers in find_definition(name).layers.values()
        for layer in layers
        if layer.endswith("/prometheus")
    }
    assert {(file.parents[2].name, file.stem) for file in FILES} == wanted


@pytest.mark.parametrize("file", FILES, ids=lambda file: f"{file.parents[2].name}-{file.stem}")
def test_it_is_what_the_definition_says(file: Path) -> None:
    wanted = dashboard(find_definition(file.stem))
    assert read(file) == wanted, "run: python docs/reference/generate.py"


@pytest.mark.parametrize("name", definition_ids())
def test_grafana_can_lay_it_out(name: str) -> None:
    made = dashboard(find_definition(name))
    assert re.fullmatch(r"[a-zA-Z0-9_-]{1,40}", made["uid"])
    panels = made["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    cells = set()
    for panel in panels:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        taken = {
            (place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])
        }
        assert not taken & cells
        cells |= taken
        for target in panel.get("targets", ()):
            assert target["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
    assert [one["name"] for one in made["templating"]["list"]] == ["datasource"]


@pytest.mark.parametrize("name", definition_ids())
def test_every_selector_is_the_definitions(name: str) -> None:
    definition = find_definition(name)
    queries = queries_of(definition.metrics)
    for metric_name, metric in definition.metrics.items():
        match metric:
            case CounterMetric():
                grown = "rate" if metric.rate else "increase"
                assert f"{grown}({metric.counter}[$__rate_interval])" in queries[metric_name]
            case GaugeMetric():
                assert queries[metric_name] == metric.gauge


def test_formulas_are_put_together() -> None:
    queries = queries_of(find_definition("SimpleK8sWebApp-v0").metrics)
    assert queries["slo_share"] == f"(({queries['within_slo']}) / ({queries['requests']}))"
    assert queries["error_share"].startswith("(1 - ((sum(increase(")
    assert "starting" not in queries  # of a control
    assert queries["latency_p95"] == (
        "histogram_quantile(0.95, sum by (le) (rate(siege_request_duration_seconds_bucket"
        '{code=~"200|timeout"}[$__rate_interval])))'
    )


def test_a_moment_is_shown_as_its_age() -> None:
    panels = {
        one["title"]: one for one in dashboard(find_definition("SizedK8sWebApp-v0"))["panels"]
    }
    started = panels["replica started"]
    assert started["targets"][0]["expr"].startswith("time() - (process_start_time_seconds{")
    assert started["fieldConfig"]["defaults"]["unit"] == "s"
    assert started["description"] == (
        "Seconds since replica_started, a metric of SizedK8sWebApp-v0."
    )
    assert panels["ready"]["description"] == "The metric ready of SizedK8sWebApp-v0."


@pytest.mark.parametrize(
    ("gauge", "is_moment"),
    [
        ("process_start_time_seconds", True),
        ('process_start_time_seconds{job="heater"}', True),
        ("start_time_seconds", True),
        ('time() - process_start_time_seconds{job="heater"}', False),
        ("count(process_start_time_seconds)", False),
        ("process_start_time_seconds_total", False),
    ],
)
def test_only_a_moment_itself_is_shown_as_its_age(gauge: str, is_moment: bool) -> None:
    definition = find_definition("SizedK8sWebApp-v0")
    metric = definition.metrics["replica_started"].model_copy(update={"gauge": gauge})
    changed = definition.model_copy(
        update={"metrics": {**definition.metrics, "replica_started": metric}}
    )
    (panel,) = (one for one in dashboard(changed)["panels"] if one["title"] == "replica started")
    assert panel["targets"][0]["expr"] == (f"time() - ({gauge})" if is_moment else gauge)
    assert panel["description"].startswith("Seconds since" if is_moment else "The metric")


def lost(written: Any, kept: Any, path: str = "") -> Iterator[str]:
    """What Grafana's own model of a dashboard does not know, or knows otherwise."""
    if isinstance(written, dict):
        for name, value in written.items():
            if not isinstance(kept, dict) or name not in kept:
                yield f"{path}.{name}"
            else:
                yield from lost(value, kept[name], f"{path}.{name}")
    elif isinstance(written, list) and isinstance(kept, list) and len(written) == len(kept):
        for number, (one, other) in enumerate(zip(written, kept, strict=True)):
            yield from lost(one, other, f"{path}[{number}]")
    elif written != kept:
        yield f"{path}: {written!r} became {kept!r}"


def modelled(document: dict[str, Any]) -> Any:
    """A dashboard as Grafana Labs' models read it."""
    plugins = pytest.importorskip("grafana_foundation_sdk.cog.plugins")
    models = pytest.importorskip("grafana_foundation_sdk.models.dashboard")
    plugins.register_default_plugins()
    return models.Dashboard.from_json(document)


def kept_of(document: dict[str, Any]) -> dict[str, Any]:
    """What is left of a dashboard that went through Grafana's models."""
    made = modelled(document)
    encoder = pytest.importorskip("grafana_foundation_sdk.cog.encoder")
    kept: dict[str, Any] = json.loads(encoder.JSONEncoder().encode(made))
    return kept


@pytest.mark.parametrize("name", definition_ids())
def test_grafanas_own_model_knows_all_of_it(name: str) -> None:
    made = dashboard(find_definition(name))
    assert [*lost(made, kept_of(made))] == []
    graphs = [panel for panel in modelled(made).panels if panel.type_val == "timeseries"]
    assert graphs
    for panel in graphs:
        assert type(panel.options).__module__.endswith(".timeseries")
        for target in panel.targets:
            assert type(target).__module__.endswith(".prometheus")


def test_what_grafana_does_not_know_would_be_seen() -> None:
    made = dashboard(find_definition("SimpleK8sWebApp-v0"))
    made["panels"][0]["gridPos"]["depth"] = 1
    made["panels"][0]["fieldConfig"]["defaults"]["custom"]["lineWidht"] = 1
    assert [*lost(made, kept_of(made))] == [
        ".panels[0].gridPos.depth",
        ".panels[0].fieldConfig.defaults.custom.lineWidht",
    ]


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
def test_prometheus_understands_every_query(tmp_path: Path) -> None:
    expressions = {
        target["expr"]
        for name in definition_ids()
        for panel in dashboard(find_definition(name))["panels"]
        for target in panel.get("targets", ())
    }
    rules = [
        {"record": f"query:{number}", "expr": UNKNOWN.sub("1m", expression)}
        for number, expression in enumerate(sorted(expressions))
    ]
    file = tmp_path / "rules.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "queries", "rules": rules}]}))
    done = subprocess.run(
        ["promtool", "check", "rules", str(file)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(rules) > 20
