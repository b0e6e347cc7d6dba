"""Environments of a server as Gymnasium's own: :class:`RemoteEnv` and :class:`RemoteVectorEnv`."""

from __future__ import annotations

import json
import socket
import zlib
from typing import Any, Self

import gymnasium as gym
import numpy as np
from gymnasium.vector.utils import batch_space

from infra_gym.errors import RemoteError
from infra_gym.remote.encoding import END_OF_REPLY, plain, read_space, read_value
from infra_gym.remote.protocol import VERSION

_CHUNK = 1 << 18


class Line:
    """A connection in the modern manner: a request, its reply.

    Args:
        address: ``HOST:PORT``.
        token: What the server wants to hear, if anything.
        timeout_s: Longest wait for a reply, in seconds; a live reset takes minutes.

    Raises:
        RemoteError: There is no server, or it wants another token.
    """

    def __init__(
        self, address: str, *, token: str | None = None, timeout_s: float | None = 600.0
    ) -> None:
        self._address = address
        self._compressed = False
        self._buffer = bytearray()
        host, _, port = address.rpartition(":")
        try:
            self._socket = socket.create_connection((host.strip("[]"), int(port)), timeout_s)
        except (OSError, ValueError) as error:
            raise RemoteError(
                f"{address} cannot be reached: {error}", next_command="infra-gym serve"
            ) from error
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            self.ask({"hello": {"version": VERSION} | ({"token": token} if token else {})})
        except RemoteError:
            self.close()
            raise

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        """The reply to ``request``.

        Raises:
            RemoteError: It is an error, or none came.
        """
        try:
            self._socket.sendall(json.dumps(request).encode() + b"\r\n")
            line = self._receive()
            answer: dict[str, Any] = json.loads(zlib.decompress(line) if self._compressed else line)
        except (OSError, ValueError, zlib.error) as error:
            self.close()  # what comes later would be taken for another request's reply
            raise RemoteError(f"{self._address} did not answer: {error}") from error
        if "error" in answer:
            raise RemoteError(answer["error"]["message"], kind=answer["error"]["kind"])
        return answer

    def _receive(self) -> bytes:
        searched = 0
        while (end := self._buffer.find(END_OF_REPLY, searched)) < 0:
            searched = max(0, len(self._buffer) - len(END_OF_REPLY) + 1)
            chunk = self._socket.recv(_CHUNK)
            if not chunk:
                raise ConnectionError("the connection was closed")
            self._buffer += chunk
        line = bytes(self._buffer[:end])
        del self._buffer[: end + len(END_OF_REPLY)]
        return line

    def compress(self, level: int) -> None:
        """Have later replies compressed, 0 (not) to 9 (most)."""
        self.ask({"server": {"compression": level}})
        self._compressed = level > 0

    def make(self, name: str, count: int | None) -> dict[str, Any]:
        """Have an environment made, or ``count`` of them."""
        batch = {} if count is None else {"count": count}
        return self.ask({"env": {"name": name, **batch}})

    def space(self, which: str) -> gym.Space[Any]:
        """``"actionspace"`` or ``"observationspace"``, of one environment."""
        return read_space(self.ask({"env": {"action": which}})["info"])

    def reset(self, seed: int | None, options: dict[str, Any] | None) -> dict[str, Any]:
        """The first observation and its info."""
        if seed is not None:
            self.ask({"env": {"seed": int(seed)}})
        more = {} if options is None else {"options": options}
        return self.ask({"env": {"action": "reset", **more}})

    def step(self, action: Any) -> dict[str, Any]:
        """What the step came to."""
        return self.ask({"step": {"action": plain(action)}})

    def close(self) -> None:
        """End the connection, on which the server frees the environment."""
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class RemoteEnv(gym.Env[Any, Any]):
    """An environment that runs in a server, as ``infra-gym serve`` starts one.

    ::

        env = RemoteEnv("SimpleK8sWebApp-v0", "127.0.0.1:4040")
        observation, info = env.reset(seed=1)

    Construction connects, for the spaces are the server's to tell. It cannot be rendered.

    Args:
        name: The id, as the server knows it.
        address: ``HOST:PORT``.
        token: What the server wants to hear, if anything.
        compression: Of what the server sends, 0 (none) to 9; worth it for images over a network.
        timeout_s: Longest wait for a reply, in seconds; ``None`` for ever.

    Raises:
        RemoteError: Here and in every method: the server refused, failed or went away.
    """

    metadata = {"render_modes": []}  # noqa: RUF012

    def __init__(
        self,
        name: str,
        address: str = "127.0.0.1:4040",
        *,
        token: str | None = None,
        compression: int = 0,
        timeout_s: float | None = 600.0,
    ) -> None:
        self._line = _made(name, None, address, token, compression, timeout_s)[0]
        self.action_space = self._line.space("actionspace")
        self.observation_space = self._line.space("observationspace")

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """See :meth:`gymnasium.Env.reset`; ``options`` have to be plain values."""
        super().reset(seed=seed)
        answer = self._line.reset(seed, options)
        return read_value(self.observation_space, answer["observation"]), answer["info"]

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """See :meth:`gymnasium.Env.step`."""
        answer = self._line.step(action)
        return (
            read_value(self.observation_space, answer["observation"]),
            _reward(answer["reward"]),
            answer["terminated"],
            answer["truncated"],
            answer["info"],
        )

    def close(self) -> None:
        """End the connection, on which the server closes the environment."""
        self._line.close()


