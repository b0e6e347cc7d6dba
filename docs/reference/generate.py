"""Write the reference pages from the code, so that they cannot say something else than it does.

    python docs/reference/generate.py

A test fails where a page is not what this writes.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from enum import Enum
from pathlib import Path
from types import ModuleType
from typing import Any, get_args

import gymnasium as gym
import typer
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from typer.models import ArgumentInfo, ParameterInfo

from infra_gym import errors, settings
from infra_gym.cli.main import app
from infra_gym.definitions import models, parts
from infra_gym.definitions.catalog import (
    definition_ids,
    find_definition,
    find_layer,
    layer_names,
)
from infra_gym.definitions.models import (
    CounterMetric,
    Definition,
    DeltaAction,
    GaugeMetric,
    HistogramMetric,
    Metric,
)
from infra_gym.definitions.schema import json_schema
from infra_gym.environments.registration import SIMULATED
from infra_gym.expressions import FUNCTIONS
from infra_gym.metrics.grafana import dashboard
from infra_gym.recording import schema as recording
from infra_gym.terraform.hcl import Module, Provider, read_module
from infra_gym.workloads import profiles

FOLDER = Path(__file__).parent

GENERATED = "<!-- Written by docs/reference/generate.py: change the code, then run it. -->"

TASK_METRICS = {
    "cost_usd": ("USD", "the cost of the step"),
    "cost_rate": ("USD/hour", "the cost of an hour with the controls as they are"),
    "last_action": ("", "what the last action asked of the first control, as a change"),
    "out_of_bounds": ("", "1 where the last action asked a control to leave its bounds, else 0"),
    "pending": ("layers", "layers whose apply was not done when the step ended"),
    "interval_s": ("s", "the length of the step on the target's clock"),
}


EXPORTED = {
    "heater": {
        "heater_requests_total": "requests that ended, by `code`",
        "heater_request_duration_seconds": "histogram, from arrival to end",
        "heater_busy_slots": "slots that serve a request now",
        "heater_queue_length": "requests that wait for a slot",
        "heater_slots": "slots that there are",
        "heater_busy_seconds_total": "seconds of all slots busy; its rate is the utilisation",
        "heater_ready": "1 where the replica takes requests",
        "process_start_time_seconds": "when it started, epoch seconds",
    },
    "postgresql": {
        "heater_database_connections": "open connections of a heater to its database",
        "heater_database_errors_total": "queries that failed",
        "heater_database_query_seconds": "histogram of a query",
        "heater_database_wait_seconds": "histogram of the wait for a free connection",
        "heater_database_waiting": "requests that wait for a connection",
    },
    "siege_engine": {
        "siege_requests_total": "requests at their end, by `code`, also `timeout` and `dropped`",
        "siege_request_duration_seconds": "histogram by `code`, from the intended time of sending",
        "siege_lateness_seconds": "histogram of how late requests left: the sender's own fault",
        "siege_in_flight": "requests under way",
        "siege_position_seconds": "where in the schedule it is",
        "siege_running": "1 while requests leave, 0 in a pause",
        "siege_ready_targets": "replicas that it sends to",
        "process_start_time_seconds": "when it started, epoch seconds",
    },
    "gateway": {
        "gateway_function_invocation_total": "calls that ended, by `code`; OpenFaaS's name",
        "gateway_function_invocation_started": "calls that came; OpenFaaS's name",
        "gateway_functions_seconds": "histogram by `code`, holding included; OpenFaaS's name",
        "gateway_service_count": "replicas that are ready; OpenFaaS's name",
        "gateway_function_inflight_seconds_total": "call-seconds: its rate is the mean concurrency",
        "gateway_function_held": "calls that wait for a first replica",
        "gateway_function_cold_starts_total": "calls that were held and then got a replica",
        "gateway_function_cold_start_seconds_total": "how long those were held",
        "process_start_time_seconds": "when it started, epoch seconds",
    },
    "function": {
        "function_calls_total": "calls that ended, by `code`",
        "function_busy_seconds_total": "seconds of all slots busy; its rate is the utilisation",
        "function_ready": "1 where the replica takes calls",
        "function_cpu_request_cores": "what the replica requests",
        "function_memory_request_bytes": "what the replica requests",
        "process_cpu_seconds_total": "processor time that it used",
        "process_resident_memory_bytes": "memory that it uses",
        "process_start_time_seconds": "when it started, epoch seconds",
    },
}
"""What each program of apps/ exports; a test compares the names with the programs."""


def pages() -> dict[str, str]:
    """Every generated page, by its file name."""
    bodies = {
        "cli.md": _cli(),
        "definition.md": _definition_keys(),
        "errors.md": _errors(),
        "layers.md": _layers(),
        "metrics.md": _metrics(),
        "recording.md": _recording(),
        "settings.md": _settings(),
    }
    bodies |= {f"{name}.md": _environment(find_definition(name)) for name in definition_ids()}
    bodies |= {f"{name}.md": _simulated(name) for name in SIMULATED}
    return {
        name: _single_backticks("\n\n".join([GENERATED, *body])) + "\n"
        for name, body in sorted(bodies.items())
    }


def _single_backticks(text: str) -> str:
    """Markdown's for reStructuredText's, fences left alone."""
    return re.sub(r"(?<!`)``(?!`)", "`", text)


# ---------------------------------------------------------------- environments


def _simulated(name: str) -> Iterator[str]:
    """The environment's docstring is its page."""
    module, _, place = str(gym.spec(name).entry_point).partition(":")
    yield f"# {name}"
    yield inspect.cleandoc(getattr(importlib.import_module(module), place).__doc__ or "")


