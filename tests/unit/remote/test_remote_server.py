"""One connection, step by step, on a loop whose turns the test takes."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any

from infra_gym.remote.offer import Offer
from infra_gym.remote.server import Connection, Limits, Server

COMPRESSION = b'{"server":{"compression": "0"}}\r\n'


class Turns(list["Turn"]):
    """An event loop as far as a connection knows it: what is to be called, in order."""

    def call_soon(self, callback: Callable[..., None], *arguments: Any) -> Turn:
        self.append(Turn(callback, arguments))
        return self[-1]

    @property
    def due(self) -> list[Turn]:
        return [turn for turn in self if not turn.cancelled]


class Turn:
    def __init__(self, callback: Callable[..., None], arguments: tuple[Any, ...]) -> None:
        self.callback = callback
        self.arguments = arguments
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class Transport(asyncio.Transport):
    def write(self, data: bytes) -> None:
        raise AssertionError(f"nothing was asked that has a reply: {data!r}")


def test_a_turn_that_was_put_off_is_taken_once() -> None:
    turns = Turns()
    server = Server(Offer(target="sim"), limits=Limits(turn_s=-1))
    connection = Connection(server, turns)
    with socket.socket() as unconnected:
        connection.connection_made(Transport({"socket": unconnected}))
        connection.data_received(COMPRESSION * 3)
        assert len(turns.due) == 1
        connection.data_received(COMPRESSION)  # comes before the turn
        (turn,) = turns.due
        turns.clear()
        turn.callback(*turn.arguments)
        assert len(turns.due) == 1
