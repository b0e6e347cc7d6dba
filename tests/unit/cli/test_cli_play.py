"""A played episode is closed whatever happens."""

import contextlib
import os
import signal
from types import SimpleNamespace

import gymnasium as gym
import pytest

from infra_gym.cli.dashboard import Silence
from infra_gym.cli.episode import Episode
from infra_gym.cli.play import Play
from infra_gym.cli.signals import Signals
from infra_gym.definitions.catalog import find_definition
from infra_gym.errors import StateBackendError, WorldError

DEFINITION = find_definition("SimpleK8sWebApp-v0")


class FakeStack:
    """Three processes and two layers, until destroyed."""

    def __init__(self):
        self.up = True
        self.interrupted = 0

    def interrupt(self):
        self.interrupted += 1

    def status(self):
        states = ("applied", "absent") if self.up else ("absent", "absent")
        layers = [
            SimpleNamespace(layer=name, status=status)
            for name, status in zip(("local/core", "local/heater"), states, strict=True)
        ]
        return SimpleNamespace(layers=layers, processes=3 if self.up else 0)


class FakeEnv(gym.Env):
    """Calls ``during[step]`` in a step, and ``closing`` when it is closed."""

    definition = DEFINITION
    place = SimpleNamespace(target="local", project="p", environment="e")

    def __init__(self, during=None, closing=lambda: None, truncated_at=None):
        self.world = SimpleNamespace(stack=FakeStack())
        self.during = during or {}
        self.closing = closing
        self.truncated_at = truncated_at
        self.steps = 0
        self.closed = 0

    def reset(self, *, seed, options=None):
        self.during.get("reset", lambda: None)()
        return [0.0], {"seed": seed}

    def step(self, action):
        self.steps += 1
        self.during.get(self.steps, lambda: None)()
        over = self.steps == self.truncated_at
        info = {"truncated_because": "the budget is spent"} if over else {}
        return [0.0], -1.0, False, over, info

    def close(self):
        self.closed += 1
        self.closing()
        self.world.stack.up = False


class Still:
    def reset(self, seed, env):
        self.seed = seed

    def act(self, observation, info):
        return 1


def play(env, signals, steps=5, keep=False):
    return Play(
        env, Still(), Episode(DEFINITION), Silence(), signals, steps=steps, seed=7, keep=keep
    )


def interrupt():
    os.kill(os.getpid(), signal.SIGINT)


def interrupt_unheard():
    """As in a finaliser, where Python ignores exceptions."""
    with contextlib.suppress(KeyboardInterrupt):
        interrupt()


def run(env, **options):
    with Signals() as signals:
        played = play(env, signals, **options)
        played.run()
    return played


def test_an_episode_is_played_and_closed():
    env = FakeEnv()
    played = run(env)
    assert (env.steps, env.closed) == (5, 1)
    assert played.episode.ended == "after 5 steps"
    assert played.agent.seed == 7
    assert played.left() is None


@pytest.mark.parametrize(
    ("world", "told"),
    [
        (SimpleNamespace(), ["beginning", "running", "ending", "done"]),
        (
            SimpleNamespace(stack=FakeStack()),
            ["starting the stack", "running", "destroying", "done"],
        ),
    ],
    ids=["simulated", "live"],
)
def test_a_stack_is_spoken_of_where_there_is_one(world, told):
    class Heard(Silence):
        def phase(self, text):
            phases.append(text)

    phases, env = [], FakeEnv(truncated_at=1)
    env.close = lambda: None
    env.world = world
    with Signals() as signals:
        Play(env, Still(), Episode(DEFINITION), Heard(), signals, steps=2, seed=7, keep=False).run()
    assert phases == told


def test_the_reason_for_an_early_end_is_told():
    played = run(FakeEnv(truncated_at=2))
    assert (played.episode.steps, played.episode.ended) == (2, "the budget is spent")


def test_a_failure_closes_as_well():
    def fail():
        raise WorldError("gone")

    env = FakeEnv({2: fail})
    with pytest.raises(WorldError, match="gone"):
        run(env)
    assert env.closed == 1


@pytest.mark.parametrize("at", ["reset", 2])
def test_a_signal_ends_the_episode_and_closes(at):
    env = FakeEnv({at: interrupt})
    played = run(env)
    assert env.closed == 1
    assert played.episode.steps == (0 if at == "reset" else 1)
    assert played.episode.ended == "stopped by SIGINT"
    assert played.left() is None


def test_a_signal_whose_exception_got_lost_ends_the_episode_too():
    env = FakeEnv({2: interrupt_unheard})
    played = run(env)
    assert (played.episode.steps, env.closed) == (2, 1)


def test_a_signal_does_not_end_the_closing():
    env = FakeEnv(closing=interrupt)
    played = run(env)
    assert not env.world.stack.up
    assert played.episode.ended == "after 5 steps"


def test_a_second_signal_ends_the_closing_and_something_is_left():
    env = FakeEnv({2: interrupt}, closing=interrupt)
    played = run(env)
    assert env.world.stack.up
    assert played.left() == "local/core (applied); 3 processes."
    assert played.destroy_command == "infra-gym layers destroy --target local -p p -e e"


def test_two_signals_before_the_closing_leave_all_as_it_is():
    env = FakeEnv({2: lambda: (interrupt_unheard(), interrupt())})
    run(env)
    assert env.closed == 0


def test_a_ledger_that_cannot_be_read_is_no_proof_that_all_is_gone():
    env = FakeEnv()

    def unreadable():
        raise StateBackendError("the bucket is gone")

    env.world.stack.status = unreadable
    with Signals() as signals:
        assert "the bucket is gone" in play(env, signals).left()


def test_a_world_without_a_stack_leaves_nothing():
    env = FakeEnv()
    env.world = SimpleNamespace()
    with Signals() as signals:
        assert play(env, signals).left() is None
