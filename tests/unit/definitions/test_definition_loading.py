"""Loading definitions: every mistake gives file, line, key, what is allowed, the nearest word."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from infra_gym.definitions import definitions_folder, load_definition
from infra_gym.definitions.models import (
    AbsoluteAction,
    CounterMetric,
    FormulaMetric,
    GaugeMetric,
    HistogramMetric,
    reference,
    short_name,
)
from infra_gym.errors import DefinitionError
from infra_gym.workloads import Trace

SMALL = """\
id: Small-v1
summary: A small one.
max_episode_steps: 10
layers:
  local: [local/core, local/app]
  k8s: [k8s/app]
interval_s: {local: 5, k8s: 15}
inputs:
  app: {slots: 4, url: core.url, name: a.b.c}
  k8s/app:
    slots: 8
workload: {profile: constant, mean_rps: 10}
controls:
  replicas:
    layer: app
    input: replicas
    low: 1
    high: 5
    initial: 2
    action: {delta: [-1, 0, 1]}
slo: {latency_s: 0.25, share: 0.99}
metrics:
  requests: {counter: requests_total}
  latency: {histogram: 'duration_seconds{code="200"}', quantile: 0.95, empty: 0}
  ready: {gauge: sum(up), empty: 0}
  load: {formula: requests / ready, empty: 0}
  per_replica: {gauge: up, by: instance}
observations:
  - {metric: ready, low: 0, high: 5}
  - {metric: ready, low: -5, high: 5, change: true}
  - {metric: latency, low: 0, high: 5}
rewards:
  cost: -cost_usd
  slo: -0.1 * max(requests - 10, 0)
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "Small-v1.yaml"


def refusal(file: Path, text: str) -> str:
    file.write_text(text)
    with pytest.raises(DefinitionError) as refused:
        load_definition(file)
    assert refused.value.exit_code == 2
    return refused.value.message.replace(f"{file}:", "")


def test_reads_what_is_written(file: Path) -> None:
    file.write_text(SMALL)
    definition = load_definition(file)
    assert definition.id == "Small-v1"
    assert definition.layers["local"] == ("local/core", "local/app")
    assert [type(metric) for metric in definition.metrics.values()] == [
        CounterMetric,
        HistogramMetric,
        GaugeMetric,
        FormulaMetric,
        GaugeMetric,
    ]
    assert [entry.name for entry in definition.observations] == ["ready", "ready_change", "latency"]
    assert definition.inputs_of("local/app") == {"slots": 4, "url": "core.url", "name": "a.b.c"}
    assert definition.inputs_of("k8s/app")["slots"] == 8
    assert definition.inputs_of("local/core") == {}
    assert definition.scale("local") == 1


def test_every_definition_of_the_package_loads() -> None:
    files = sorted(definitions_folder().glob("*.yaml"))
    assert [load_definition(path).id for path in files] == [path.stem for path in files]
    assert files


def test_an_action_may_be_absolute(file: Path) -> None:
    file.write_text(SMALL.replace("{delta: [-1, 0, 1]}", "{absolute: true}"))
    assert isinstance(load_definition(file).controls["replicas"].action, AbsoluteAction)


def test_references_are_told_from_literals() -> None:
    assert reference("heater.url") == ("heater", "url")
    assert reference("do/core.vpc_id") == ("do/core", "vpc_id")
    for literal in ("heater", "http://heater.url/", "1.5", "a.b.c", 3, None, ["heater.url"]):
        assert reference(literal) is None
    assert short_name("k8s/heater") == short_name("heater") == "heater"


