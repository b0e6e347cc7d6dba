"""What happens to a stack whose environment nobody closed before Python ended: it is destroyed.

A training script that raises must not leave a cluster running. By the time exit handlers run, Python
starts no more threads, which a destroy needs; so another process does it.
"""

from __future__ import annotations

import atexit
import subprocess
import sys
from collections.abc import Callable

from infra_gym.environments.place import Place

# Terraform has deadlines of its own, which pass before this one.
_DEADLINE_S = 3600.0


def at_exit(definition_id: str, place: Place, release: Callable[[], object]) -> Callable[[], None]:
    """Have the stack destroyed when Python ends; call the result when it is closed before.

    Args:
        definition_id: The environment's id or file.
        place: Its names and target.
        release: Gives up the stack's lock, so that the other process can take it.
    """

    def destroy() -> None:
        command = [
            sys.executable, "-m", "infra_gym.cli.main", "layers", "destroy", definition_id,
            "--target", place.target, "-p", place.project, "-e", place.environment, "--quiet",
        ]  # fmt: skip
        print(  # noqa: T201
            f"{definition_id} was not closed: destroying {place.project}/{place.environment}.",
            file=sys.stderr,
            flush=True,
        )
        release()
        subprocess.run(command, check=False, timeout=_DEADLINE_S)

    atexit.register(destroy)
    return lambda: atexit.unregister(destroy)
