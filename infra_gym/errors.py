"""Every error that infra-gym raises on purpose.

A failure is an error, never a reward. Each message says what failed, on which environment, target
and layer, why (the last useful diagnostic) and what to type next. The command line prints the
message without a traceback and exits with :attr:`InfraGymError.exit_code`.

::

    InfraGymError
    ├── UsageError                  what the caller wrote is wrong (exit code 2)
    │   ├── DefinitionError         an environment's YAML file: file, line, key, what is allowed
    │   ├── SettingsError           infra-gym.toml, INFRA_GYM_* or an argument
    │   ├── UnknownNameError        an id, layer or agent that does not exist, with a suggestion
    │   ├── ExpressionError         a reward or metric expression
    │   └── ActionError             an action outside the space: NaN, wrong shape, out of range
    ├── MissingProgramError         terraform, tofu or prometheus is missing or too old
    ├── TerraformError              a terraform command failed; carries its diagnostics
    │   ├── TerraformTimeoutError   it passed its deadline and was stopped
    │   └── TerraformInterruptedError   somebody asked it to stop
    ├── StackError
    │   ├── LayerFailedError        one layer failed: names it, and the layers that did not run
    │   ├── StackLockedError        another run owns the stack: who, since when
    │   ├── OwnershipLostError      this run was taken over and must not apply again
    │   ├── StackMismatchError      a stack of another id, target or cluster lies under this name
    │   └── StateBackendError       the bucket or folder with the state cannot be used
    ├── MetricsError
    │   ├── PrometheusUnavailableError   down, slow, cut off or answering nonsense
    │   └── StaleMetricsError       no fresh samples before the deadline
    ├── WorldError
    │   ├── NotReadyError           the world did not become ready in time, or reset was not called
    │   ├── DivergedError           a replay was asked for what was not recorded
    │   └── EpisodeOverError        step after the end, or reset after the budget is spent
    ├── ClusterError                a Kubernetes cluster cannot be used, or lacks something
    │   ├── ClusterUnreachableError it is down, slow or cut off: it may come back
    │   └── ClusterRefusedError     it does not accept the credentials, or a right is missing
    ├── CloudError                  a cloud account cannot be used, or refuses something
    │   ├── CloudMissingError       the account has no such thing (any more)
    │   └── CloudRefusedError       it does not accept the token, or a right is missing
    ├── ResultsError                a benchmark's file does not say what was, or cannot be checked
    ├── RemoteError                 a server of environments refused, failed or went away
    └── WorkersError                Ray cannot be reached, or has no room
        └── WorkerLostError         a worker's process or machine went away, again and again
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar


class InfraGymError(Exception):
    """The root of all.

    Args:
        message: What failed and why, one sentence or a few lines.
        environment: ``PROJECT/ENVIRONMENT`` where it failed.
        target: ``local``, ``k8s``, ``do``, ``sim`` or ``replay``.
        layer: ``PROVIDER/NAME`` of the layer.
        next_command: What to type, or to do, next.
    """

    exit_code: ClassVar[int] = 1

    def __init__(
        self,
        message: str,
        *,
        environment: str | None = None,
        target: str | None = None,
        layer: str | None = None,
        next_command: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.environment = environment
        self.target = target
        self.layer = layer
        self.next_command = next_command

    def __str__(self) -> str:
        place = [
            f"{name} {value}"
            for name, value in (
                ("environment", self.environment),
                ("target", self.target),
                ("layer", self.layer),
            )
            if value
        ]
        lines = [self.message]
        if place:
            lines.append(f"Where: {', '.join(place)}.")
        if self.next_command:
            lines.append(f"Next: {self.next_command}")
        return "\n".join(lines)


class UsageError(InfraGymError):
    """What the caller wrote is wrong."""

    exit_code = 2


class DefinitionError(UsageError):
    """An environment's definition cannot be used: file, line, key, and what is allowed there."""


class SettingsError(UsageError):
    """A setting has a value that it cannot have."""


class UnknownNameError(UsageError):
    """A name that does not exist, with the nearest ones that do.

    Args:
        kind: What the name should have been, such as ``"environment"``.
        name: What was written.
        known: The names that exist.
    """

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        names = sorted(known)
        super().__init__(f"There is no {kind} {name!r}.{did_you_mean(name, names)}")
        self.kind = kind
        self.name = name
        self.known = names

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.kind, self.name, self.known), self.__dict__


