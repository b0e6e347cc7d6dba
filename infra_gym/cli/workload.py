"""``--workload``: another load than the declared one, in a few words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from infra_gym.cli.variables import pairs, value

if TYPE_CHECKING:
    from infra_gym.workloads import Workload


def workload_of(text: str, declared: Workload) -> dict[str, Any]:
    """The load as ``text`` says: another profile, or the declared one with other numbers."""
    first, *others = text.split(",")
    texts = [first if "=" in first else f"profile={first}", *others]
    given = pairs("--workload", texts, example="sine,mean_rps=80")
    changed = {name: value(written) for name, written in given.items()}
    profile = changed.get("profile", declared.profile)
    if profile == declared.profile:
        return {**declared.model_dump(exclude_none=True), **changed}
    if profile == "trace" or declared.mean_rps is None:
        return changed
    return {"mean_rps": declared.mean_rps, **changed}
