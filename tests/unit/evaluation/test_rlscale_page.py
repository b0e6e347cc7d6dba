"""The page of RLScale-Bench's counterpart says what the file says."""

from __future__ import annotations

import numpy as np
import pytest


@pytest.fixture(scope="module")
def module(load_benchmark):
    return load_benchmark("rlscale_page")


def test_the_page_is_what_the_file_gives(module):
    written = module.PAGE.read_text(encoding="utf-8")
    assert written == module.page(), "run: python benchmarks/rlscale_page.py"


def test_the_run_is_the_protocol(module):
    """Six loads, five trainings in each cell, 50,000 steps."""
    found = module.read()
    assert len(found.loads) == 6
    assert found.document["steps"] == 50_000
    assert set(module.DISCRETE) <= set(found.algorithms)
    for load in found.loads:
        for name in found.algorithms:
            assert len(found.scores(load, name, "reward")) >= 5


def outcome(module, **policies):
    """Loads ``constant`` and ``bursty`` of two episodes; of each policy its cost and misses there,
    as (cost, outside) for each load."""
    loads = {
        load: {
            name: {"cost_usd": np.full((size, 2), told[place][0]).tolist(),
                   "outside": np.full((size, 2), told[place][1]).tolist(),
                   "reward": np.full((size, 2), -told[place][0] - told[place][1]).tolist()}
            for name, told, size in (
                (name, told, 3 if name in module.DISCRETE + module.CONTINUOUS else 1)
                for name, told in policies.items()
            )
        }
        for place, load in enumerate(("constant", "bursty"))
    }  # fmt: skip
    return module.Outcome({"loads": loads, "slo_share": 0.8})


def test_the_findings_follow_from_the_numbers(module):
    first, second = module.RULES
    found = outcome(
        module,
        **{first: ((1, 0), (2, 0.2)), second: ((3, 0), (3, 0.01))},
        ppo=((2, 0.1), (3, 0.1)),
        dqn=((4, 0.01), (1, 0.3)),
        ddpg=((5, 0.5), (5, 4.0)),
    )
    rows = [row.split(" | ") for row in module._findings(found) if row.startswith("| ")][1:]
    told = [(row[1], row[2].rstrip(" |")) for row in rows]
    assert told == [
        (f"*{first}*: on 1 of 2: constant", "**does not agree**"),
        (f"*{second}*: on 0 of 2", "**does not agree**"),
        (f"*{first}*: on 2 of 2", ""),
        (f"*{second}*: on 0 of 2", ""),
        (f"*{first}*: 0.000 % of the requests", "agrees"),
        (f"*{second}*: 0.000 % of the requests", "agrees"),
        (f"than *{first}*: on 1 of 2: bursty", "**does not agree**"),
        (f"than *{first}*: on 1 of 1", "agrees"),
        (f"than *{second}*: on 0 of 2", "**does not agree**"),
        (f"than *{second}*: on 0 of 0", ""),
        ("9.1 to 20 times as much", "**does not agree**"),
        ("the best are dqn, ppo; by up to 1 places (ppo, dqn)", "agrees"),
    ]


def test_an_algorithm_has_to_miss_less_beyond_the_noise(module):
    first, second = module.RULES
    found = outcome(module, **{first: ((1, 0), (1, 0.2)), second: ((1, 0), (1, 0.2))},
                    ppo=((1, 0), (1, 0)))  # fmt: skip
    found.document["loads"]["bursty"]["ppo"]["outside"] = [[0.1, 0.1], [0.1, 0.1], [0.1, 0.5]]
    assert found.mean("bursty", "ppo", "outside") < found.mean("bursty", first, "outside")
    assert not module._fewer(found, "bursty", first)