def _environment(definition: Definition) -> Iterator[str]:
    yield f"# {definition.id}"
    yield definition.summary
    yield (
        f"At most {definition.max_episode_steps} steps an episode. "
        f"SLO: {definition.slo.share:.0%} of requests within {definition.slo.latency_s:g} s."
    )
    yield "## Targets"
    yield _table(
        ("target", "a step lasts", "modelled seconds in one second", "layers, in order"),
        (
            (
                f"`{target}`",
                f"{seconds:g} s",
                f"{definition.scale(target):g}",
                ", ".join(f"`{layer}`" for layer in definition.layers.get(target, ()))
                or f"none: the `{definition.simulator}` simulator",
            )
            for target, seconds in definition.interval_s.items()
        ),
    )
    yield "## Actions"
    yield from _actions(definition)
    yield "## Observations"
    yield (
        "A flat `float32` vector (`gymnasium.spaces.Box`) in this order. "
        'What lies outside the bounds is clipped to them; `info["metrics"]` has it unclipped.'
    )
    yield _table(
        ("index", "name", "unit", "low", "high", "source"),
        (
            (
                str(index),
                f"`{entry.name}`",
                _unit(definition, entry.metric),
                f"{entry.low:g}",
                f"{entry.high:g}",
                f"change of `{entry.metric}` since the step before"
                if entry.change
                else _source(definition, entry.metric),
            )
            for index, entry in enumerate(definition.observations)
        ),
    )
    yield "## Rewards"
    yield (
        f'In {_money(definition.reward_unit)}; the reward is their sum, and `info["rewards"]` has '
        f"each.{_price(definition)}"
    )
    yield _table(
        ("term", "expression"),
        ((f"`{name}`", f"`{text}`") for name, text in definition.rewards.items()),
    )
    yield "## Metrics"
    yield 'All are in `info["metrics"]`, those with one value a series in `info["by_label"]`.'
    yield _table(
        ("name", "unit", "source", "without data"),
        (
            (f"`{name}`", metric.unit, _source(definition, name), _empty(metric))
            for name, metric in definition.metrics.items()
        ),
    )
    yield "## Load and inputs"
    load = json.dumps(definition.workload.model_dump(mode="json"))
    yield f"Load: `{load}`, times in modelled seconds."
    yield _table(
        ("layer", "input", "value"),
        (
            (f"`{layer}`", f"`{name}`", f"`{json.dumps(value)}`")
            for layer, inputs in definition.inputs.items()
            for name, value in inputs.items()
        ),
    )


