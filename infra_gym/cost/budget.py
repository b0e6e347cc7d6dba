"""The money and the wall-clock time that a run may use."""

from __future__ import annotations

from dataclasses import dataclass

from infra_gym.errors import SettingsError


@dataclass(frozen=True)
class Budget:
    """Limits over all episodes of a run; ``None`` is no limit."""

    usd: float | None = None
    """US dollars."""
    seconds: float | None = None
    """Wall-clock seconds since the first reset."""

    def __post_init__(self) -> None:
        for name, value in (("budget_usd", self.usd), ("max_seconds", self.seconds)):
            if value is not None and not value > 0:
                raise SettingsError(f"{name} must be a positive number, not {value}")

    def exceeded(self, *, usd: float, seconds: float, reserve_usd: float = 0.0) -> str | None:
        """Why the run must end, for ``info``; ``None`` while both limits hold.

        Args:
            usd: What was spent.
            seconds: Wall-clock seconds since the first reset.
            reserve_usd: What going on, and then destroying everything, will cost as well.
        """
        if self.usd is not None and usd + reserve_usd >= self.usd:
            more = f", and ${reserve_usd:.4f} are kept for the end" if reserve_usd else ""
            return f"budget spent: ${usd:.4f} of ${self.usd:g}{more}"
        if self.seconds is not None and seconds >= self.seconds:
            return f"time used up: {seconds:.0f} of {self.seconds:g} s"
        return None
