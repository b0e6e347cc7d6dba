"""Spaces, actions and observations as JSON."""

from __future__ import annotations

import json
import zlib

import numpy as np
import pytest
from gymnasium import spaces

from infra_gym.errors import ActionError, UsageError
from infra_gym.remote import encoding
from infra_gym.remote.encoding import (
    END_OF_REPLY,
    describe,
    encode,
    read_action,
    read_document,
    read_space,
    reply,
)

SPACES = [
    spaces.Box(-1, np.inf, (2, 3), np.float32),
    spaces.Box(0, 255, (2, 2, 3), np.uint8),
    spaces.Box(-np.inf, 5, (), np.float64),
    spaces.Discrete(3),
    spaces.Discrete(3, start=-1),
    spaces.MultiBinary(4),
    spaces.MultiBinary([2, 2]),
    spaces.MultiDiscrete([3, 5]),
    spaces.MultiDiscrete([[3, 5], [2, 2]]),
    spaces.Tuple([spaces.Discrete(2), spaces.Box(0, 1, (2,), np.float32)]),
    spaces.Dict({"a": spaces.Discrete(2), "b": spaces.MultiBinary(2)}),
]


@pytest.mark.parametrize("shortest", [False, True])
@pytest.mark.parametrize("space", SPACES, ids=str)
def test_a_space_and_its_values_come_back(space: spaces.Space, shortest: bool) -> None:
    again = read_space(json.loads(encode(describe(space, whole=True))))
    assert again == space
    for _ in range(5):
        value = space.sample()
        sent = json.loads(encode(value, shortest=shortest))
        assert space.contains(encoding.read_value(space, sent))
        assert space.contains(read_action(space, sent))


@pytest.mark.parametrize("space", SPACES, ids=str)
def test_no_key_begins_with_another_that_the_cpp_client_reads(space: spaces.Space) -> None:
    read = ("name", "n", "high", "low", "shape")
    for key in describe(space):
        assert not [other for other in read if key.startswith(other) and key not in read]


def test_what_old_clients_read_of_spaces() -> None:
    assert describe(spaces.Box(-np.inf, np.inf, (2,), np.float32)) == {
        "name": "Box", "shape": [2], "low": [-1e100] * 2, "high": [1e100] * 2,
    }  # fmt: skip
    assert describe(spaces.MultiDiscrete([3, 5])) == {
        "name": "MultiDiscrete", "n": 2, "low": [0, 0], "high": [2, 4],
    }  # fmt: skip
    assert describe(spaces.MultiBinary(4)) == {"name": "MultiBinary", "n": 4}


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (np.array([1.5, np.nan, np.inf], np.float32), "[1.5,null,null]"),
        (np.array([[1, 2], [3, 4]], np.uint8), "[[1,2],[3,4]]"),
        (np.array([True, False]), "[true,false]"),
        (np.float32(2), "2.0"),
        (np.int64(2), "2"),
        (float("nan"), "null"),
        ({"a": -np.inf, 1: (np.bool_(True), None)}, '{"a":null,"1":[true,null]}'),
        ({"x": object}, '{"x":"<class \'object\'>"}'),
        ("é\n", '"\\u00e9\\n"'),
        (np.array([{"a": 1}, None], dtype=object), '[{"a":1},null]'),
        (np.full(300, np.nan), f"[{','.join(['null'] * 300)}]"),
        (np.array([0.1], np.float32), "[0.10000000149011612]"),
        ({"far": 2**70, "odd": "\ud800"}, '{"far":1180591620717411303424,"odd":"\\ud800"}'),
    ],
)
def test_values(value: object, written: str) -> None:
    assert encode(value) == written.encode()


def test_single_precision_in_as_many_digits_as_it_needs() -> None:
    array = np.random.default_rng(1).standard_normal((50, 4)).astype(np.float32)
    array[0] = (0.1, np.nan, np.inf, 1e-30)
    written = encode({"x": array, "y": array.T, "z": np.float32(0.1)}, shortest=True)
    assert written.startswith(b'{"x":[[0.1,null,null,1e-30],[')
    read = json.loads(written)["x"]
    assert (np.array(read[1:], np.float32) == array[1:]).all()


@pytest.mark.parametrize("shape", [(300,), (1, 300), (300, 1), (20, 20, 3), (2, 16, 16, 1)])
@pytest.mark.parametrize("kind", ["uint8", "bool", "int64", "float32", "float64"])
def test_large_arrays_are_written_as_small_ones(shape: tuple[int, ...], kind: str) -> None:
    array = (np.random.default_rng(1).random(shape) * 255).astype(kind)
    for one in (array, array.T):
        assert encode(one) == json.dumps(one.tolist(), separators=(",", ":")).encode()


@pytest.mark.parametrize("action", ["[0, 1]", [0, 1.0], (0, 1)])
def test_an_action_of_several(action: object) -> None:
    assert read_action(spaces.MultiDiscrete([2, 2]), action).tolist() == [0, 1]


def test_a_box_action_may_lie_outside() -> None:
    space = spaces.Box(-1, 1, (2,), np.float32)
    assert read_action(space, [0.5, -3.0]).dtype == np.float32
    assert read_action(spaces.Box(-1, 1, (1,), np.float32), 0.5).shape == (1,)


@pytest.mark.parametrize("space", [space for space in SPACES if space.shape != ()], ids=str)
@pytest.mark.parametrize("action", [None, "x", "[", [], {}, [1e300] * 99, [None] * 2, 1e400, "é"])
def test_what_is_no_action(space: spaces.Space, action: object) -> None:
    with pytest.raises(ActionError):
        read_action(space, action)


@pytest.mark.parametrize("line", [b"NaN", b"{", b"\xff", b"[Infinity]", b"[" * 50_000])
def test_what_is_no_json(line: bytes) -> None:
    with pytest.raises(UsageError):
        read_document(line)


def test_the_mark_never_comes_up_in_a_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    compress, tries = zlib.compress, []

    def unlucky(line: bytes, level: int) -> bytes:
        tries.append(line)
        return b"a\r\n\r\nb" if len(tries) == 1 else compress(line, level)

    monkeypatch.setattr(encoding.zlib, "compress", unlucky)
    sent = reply(b'{"a":1}', 6)
    assert len(tries) == 2
    assert json.loads(zlib.decompress(sent[: -len(END_OF_REPLY)])) == {"a": 1}
