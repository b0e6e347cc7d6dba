"""One exception for the signals, and patience for what the first must not cut short."""

import os
import signal
import threading

import pytest

from infra_gym.cli.signals import Interrupted, Signals


def send(number=signal.SIGINT):
    os.kill(os.getpid(), number)


def test_each_signal_raises():
    with Signals() as signals:
        with pytest.raises(Interrupted, match="SIGTERM"):
            send(signal.SIGTERM)
        with pytest.raises(Interrupted, match="SIGINT"):
            send()
    assert (signals.first, signals.times) == (signal.SIGTERM, 2)


def test_patience_outlasts_the_first_signal_only():
    told = []
    with Signals() as signals, signals.patience(lambda: told.append("wait")):
        send()
        assert told == ["wait"]
        with pytest.raises(Interrupted):
            send()


def test_patience_does_not_outlast_one_that_came_before():
    told = []
    with Signals() as signals:
        with pytest.raises(Interrupted):
            send()
        with signals.patience(lambda: told.append("wait")), pytest.raises(Interrupted):
            send()
    assert told == []


def test_a_second_signal_ends_what_is_too_gentle():
    ended = threading.Event()
    with Signals() as signals:
        signals.on_again = ended.set
        with pytest.raises(Interrupted):
            send()
        assert not ended.is_set()
        with pytest.raises(Interrupted):
            send()
        assert ended.wait(5)


def test_a_terminal_that_is_gone_does_not_end_patience():
    def gone():
        raise OSError("no terminal")

    with Signals() as signals, signals.patience(gone):
        send()


def test_the_handlers_before_come_back():
    before = signal.getsignal(signal.SIGTERM)
    with Signals():
        assert signal.getsignal(signal.SIGTERM) is not before
    assert signal.getsignal(signal.SIGTERM) is before


def test_in_another_thread_signals_are_left_alone():
    problems = []

    def work():
        try:
            with Signals():
                pass
        except ValueError as error:
            problems.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert problems == []
