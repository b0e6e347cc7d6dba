from __future__ import annotations

import math

import numpy as np
import pytest
from gymnasium import spaces
from hypothesis import given
from hypothesis import strategies as st

from infra_gym.definitions.models import Control
from infra_gym.errors import ActionError
from infra_gym.task.controls import Controls


def control(**other) -> Control:
    values = {"layer": "heater", "input": "replicas", "low": 2, "high": 10, "initial": 2}
    return Control.model_validate({**values, "action": {"delta": [-1, 0, 1]}, **other})


def test_a_change_is_added_to_the_control():
    controls = Controls({"replicas": control()})
    assert controls.space == spaces.Discrete(3)
    assert controls.move(2, {"replicas": 4}).controls == {"replicas": 5}
    assert controls.move(np.int64(0), {"replicas": 4}).last_action == -1


def test_a_move_out_of_bounds_is_clipped_and_told():
    move = Controls({"replicas": control()}).move(0, {"replicas": 2})
    assert move.controls == {"replicas": 2}
    assert move.clipped == ("replicas",)
    assert move.last_action == -1


def test_a_control_may_keep_its_value_where_a_move_would_leave_the_bounds():
    keeping = control(beyond="keep", action={"delta": [-3, 3]})
    assert Controls({"replicas": control(action={"delta": [-3, 3]})}).move(
        1, {"replicas": 9}
    ).controls == {"replicas": 10}
    move = Controls({"replicas": keeping}).move(1, {"replicas": 9})
    assert move.controls == {"replicas": 9}
    assert move.clipped == ("replicas",)
    assert move.last_action == 3


def test_an_absolute_action_is_the_value_counted_from_low():
    controls = Controls({"replicas": control()}, "absolute")
    assert controls.space == spaces.Discrete(9)
    assert controls.move(8, {"replicas": 2}).controls == {"replicas": 10}


def test_a_definition_may_be_absolute_itself_and_still_be_asked_for_changes():
    absolute = control(action={"absolute": True})
    assert Controls({"replicas": absolute}).space == spaces.Discrete(9)
    assert Controls({"replicas": absolute}, "delta").space == spaces.Discrete(3)


def test_several_controls_are_one_action_of_several_numbers():
    controls = Controls({"replicas": control(), "size": control(low=0, high=3, initial=1)})
    assert controls.space == spaces.MultiDiscrete([3, 3])
    move = controls.move(np.array([2, 0]), {"replicas": 4, "size": 1})
    assert move.controls == {"replicas": 5, "size": 0}


@pytest.mark.parametrize("action", [math.nan, 0.5, "2", None, [1, 1], -1, 3, [], np.float32(1.0)])
def test_what_is_no_action_is_refused(action):
    with pytest.raises(ActionError):
        Controls({"replicas": control()}).move(action, {"replicas": 4})


@given(st.lists(st.integers(0, 2), max_size=40))
def test_controls_stay_inside_their_bounds(actions):
    controls = Controls({"replicas": control()})
    current = controls.initial
    for action in actions:
        current = dict(controls.move(action, current).controls)
        assert 2 <= current["replicas"] <= 10