def _money(unit: str) -> str:
    return "US dollars" if unit == "USD" else unit


def _price(definition: Definition) -> str:
    price = definition.prices.replica_usd_per_hour
    return f" A replica costs {price:g} USD an hour." if price else ""


def _actions(definition: Definition) -> Iterator[str]:
    count = len(definition.controls)
    yield (
        'One integer (`gymnasium.spaces.Discrete`). With `action="absolute"` it chooses the value.'
        if count == 1
        else f"{count} integers (`gymnasium.spaces.MultiDiscrete`), one a control, in this order. "
        'With `action="absolute"` each chooses the value.'
    )
    yield _table(
        ("control", "sets", "from", "to", "at first", "actions", 'with `action="absolute"`'),
        (
            (
                f"`{name}`",
                f"`{control.input}` of `{control.layer}`",
                str(control.low),
                str(control.high),
                str(control.initial),
                ", ".join(
                    f"{index}: {change:+d}" if change else f"{index}: the same"
                    for index, change in enumerate(control.action.delta)
                )
                if isinstance(control.action, DeltaAction)
                else "the value itself",
                f"0 to {control.high - control.low}: {control.low} to {control.high}",
            )
            for name, control in definition.controls.items()
        ),
    )
    for name, control in definition.controls.items():
        if control.beyond == "keep":
            yield f"An action that would lead `{name}` beyond its bounds changes nothing."


def _unit(definition: Definition, name: str) -> str:
    if name in definition.metrics:
        return definition.metrics[name].unit
    return TASK_METRICS[name][0] if name in TASK_METRICS else name


def _source(definition: Definition, name: str) -> str:
    if name in TASK_METRICS:
        return TASK_METRICS[name][1]
    metric = definition.metrics.get(name)
    if metric is None:
        return "the control"
    each = f", for each `{metric.by}`" if metric.by else ""
    return f"{_measured(metric)}{each}"


def _measured(metric: Metric) -> str:
    match metric:
        case CounterMetric():
            kind = "rate of" if metric.rate else "difference of"
            return f"{kind} `{metric.counter}`"
        case HistogramMetric():
            return f"{metric.quantile:g} quantile of `{metric.histogram}`"
        case GaugeMetric():
            return f"`{metric.gauge}`"
        case _:
            return f"formula `{metric.formula}`"


def _empty(metric: Metric) -> str:
    value = "an error" if metric.empty is None else f"{metric.empty:g}"
    starved = isinstance(metric, HistogramMetric) and metric.starved
    return f"{value}; starved: the upper bound" if starved else value


# ---------------------------------------------------------------- keys and settings


def _definition_keys() -> Iterator[str]:
    yield "# A definition's keys"
    yield (
        "An environment is a YAML file; every key that is not listed here is refused. "
        "[definition.schema.json](definition.schema.json) says the same to editors."
    )
    yield (
        f"`Target` is one of {', '.join(f'`{each}`' for each in get_args(settings.Target))}. "
        "`LayerName` is `PROVIDER/NAME`. "
        "`Identifier` is a lower-case letter, then lower-case letters, digits and underscores. "
        "`Selector` is a bare PromQL selector. `Formula` is an expression: numbers, names, "
        "arithmetic, comparisons, `and`, `or`, `not`, `a if b else c`, and the functions "
        f"{', '.join(sorted(FUNCTIONS))}."
    )
    for model in [*_models(models), *_models(parts)]:
        yield from _model(model, "##")
    yield "## Load profiles"
    yield inspect.cleandoc(profiles.__doc__ or "").partition("\n\n")[2]
    for model in _models(profiles):
        yield from _model(model, "###")


