"""Evaluating agents: every agent plays an episode on every seed.

A :class:`Case` is one episode to play, a :class:`Player` plays it in an environment of its own, and
:class:`Alone` is the team of one player that plays all of them in this process. What
:mod:`infra_gym.distributed` adds is a team of many players; the results are the same, because an
episode depends on its agent and its seed only.
"""

from __future__ import annotations

import shutil
import tempfile
import threading
from collections.abc import Generator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Any, Protocol

from gymnasium.wrappers import TimeLimit

from infra_gym.agents import make_agent
from infra_gym.errors import EpisodeOverError, MetricsError, NotReadyError, UsageError
from infra_gym.evaluation.arena import Arena
from infra_gym.worlds.live import LiveWorld


@dataclass(frozen=True)
class Contestant:
    """An agent to be made: its name, and what its class takes."""

    name: str
    parameters: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Case:
    """One episode to play; ``index`` counts from 0 in the evaluation's order."""

    index: int
    contestant: Contestant
    seed: int


@dataclass(frozen=True)
class Result:
    """One episode in numbers; what was never measured is ``None``."""

    agent: str
    seed: int
    worker: int
    """Who played it, counted from 1."""
    steps: int
    ended: str
    """``terminated``, ``truncated``, why it was, or ``after N steps``."""
    reward: float
    """Sum over the steps; US dollars where the environment is a stack of layers."""
    terms: Mapping[str, float]
    """Sum of each reward term."""
    cost_usd: float | None
    requests: float | None
    slo_share: float | None
    """Share of the requests that were within the SLO, 0 to 1."""
    schedule_sha256: str | None = None
    """Of the arrivals."""


@dataclass(frozen=True)
class Played:
    """A case that was played.

    Attributes:
        case: The case.
        result: Its numbers.
        environment: The name of the environment that it was played in.
        log: The run log's lines since the last case, with the header before the first one.
        lost: What happened to players that were here before and died, in words.
    """

    case: Case
    result: Result
    environment: str | None
    log: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()


class Team(Protocol):
    """Who plays: one player in this process, or many on many machines."""

    def play(self, cases: Sequence[Case]) -> Generator[Played, None, None]:
        """Play the cases; they come back in the order in which they end.

        Raises:
            InfraGymError: An episode failed, or a player was lost too often.
        """

    def interrupt(self) -> None:
        """Have what runs stop gently; again: at once. Safe from any thread."""

    def close(self) -> None:
        """Destroy all that was made; to be called whatever happened.

        Raises:
            InfraGymError: Something could not be destroyed.
        """

    def left(self) -> list[str]:
        """The names of environments of which something may be left after a ``close`` that failed
        or was interrupted.
        """


def cases_of(contestants: Sequence[Contestant], seeds: Sequence[int]) -> list[Case]:
    """Every agent on every seed, the agents one after another.

    Raises:
        UsageError: A seed or an agent comes twice, which would count its episodes twice; or an
            agent cannot be made.
    """
    for what, values in (("seed", seeds), ("agent", [one.name for one in contestants])):
        twice = sorted({value for value in values if list(values).count(value) > 1})
        if twice:
            raise UsageError(f"The {what} {twice[0]} comes twice; it would count twice.")
    for contestant in contestants:
        make_agent(contestant.name, **contestant.parameters)
    pairs = [(contestant, seed) for contestant in contestants for seed in seeds]
    return [Case(index, contestant, seed) for index, (contestant, seed) in enumerate(pairs)]


