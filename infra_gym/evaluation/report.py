"""A report of run logs: one HTML page that needs no network and runs no script."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from infra_gym import __version__
from infra_gym.definitions.models import Definition
from infra_gym.evaluation.report_charts import charts_of
from infra_gym.evaluation.report_runs import (
    Contender,
    Track,
    definition_of,
    numbers_of,
    read_contenders,
)
from infra_gym.recording import write_whole

_TEMPLATES = Path(__file__).parent / "templates"
_STEPS_AT_MOST = 500
_DASH, _MINUS = "\N{EN DASH}", "\N{MINUS SIGN}"
_NOTES = {
    "disturbed": "were disturbed: a late host or sender has a part in their numbers",
    "mismatch": "met replicas that differ from what Terraform made",
    "invalid": "failed",
}


@dataclass(frozen=True)
class Tile:
    """One figure at the top of the page."""

    label: str
    value: str
    note: str = ""
    verdict: str = ""
    """``good`` or ``bad``, or "" where it is neither."""


def write_report(paths: Sequence[Path], out: Path) -> Path:
    """Write the page about some run logs.

    Args:
        paths: Of the run logs; with several, they are compared.
        out: Of the page; one that exists is replaced.

    Raises:
        UsageError: A file is no run log or has no steps, or the page cannot be written.
    """
    write_whole(out, render(paths))
    return out


def render(paths: Sequence[Path]) -> str:
    """The page about some run logs, as HTML; every text of a log in it is escaped."""
    from jinja2 import Environment, FileSystemLoader

    contenders = read_contenders(paths)
    definition = definition_of(contenders)
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["number"] = number
    ids = list(dict.fromkeys(one.header.id for one in contenders))
    return environment.get_template("report.html.j2").render(
        title=_title(contenders, ids),
        subtitle=definition.summary if definition else "",
        tiles=list(_tiles(contenders[0], definition)) if len(contenders) == 1 else [],
        notes=list(_notes(contenders, ids)),
        contenders=_compared(contenders),
        charts=charts_of(contenders, definition, _slo(contenders[0]).get("latency_s")),
        steps=_steps(contenders),
        unit=f", {_unit(contenders[0], definition)}",
        version=__version__,
    )


def number(value: float | None) -> str:
    """A figure for people: four digits, thousands apart, a dash for none."""
    if value is None or not math.isfinite(value):
        return _DASH
    if value == 0 or float(value).is_integer():
        return f"{value:,.0f}".replace("-", _MINUS)
    digits = max(0, min(6, 3 - math.floor(math.log10(abs(value)))))
    return f"{value:,.{digits}f}".replace("-", _MINUS)


def _title(contenders: Sequence[Contender], ids: Sequence[str]) -> str:
    name = ", ".join(ids)
    if len(contenders) > 1:
        return f"{name}: {len(contenders)} runs compared"
    return f"{name}: {contenders[0].label}"


def _slo(contender: Contender) -> dict[str, float]:
    """What the log's header says of it, else the definition; empty where neither does."""
    told = contender.header.info.get("slo")
    if told is None and (definition := definition_of([contender])) is not None:
        told = definition.slo.model_dump()
    return {key: one for key, one in numbers_of(told).items() if math.isfinite(one)}


def _unit(contender: Contender, definition: Definition | None) -> str:
    told = contender.header.info.get("reward_unit")
    return str(told or (definition.reward_unit if definition else "USD"))


def _tiles(contender: Contender, definition: Definition | None) -> Iterator[Tile]:
    """The figures of the only contender: of its episode, or the mean of its episodes."""
    each = "" if len(contender.tracks) == 1 else "mean of an episode"
    unit = _unit(contender, definition)
    yield Tile("Reward", number(contender.mean("reward")), each or unit)
    if (cost := contender.mean("cost_usd")) is not None:
        yield Tile("Cost", f"${number(cost)}", each or "what the replicas cost")
    if (share := contender.mean("slo_share")) is not None:
        target = _slo(contender).get("share")
        verdict = "" if target is None else "good" if share >= target else "bad"
        note = "" if target is None else f"goal {target:.0%}"
        yield Tile("Within the SLO", f"{share:.2%}", note, verdict)
    latency = contender.values("latency_p95")
    if latency.size:
        note = f"at most {number(float(np.nanmax(latency)) * 1000)} ms"
        yield Tile("Latency p95, mean", f"{number(float(np.nanmean(latency)) * 1000)} ms", note)
    requests = contender.values("requests")
    if requests.size:
        yield Tile("Requests", number(float(np.nansum(requests))), "in all")
    steps = sum(len(one.minutes) for one in contender.tracks)
    yield Tile("Moves", number(contender.mean("moves")), f"in {steps} steps")


