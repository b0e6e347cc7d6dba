"""The modules of a stack's layers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from infra_gym.errors import UnknownNameError
from infra_gym.stack.run_directory import RunFolder
from infra_gym.terraform.hcl import Module, read_module


class Modules:
    """Modules by layer.

    Args:
        find: The folder of a layer, by name.
        folder: The run's folder: where a layer is found no more, its copy there serves.
    """

    def __init__(self, find: Callable[[str], Path], folder: RunFolder) -> None:
        self._find = find
        self._folder = folder
        self._modules: dict[str, Module] = {}

    def __getitem__(self, layer: str) -> Module:
        """The module.

        Raises:
            UnknownNameError: There is no such layer.
            TerraformError: Its files cannot be read.
        """
        if layer not in self._modules:
            self._modules[layer] = read_module(self._source(layer))
        return self._modules[layer]

    def forget(self) -> None:
        """Read them again when they are next asked for: somebody may have changed them."""
        self._modules.clear()

    def is_secret(self, layer: str, variable: str) -> bool:
        """Whether a variable's value must touch no file."""
        declared = self[layer].variables.get(variable)
        return declared is not None and (declared.sensitive or declared.ephemeral)

    def secret_outputs(self, layer: str) -> frozenset[str]:
        """Names of the outputs whose values must touch no file but the state."""
        outputs = self[layer].outputs.values()
        return frozenset(output.name for output in outputs if output.sensitive)

    def _source(self, layer: str) -> Path:
        try:
            return self._find(layer)
        except UnknownNameError:
            copy = self._folder.layer(layer)
            if not any(copy.glob("*.tf")):
                raise
            return copy
