"""The table of the protocol, by examples, without sockets."""

from __future__ import annotations

import json
import random
import re
import zlib
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from infra_gym.errors import UsageError
from infra_gym.remote.encoding import END_OF_REPLY
from infra_gym.remote.offer import Offer
from infra_gym.remote.protocol import TABLE, Conversation, State
from infra_gym.remote.seat import Seat

MAKE = {"env": {"name": "CartPole-v1"}}
RESET = {"env": {"action": "reset"}}
STEP = {"step": {"action": 1, "render": 0}}
CLOSE = {"env": {"action": "close"}}
HELLO = {"hello": {"version": 1}}


class Peer:
    """A conversation with a seat at its other end."""

    def __init__(self, **settings: Any) -> None:
        self.conversation = Conversation(**settings)
        self.seat = Seat(Offer(target="sim"))

    def send(self, data: bytes) -> bytes:
        self.conversation.receive(data)
        while self.conversation.take():
            if self.conversation.call is not None:
                try:
                    self.conversation.succeed(self.seat.run(self.conversation.call))
                except Exception as error:  # noqa: BLE001 - as the server does
                    self.conversation.fail(error)
        return self.conversation.to_send()

    def ask(self, *requests: Any) -> list[Any]:
        data = b"".join(json.dumps(request).encode() + b"\r\n" for request in requests)
        return replies(self.send(data))


def replies(data: bytes) -> list[Any]:
    *lines, rest = data.split(END_OF_REPLY)
    assert rest == b""
    return [json.loads(line, parse_constant=pytest.fail) for line in lines]


@pytest.fixture
def peer() -> Peer:
    return Peer()


@pytest.fixture
def running(peer: Peer) -> Peer:
    peer.ask(MAKE, RESET)
    return peer


def test_make_then_both_spaces(peer: Peer) -> None:
    made, observations, actions = peer.ask(
        MAKE, {"env": {"action": "observationspace"}}, {"env": {"action": "actionspace"}}
    )
    assert list(made) == ["instance"]
    assert re.fullmatch("[0-9a-f]{13}", made["instance"])
    assert list(observations["info"]) == ["name", "shape", "low", "high"]
    assert observations["info"]["shape"] == [4]
    assert observations["info"]["low"][1] == -1e100
    assert actions == {"info": {"name": "Discrete", "n": 2}}


def test_an_episode_with_statistics(peer: Peer) -> None:
    (reset,) = peer.ask({"env": {"seed": "3"}}, MAKE, {"record_episode_stats": {"action": "start"}},
                        RESET)[1:]  # fmt: skip
    assert list(reset) == ["observation"]
    steps = 0
    while True:
        (step,) = peer.ask(STEP)
        steps += 1
        assert list(step) == ["observation", "reward", "done", "info"]
        assert step["reward"] == 1.0
        if step["done"]:
            break
        assert step["info"] == {}
    episode = step["info"]["episode"]
    assert (episode["r"], episode["l"]) == (steps, steps)
    assert isinstance(episode["r"], float)
    assert isinstance(episode["t"], float)


def test_a_seed_decides_the_next_reset(peer: Peer) -> None:
    first = peer.ask(MAKE, {"env": {"seed": "3"}}, RESET)[1]
    again = peer.ask({"env": {"seed": "3"}}, RESET)[0]
    other = peer.ask(RESET)[0]
    assert first == again != other
    expected, _ = gym.make("CartPole-v1").reset(seed=3)
    assert np.array(first["observation"], np.float32) == pytest.approx(expected)


def test_a_time_limit_is_told(running: Peer) -> None:
    running.ask({"env": {"name": "MountainCar-v0"}}, RESET)
    *_, last = running.ask(*[{"step": {"action": 1}}] * 200)
    assert last["done"] is True
    assert last["info"] == {"TimeLimit.truncated": True}


@pytest.mark.parametrize("level", range(1, 10))
def test_compression(running: Peer, level: int) -> None:
    assert running.ask({"server": {"compression": str(level)}}) == []
    data = running.send(json.dumps(STEP).encode() + b"\n")
    assert data.endswith(END_OF_REPLY)
    assert data.count(END_OF_REPLY) == 1
    assert "observation" in json.loads(zlib.decompress(data[: -len(END_OF_REPLY)]))
    assert running.ask({"server": {"compression": "0"}}) == []
    assert "observation" in running.ask(STEP)[0]


def test_make_resets_compression(running: Peer) -> None:
    running.ask({"server": {"compression": "9"}})
    assert "instance" in running.ask(MAKE)[0]


