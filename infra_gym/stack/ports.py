"""Blocks of TCP ports on 127.0.0.1 for local layers.

A layer gets a block of 32 ports of which none was in use. Because a program may start long after
its ports were chosen, and several runs may choose at once, a block is *reserved*: by a symbolic
link named after the block's first port, which points to the name of who has it. Making one is
atomic.
"""

from __future__ import annotations

import hashlib
import socket
from collections.abc import Iterator
from pathlib import Path

from infra_gym.errors import StackError

BLOCK = 32
"""Ports in a block."""
FIRST, LAST = 20000, 31999
"""The range that blocks lie in, below the ports that the system gives to clients."""

_BLOCKS = (LAST + 1 - FIRST) // BLOCK


class PortBlocks:
    """All blocks of this machine's user.

    Args:
        folder: Where the reservations lie.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def reserve(self, name: str) -> int:
        """The first port of the block that is reserved for ``name``, now or already.

        Raises:
            StackError: No block is free.
        """
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for port in candidates(name):
            link = self.folder / str(port)
            try:
                link.symlink_to(name)
            except FileExistsError:
                if _holder(link) == name:
                    return port
                continue
            if all(_is_free(number) for number in range(port, port + BLOCK)):
                return port
            link.unlink(missing_ok=True)
        raise StackError(
            f"No block of {BLOCK} free TCP ports is left between {FIRST} and {LAST}.",
            next_command="destroy stacks that are not needed (infra-gym layers destroy ...), or "
            "choose a port with --var port=...",
        )

    def release(self, name: str) -> None:
        """Give back the block of ``name``; where that ends with a slash, of all below it."""
        if self.folder.is_dir():
            for link in self.folder.iterdir():
                holder = _holder(link)
                if holder == name or (name.endswith("/") and holder.startswith(name)):
                    link.unlink(missing_ok=True)


def candidates(name: str) -> Iterator[int]:
    """First ports of all blocks, beginning with one that depends on the name only."""
    start = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big")
    for step in range(_BLOCKS):
        yield FIRST + BLOCK * ((start + step) % _BLOCKS)


def _holder(link: Path) -> str:
    try:
        return str(link.readlink())
    except OSError:  # given back in between
        return ""


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        # As servers do: a connection that has just been closed does not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
