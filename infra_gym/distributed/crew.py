"""Many workers evaluate agents: Ray keeps them, gives them work and replaces the lost."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from typing import Any

from infra_gym.distributed.cluster import Cluster, explained, refuse_unshared, state_variables
from infra_gym.distributed.leftovers import destroy_left, worker_name
from infra_gym.distributed.worker import Worker
from infra_gym.errors import InfraGymError, SettingsError, WorkerLostError, WorkersError
from infra_gym.evaluation.arena import LONGEST_NAME, Arena
from infra_gym.evaluation.evaluate import Case, Played

RESTARTS = 3
"""How often each worker is replaced before the evaluation is given up."""

_CONTROL = "control"
_DESTROY_S = 3600.0


class Crew:
    """The team of many players; see :class:`infra_gym.evaluation.evaluate.Team`.

    Args:
        arena: Which environment; worker 2 of ``demo`` has the environment ``demo-2``.
        workers: How many.
        address: Of a Ray cluster; see :class:`~infra_gym.distributed.cluster.Cluster`.
        verbose: Whether what workers print is shown.

    Raises:
        MissingProgramError: Ray is not installed.
        WorkersError: It cannot be reached, or has no room for so many.
        SettingsError: The name is too long, or several machines would not share the state.
    """

    def __init__(
        self, arena: Arena, *, workers: int, address: str | None = None, verbose: bool = False
    ) -> None:
        _check_name(arena)
        self._arena = arena
        self._left = set(range(1, workers + 1)) if arena.is_live else set()
        self._playing = False
        self._cluster = Cluster(address, workers=workers, verbose=verbose)
        try:
            settings = arena.settings()
            refuse_unshared(settings, machines=self._cluster.machines)
            self._surroundings = {"env_vars": state_variables(settings)}
            self._workers = {number: self._hire(number) for number in range(1, workers + 1)}
        except BaseException:
            self._cluster.close()
            raise

    def play(self, cases: Sequence[Case]) -> Generator[Played, None, None]:
        """See :class:`infra_gym.evaluation.evaluate.Team`."""
        pool = self._cluster.ray.util.ActorPool([*self._workers.values()])
        self._playing = True
        with explained(f"A worker, replaced at most {RESTARTS} times,"):
            yield from pool.map_unordered(lambda worker, case: worker.play.remote(case), cases)
        self._playing = False

    def interrupt(self) -> None:
        """See :class:`infra_gym.evaluation.evaluate.Team`."""
        for worker in self._workers.values():
            worker.stop.options(concurrency_group=_CONTROL).remote()

    def close(self) -> None:
        """See :class:`infra_gym.evaluation.evaluate.Team`.

        Each worker destroys its own; then, where each was, what is still there is destroyed: of the
        dead, and of who failed to.
        """
        try:
            if self._playing:
                self.interrupt()
            closing = {number: each.close.remote() for number, each in self._workers.items()}
            failures = {
                number: failure
                for number, failure in self._ends(closing).items()
                if not isinstance(failure, WorkerLostError)  # the dead have nothing to close
            }
            for worker in self._workers.values():
                self._cluster.ray.kill(worker)
            if self._left:
                failures = self._ends({number: self._destroy(number) for number in self._left})
                self._left.intersection_update(failures)
        finally:
            self._cluster.close()
        for failure in failures.values():
            raise failure

    def left(self) -> list[str]:
        """See :class:`infra_gym.evaluation.evaluate.Team`."""
        return [self._name(number) for number in sorted(self._left)]

    def _hire(self, number: int) -> Any:
        actor = self._cluster.ray.remote(
            max_restarts=RESTARTS, max_task_retries=RESTARTS, concurrency_groups={_CONTROL: 1}
        )(Worker)
        placed = actor.options(**self._cluster.place(number), runtime_env=self._surroundings)
        return placed.remote(self._arena, number)

    def _destroy(self, number: int) -> Any:
        task = self._cluster.ray.remote(_destroy)
        placed = task.options(**self._cluster.place(number), runtime_env=self._surroundings)
        return placed.remote(self._arena, self._name(number))

    def _ends(self, calls: Mapping[int, Any]) -> dict[int, InfraGymError]:
        """Wait for all calls, and return the errors of those that failed, by worker."""
        failures: dict[int, InfraGymError] = {}
        ended, _ = self._cluster.ray.wait(
            [*calls.values()], num_returns=len(calls), timeout=_DESTROY_S
        )
        for number, call in calls.items():
            try:
                if call not in ended:
                    raise WorkersError(f"Worker {number} does not come to an end.")
                with explained(f"Worker {number}"):
                    self._cluster.ray.get(call)
            except InfraGymError as error:
                failures[number] = error
        return failures

    def _name(self, number: int) -> str:
        return worker_name(str(self._arena.environment), number)


def _destroy(arena: Arena, worker: str) -> list[str]:
    return destroy_left(arena.settings(), worker)


def _check_name(arena: Arena) -> None:
    if len(str(arena.environment)) > LONGEST_NAME and arena.has_log:
        raise SettingsError(
            f"environment {arena.environment!r} leaves no room for the workers' numbers: "
            f"at most {LONGEST_NAME} characters",
            next_command="choose a shorter name with -e",
        )