@pytest.mark.parametrize(
    "request_",
    [
        {"server": {"compression": "abc"}},
        {"server": {"compression": "-3"}},
        {"server": {"compression": "10"}},
        {"server": {"compression": 9}},
        {"env": "CartPole-v1"},
        {"env": {"seed": 3}},
        {"env": {"seed": "three"}},
        {"env": {"action": "dance"}},
        {"step": "1"},
        {"monitor": {"action": "start", "force": 1, "resume": 1, "directory": "/tmp"}},
        {"something": "else"},
        {"env": {"seed": "3"}},
        {"record_episode_stats": {"action": "start"}},
        {},
    ],
    ids=json.dumps,
)
def test_silence_and_the_connection_stays(running: Peer, request_: Any) -> None:
    assert running.ask(request_) == []
    assert running.ask(STEP)[0]["reward"] == 1.0


@pytest.mark.parametrize("action", [1, 1.0, "1", 0, 0.0])
def test_ways_to_write_a_discrete_action(running: Peer, action: Any) -> None:
    assert running.ask({"step": {"action": action, "render": True}})[0]["reward"] == 1.0


def test_close_then_url_monitor_reset_without_a_new_make(peer: Peer) -> None:
    (made,) = peer.ask({"env": {"name": "CartPole-v1-render"}})
    assert "instance" in made
    assert peer.ask(RESET, CLOSE, CLOSE)[0]["observation"]
    assert peer.ask({"url": {"action": "url"}}) == [{"url": ""}]
    (reset,) = peer.ask({"monitor": {"action": "start"}}, RESET)
    assert len(reset["observation"]) == 4
    assert peer.ask(STEP)[0]["done"] is False


def test_the_first_of_several_that_replies_ends_the_message(peer: Peer) -> None:
    peer.ask(MAKE)
    several = {
        "step": STEP["step"],
        "env": {"action": "reset", "seed": "7"},
        "server": {"compression": "1"},
        "url": {},
    }
    data = peer.send(json.dumps(several).encode() + b"\r\n")
    assert list(json.loads(zlib.decompress(data[: -len(END_OF_REPLY)]))) == ["observation"]


def test_pipelined_and_split_and_bare_newlines(peer: Peer) -> None:
    data = b"\n\r\n".join(json.dumps(each).encode() for each in (MAKE, RESET, STEP, STEP)) + b"\n"
    found = b"".join(peer.send(data[index : index + 1]) for index in range(len(data)))
    assert [next(iter(each)) for each in replies(found)] == [
        "instance", "observation", "observation", "observation",
    ]  # fmt: skip
    assert len(peer.ask(*[STEP] * 5)) == 5


@pytest.mark.parametrize(
    "data",
    [
        b"no json\r\n",
        b"[1, 2]\r\n",
        b"5\r\n",
        b'{"step": {"action": NaN}}\r\n',
        b'{"step": {}}\r\n',
        b'{"step": {"action": 2}}\r\n',
        b'{"step": {"action": 0.5}}\r\n',
        b'{"step": {"action": [1, 0]}}\r\n',
        b'{"step": {"action": 1e400}}\r\n',
        b'{"step": {"action": true}}\r\n',
        b'{"env": {"name": "NoSuch-v0"}}\r\n',
        b'{"env": {"name": "os:CartPole-v1"}}\r\n',
        b'{"env": {"name": "' + "Größe".encode() + b'"}}\r\n',
        b"\xff\xfe\r\n",
        b"[" * 100_000 + b"\r\n",
        b"9" * 5000 + b"\r\n",
    ],
    ids=lambda data: ascii(data[:40]),
)
def test_an_error_ends_a_plain_connection_without_a_word(running: Peer, data: bytes) -> None:
    assert running.send(data) == b""
    assert running.conversation.ended
    assert running.send(json.dumps(STEP).encode() + b"\r\n") == b""


@pytest.mark.parametrize("request_", [RESET, STEP, {"env": {"actionspace": "sample"}}])
def test_nothing_works_before_make(peer: Peer, request_: Any) -> None:
    assert peer.ask(request_) == []
    assert "no environment" in (peer.conversation.ended or "")


def test_a_step_needs_a_reset(peer: Peer) -> None:
    assert len(peer.ask(MAKE, STEP)) == 1
    assert "needs a reset" in (peer.conversation.ended or "")


def test_a_long_request_is_refused_before_its_end() -> None:
    peer = Peer(request_bytes=1000)
    assert peer.send(b" " * 1000) == b""
    assert peer.conversation.ended is None
    peer.send(b"  ")
    assert "longer than 1000 bytes" in (peer.conversation.ended or "")


# ---------------------------------------------------------------- the modern manner


def test_hello_then_every_request_has_one_reply() -> None:
    peer = Peer()
    hello, made, seeded, reset, step, closed = peer.ask(
        HELLO, MAKE, {"env": {"seed": 3}}, RESET, STEP, CLOSE
    )
    assert hello["hello"]["version"] == 1
    assert list(made) == ["instance"]
    assert seeded == closed == {"ok": True}
    assert list(reset) == ["observation", "info"]
    assert list(step) == ["observation", "reward", "terminated", "truncated", "info"]


