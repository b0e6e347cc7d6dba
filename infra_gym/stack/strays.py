"""What a cloud account has of a stack that no state knows of.

A Terraform that is killed, whose answer is lost on the way, or whose provider gives up waiting, has
made things that never reach its state. They would be billed on, keep the network that they lie in
from going, and keep their names from being used again. Their names, and what they belong to, tell
whose they are.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING

from infra_gym.errors import (
    CloudError,
    InfraGymError,
    TerraformError,
    TerraformInterruptedError,
)
from infra_gym.stack.ledger import LayerRecord
from infra_gym.stack.storage import Storage
from infra_gym.terraform.backends import environment_prefix

if TYPE_CHECKING:
    from infra_gym.clouds.digitalocean_runs import CloudRun, Lister, Thing

CORE = "do/core"
"""The layer that names all of a stack's things in the account, and holds the network."""
IN_ACCOUNT = "do/"
"""What the names of layers begin with that stand in the account, which is billed for them."""
_UNAUTHORIZED = "Unable to authenticate you"
_IN_USE = "VPC with members"
_MADE_BY_CORE = ("firewalls", "vpcs", "projects", "tags")
"""One of each, under the stack's whole name; those of other layers have more in their names."""


class Strays:
    """Those of one stack. Nothing is asked of the account before it is needed.

    Args:
        project: The project.
        environment: The environment's name.
        storage: Where the states lie.
        stopping: Set: no longer wait for what goes.
        account: Reaches the account; another one in tests.
    """

    def __init__(
        self,
        project: str,
        environment: str,
        storage: Storage,
        stopping: threading.Event,
        account: Callable[[], Lister] | None = None,
    ) -> None:
        self._project = project
        self._environment = environment
        self._storage = storage
        self._stopping = stopping
        self._account = account or _account
        self._seen: tuple[CloudRun, ...] = ()

    def look(self, records: Mapping[str, LayerRecord]) -> None:
        """Remember what there is before it is destroyed: what outlives its cluster is known by it.

        Raises:
            CloudError: The account does not answer, or does not accept the token.
        """
        if CORE in records:
            self._seen = tuple(self._runs(records[CORE]))

    def remove_before_apply(self, records: Mapping[str, LayerRecord]) -> None:
        """Delete what an apply that failed or was killed made, and could not write down.

        Call it while nothing is being applied.

        Raises:
            CloudError: It cannot be deleted.
        """
        half_done = any(
            layer.startswith(IN_ACCOUNT) and record.status != "applied"
            for layer, record in records.items()
        )
        known = self._known() if half_done and CORE in records else None
        if known is not None:
            self._destroy(
                records[CORE], lambda run, one: _named(run, one) and str(one.identity) not in known
            )

    def remove_before_destroy(self, records: Mapping[str, LayerRecord]) -> None:
        """Delete what would keep the last layer's network from going, or would be left after it.

        Raises:
            CloudError: It cannot be deleted.
        """
        known, title = self._known(), self._title(records[CORE])
        others = [one for one in records if one.startswith(IN_ACCOUNT) and one != CORE]

        def is_stray(run: CloudRun, thing: Thing) -> bool:
            if known is None:
                of_core = thing.kind in _MADE_BY_CORE and thing.name == title
                return not others and not of_core
            return str(thing.identity) not in known and (not others or _named(run, thing))

        self._destroy(records[CORE], is_stray)

    @contextmanager
    def explained(self, layer: str) -> Iterator[None]:
        """Say of a layer's failure what the account knows of it, and what to do."""
        try:
            yield
        except TerraformError as error:
            if layer.startswith(IN_ACCOUNT):
                self._explain(error)
            raise

    def _explain(self, error: TerraformError) -> None:
        from infra_gym.clouds.digitalocean import NEW_TOKEN

        said = "\n".join((error.message, *error.diagnostics))
        if _UNAUTHORIZED in said:
            error.next_command = NEW_TOKEN
        elif _IN_USE in said:
            held = self._held()
            error.message += f" It is held by {', '.join(held)}." if held else ""
            error.next_command = (
                "delete what holds it, at https://cloud.digitalocean.com; then: infra-gym sweep "
                f"{self._project}/{self._environment}"
            )

    def _held(self) -> list[str]:
        """What lies in the stack's networks."""
        from infra_gym.clouds.digitalocean_runs import digest_of, find_runs

        digest = digest_of(self._project, self._environment)
        try:
            runs = [run for run in find_runs(self._account()) if run.digest == digest]
            networks = [one for run in runs for one in run.things if one.kind == "vpcs"]
            return [name for one in networks for name in self._account().members(one.identity)]
        except InfraGymError:  # what failed first is what is told
            return []

    def _destroy(self, record: LayerRecord, is_stray: Callable[[CloudRun, Thing], bool]) -> None:
        from infra_gym.clouds.digitalocean_runs import destroy_run

        for run in self._runs(record):
            keep = [thing.identity for thing in run.things if not is_stray(run, thing)]
            if len(keep) < len(run.things):
                unseen = destroy_run(self._account(), run, keep=keep, sleep=self._pause)
                for kind, error in unseen.items():
                    _passed_over(kind, error)

    def _pause(self, seconds: float) -> None:
        if self._stopping.wait(seconds):
            raise TerraformInterruptedError(
                "stopped while the account was being cleared of what no state knows.",
                environment=f"{self._project}/{self._environment}",
                next_command=f"infra-gym sweep {self._project}/{self._environment}",
            )

    def _runs(self, record: LayerRecord) -> list[CloudRun]:
        from infra_gym.clouds.digitalocean_runs import find_runs

        found = find_runs(self._account(), before=self._seen, on_problem=_passed_over)
        return [run for run in found if run.is_of(self._title(record))]

    def _title(self, record: LayerRecord) -> str | None:
        return title_of(record, self._project, self._environment)

    def _known(self) -> frozenset[str] | None:
        """The ids of all that the stack's states hold; ``None`` where one cannot be read."""
        prefix = f"{environment_prefix(self._project, self._environment)}state/"
        found: set[str] = set()
        for key in self._storage.keys(prefix):
            if key.endswith(".tfstate"):
                ids = ids_in(self._storage.read(key))
                if ids is None:
                    return None
                found |= ids
        return frozenset(found)