class RemoteVectorEnv(gym.vector.VectorEnv[Any, Any, Any]):
    """``count`` environments of one server, stepped by one request.

    Arguments and errors are :class:`RemoteEnv`'s; after an episode's end they are reset as
    ``metadata["autoreset_mode"]`` says, which is the server's to choose.
    """

    def __init__(
        self,
        name: str,
        count: int,
        address: str = "127.0.0.1:4040",
        *,
        token: str | None = None,
        compression: int = 0,
        timeout_s: float | None = 600.0,
    ) -> None:
        self._line, made = _made(name, count, address, token, compression, timeout_s)
        self.num_envs = count
        self.metadata = {"autoreset_mode": gym.vector.AutoresetMode(made["autoreset"])}
        self.single_action_space = self._line.space("actionspace")
        self.single_observation_space = self._line.space("observationspace")
        self.action_space = batch_space(self.single_action_space, count)
        self.observation_space = batch_space(self.single_observation_space, count)

    def reset(
        self,
        *,
        seed: int | list[int | None] | None = None,
        options: dict[str, Any] | None = None,
    ) -> tuple[Any, dict[str, Any]]:
        """See :meth:`gymnasium.vector.VectorEnv.reset`; one seed for all, plus their numbers."""
        if isinstance(seed, list):
            raise RemoteError("give one seed for all of the environments")
        answer = self._line.reset(seed, options)
        return self._observed(answer), _arrays(answer["info"], self.num_envs)

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """See :meth:`gymnasium.vector.VectorEnv.step`."""
        answer = self._line.step(actions)
        return (
            self._observed(answer),
            np.array(answer["reward"], dtype=np.float64),
            np.array(answer["terminated"], dtype=np.bool_),
            np.array(answer["truncated"], dtype=np.bool_),
            _arrays(answer["info"], self.num_envs),
        )

    def _observed(self, answer: dict[str, Any]) -> Any:
        return read_value(self.observation_space, answer["observation"])

    def close_extras(self, **_: Any) -> None:
        """End the connection, on which the server closes the environments."""
        self._line.close()


def _made(
    name: str,
    count: int | None,
    address: str,
    token: str | None,
    compression: int,
    timeout_s: float | None,
) -> tuple[Line, dict[str, Any]]:
    """A line with an environment at its other end."""
    line = Line(address, token=token, timeout_s=timeout_s)
    try:
        made = line.make(name, count)
        if compression:
            line.compress(compression)
    except RemoteError:
        line.close()
        raise
    return line, made


def _reward(value: float | None) -> float:
    return float("nan") if value is None else value


def _arrays(info: dict[str, Any], count: int) -> dict[str, Any]:
    """A vector environment's info, with one value an environment as an array."""
    return {name: _array(value, count) for name, value in info.items()}


def _array(value: Any, count: int) -> Any:
    if isinstance(value, dict):
        return _arrays(value, count)
    if isinstance(value, list) and len(value) == count:
        if all(isinstance(one, int | float) for one in value):
            return np.array(value)
        made = np.empty(count, dtype=object)
        made[:] = value
        return made
    return value
