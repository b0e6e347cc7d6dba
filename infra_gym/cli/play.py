"""One episode as the command line plays it: closed whatever happens, stopped by signals."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from gymnasium.wrappers import TimeLimit

from infra_gym.cli.signals import Signals
from infra_gym.errors import InfraGymError, UsageError

if TYPE_CHECKING:
    from infra_gym.agents import Agent
    from infra_gym.cli.dashboard import View
    from infra_gym.cli.episode import Episode
    from infra_gym.cli.output import Output
    from infra_gym.environments.env import InfraEnv
    from infra_gym.stack import Stack


@dataclass(frozen=True)
class Play:
    """An agent in an environment, for one episode.

    Attributes:
        env: The environment; :meth:`run` closes it.
        agent: Who acts.
        episode: Collects what happens.
        view: Shows it.
        signals: The first signal ends the episode, the second the destroying.
        steps: At most so many.
        seed: Of the environment and the agent.
        keep: Whether the environment leaves its stack up.
    """

    env: InfraEnv
    agent: Agent
    episode: Episode
    view: View
    signals: Signals
    steps: int
    seed: int
    keep: bool

    def run(self) -> None:
        """Play, and close the environment whatever happened.

        Raises:
            InfraGymError: The environment, the agent or the closing failed.
        """
        try:
            with contextlib.suppress(KeyboardInterrupt):
                self._play()
        finally:
            if self.signals.first is not None:
                self.episode.ended = f"stopped by {signal.Signals(self.signals.first).name}"
            self._close()

    def left(self) -> str | None:
        """What is still there after the second signal, or ``None`` when all is gone."""
        if self._stack is None:
            return None
        try:
            found = self._stack.status()
        except InfraGymError as error:
            return f"unknown, for the ledger cannot be read: {error.message}"
        layers = [f"{one.layer} ({one.status})" for one in found.layers if one.status != "absent"]
        if not layers and not found.processes:
            return None
        return f"{', '.join(layers) or 'no layer'}; {found.processes} processes."

    @property
    def destroy_command(self) -> str:
        """What to type to destroy what is left."""
        place = self.env.place
        return (
            f"infra-gym layers destroy --target {place.target}"
            f" -p {place.project} -e {place.environment}"
        )

    @property
    def terraform_version(self) -> str | None:
        """Program and version, such as ``terraform 1.11.4``; ``None`` where there is no stack."""
        return None if self._stack is None else self._stack.terraform_version

    @property
    def _stack(self) -> Stack | None:
        return getattr(self.env.world, "stack", None)

    def _play(self) -> None:
        self.view.phase("beginning" if self._stack is None else "starting the stack")
        observation, info = self.env.reset(seed=self.seed)
        self.agent.reset(self.seed, TimeLimit(self.env, self.steps))  # where it is cut off
        self.view.phase("running")
        self.episode.begin(info)
        ended = f"after {self.steps} steps"
        # A signal's exception is lost where Python ignores exceptions, as in a finaliser.
        while self.episode.steps < self.steps and not self.signals.times:
            action = self.agent.act(observation, info)
            observation, reward, terminated, truncated, info = self.env.step(action)
            self.episode.add(float(reward), info)
            self.view.stepped(float(reward))
            if terminated or truncated:
                ended = info.get("truncated_because", "terminated" if terminated else "truncated")
                break
        self.episode.ended = ended

    def _close(self) -> None:
        """Destroy; one signal does not stop that, the second does."""
        doing = "ending"
        if self._stack is not None:
            doing = "leaving the stack up" if self.keep else "destroying"
            self.signals.on_again = self._stack.interrupt
        with (
            contextlib.suppress(KeyboardInterrupt),
            self.signals.patience(lambda: self.view.phase(f"{doing}; once more stops at once")),
        ):
            self.view.phase(doing)
            if self.signals.times < 2:
                self.env.close()
                self.view.phase("done")


def stop_at_once(output: Output, play: Play) -> None:
    """Where something is left, tell it, and end without anything that would still destroy it."""
    left = play.left()
    if left is None:
        return
    with contextlib.suppress(InfraGymError):
        play.env.world.close(keep=True)  # gives the lock back
    output.error(
        f"Stopped at once; not everything is destroyed.\nLeft: {left}\nNext: {play.destroy_command}"
    )
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(128 + (play.signals.first or signal.SIGINT))


def make_folder(folder: Path) -> None:
    """The run log's folder, while there is no stack yet that would have to be destroyed again."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"The folder {folder} for the run log cannot be made: {error.strerror}.",
            next_command="name a file elsewhere: --log PATH",
        ) from error