def _notes(contenders: Sequence[Contender], ids: Sequence[str]) -> Iterator[str]:
    """What whoever reads the figures must know."""
    if len(ids) > 1:
        yield "These runs are of different environments: their figures do not compare."
    elif len({(track.seed, one.header.target) for one in contenders for track in one.tracks}) > max(
        len(one.tracks) for one in contenders
    ):
        yield "These runs differ in seed or target: part of what differs is not the agent's."
    for one in contenders:
        if one.closed is None:
            end = "its last line is cut off" if one.cut else "it has no orderly end"
            yield f"{one.path.name}: {end}, as of a run that was killed or still goes on."
        for mark, says in _NOTES.items():
            count = sum(len(track.marks.get(mark, ())) for track in one.tracks)
            if count:
                yield f"{one.label}: {count} steps {says}."


def _compared(contenders: Sequence[Contender]) -> list[dict[str, Any]]:
    best = max(one.mean("reward") or -math.inf for one in contenders)
    return [
        {
            "label": one.label,
            "episodes": len(one.tracks),
            "steps": sum(len(track.minutes) for track in one.tracks),
            "reward": number(one.mean("reward")),
            "best": len(contenders) > 1 and one.mean("reward") == best,
            "cost": number(one.mean("cost_usd")),
            "slo_share": _percent(one.mean("slo_share")),
            "latency": number(_mean(one.values("latency_p95"))),
            "moves": number(one.mean("moves")),
            "facts": list(_facts(one)),
        }
        for one in contenders
    ]


def _facts(one: Contender) -> Iterator[tuple[str, str]]:
    header, info = one.header, one.header.info
    yield "environment", header.id
    yield "target", header.target
    layers = info.get("layers")
    told = " → ".join(map(str, layers)) or "none" if isinstance(layers, list) else "not told"
    yield "layers", told
    load = info.get("workload")
    given = load.items() if isinstance(load, dict) else ()
    yield "load", ", ".join(f"{name} {value}" for name, value in given if value is not None)
    yield "seeds", ", ".join(str(track.seed) for track in one.tracks[:20])
    yield "a step", f"{header.interval_s:g} s, times {header.time_scale:g} in modelled time"
    yield "ended", "; ".join(dict.fromkeys(track.ended for track in one.tracks))
    for name in ("apply", "sample", "jitter"):
        seconds = one.values(name, "seconds")
        seconds = seconds[np.isfinite(seconds) & (seconds > 0)]
        if seconds.size:
            median, high = np.median(seconds), np.quantile(seconds, 0.99)
            yield f"seconds of {name}", f"median {number(median)}, p99 {number(high)}"
    clipped = sum(len(track.marks.get("clipped", ())) for track in one.tracks)
    yield "out of bounds", f"{clipped} steps asked a control to leave its bounds"
    yield "infra-gym", header.package_version
    system = [f"Python {info['python']}" if "python" in info else "", info.get("system", "")]
    yield "machine", ", ".join(filter(None, map(str, system))) or "not told"
    yield "definition", header.definition_sha256[:12]
    yield "run log", one.path.name


def _steps(contenders: Sequence[Contender]) -> dict[str, Any] | None:
    """The steps of a report of one episode."""
    tracks = [track for one in contenders for track in one.tracks]
    if len(tracks) != 1:
        return None
    (track,) = tracks
    names = _step_columns(track)
    columns = [track.columns[name] for name in names]
    rows = list(zip(range(1, len(track.minutes) + 1), track.minutes, *columns, strict=True))
    return {
        "names": ["step", "minute", *(name.replace("_", " ") for name in names)],
        "rows": rows[:_STEPS_AT_MOST],
        "total": len(rows),
    }


def _step_columns(track: Track) -> list[str]:
    wanted = ["request_rate", *track.controls, "ready", "starting", "latency_p50", "latency_p95"]
    return [name for name in (*wanted, "slo_share", "cost_usd", "reward") if name in track.columns]


def _mean(values: Any) -> float | None:
    return float(np.nanmean(values)) if values.size and np.isfinite(values).any() else None


def _percent(share: float | None) -> str:
    return number(None) if share is None else f"{share:.2%}"
