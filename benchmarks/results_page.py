"""Write docs/explanation/results.md from the results in benchmarks/results.

    python benchmarks/results_page.py

Every number on the page comes from a file that `infra-gym benchmark` wrote; a test fails where the
page is not what this writes.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from infra_gym.evaluation.results import Cell, Difference, Estimate, Results, read_results
from infra_gym.evaluation.scores import Table
from infra_gym.evaluation.statistics import Interval, interval

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "benchmarks" / "results"
PAGE = ROOT / "docs" / "explanation" / "results.md"

HEAD = """<!-- Written by benchmarks/results_page.py: change benchmarks/results, then run it. -->

# Results

What agents come to under loads that none of them was trained or tuned on. All meet the same
arrivals, seed by seed. `reward` is the mean of an episode's sum of rewards in US dollars, which
counts what replicas cost and what requests outside the SLO cost; `middle half` the interquartile
mean over seeds with its 95 % interval (bootstrap, stratified by load, and over trainings where
there are several); `against` the mean difference from the first agent with its interval; `p` that
of Wilcoxon's signed-rank test, corrected for the number of loads (Holm). `front` marks whom no
other beats in cost and SLO share at once. `NAME:tuned` are rules whose parameters were searched on
the loads for tuning. [How it is judged](judging.md) has the rest.

`make reproduce` trains, tunes and plays all of it anew, and `infra-gym validate
reproduced/results.json` checks what came of that. The trained models are not in the repository; the
results name their SHA-256.
"""


def main() -> None:
    PAGE.write_text(page(), encoding="utf-8")


def page() -> str:
    """The page's text."""
    parts = [HEAD]
    for path in sorted(FOLDER.glob("*.json")):
        parts += _section(path, read_results(path))
    return "\n".join(parts)


def _section(path: Path, found: Results) -> Iterator[str]:
    first = next(iter(found.agents))
    yield f"## {found.id} on {found.target}: {path.name}\n"
    versions = ", ".join(f"{name} {number}" for name, number in found.versions.items())
    yield (
        f"{len(found.seeds)} seeds of at most {found.steps} steps, {found.began_at[:10]}, in "
        f"{found.seconds:,.0f} s on {found.machine['cores']} cores; {versions}.\n"
    )
    yield from _given(found)
    yield from _dominance(found)
    reading = path.with_suffix(".md")
    if reading.exists():
        yield reading.read_text(encoding="utf-8")
    differences = {(one.workload, one.agent): one for one in found.differences}
    for front in found.pareto:
        yield f"### {front.workload or 'All loads'}\n"
        yield (
            "| agent | reward | middle half | cost $ | within SLO % | "
            f"reward against {first} | cost against | share against, % | p | front |"
        )
        yield "|---|--:|--:|--:|--:|--:|--:|--:|--:|---|"
        for cell in found.results:
            if cell.workload == front.workload:
                difference = differences.get((cell.workload, cell.agent))
                mark = "yes" if cell.agent in front.agents else ""
                yield _row(cell, difference, mark)
        yield ""
    for noise in found.noise:
        yield (
            f"Noise: {noise.agent} against itself under {noise.workload}, standard deviation over "
            f"{noise.pairs} pairs: reward {noise.reward:.4f}, cost {noise.cost_usd:.5f} $, share "
            f"{100 * noise.slo_share:.2f} %.\n"
        )


def _given(found: Results) -> Iterator[str]:
    """What each was made with before it was judged, side by side."""
    yield "| agent | made by | environment steps | tried, or trained | parameters |"
    yield "|---|---|--:|--:|---|"
    for label, entrant in found.agents.items():
        if entrant.tuned:
            one = entrant.tuned
            told = ", ".join(f"{name} {value:.4g}" for name, value in one.parameters.items())
            yield f"| {label} | a search | {one.steps:,} | {one.candidates} | {told} |"
        elif entrant.members[0].sha256:
            steps = {member.steps for member in entrant.members}
            told = " or ".join(f"{each:,}" for each in sorted(filter(None, steps))) or "unknown"
            yield f"| {label} | training | {told} each | {len(entrant.members)} | |"
        else:
            yield f"| {label} | nothing: its defaults | 0 | | |"
    yield ""


def _dominance(found: Results) -> Iterator[str]:
    """Where a trained agent is better than a tuned rule in cost and SLO share at once."""
    learners = [label for label, each in found.agents.items() if each.members[0].sha256]
    rules = [label for label, each in found.agents.items() if each.tuned]
    table = Table(found.episodes, [*found.agents], [*found.workloads])
    for learner in learners:
        yield f"### {learner} less each tuned rule\n"
        yield (
            "Mean differences on the same arrivals, with their intervals: dollars, and points of "
            "the share within the SLO. *Dominates*: cheaper and better at once.\n"
        )
        yield "| load | " + " | ".join(rules) + " |"
        yield "|---|" + "---|" * len(rules)
        for loads in ([*found.workloads], *([name] for name in found.workloads)):
            cells = []
            for rule in rules:
                cost, share = (
                    interval(
                        [table.difference(what, load, learner, rule) for load in loads],
                        robust=False,
                    )
                    for what in ("cost_usd", "slo_share")
                )
                cells.append(
                    f"{_signed(cost, 4)} $, {_signed(share, 2, 100)}: {verdict(cost, share)}"
                )
            name = "**all**" if len(loads) > 1 else loads[0]
            yield f"| {name} | {' | '.join(cells)} |"
        yield ""


def verdict(cost: Interval, share: Interval) -> str:
    """What the differences of two means say, and whether both intervals agree."""
    cheaper, better = cost.value <= 0, share.value >= 0
    if cheaper != better:
        return "cheaper and worse" if cheaper else "dearer and better"
    word = "dominates" if cheaper else "is dominated"
    sure = all(one.low > 0 or one.high < 0 for one in (cost, share))
    return f"**{word}**" if sure else f"{word}, within the noise"


def _signed(one: Interval, digits: int, scale: float = 1.0) -> str:
    value, low, high = (scale * number for number in (one.value, one.low, one.high))
    return f"{value:+.{digits}f} ({low:+.{digits}f} to {high:+.{digits}f})"


def _row(cell: Cell, difference: Difference | None, mark: str) -> str:
    numbers = [
        f"{cell.reward_mean:.4f}",
        _interval(cell.reward_iqm),
        f"{cell.cost_usd:.4f}",
        f"{100 * cell.slo_share:.3f}",
    ]
    if difference is None:
        numbers += ["", "", "", ""]
    else:
        p_value = "" if difference.p_holm is None else f"{difference.p_holm:.2g}"
        numbers += [
            _interval(difference.reward),
            _interval(difference.cost_usd),
            _interval(difference.slo_share, 100),
            p_value,
        ]
    return f"| {cell.agent} | {' | '.join(numbers)} | {mark} |"


def _interval(one: Estimate, scale: float = 1.0) -> str:
    value, low, high = (scale * number for number in (one.value, one.low, one.high))
    return f"{value:.4f} ({low:.4f} to {high:.4f})"


if __name__ == "__main__":
    main()
