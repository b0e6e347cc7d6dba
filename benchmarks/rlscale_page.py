"""Write docs/explanation/rlscale-bench.md from what benchmarks/rlscale.py came to.

    python benchmarks/rlscale_page.py

Every number in its tables comes from benchmarks/results/rlscale-bench/rlscale.json; a test fails
where the page is not what this writes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from infra_gym.evaluation.statistics import Array, Interval, interval

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "benchmarks" / "results" / "rlscale-bench"
PAGE = ROOT / "docs" / "explanation" / "rlscale-bench.md"

DISCRETE, CONTINUOUS = ("ppo", "a2c", "dqn"), ("sac", "td3", "ddpg")
RULES = ("rule, cheapest", "rule, best reward")
BURSTS = ("bursty", "flash_crowd")
HEAD = """<!-- Written by benchmarks/rlscale_page.py: change what is in
benchmarks/results/rlscale-bench, then run it. -->
"""


class Outcome:
    """What one run of the benchmark came to.

    Args:
        document: The JSON file.
    """

    def __init__(self, document: Mapping[str, Any]) -> None:
        self.document = document
        self.loads = [*document["loads"]]
        self.policies = [*document["loads"][self.loads[0]]]
        self.algorithms = [one for one in self.policies if one in (*DISCRETE, *CONTINUOUS)]

    def scores(self, load: str, policy: str, what: str) -> Array:
        """Of each training and episode, shape (trainings, episodes)."""
        return np.array(self.document["loads"][load][policy][what])

    def mean(self, load: str, policy: str, what: str) -> float:
        """Over all trainings and episodes."""
        return float(self.scores(load, policy, what).mean())

    def apart(self, load: str, policy: str, other: str, what: str) -> Interval:
        """How much more a policy has than one that was not trained, on the same arrivals."""
        difference = self.scores(load, policy, what) - self.scores(load, other, what)
        return interval([difference], robust=False)

    def ranks(self, load: str) -> list[str]:
        """The algorithms, that with the highest reward first."""
        return sorted(self.algorithms, key=lambda name: -self.mean(load, name, "reward"))


def main() -> None:
    PAGE.write_text(page(), encoding="utf-8")


def read() -> Outcome:
    """What is published."""
    return Outcome(json.loads((FOLDER / "rlscale.json").read_text(encoding="utf-8")))


def page() -> str:
    """The page's text."""
    found = read()
    return "\n".join(
        [
            HEAD,
            (FOLDER / "protocol.md").read_text(encoding="utf-8"),
            *_given(found),
            *_findings(found),
            (FOLDER / "reading.md").read_text(encoding="utf-8"),
            *_table(found, "Cost of an episode, US cents", "cost_usd", 2),
            *_table(found, "Requests outside the SLO, %", "outside", 3),
            *_table(found, "Reward of an episode, US cents", "reward", 1),
            *_calibrated(found),
        ]
    )


def _given(found: Outcome) -> Iterator[str]:
    load, policy = found.loads[0], found.algorithms[0]
    trainings, episodes = found.scores(load, policy, "reward").shape
    document = found.document
    told = ", ".join(f"{name} {number}" for name, number in document["versions"].items())
    yield (
        f"{len(found.algorithms)} algorithms on {len(found.loads)} loads, {trainings} trainings of "
        f"{document['steps']:,} steps in each of the {len(found.algorithms) * len(found.loads)} "
        f"cells, {episodes} episodes of each; {document['candidates']} candidates for the rule; "
        f"{document['written_at'][:10]}, {document['machine']['cores']} cores; {told}.\n"
    )