class ExpressionError(UsageError):
    """An expression has a name, function or form that is not allowed, or cannot be evaluated."""


class ActionError(UsageError):
    """An action outside the action space."""


class MissingProgramError(InfraGymError):
    """A program that is needed is missing or too old."""


class TerraformError(InfraGymError):
    """A terraform command failed.

    ``diagnostics`` holds Terraform's own messages as printable text, the last useful one first.
    """

    def __init__(
        self,
        message: str,
        *,
        diagnostics: Sequence[str] = (),
        **where: str | None,
    ) -> None:
        super().__init__(message, **where)
        self.diagnostics = tuple(diagnostics)


class TerraformTimeoutError(TerraformError):
    """A terraform command passed its deadline and was stopped."""


class TerraformInterruptedError(TerraformError):
    """A terraform command was stopped because somebody asked for it."""


class StackError(InfraGymError):
    """A stack of layers cannot do what was asked."""


class LayerFailedError(StackError):
    """A layer failed; ``not_run`` names the layers that did not run because of it."""

    def __init__(
        self,
        message: str,
        *,
        not_run: Sequence[str] = (),
        **where: str | None,
    ) -> None:
        if not_run:
            message += f"\nNot run because of it: {', '.join(not_run)}."
        super().__init__(message, **where)
        self.not_run = tuple(not_run)


class StackLockedError(StackError):
    """Another run owns the stack."""


class OwnershipLostError(StackError):
    """This run was taken over by another and must not apply again."""


class StackMismatchError(StackError):
    """A stack of another id, target or cluster lies under this project and environment."""


class StateBackendError(StackError):
    """The state backend cannot be reached, or cannot do what is needed."""


class MetricsError(InfraGymError):
    """A metric cannot be read; it is never replaced by a number."""


class PrometheusUnavailableError(MetricsError):
    """Prometheus is down, slow, cut off, or answers what cannot be understood."""


class StaleMetricsError(MetricsError):
    """No fresh sample came before the deadline."""


class WorldError(InfraGymError):
    """The world under an environment cannot go on."""


class NotReadyError(WorldError):
    """The world did not become ready in time, or was not reset."""


class DivergedError(WorldError):
    """A replay was asked for something else than what was recorded."""


class EpisodeOverError(WorldError):
    """The episode, or the budget for all of them, is over."""


class ClusterError(InfraGymError):
    """A Kubernetes cluster cannot be used, or lacks something."""


class ClusterUnreachableError(ClusterError):
    """The cluster is down, slow or cut off: it may come back."""


class ClusterRefusedError(ClusterError):
    """The cluster does not accept the credentials, or a right is missing."""


class CloudError(InfraGymError):
    """A cloud account cannot be used, or refuses something."""


class CloudMissingError(CloudError):
    """The account has no such thing."""


class CloudRefusedError(CloudError):
    """The account does not accept the token, or the token lacks a right."""


class ResultsError(InfraGymError):
    """A benchmark's file is damaged, does not say what happened, or cannot be checked."""


class RemoteError(InfraGymError):
    """A server of environments refused, failed or went away.

    ``kind`` is the name of the error that the server met, empty where the connection broke.
    """

    def __init__(self, message: str, *, kind: str = "", next_command: str | None = None) -> None:
        super().__init__(message, next_command=next_command)
        self.kind = kind


class WorkersError(InfraGymError):
    """Ray cannot be reached, or has no room for so many workers."""


class WorkerLostError(WorkersError):
    """A worker's process or machine went away more often than workers are replaced."""


def nearest(name: str, known: Iterable[str]) -> list[str]:
    """At most three of ``known`` that ``name`` may be a slip of, the nearest first."""
    lowered = {candidate.lower(): candidate for candidate in known}
    matches = difflib.get_close_matches(name.lower(), lowered, n=3, cutoff=0.6)
    return [lowered[match] for match in matches]


def did_you_mean(name: str, known: Sequence[str]) -> str:
    """`` Did you mean ...?`` for the nearest of ``known``, else what there is to choose from."""
    near = nearest(name, known)
    if near:
        return f" Did you mean {' or '.join(map(repr, near))}?"
    if known:
        return f" Known: {', '.join(known)}."
    return ""
