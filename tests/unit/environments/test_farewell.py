"""Which signals end Python in order, and which are left as they are."""

from __future__ import annotations

import os
import signal
from contextlib import suppress

import pytest

from infra_gym.environments.farewell import Farewell
from infra_gym.environments.place import Place
from tests.unit.environments.test_env import DEFINITION, BreakableWorld

ENDING = (signal.SIGTERM, signal.SIGHUP)


@pytest.fixture(autouse=True)
def handlers():
    """The handlers of a script that has none, and afterwards those of this process again."""
    before = {number: signal.signal(number, signal.SIG_DFL) for number in ENDING}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def farewell():
    place = Place("sim", "tests", "env", 15.0, 4.0, DEFINITION.workload)
    made = [Farewell(DEFINITION.id, place, BreakableWorld()) for _ in range(2)]
    yield made[0]
    made[1].cancel()
    made[0].cancel()


@pytest.mark.parametrize("number", ENDING)
def test_while_there_is_something_to_destroy_python_ends_in_order(farewell, number):
    with pytest.raises(SystemExit) as ended:
        os.kill(os.getpid(), number)
    assert ended.value.code == 128 + number


def test_a_second_sigterm_ends_at_once_and_a_second_sighup_says_nothing_new(farewell):
    for number in ENDING:
        with pytest.raises(SystemExit):
            os.kill(os.getpid(), number)
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    os.kill(os.getpid(), signal.SIGHUP)


def test_when_the_last_is_closed_the_signals_are_as_before():
    place = Place("sim", "tests", "env", 15.0, 4.0, DEFINITION.workload)
    first, second = (Farewell(DEFINITION.id, place, BreakableWorld()) for _ in range(2))
    first.cancel()
    assert signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
    second.cancel()
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_DFL


def test_a_handler_that_is_put_back_too_late_ends_nothing_in_order(farewell):
    pid = os.fork()
    if pid == 0:  # what its parent has open is not its own
        place = Place("sim", "tests", "env", 15.0, 4.0, DEFINITION.workload)
        own = Farewell(DEFINITION.id, place, BreakableWorld())
        ours = signal.getsignal(signal.SIGTERM)
        own.cancel()
        signal.signal(signal.SIGTERM, ours)
        with suppress(SystemExit):
            os.kill(os.getpid(), signal.SIGTERM)
        os._exit(1)
    assert os.WTERMSIG(os.waitpid(pid, 0)[1]) == signal.SIGTERM


@pytest.mark.parametrize("own", [signal.SIG_IGN, lambda *_: None], ids=["ignored", "handled"])
def test_what_a_script_has_decided_stays(own):
    for number in ENDING:
        signal.signal(number, own)
    place = Place("sim", "tests", "env", 15.0, 4.0, DEFINITION.workload)
    farewell = Farewell(DEFINITION.id, place, BreakableWorld())
    assert signal.getsignal(signal.SIGTERM) is own
    farewell.cancel()
    assert signal.getsignal(signal.SIGHUP) is own
