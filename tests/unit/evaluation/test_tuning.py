"""What a search tries."""

from __future__ import annotations

import pytest

from infra_gym.definitions.catalog import find_definition
from infra_gym.errors import UsageError
from infra_gym.evaluation.tuning import candidates_of

ID = "SimpleK8sWebApp-v0"


def counts(number):
    return [one["replicas"] for one in candidates_of("fixed", ID, number)]


def test_a_small_budget_still_sees_the_whole_range_of_replicas():
    """From the least on, it would choose among the smallest only."""
    assert counts(2) == [2, 10]
    assert counts(3) == [2, 6, 10]
    assert counts(5) == [2, 4, 6, 8, 10]


@pytest.mark.parametrize("number", [9, 10, 1000])
def test_with_room_for_all_every_number_is_tried_once(number):
    assert counts(number) == [*range(2, 11)]


def test_a_number_of_replicas_is_one_control(tmp_path):
    path = tmp_path / "Two-v0.yaml"
    written = find_definition("NodePoolK8sWebApp-v0").model_dump_json(exclude_none=True)
    path.write_text(written.replace("NodePoolK8sWebApp-v0", "Two-v0"), encoding="utf-8")
    with pytest.raises(UsageError, match="the controls replicas, nodes"):
        candidates_of("fixed", str(path), 3)


@pytest.mark.parametrize("agent", ["hpa", "predictive", "threshold"])
def test_candidates_can_be_made(agent):
    from infra_gym.agents.threshold import ThresholdAgent

    found = candidates_of(agent, ID, 20)
    assert len(found) == 20
    if agent == "threshold":
        for one in found:
            ThresholdAgent(**one)