def _recording() -> Iterator[str]:
    yield "# The run log"
    yield inspect.cleandoc(recording.__doc__ or "")
    yield "## Reading it"
    yield (
        '`infra-gym run ... --log run.jsonl` writes one; so does `gym.make(..., log="run.jsonl")`:'
    )
    yield _python(
        """
        import gymnasium as gym, infra_gym

        env = gym.make("SimpleK8sWebApp-v0", target="sim", log="run.jsonl")
        env.reset(seed=1)
        for _ in range(3):
            env.step(1)
        env.close()
        """
    )
    yield "With pandas in one line, a row for each line of the log:"
    yield _python(
        """
        import pandas as pd

        log = pd.read_json("run.jsonl", lines=True)
        """
    )
    yield "and with a column for each metric and each reward term of every step:"
    yield _python(
        """
        steps = pd.json_normalize(log[log.kind == "step"].to_dict("records"))
        steps[["time_s", "reward", "metrics.latency_p95", "terms.cost"]]
        """
    )
    yield "With infra-gym itself: checked, by episodes, also where the last line was cut off:"
    yield _python(
        """
        from infra_gym.recording import read_run

        run = read_run("run.jsonl")
        run.episodes[0].steps[-1].metrics["latency_p95"]
        """
    )
    yield (
        "[Play it again](../how-to/replay-a-run.md) with the target `replay`, "
        "or [make a page of it](../how-to/report-a-run.md) with `infra-gym report`."
    )
    for model in _models(recording):
        yield from _model(model, "##")


def _metrics() -> Iterator[str]:
    yield "# Metrics"
    yield (
        "Three kinds of numbers meet here: what programs export to Prometheus, what a definition "
        'makes of it (`info["metrics"]`, and the observations taken from it), and what the task '
        "itself adds."
    )
    yield "## Of each environment"
    yield (
        "A definition's metrics are counters and histograms that grew during the step, gauges at "
        "its end, and formulas of others. Each environment's page has them with units and sources: "
        + ", ".join(f"[{name}]({name}.md#metrics)" for name in definition_ids())
        + ". `infra-gym envs dashboard ID` makes a Grafana dashboard of them."
    )
    yield "## Of every environment"
    yield _table(
        ("name", "unit", "meaning"),
        ((f"`{name}`", unit, meaning) for name, (unit, meaning) in TASK_METRICS.items()),
    )
    yield "## What programs export"
    yield (
        "Times are in seconds. A histogram `NAME` has the series `NAME_bucket`, `NAME_sum` and "
        "`NAME_count`. `up` is Prometheus's own: whether a target answered the last scrape."
    )
    for program, names in EXPORTED.items():
        yield f"### `{program}`"
        yield _table(
            ("metric", "meaning"), ((f"`{name}`", meaning) for name, meaning in names.items())
        )


def _python(code: str) -> str:
    return f"```python\n{inspect.cleandoc(code)}\n```"


def _settings() -> Iterator[str]:
    yield "# Settings"
    yield inspect.cleandoc(settings.__doc__ or "")
    yield (
        "Keys that are not listed here are refused. Credentials are no settings: they come from "
        "the provider's own variables (`AWS_*`; for Spaces `SPACES_ACCESS_KEY_ID` and "
        "`SPACES_SECRET_ACCESS_KEY`)."
    )
    for model, prefix in ((settings.Settings, ""), (settings.StateSettings, "state.")):
        yield f"## `[{prefix[:-1]}]`" if prefix else "## Top level"
        yield _table(
            ("key", "environment variable", "type", "default", "meaning"),
            (
                (
                    f"`{name}`",
                    f"`INFRA_GYM_{(prefix + name).upper().replace('.', '__')}`",
                    *_field(model.model_fields[name], annotation),
                    meaning,
                )
                for name, annotation, meaning in _attributes(model)
                if name != "state"
            ),
        )


def _model(model: type[BaseModel], mark: str) -> Iterator[str]:
    yield f"{mark} {model.__name__}"
    yield inspect.cleandoc(model.__doc__ or "")
    attributes = {
        name: (name, annotation, meaning)
        for base in reversed(model.__mro__)
        if base.__module__ == model.__module__ and issubclass(base, BaseModel)
        for name, annotation, meaning in _attributes(base)
        if annotation != "None"
    }
    if attributes:
        yield _table(
            ("key", "type", "default", "meaning"),
            (
                (f"`{name}`", *_field(model.model_fields[name], annotation), meaning)
                for name, annotation, meaning in attributes.values()
            ),
        )