@pytest.mark.parametrize(
    ("right", "wrong", "says"),
    [
        ("summary:", "sumary:", "2: sumary: there is no such key. Did you mean 'summary'?"),
        ("summary: A small one.", "", "1: summary: is missing"),
        ("max_episode_steps: 10", "max_episode_steps: 0", "3: max_episode_steps: should be gr"),
        ("max_episode_steps: 10", "max_episode_steps: ten", "3: max_episode_steps: should be a va"),
        ("Small-v1", "Small", "1: id: 'Small' is not allowed: write a name and a version"),
        ("  local: [", "  loca: [", "5: layers.loca: 'loca' is not allowed. Did you mean 'local'?"),
        ("local/app]", "app]", "5: layers.local.1: 'app' is not allowed: write PROVIDER/NAME"),
        ("[local/core, local/app]", "[]", "5: layers.local: at least 1 are needed, not 0"),
        ("[local/core, local/app]", "all", "5: layers.local: a list is needed, not 'all'"),
        ("local: 5,", "", "7: interval_s: target 'local' has no interval"),
        ("local: 5,", "local: -5,", "7: interval_s.local: should be greater than 0, not -5"),
        ("local: 5,", "local: .inf,", "7: interval_s.local: should be a finite number, not inf"),
        ("  app: {", "  ap: {", "9: inputs.ap: no target has this layer. Did you mean 'app'?"),
        ("slots: 8", "slots: 2020-01-01", "11: inputs.k8s/app.slots: text, number, list or"),
        ("slots: 8", "Slots: 8", "11: inputs.k8s/app.Slots: 'Slots' is not allowed: write a low"),
        ("constant,", "constand,", "12: workload.profile: 'constand' is not allowed. Did you me"),
        ("profile: constant,", "", "12: workload.profile: is missing"),
        ("mean_rps: 10", "mean: 10", "12: workload.mean: there is no such key. Did you mean"),
        ("mean_rps: 10", "mean_rps: -1", "12: workload.mean_rps: should be greater than 0, not"),
        ("{profile: constant, mean_rps: 10}", "10", "12: workload: a mapping (key: value) is nee"),
        ("layer: app", "layer: apt", "15: controls.replicas.layer: target 'local' has no layer"),
        ("    low: 1", "    low: 4", "14: controls.replicas: low <= initial <= high is needed"),
        ("{delta: [", "{detla: [", "20: controls.replicas.action: an action has exactly one of"),
        ("[-1, 0, 1]", "[1]", "20: controls.replicas.action.delta: at least 2 are needed, not 1"),
        ("[-1, 0, 1]", "[-1, x]", "20: controls.replicas.action.delta.1: should be a valid int"),
        ("{delta: [-1, 0, 1]}", "{absolute: no}", "20: controls.replicas.action.absolute: "),
        ("share: 0.99", "share: 99", "21: slo.share: should be less than or equal to 1, not 99"),
        ("{counter: req", "{conter: req", "23: metrics.requests: a metric has exactly one of the "),
        ("{counter: req", "{conter: req", "this has none. Did you mean 'counter'?"),
        ("{gauge: up, ", "{gauge: up, counter: up, ", "27: metrics.per_replica: a metric has exac"),
        ("{gauge: up, ", "{gauge: up, counter: up, ", "this has counter and gauge."),
        ("{gauge: up, by: instance}", "up", "27: metrics.per_replica: a metric has exactly one"),
        ("gauge: up,", "gauge: up, bye: a,", "27: metrics.per_replica.bye: there is no such key."),
        (
            "counter: req",
            "counter: sum(x)}  # {req",
            "23: metrics.requests.counter: 'sum(x)' is not",
        ),
        ("quantile: 0.95,", "quantile: 95,", "24: metrics.latency.quantile: should be less than"),
        ("quantile: 0.95,", "", "24: metrics.latency.quantile: is missing"),
        (
            "requests / ready",
            "requests / redy",
            "26: metrics.load.formula: there is no metric 'redy'",
        ),
        ("requests / ready", "requests / load", "26: metrics.load.formula: formulas need each oth"),
        ("requests / ready", "up / per_replica", "'per_replica' has a value for each label"),
        ("requests / ready", "eval(1)", "26: metrics.load.formula: 'eval' is not a function"),
        ("  load: {", "  max: {", "26: metrics.max: a word of the expression language"),
        ("  load: {", "  cost_usd: {", "26: metrics.cost_usd: the name of a control or"),
        ("  load: {", "  replicas: {", "26: metrics.replicas: the name of a control or"),
        ("metric: latency", "metric: latenzy", "31: observations.2.metric: there is no metric 'l"),
        ("low: -5,", "low: 5,", "30: observations.1: low < high is needed, not 5.0, 5.0"),
        (", change: true", "", "30: observations.1.metric: ready is observed twice"),
        ("-cost_usd", "-cost_us", "33: rewards.cost: there is no metric 'cost_us'. Did you mean"),
        ("-cost_usd", "-cost_usd -", "33: rewards.cost: invalid syntax (column 12 of"),
        ("-cost_usd", "'__import__(\"os\")'", "33: rewards.cost: "),
        ("empty: 0}\n  ready", "starved: low}\n  ready", "24: metrics.latency.starved: 'low' is n"),
    ],
)
def test_a_mistake_is_told_with_line_and_key(file: Path, right: str, wrong: str, says: str) -> None:
    assert right in SMALL
    assert says in refusal(file, SMALL.replace(right, wrong, 1))


