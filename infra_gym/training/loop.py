"""What happens beside the learning: progress, checkpoints, and the end that somebody asks for."""

from __future__ import annotations

import time
from collections.abc import Callable

from stable_baselines3.common.callbacks import BaseCallback

from infra_gym.training.train import Progress


class Loop(BaseCallback):  # type: ignore[misc]
    """Stable-Baselines3 calls it as it learns.

    Args:
        save: Writes the model.
        of: Steps that are to be made.
        on_progress: Called after every step of all environments.
        stopped: Asked after every step; once true, learning ends.
        checkpoint_s: Seconds between two calls of ``save``, at least.
    """

    def __init__(
        self,
        save: Callable[[], None],
        *,
        of: int,
        on_progress: Callable[[Progress], None] | None,
        stopped: Callable[[], bool],
        checkpoint_s: float,
    ) -> None:
        super().__init__()
        self.save = save
        self._of = of
        self._on_progress = on_progress
        self._stopped = stopped
        self._checkpoint_s = checkpoint_s
        self._began = self._saved = time.monotonic()
        self._first = 0

    def progress(self, steps: int) -> Progress:
        """How far it is after so many steps."""
        model = getattr(self, "model", None)  # of which it knows once there is something to learn
        ended = [] if model is None else [one["r"] for one in model.ep_info_buffer or ()]
        seconds = max(time.monotonic() - self._began, 1e-9)
        return Progress(
            steps=steps,
            of=self._of,
            reward=sum(ended) / len(ended) if ended else None,
            steps_per_s=(steps - self._first) / seconds,
        )

    def _on_training_start(self) -> None:
        self._first = self.num_timesteps
        self._began = self._saved = time.monotonic()

    def _on_rollout_start(self) -> None:
        # Between two rollouts the policy is whole: no gradient is half applied.
        if time.monotonic() - self._saved >= self._checkpoint_s:
            self.save()
            self._saved = time.monotonic()

    def _on_step(self) -> bool:
        if self._on_progress is not None:
            self._on_progress(self.progress(self.num_timesteps))
        return not self._stopped()