def title_of(record: LayerRecord, project: str, environment: str) -> str | None:
    """The name of a stack's things in the account, by its ledger's record of :data:`CORE`.

    Two people's stacks may have the same project and environment in two ledgers: only what bears
    the name that the ledger itself has belongs to it.
    """
    from infra_gym.clouds.digitalocean_runs import title_of as made

    if "name" in record.outputs:
        return str(record.outputs["name"])
    try:
        expires = datetime.fromisoformat(str(record.inputs["expires"]))
    except (KeyError, ValueError):
        return None
    return made(project, environment, expires)


def ids_in(state: bytes | None) -> frozenset[str] | None:
    """The ids of the resources in a state; ``None`` where it cannot be read."""
    if not state:
        return frozenset()
    try:
        instances = [one for entry in json.loads(state)["resources"] for one in entry["instances"]]
        return frozenset(
            str(one["attributes"]["id"]) for one in instances if "id" in one["attributes"]
        )
    except (ValueError, KeyError, TypeError):
        return None


def _named(run: CloudRun, thing: Thing) -> bool:
    """Whether it bears the run's name, not only belongs to something that does."""
    return thing.name.startswith(run.name)


def _passed_over(_kind: str, error: CloudError) -> None:
    """What the token may not even list, it cannot have made."""
    if type(error) is CloudError:
        raise error


def _account() -> Lister:
    from infra_gym.clouds.digitalocean import DigitalOcean

    return DigitalOcean.from_environment()