class Player:
    """Plays episodes in one environment, made with the first of them.

    One thread at a time; only :meth:`stop` may come from another.

    Args:
        arena: Which environment.
        number: The player's, counted from 1.
        logs: Whether a run log is kept.
    """

    def __init__(self, arena: Arena, number: int = 1, *, logs: bool = True) -> None:
        self._arena = arena
        self._number = number
        self._logs = logs and arena.has_log
        self._env: Any = None
        self._log: _Tail | None = None
        self._stopped = threading.Event()

    def play(self, case: Case) -> Played:
        """Play an episode from its beginning to its end.

        Raises:
            InfraGymError: The environment or the agent failed, or :meth:`stop` was called.
        """
        if self._env is None:
            self._log = _Tail() if self._logs else None
            self._env = self._arena.make(self._log.path if self._log else None)
        result = self._episode(case)
        return Played(case, result, self._arena.environment, self._log.lines() if self._log else ())

    def insist(self, case: Case, *, times: int) -> Played:
        """Play an episode; where it could not be measured, once more from its beginning.

        Args:
            case: The episode.
            times: How often at most, after the first.

        Raises:
            InfraGymError: As :meth:`play`, or it could not be measured so many times.
        """
        lost: list[str] = []
        while True:
            try:
                return replace(self.play(case), lost=tuple(lost))
            except (MetricsError, NotReadyError) as error:
                if len(lost) == times or self._stopped.is_set():
                    raise
                lost.append(
                    f"{case.contestant.name}, seed {case.seed}, is played again: {error.message}"
                )
                if self._log:
                    self._log.forget()

    def stop(self) -> None:
        """End the episode with its current step; a live one's Terraform stops, gently at first."""
        self._stopped.set()
        world = getattr(getattr(self._env, "unwrapped", None), "world", None)
        if isinstance(world, LiveWorld):
            world.interrupt()

    def close(self) -> None:
        """Destroy what was made.

        Raises:
            InfraGymError: It could not be destroyed.
        """
        env, self._env = self._env, None
        try:
            if env is not None:
                env.close()
        finally:
            if self._log is not None:
                self._log.close()

    def _episode(self, case: Case) -> Result:
        env, steps = self._env, self._arena.steps
        agent = make_agent(case.contestant.name, **case.contestant.parameters)
        observation, info = env.reset(seed=case.seed)
        # Who plans ahead must know where the episode is cut off.
        agent.reset(case.seed, env if steps is None else TimeLimit(env, steps))
        tally = _Tally(info.get("schedule_sha256"))
        ended = ""
        while not ended:
            if self._stopped.is_set():
                raise EpisodeOverError("The evaluation was stopped.")
            action = agent.act(observation, info)
            observation, reward, terminated, truncated, info = env.step(action)
            tally.add(float(reward), info)
            if terminated or truncated:
                ended = info.get("truncated_because", "terminated" if terminated else "truncated")
            elif tally.steps == steps:
                ended = f"after {steps} steps"
        return tally.result(case, self._number, ended)


class Alone:
    """The team of one player, in this process.

    Args:
        arena: Which environment.
        times: How often an episode that could not be measured is played again.
    """

    def __init__(self, arena: Arena, *, times: int = 0) -> None:
        self._arena = arena
        self._times = times
        self._player = Player(arena)
        self._closed = False

    def play(self, cases: Sequence[Case]) -> Generator[Played, None, None]:
        """See :class:`Team`; here they come back in order."""
        for case in cases:
            yield self._player.insist(case, times=self._times)

    def interrupt(self) -> None:
        """See :class:`Team`."""
        self._player.stop()

    def close(self) -> None:
        """See :class:`Team`."""
        self._player.close()
        self._closed = True

    def left(self) -> list[str]:
        """See :class:`Team`."""
        return [str(self._arena.environment)] if self._arena.is_live and not self._closed else []


class _Tally:
    """Adds up an episode's steps."""

    def __init__(self, schedule_sha256: str | None) -> None:
        self.steps = 0
        self._schedule_sha256 = schedule_sha256
        self._reward = 0.0
        self._terms: dict[str, float] = {}
        self._sums: dict[str, float] = {}

    def add(self, reward: float, info: Mapping[str, Any]) -> None:
        self.steps += 1
        self._reward += reward
        for term, value in info.get("rewards", {}).items():
            self._terms[term] = self._terms.get(term, 0.0) + float(value)
        metrics = info.get("metrics", {})
        for name, place in (("cost_usd", info), ("requests", metrics), ("within_slo", metrics)):
            if name in place:
                self._sums[name] = self._sums.get(name, 0.0) + float(place[name])

    def result(self, case: Case, worker: int, ended: str) -> Result:
        requests, within = self._sums.get("requests"), self._sums.get("within_slo")
        return Result(
            agent=case.contestant.name,
            seed=case.seed,
            worker=worker,
            steps=self.steps,
            ended=ended,
            reward=self._reward,
            terms=self._terms,
            cost_usd=self._sums.get("cost_usd"),
            requests=requests,
            slo_share=within / requests if requests and within is not None else None,
            schedule_sha256=self._schedule_sha256,
        )


class _Tail:
    """The run log of a player, read as it grows.

    It loses its name with the first reading, so that nothing lies about when the process is killed.
    """

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="infra-gym-"))
        self.path = self._folder / "run.jsonl"
        self._file: IO[str] | None = None
        self._kept: tuple[str, ...] = ()

    def forget(self) -> None:
        """Leave out what was written since the last reading, but for the log's header."""
        if self._file is None and not self.path.exists():  # its first reset has failed
            return
        headers = [line for line in self.lines() if '"kind":"header"' in line[:40]]
        self._kept = tuple(headers)

    def lines(self) -> tuple[str, ...]:
        """What was written since the last reading; the environment writes whole lines."""
        if self._file is None:
            self._file = self.path.open(encoding="utf-8")
            self._remove()
        kept, self._kept = self._kept, ()
        return (*kept, *self._file.read().splitlines())

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
        self._remove()

    def _remove(self) -> None:
        with suppress(OSError):
            shutil.rmtree(self._folder)
