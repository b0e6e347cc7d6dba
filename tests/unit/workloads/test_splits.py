"""The loads for training, tuning and judging are apart."""

from __future__ import annotations

from itertools import combinations
from typing import get_args

import pytest

from infra_gym.errors import UnknownNameError
from infra_gym.workloads import arrival_schedule
from infra_gym.workloads.splits import Split, loads_of, workloads

SPLITS = get_args(Split)


def test_each_has_the_same_six_kinds():
    names = ["constant", "daily", "bursty", "flash_crowd", "ramp", "trace"]
    assert all(list(workloads(split)) == names for split in SPLITS)


@pytest.mark.parametrize(("one", "other"), [*combinations(SPLITS, 2)])
def test_no_load_and_no_seed_is_in_two_of_them(one, other):
    for name, load in workloads(one).items():
        assert load != workloads(other)[name]
    assert not {*loads_of(one).seeds(10_000)} & {*loads_of(other).seeds(10_000)}
    assert min(loads_of("tuning").first_seed, loads_of("held_out").first_seed) >= 2**31


@pytest.mark.parametrize("split", SPLITS)
def test_every_load_can_be_sent(split):
    for load in workloads(split).values():
        found = arrival_schedule(load, seconds=3000, time_scale=4, seed=loads_of(split).first_seed)
        assert 0.5 < len(found.units) / (3000 * load.mean_rps) < 2


def test_names_that_do_not_exist_get_a_suggestion():
    with pytest.raises(UnknownNameError, match="Did you mean 'bursty'"):
        loads_of("held_out").chosen(["burst"])
    with pytest.raises(UnknownNameError, match="Did you mean 'tuning'"):
        loads_of("tunning")
