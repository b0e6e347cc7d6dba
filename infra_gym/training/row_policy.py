"""A policy for observations of rows, each of which is an action."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch
from sb3_contrib.common.maskable.policies import MaskableActorCriticPolicy
from torch import nn

_ROWS_VALUED = 32  # rows that the value looks at; the rest is told by their number


class RowExtractor(nn.Module):  # type: ignore[misc]
    """Scores every row by one small network, as Zhang et al. (RLScheduler, SC'20) do.

    Args:
        rows: Of an observation.
        columns: Of an observation.
        hidden: Units of the hidden layers.
        activation: Between the layers.
    """

    def __init__(
        self, rows: int, columns: int, hidden: tuple[int, ...], activation: type[Any]
    ) -> None:
        super().__init__()
        self._shape = (rows, columns)
        self.latent_dim_pi = rows
        self.latent_dim_vf = 64
        self.policy_net = nn.Sequential(*_layers([columns, *hidden, 1], activation))
        seen = min(rows, _ROWS_VALUED) * columns + 3 * columns
        self.value_net = nn.Sequential(
            *_layers([seen, 64, self.latent_dim_vf], activation), activation()
        )

    def forward(self, features: Any) -> tuple[Any, Any]:
        """The actor's and the critic's latent numbers."""
        return self.forward_actor(features), self.forward_critic(features)

    def forward_actor(self, features: Any) -> Any:
        """A score of each row."""
        return self.policy_net(features.reshape(-1, *self._shape)).squeeze(-1)

    def forward_critic(self, features: Any) -> Any:
        """What the value depends on: the first rows, and what all rows have in common."""
        rows = features.reshape(-1, *self._shape)
        told = [rows[:, :_ROWS_VALUED].flatten(1), rows.mean(1), rows.amin(1), rows.amax(1)]
        return self.value_net(torch.cat(told, dim=1))


class RowPolicy(MaskableActorCriticPolicy):  # type: ignore[misc]
    """MaskablePPO's policy, with the rows' scores as the actions' logits."""

    def _build_mlp_extractor(self) -> None:
        rows, columns = self.observation_space.shape
        hidden = tuple(self.net_arch["pi"])
        self.mlp_extractor = RowExtractor(rows, columns, hidden, self.activation_fn)

    def _build(self, lr_schedule: Any) -> None:
        super()._build(lr_schedule)
        self.action_net = nn.Identity()
        self.optimizer = self.optimizer_class(
            self.parameters(), lr=lr_schedule(1), **self.optimizer_kwargs
        )


def _layers(sizes: list[int], activation: type[Any]) -> list[Any]:
    layers: list[Any] = []
    for inputs, outputs in pairwise(sizes):
        layers += [nn.Linear(inputs, outputs), activation()]
    return layers[:-1]