def test_errors_are_objects_and_the_connection_stays() -> None:
    peer = Peer()
    _, unknown, misspelt, early, nonsense = peer.ask(
        HELLO, {"env": {"name": "CartPole-v11"}}, {"stepp": {}}, RESET, [1]
    )
    assert unknown["error"]["kind"] == "UnknownNameError"
    assert "Did you mean 'CartPole-v1'" in unknown["error"]["message"]
    assert "Did you mean 'step'" in misspelt["error"]["message"]
    assert early["error"]["kind"] == "NotReadyError"
    assert nonsense["error"]["kind"] == "UsageError"
    assert peer.ask(MAKE, RESET, {"step": {"action": 7}}, STEP)[2]["error"]["kind"] == "ActionError"
    assert peer.ask(STEP)[0]["reward"] == 1.0


def test_a_batch() -> None:
    peer = Peer()
    _, made, space, reset, step = peer.ask(
        HELLO,
        {"env": {"name": "CartPole-v1", "count": 3}},
        {"env": {"action": "actionspace"}},
        RESET,
        {"step": {"action": [0, 1, 0]}},
    )
    assert made["autoreset"] == "NextStep"
    assert space["info"] == {"name": "Discrete", "n": 2, "start": 0}
    assert np.shape(reset["observation"]) == (3, 4)
    assert step["reward"] == [1.0, 1.0, 1.0]
    assert step["terminated"] == [False] * 3
    assert "error" in peer.ask({"step": {"action": [0, 1]}})[0]
    assert "error" in peer.ask({"env": {"name": "CartPole-v1", "count": 10**6}})[0]


def test_a_plain_client_gets_no_batch(peer: Peer) -> None:
    peer.ask({"env": {"name": "CartPole-v1", "count": 3}})
    assert np.shape(peer.ask(RESET)[0]["observation"]) == (4,)


def test_the_token() -> None:
    secret = "öffne dich"
    assert "hello" in Peer(token=secret).ask({"hello": {"version": 1, "token": secret}})[0]
    for wrong in ({"version": 1}, {"version": 1, "token": "x"}, {"version": 1, "token": 5}, 3):
        peer = Peer(token=secret)
        (answer,) = peer.ask({"hello": wrong}, MAKE)
        assert answer["error"]["kind"] == "UsageError"
        assert peer.conversation.ended
    peer = Peer(token=secret)
    assert peer.ask(MAKE) == []
    assert peer.conversation.ended


def test_another_version_is_refused() -> None:
    peer = Peer()
    assert "version 1" in peer.ask({"hello": {"version": 2}})[0]["error"]["message"]
    assert peer.conversation.ended


# ---------------------------------------------------------------- the table, and nonsense


def test_every_state_is_led_to_one_that_exists() -> None:
    for row in TABLE:
        assert set(row.states) | set(row.states.values()) <= set(State)


def test_every_command_is_documented() -> None:
    root = Path(__file__).parents[3]
    page = (root / "docs" / "reference" / "tcp-protocol.md").read_text(encoding="utf-8")
    for row in TABLE:
        inner = f'{{"{row.inner}"' if row.inner else ""
        word = f': "{row.word}"' if row.word else ""
        assert f'"{row.key}": {inner}{word}' in page


@pytest.mark.parametrize("modern", [False, True])
def test_any_order_of_commands(modern: bool) -> None:
    """No order hangs or breaks the machine: in the modern manner, each has its one reply."""
    chance = random.Random(1)
    orders = [
        MAKE, RESET, STEP, CLOSE, {"url": {}}, {"env": {"seed": "1"}},
        {"env": {"actionspace": "sample"}}, {"env": {"action": "actionspace"}},
        {"record_episode_stats": {"action": "start"}}, {"server": {"compression": "0"}},
    ]  # fmt: skip
    for _ in range(60):
        peer = Peer()
        if modern:
            peer.ask(HELLO)
        for request in chance.choices(orders, k=12):
            answers = peer.ask(request)
            if modern:
                assert len(answers) == 1
            if peer.conversation.ended is not None:
                break