def _models(module: ModuleType) -> list[type[BaseModel]]:
    """The public models that ``module`` defines, in its order."""
    return [
        each
        for each in vars(module).values()
        if inspect.isclass(each)
        and issubclass(each, BaseModel)
        and each.__module__ == module.__name__
        and not each.__name__.startswith("_")
        and not each.__subclasses__()
    ]


def _attributes(model: type[BaseModel]) -> list[tuple[str, str, str]]:
    """Name, annotation as written, and meaning (the string below it) of a model's own fields."""
    (tree,) = (
        node for node in ast.parse(inspect.getsource(model)).body if isinstance(node, ast.ClassDef)
    )
    found = []
    for node, after in zip(tree.body, [*tree.body[1:], None], strict=True):
        if not (isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)):
            continue
        if node.target.id not in model.model_fields:
            continue
        said = isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
        meaning = inspect.cleandoc(str(after.value.value)) if said else ""  # type: ignore[union-attr]
        annotation = ast.unparse(_WithoutLimits().visit(node.annotation))
        found.append((node.target.id, annotation, meaning))
    return found


class _WithoutLimits(ast.NodeTransformer):
    """``Annotated[float, ...]`` becomes ``float``."""

    def visit_Subscript(self, node: ast.Subscript) -> ast.expr:
        self.generic_visit(node)
        if ast.unparse(node.value) == "Annotated" and isinstance(node.slice, ast.Tuple):
            return node.slice.elts[0]
        return node


def _field(field: FieldInfo, annotation: str) -> tuple[str, str]:
    """Type with its limits, and default."""
    limits = [
        f"{sign} {getattr(limit, name):g}"
        for limit in field.metadata
        for name, sign in (("gt", ">"), ("ge", ">="), ("lt", "<"), ("le", "<="))
        if getattr(limit, name, None) is not None
    ]
    return f"`{annotation}`" + (f" {', '.join(limits)}" if limits else ""), _default(field)


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "**needed**"
    value = field.get_default(call_default_factory=True, validated_data={})
    match value:
        case None | "" | {} | BaseModel():
            return ""
        case Path():
            return f"the user's data folder, such as `~/.local/share/{value.name}`"
        case _:
            return f"`{value}`"


# ---------------------------------------------------------------- command line


def _cli() -> Iterator[str]:
    yield "# Commands"
    yield (
        "Every command takes `--json` (one JSON document on standard output), `--quiet` and "
        "`--debug`. Exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted."
    )
    yield from _commands(app, "infra-gym")


def _commands(group: typer.Typer, name: str) -> Iterator[str]:
    """The commands of one group, then the groups below it."""
    for command in group.registered_commands:
        if command.callback is not None and not command.hidden:
            yield from _command(f"{name} {command.name}", command.callback)
    for below in group.registered_groups:
        if below.typer_instance is not None:
            yield from _commands(below.typer_instance, f"{name} {below.name}")


def _command(name: str, function: Callable[..., Any]) -> Iterator[str]:
    parameters = [
        (parameter, info)
        for parameter in inspect.signature(function, eval_str=True).parameters.values()
        for info in get_args(parameter.annotation)
        if isinstance(info, ParameterInfo) and parameter.name not in ("json", "quiet", "debug")
    ]
    arguments = [
        _written(parameter, info)
        for parameter, info in parameters
        if isinstance(info, ArgumentInfo)
    ]
    yield f"## `{' '.join([name, *arguments])}`"
    yield inspect.cleandoc(function.__doc__ or "")
    if parameters:
        yield _table(
            ("argument or option", "default", "meaning"),
            (
                (f"`{_written(parameter, info)}`", _usual(parameter.default), info.help or "")
                for parameter, info in parameters
            ),
        )


