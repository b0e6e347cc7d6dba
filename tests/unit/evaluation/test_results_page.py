"""The page of results says what the files say."""

from __future__ import annotations

import pytest

from infra_gym.evaluation.results import read_results
from infra_gym.evaluation.statistics import Interval


@pytest.fixture(scope="module")
def module(load_benchmark):
    return load_benchmark("results_page")


def test_the_page_is_what_the_results_give(module):
    written = module.PAGE.read_text(encoding="utf-8")
    assert written == module.page(), "run: python benchmarks/results_page.py"


def test_the_results_are_those_that_were_written(module):
    """Their hashes hold, and they are of enough seeds and trainings."""
    files = sorted(module.FOLDER.glob("*.json"))
    assert files
    for file in files:
        found = read_results(file)
        if found.target == "sim":
            assert len(found.seeds) >= 100
            for entrant in found.agents.values():
                assert entrant.members[0].sha256 is None or len(entrant.members) >= 10


@pytest.mark.parametrize(
    ("cost", "share", "told"),
    [
        ((-2, -3, -1), (2, 1, 3), "**dominates**"),
        ((-2, -3, 1), (2, 1, 3), "dominates, within the noise"),
        ((2, 1, 3), (2, 1, 3), "dearer and better"),
        ((-2, -3, -1), (-2, -3, -1), "cheaper and worse"),
        ((2, 1, 3), (-2, -3, -1), "**is dominated**"),
        ((2, 1, 3), (-2, -3, 1), "is dominated, within the noise"),
    ],
)
def test_the_verdict_counts_cost_and_share(module, cost, share, told):
    assert module.verdict(Interval(*cost), Interval(*share)) == told