class Scripted:
    """A conversation whose environment answers by chance, the same for the same ``seed``."""

    def __init__(self, seed: int, short: bool, **settings: Any) -> None:
        self.conversation = Conversation(**settings)
        self.shortened = 0
        self._chance = random.Random(seed)
        self._short = short

    def send(self, data: bytes) -> tuple[Any, ...]:
        """What came of ``data``, and all that is to be seen of the conversation after it."""
        conversation = self.conversation
        calls = []
        if self._short and conversation.take_step(data):
            self.shortened += 1
            calls.append(self._answer())
        else:
            conversation.receive(data)
        while conversation.take():
            if conversation.call is not None:
                calls.append(self._answer())
        seen = conversation.state, conversation.buffered, conversation.ended, conversation.modern
        return calls, conversation.to_send(), *seen, conversation.take_step(b"")

    def _answer(self) -> Any:
        call, number = self.conversation.call, self._chance.random()
        assert call is not None
        if number < 0.02:
            self.conversation.fail(UsageError("unlike") if number < 0.01 else RuntimeError("down"))
        elif call.row.name == "step":
            observation = np.array([number, -number], np.float32)
            info = {"near": number} if number < 0.5 else {}
            self.conversation.succeed((observation, number, number < 0.1, number > 0.9, info))
        else:
            results = {
                "reset": (np.zeros(2), {}), "make": {"instance": "0"}, "sample": 1,
                "actionspace": gym.spaces.Discrete(2), "observationspace": gym.spaces.Discrete(2),
            }  # fmt: skip
            self.conversation.succeed(results.get(call.row.name))
        return call


def lines_by_chance(chance: random.Random) -> list[bytes]:
    """Requests in pieces and heaps, most of them a step as clients write it."""
    steps = [
        b'{"step":{"action":1, "render":0}}\r\n', b'{"step": {"action": 0}}\n',
        b'{"step":{"action":1,"render":1}}\r\n', b'{"step":{"action":007}}\r\n',
        b'{"step":{"action":12345678}}\n', b'{"step":{"action":1.0}}\n',
        b'{"step":{"action":-1}}\n', b'{"step":{"action":1}}', b'{"step":{"action":1}}\n\n',
        b'{"step":{"action":1}, "url": {}}\n', b'{"step": {"action" :1}}\r\n',
    ]  # fmt: skip
    others = [
        b'{"env":{"action": "reset"}}\r\n', b'{"env":{"action": "close"}}\r\n', b"\r\n",
        b'{"server":{"compression": "1"}}\r\n', b'{"server":{"compression": "0"}}\r\n',
        b'{"env":{"seed": "3"}}\r\n', b'{"env": {"name": "CartPole-v1"}}\n', b"nonsense\n",
    ]  # fmt: skip
    found = [b'{"hello":{"version":1}}\n'] * chance.randrange(2)
    found += [b'{"env": {"name": "CartPole-v1"}}\n', b'{"env":{"action": "reset"}}\r\n']
    for _ in range(60):
        line = chance.choice(steps[:3] if chance.random() < 0.8 else steps + others)
        if chance.random() < 0.05:
            cut = chance.randrange(len(line))
            found += [line[:cut], line[cut:]]
        elif chance.random() < 0.05:
            found.append(line + chance.choice(steps))
        else:
            found.append(line)
    return found


def test_the_short_way_of_a_step_comes_to_the_same_as_the_long_one() -> None:
    chance = random.Random(5)
    shortened = 0
    for seed in range(200):
        limit = chance.choice([20, 33, 34, 64, 1 << 20])
        short, long = (Scripted(seed, way, request_bytes=limit) for way in (True, False))
        for data in lines_by_chance(chance):
            assert short.send(data) == long.send(data)
        shortened += short.shortened
        assert long.shortened == 0
    assert shortened > 1000


@pytest.mark.parametrize("seed", range(3))
def test_fuzz(seed: int) -> None:
    """Whatever comes in, what goes out is whole replies of strict JSON."""
    chance = random.Random(seed)
    valid = b"".join(
        json.dumps(each).encode() + b"\r\n"
        for each in (HELLO, MAKE, RESET, STEP, CLOSE, RESET, STEP)
    )
    values = [None, True, -1, 1.5, "x", "9", [], [[1]], {}, {"action": None}, 10**30, "\ud800"]
    keys = ["env", "step", "server", "url", "hello", "record_episode_stats", "name", "action"]
    keys += ["seed", "compression", "actionspace", "count", "options"]
    for _ in range(150):
        peer = Peer(request_bytes=4096)
        kind = chance.randrange(3)
        if kind == 0:
            data = chance.randbytes(chance.randrange(300)) + b"\n"
        elif kind == 1:
            changed = bytearray(valid)
            for _ in range(chance.randrange(1, 6)):
                changed[chance.randrange(len(changed))] = chance.randrange(256)
            data = bytes(changed)
        else:
            data = valid[: valid.index(b"\n") + 1]
            for _ in range(10):
                inner = {chance.choice(keys): chance.choice(values) for _ in range(2)}
                request = {chance.choice(keys): chance.choice([inner, *values])}
                data += json.dumps(request).encode() + b"\r\n"
        while data:
            cut = chance.randrange(1, 200)
            out, data = peer.send(data[:cut]), data[cut:]
            if peer.conversation.compression == 0:
                replies(out)
        peer.seat.free()