def _findings(found: Outcome) -> Iterator[str]:
    """The paper's findings beside what was found here."""
    yield "## What agrees and what does not\n"
    yield "| the paper | here | |"
    yield "|---|---|---|"
    for rule in RULES:
        cheapest = [load for load in found.loads if _cheapest(found, load, rule, most=1.0)]
        yield _row(
            "A calibrated rule has the lowest cost on all six loads",
            f"*{rule}*: on {_of(cheapest, found.loads)}",
            len(cheapest) == len(found.loads),
        )
    for rule in RULES:
        most = 1 - found.document["slo_share"]
        cheapest = [load for load in found.loads if _cheapest(found, load, rule, most=most)]
        yield _row(
            "the same, of the algorithms that keep the SLO (not in the paper)",
            f"*{rule}*: on {_of(cheapest, found.loads)}",
            None,
        )
    for rule in RULES:
        outside = 100 * found.mean("constant", rule, "outside")
        yield _row(
            "and misses nothing under a steady load",
            f"*{rule}*: {outside:.3f} % of the requests",
            outside < 0.0005,
        )
    for rule in RULES:
        better = [load for load in found.loads if _fewer(found, load, rule)]
        yield _row(
            "The best algorithm misses less than the rule under bursty and flash loads only",
            f"than *{rule}*: on {_of(better, found.loads)}",
            sorted(better) == sorted(BURSTS),
        )
        dearer = [
            load
            for load in better
            if found.apart(load, _least(found, load), rule, "cost_usd").low > 0
        ]
        yield _row(
            "and costs more where it does",
            f"than *{rule}*: on {_of(dearer, better)}",
            len(dearer) == len(better) if better else None,
        )
    if set(CONTINUOUS) & set(found.algorithms):
        ratios = {load: _ratio(found, load) for load in found.loads}
        yield _row(
            "Continuous algorithms miss 10 to 100 times as much as discrete ones",
            f"{min(ratios.values()):.2g} to {max(ratios.values()):.2g} times as much",
            all(ratio >= 10 for ratio in ratios.values()),
        )
    places = [{name: at for at, name in enumerate(found.ranks(load))} for load in found.loads]
    moves = {
        name: max(one[name] for one in places) - min(one[name] for one in places)
        for name in found.algorithms
    }
    most = max(moves.values())
    movers = ", ".join(name for name in moves if moves[name] == most)
    first = {found.ranks(load)[0] for load in found.loads}
    yield _row(
        "No algorithm is the best everywhere; ranks shift by up to four places",
        f"the best are {', '.join(sorted(first))}; by up to {most} places ({movers})",
        len(first) > 1,
    )
    yield ""


def _cheapest(found: Outcome, load: str, rule: str, *, most: float) -> bool:
    """Whether the rule costs less than each algorithm that has at most such a share outside."""
    return all(
        found.mean(load, rule, "cost_usd") < found.mean(load, one, "cost_usd")
        for one in found.algorithms
        if found.mean(load, one, "outside") <= most
    )


def _least(found: Outcome, load: str) -> str:
    """The algorithm that misses least."""
    return min(found.algorithms, key=lambda name: found.mean(load, name, "outside"))


def _fewer(found: Outcome, load: str, rule: str) -> bool:
    """Whether the algorithm that misses least misses less than the rule, beyond the noise."""
    return found.apart(load, _least(found, load), rule, "outside").high < 0


def _ratio(found: Outcome, load: str) -> float:
    """What continuous algorithms miss, over what discrete ones miss."""
    groups = ([one for one in names if one in found.algorithms] for names in (CONTINUOUS, DISCRETE))
    continuous, discrete = (
        np.mean([found.mean(load, name, "outside") for name in names]) for names in groups
    )
    return float(continuous / discrete)


def _row(paper: str, here: str, holds: bool | None) -> str:
    verdict = "" if holds is None else "agrees" if holds else "**does not agree**"
    return f"| {paper} | {here} | {verdict} |"


def _of(some: Sequence[str], every: Sequence[str]) -> str:
    names = f": {', '.join(some)}" if 0 < len(some) < len(every) else ""
    return f"{len(some)} of {len(every)}{names}"


def _table(found: Outcome, title: str, what: str, digits: int) -> Iterator[str]:
    yield f"## {title}\n"
    yield "| load | " + " | ".join(found.policies) + " |"
    yield "|---|" + "--:|" * len(found.policies)
    for load in found.loads:
        cells = []
        for policy in found.policies:
            one = interval([100 * found.scores(load, policy, what)], robust=False)
            cells.append(f"{one.value:.{digits}f} ({one.low:.{digits}f} to {one.high:.{digits}f})")
        yield f"| {load} | {' | '.join(cells)} |"
    yield ""


def _calibrated(found: Outcome) -> Iterator[str]:
    yield "## What the rule was calibrated to\n"
    yield "| load | " + " | ".join(RULES) + " |"
    yield "|---|---|---|"
    for load in found.loads:
        cells = []
        for rule in RULES:
            one = found.document["loads"][load][rule]
            told = ", ".join(f"{name} {value:g}" for name, value in one["parameters"].items())
            cells.append(f"`{one['agent']}` {told}")
        yield f"| {load} | {' | '.join(cells)} |"
    yield ""


if __name__ == "__main__":
    main()