def test_a_starved_histogram_needs_a_bound(file: Path) -> None:
    text = SMALL.replace("empty: 0}\n  ready", "empty: 0, starved: high}\n  ready")
    file.write_text(text)
    assert load_definition(file).metrics["latency"].empty == 0
    unobserved = text.replace("  - {metric: latency, low: 0, high: 5}\n", "")
    assert "24: metrics.latency.starved: latency must be an observation" in refusal(
        file, unobserved
    )


@pytest.mark.parametrize("role", ["existing", "ready"])
def test_a_controls_counting_metric_must_exist(file: Path, role: str) -> None:
    text = SMALL.replace("    low: 1", f"    {role}: reddy\n    low: 1")
    assert f"17: controls.replicas.{role}: there is no metric 'reddy'. Did" in refusal(file, text)


def test_several_mistakes_are_several_lines(file: Path) -> None:
    text = SMALL.replace("metric: latency", "metric: late").replace("-cost_usd", "-costs")
    assert len(refusal(file, text).splitlines()) == 2


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "1: a definition is a mapping"),
        ("- a\n- b\n", "1: a definition is a mapping"),
        ("id: a\nid: b\n", "2: id: written a second time, first on line 1"),
        ("id: a\nx:\n  {b: 1, c: 2, b: 3}\n", "3: b: written a second time, first on line 3"),
        ("id: &a [x]\nb: *a\n", "1: anchors and aliases are not allowed; write it out"),
        ("id: !!python/object/apply:os.getcwd []\n", "1: could not determine a constructor"),
        ("id: [1\n", "2: "),
        ("id: a\n\tb: c\n", "2: "),
        ("id: a\n---\nid: b\n", "2: "),
        ("? [a, b]\n: 1\n", "1: found unhashable key"),
        ("id: " + "[" * 1000, "nested too deeply"),
        ("id: a\x00", "cannot be read"),
        ("x" * 1_000_001, "larger than 1,000,000 bytes"),
    ],
)
def test_what_is_no_plain_yaml_is_refused(file: Path, text: str, says: str) -> None:
    assert says in refusal(file, text)


def test_a_file_that_is_not_there_or_not_text(file: Path, tmp_path: Path) -> None:
    with pytest.raises(DefinitionError, match=r"none\.yaml: cannot be read: .*No such file"):
        load_definition(tmp_path / "none.yaml")
    file.write_bytes(b"id: \xff\n")
    with pytest.raises(DefinitionError, match=r"Small-v1\.yaml: cannot be read"):
        load_definition(file)


def test_a_recorded_load_lies_beside_its_definition(file: Path, tmp_path: Path) -> None:
    text = SMALL.replace("{profile: constant, mean_rps: 10}", "{profile: trace, path: load.csv}")
    assert "12: workload.path: The trace" in refusal(file, text)
    (tmp_path / "load.csv").write_text("seconds,rps\n0,1\n5,x\n")
    assert "load.csv:3" in refusal(file, text)
    (tmp_path / "load.csv").write_text("seconds,rps\n0,1\n5,2\n")
    workload = load_definition(file).workload
    assert isinstance(workload, Trace)
    assert workload.path == tmp_path / "load.csv"


@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    start=st.integers(0, len(SMALL)),
    length=st.integers(0, 30),
    inserted=st.text(alphabet=st.sampled_from("{}[]:,-'\"#&*!?|>%@ \n\tabcx019.~"), max_size=8),
)
def test_a_spoilt_file_loads_or_is_refused_with_its_name(
    file: Path, start: int, length: int, inserted: str
) -> None:
    file.write_text(SMALL[:start] + inserted + SMALL[start + length :])
    try:
        message = f"{file}:" if load_definition(file).observations else ""
    except DefinitionError as error:
        message = error.message
    assert message.startswith(f"{file}:")