def _written(parameter: inspect.Parameter, info: ParameterInfo) -> str:
    """How it is typed: ``ID``, ``--steps INTEGER``, ``--keep``."""
    kind = get_args(parameter.annotation)[0]
    plain = next((each for each in get_args(kind) if each is not type(None)), kind)
    metavar = info.metavar or (
        parameter.name.upper()
        if isinstance(info, ArgumentInfo)
        else "|".join(_choices(plain)) or getattr(plain, "__name__", "value").upper()
    )
    if isinstance(info, ArgumentInfo):
        return metavar
    # Inside Annotated, typer keeps the first name that it is given as the default.
    names = [each for each in (info.default, *(info.param_decls or ())) if isinstance(each, str)]
    flags = ", ".join(names or [f"--{parameter.name.replace('_', '-')}"])
    return flags if kind is bool else f"{flags} {metavar}"


def _choices(kind: Any) -> Sequence[str]:
    if inspect.isclass(kind) and issubclass(kind, Enum):
        return [str(each.value) for each in kind]
    return get_args(kind)


def _usual(default: Any) -> str:
    plain = default in (None, False, (), [], inspect.Parameter.empty, ...)
    return "" if plain else f"`{default}`"


# ---------------------------------------------------------------- errors and layers


def _errors() -> Iterator[str]:
    yield "# Errors"
    yield (
        (inspect.cleandoc(errors.__doc__ or ""))
        .replace("::\n", "")
        .replace(":attr:`InfraGymError.exit_code`", "its exit code")
    )
    yield _table(
        ("error", "exit code", "meaning"),
        (
            (f"`{name}`", str(each.exit_code), _first_paragraph(each.__doc__ or ""))
            for name, each in vars(errors).items()
            if inspect.isclass(each) and issubclass(each, errors.InfraGymError)
        ),
    )


def _first_paragraph(docstring: str) -> str:
    return inspect.cleandoc(docstring).partition("\n\n")[0]


def _layers() -> Iterator[str]:
    yield "# Layers"
    yield (
        "Each is a Terraform module of its own. A variable without a default gets its value from "
        "`--var`, from the definition's `inputs`, from the output of the same name of an earlier "
        "layer, or from the run itself, in this order."
    )
    for name in layer_names():
        module = read_module(find_layer(name))
        yield f"## {name}"
        yield _first_sentence(module.folder / "README.md")
        if module.providers:
            yield f"Providers: {', '.join(_provider(each) for each in module.providers.values())}."
        yield from _layer_tables(module)


def _layer_tables(module: Module) -> Iterator[str]:
    yield _table(
        ("variable", "type", "default", "meaning"),
        (
            (
                f"`{each.name}`",
                f"`{each.type}`",
                "**needed**" if each.required else f"`{json.dumps(each.default)}`",
                each.description,
            )
            for each in module.variables.values()
        ),
    )
    yield _table(
        ("output", "meaning"),
        ((f"`{each.name}`", each.description) for each in module.outputs.values()),
    )


def _provider(provider: Provider) -> str:
    return f"`{provider.source}` {provider.version}".strip()


def _first_sentence(readme: Path) -> str:
    """The paragraph below a README's title."""
    return readme.read_text(encoding="utf-8").split("\n\n")[1].strip()


# ---------------------------------------------------------------- Markdown


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(_plain(cell) for cell in line)} |" for line in lines)


def _plain(text: str) -> str:
    """One line that may stand in a table."""
    return " ".join(text.replace("|", "\\|").split())


def dashboards() -> Iterator[tuple[Path, Definition]]:
    """Where each definition's dashboard lies: beside the Prometheus that its stacks bring up."""
    for name in definition_ids():
        definition = find_definition(name)
        layers = {each for layers in definition.layers.values() for each in layers}
        for layer in sorted(each for each in layers if each.endswith("/prometheus")):
            yield find_layer(layer) / "dashboards" / f"{name}.json", definition


def main() -> None:
    """Write them all."""
    for file, definition in dashboards():
        file.parent.mkdir(exist_ok=True)
        file.write_text(f"{json.dumps(dashboard(definition), indent=1)}\n", encoding="utf-8")
    for name, text in pages().items():
        (FOLDER / name).write_text(text, encoding="utf-8")
    schema = json.dumps(json_schema(), indent=2)
    (FOLDER / "definition.schema.json").write_text(f"{schema}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
