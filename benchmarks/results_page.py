"""Write docs/explanation/results.md from the results in benchmarks/results.

    python benchmarks/results_page.py

Every number on the page comes from a file that `infra-gym validate` accepts; a test fails where the
page is not what this writes.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from infra_gym.evaluation.results import Cell, Difference, Estimate, Results, read_results

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
        f"{found.seconds:,.0f} s on {found.machine['cores']} cores; {versions}. Check it with "
        f"`infra-gym validate {path.relative_to(ROOT).as_posix()}`.\n"
    )
    yield from _searched(found)
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


def _searched(found: Results) -> Iterator[str]:
    tuned = {label: each.tuned for label, each in found.agents.items() if each.tuned}
    if not tuned:
        return
    yield "| rule | parameters | tried | steps of search |"
    yield "|---|---|--:|--:|"
    for label, one in tuned.items():
        parameters = ", ".join(f"{name} {value:.4g}" for name, value in one.parameters.items())
        yield f"| {label} | {parameters} | {one.candidates} | {one.steps:,} |"
    yield ""


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
