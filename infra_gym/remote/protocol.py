"""The TCP protocol as a state machine, without sockets, threads, clocks or environments.

Bytes go in, calls for an environment come out; what the environment answered goes in, bytes come
out::

    conversation.receive(data)
    while conversation.take():
        if (call := conversation.call) is not None:
            conversation.succeed(seat.run(call))    # or: conversation.fail(error)
    transport.write(conversation.to_send())
    if conversation.ended: transport.close()

A step, which comes thousands of times a second, has a short way to the same replies:
:meth:`Conversation.take_step`.

:data:`TABLE` is the protocol: every command, where it stands in a request, and the states that it
leads from and to. A conversation has one of two manners. *Plain* is how the clients of gym-tcp-api
talk: some commands have no reply, a value of the wrong form is passed over in silence, and an error
ends the connection, for those clients crash on anything else. *Modern* begins with ``hello`` as the
first request: every request has exactly one reply, and an error is one too.
"""

from __future__ import annotations

import hmac
import logging
import re
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from functools import lru_cache
from typing import Any

from infra_gym import __version__
from infra_gym.errors import InfraGymError, NotReadyError, UsageError, did_you_mean
from infra_gym.remote.encoding import describe, encode, read_document, reply

VERSION = 1
"""Of the modern manner."""

_log = logging.getLogger(__name__)


class State(Enum):
    """What a connection has."""

    EMPTY = "no environment"
    MADE = "an environment that needs a reset"
    RUNNING = "an episode"
    CLOSED = "a closed environment, which is made again when it is needed"

    # Identity decides; Enum's own hash is Python code, and a step looks its state up twice.
    __hash__ = object.__hash__


_E, _M, _R, _C = State
_ANY = {_E: _E, _M: _M, _R: _R, _C: _C}
_ASKING = {_M: _M, _R: _R, _C: _M}


@dataclass(frozen=True)
class Row:
    """A command.

    Attributes:
        name: Of the command.
        key: The request's key.
        inner: The key in the object under it; ``None``: that object itself.
        accepts: Turns what stands there into the command's argument; a ``ValueError`` says why not.
        states: Where it is possible, and the state after it.
        replies: In the plain manner. In the modern one all do.
        calls: Whether the environment is needed for it.
        word: Only this value is meant.
    """

    name: str
    key: str
    inner: str | None
    accepts: Callable[[Any], Any]
    states: Mapping[State, State]
    replies: bool
    calls: bool = True
    word: str | None = None


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("write a string")  # noqa: TRY004 - one kind of error means one thing
    return value


def _as_it_is(value: Any) -> Any:
    return value


def _level(value: Any) -> int:
    if not (isinstance(value, str) and len(value) == 1 and value in "0123456789"):
        raise ValueError('write a digit, "0" to "9"')
    return int(value)


def _seed(value: Any) -> int:
    if not (isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 20):
        raise ValueError('write a whole number of at most 19 digits, such as "3"')
    return int(value)


def _step(value: Any) -> Any:
    if not isinstance(value, dict):
        raise ValueError('write {"action": ...}')  # noqa: TRY004 - see _text
    if value.get("action") is None:
        raise UsageError('a step needs an action: {"step": {"action": 1}}')
    return value["action"]


# Of several commands in one request the first of this order that replies ends it.
TABLE: tuple[Row, ...] = (
    Row("make", "env", "name", _text, dict.fromkeys(State, _M), replies=True),
    Row("compression", "server", "compression", _level, _ANY, replies=False, calls=False),
    Row("sample", "env", "actionspace", _text, _ASKING, replies=True, word="sample"),
    Row("close", "env", "action", _text, {_E: _E, _M: _C, _R: _C, _C: _C}, False, word="close"),
    Row("reset", "env", "action", _text, {_M: _R, _R: _R, _C: _R}, True, word="reset"),
    Row("actionspace", "env", "action", _text, _ASKING, True, word="actionspace"),
    Row("observationspace", "env", "action", _text, _ASKING, True, word="observationspace"),
    Row("step", "step", None, _step, {_R: _R}, replies=True),
    Row("seed", "env", "seed", _seed, _ANY, replies=False, calls=False),
    Row("url", "url", None, _as_it_is, _ANY, replies=True, calls=False),
    Row("statistics", "record_episode_stats", "action", _text, _ANY, False, word="start"),
)

_BY_KEY = {row.key: tuple(each for each in TABLE if each.key == row.key) for row in TABLE}
_HELLO = Row("hello", "hello", None, _as_it_is, _ANY, replies=True, calls=False)
_STEP = next(row for row in TABLE if row.name == "step")
_AFTER_FAILURE = {_E: _E, _M: _M, _R: _M, _C: _C}
_SHORT = 64


@dataclass(frozen=True, slots=True)
class Call:
    """What the environment is to do.

    Attributes:
        row: The command.
        value: Its argument: for ``make`` the id, for ``reset`` the seed or ``None``, for ``step``
            the action as it was written.
        count: For ``make``: how many environments at once; ``None`` for one alone.
        options: For ``reset``.
    """

    row: Row
    value: Any = None
    count: int | None = None
    options: dict[str, Any] | None = None


_USUAL_STEP = re.compile(
    rb'\{"step": ?\{"action": ?(0|[1-9][0-9]{0,8})(?:, ?"render": ?[01])?\}\}\r?\n'
).fullmatch


@lru_cache(maxsize=1024)
def _usual_step(line: bytes) -> Call | None:
    """A step in the form that clients write, known by its looks; anything else is read as JSON."""
    usual = _USUAL_STEP(line)
    return None if usual is None else Call(_STEP, int(usual[1]))


@dataclass
class Conversation:
    """One connection.

    Attributes:
        request_bytes: The longest request.
        token: What a client has to know, if anything.
        batch: The most environments in one ``make``.
        modern: Whether the client said ``hello``.
        compression: Of replies, 0 (none) to 9.
        state: See :class:`State`.
        call: What the environment is to do now.
        ended: Why the connection is to be closed once all is sent; ``None`` while it is not.
    """

    request_bytes: int = 1 << 20
    token: str | None = None
    batch: int = 4096
    modern: bool = False
    compression: int = 0
    state: State = State.EMPTY
    call: Call | None = None
    ended: str | None = None
    _seed: int | None = None
    _begun: bool = False
    _buffer: bytearray = field(default_factory=bytearray)
    _searched: int = 0
    _waiting: deque[tuple[Row, Any]] = field(default_factory=deque)
    _out: list[bytes] = field(default_factory=list)

    # ---------------------------------------------------------------- in

    @property
    def buffered(self) -> int:
        """Bytes that were received and not taken."""
        return len(self._buffer)

    def receive(self, data: bytes) -> None:
        """Bytes of the client, cut anywhere."""
        if self.ended is None:
            self._buffer += data

    def take_step(self, data: bytes) -> bool:
        """:meth:`receive` and :meth:`take` in one, where ``data`` is a whole step and no more.

        ``False`` where it is not of the usual form or something else comes first; then nothing has
        happened.
        """
        if (
            self.state is _R
            and len(data) <= _SHORT <= self.request_bytes
            and not (self._buffer or self._waiting or self.call or self.ended)
        ):
            self.call = _usual_step(data)
            return self.call is not None
        return False

    def take(self) -> bool:
        """Take in one command; ``False`` when none is complete or the one before is not answered.

        :attr:`call` then has what the environment is to do, or ``None`` where the protocol itself
        knows the answer.
        """
        if self.ended is not None or self.call is not None:
            return False
        if not (self._buffer or self._waiting):
            return False
        try:
            if not self._waiting:
                line = self._line()
                if line is None:
                    return False
                if self.state is _R and len(line) < _SHORT:
                    self.call = _usual_step(line)
                    if self.call is not None:
                        return True
                if not line.isspace():
                    self._waiting.extend(self._commands(read_document(line)))
            if self._waiting:
                self._obey(*self._waiting.popleft())
        except InfraGymError as error:
            self._refuse(error)
        return True

    def _line(self) -> bytes | None:
        end = self._buffer.find(b"\n", self._searched)
        length = len(self._buffer) if end < 0 else end
        if length > self.request_bytes:
            self._end(UsageError(f"a request is longer than {self.request_bytes} bytes"))
            return None
        if end < 0:
            self._searched = length
            return None
        line = bytes(self._buffer[: end + 1])
        del self._buffer[: end + 1]
        self._searched = 0
        return line

    def _commands(self, request: Any) -> list[tuple[Row, Any]]:
        if not isinstance(request, dict):
            raise UsageError("a request is a JSON object")
        first, self._begun = not self._begun, True
        if first and "hello" in request:
            return [(_HELLO, request["hello"])]
        if self.token is not None and not self.modern:
            self._end(UsageError("the first request has to be hello, with the token"))
            return []
        rows = TABLE
        if len(request) == 1:
            rows = _BY_KEY.get(next(iter(request)), ())
        found = []
        for row in rows:
            written = self._written(row, request)
            if written is not None:
                # Make and reset may carry more than their word, as the modern manner does.
                found.append((row, request["env"] if row.name in ("make", "reset") else written))
                if row.replies:
                    break
        if self.modern and len(found) != 1:
            raise UsageError(_not_one(request, len(found)))
        return found

    def _written(self, row: Row, request: Mapping[str, Any]) -> Any:
        """The argument of ``row``'s command in ``request``, or ``None`` where it has none."""
        value = request.get(row.key)
        if row.inner is not None:
            value = value.get(row.inner) if isinstance(value, dict) else None
        if value is None or (row.word is not None and value != row.word):
            return None
        if self.modern and type(value) is int and row.name in ("seed", "compression"):
            value = str(value)
        try:
            return row.accepts(value)
        except ValueError as error:
            if self.modern:
                raise UsageError(f"{row.name}: {error}") from error
            _log.debug("%s passed over: %s", row.name, error)
            return None

    # ---------------------------------------------------------------- what it comes to

    def _obey(self, row: Row, value: Any) -> None:
        if self.state not in row.states:
            raise NotReadyError(
                f"{row.name} is not possible: there is {self.state.value}",
                next_command='send {"env": {"name": ID}}'
                if self.state is State.EMPTY
                else 'send {"env": {"action": "reset"}}',
            )
        if row.calls:
            self.call = self._call(row, value)
            return
        match row.name:
            case "compression":
                self._acknowledge()  # still as before: the client changes over when it is told
                self.compression = value
            case "seed":
                self._seed = value
                self._acknowledge()
            case "url":
                self._reply({"url": ""})
            case "hello":
                self._greet(value)

    def _call(self, row: Row, value: Any) -> Call:
        if row.name == "make":
            self.compression = self.compression if self.modern else 0
            return Call(row, value["name"], count=self._count(value))
        if row.name == "reset":
            return Call(row, self._seed, options=self._options(value))
        return Call(row, value)

    def _count(self, wanted: Mapping[str, Any]) -> int | None:
        """How many environments; the plain manner has no batches."""
        count = wanted.get("count") if self.modern else None
        if count is not None and not (type(count) is int and 1 <= count <= self.batch):
            raise UsageError(f"count: write a whole number from 1 to {self.batch}")
        return count

    def _options(self, wanted: Mapping[str, Any]) -> dict[str, Any] | None:
        options = wanted.get("options") if self.modern else None
        if options is not None and not isinstance(options, dict):
            raise UsageError("options: write an object")
        return options

    def _greet(self, wanted: Any) -> None:
        self.modern = True
        wanted = wanted if isinstance(wanted, dict) else {}
        if self.token is not None:
            given = wanted.get("token")
            given = given if isinstance(given, str) else ""
            if not hmac.compare_digest(
                given.encode("utf-8", "surrogatepass"), self.token.encode("utf-8")
            ):
                self._end(UsageError("the token is not the server's"))
                return
        if wanted.get("version") != VERSION:
            self._end(UsageError(f"this server speaks version {VERSION} only"))
            return
        self._reply({"hello": {"version": VERSION, "server": f"infra-gym {__version__}"}})

    # ---------------------------------------------------------------- out

    def succeed(self, result: Any) -> None:
        """The environment did what :attr:`call` says.

        Args:
            result: For ``make`` ``{"instance": NAME, ...}``, for ``reset`` and ``step`` what
                Gymnasium's methods return, for ``sample`` an action, for the spaces they
                themselves; else not looked at.
        """
        row = self._asked().row
        if row is _STEP and not self.modern:
            # The most usual call has the fewest functions: each is far away after a wait.
            observation, reward, terminated, truncated, info = result
            if truncated and not terminated:
                info = {**info, "TimeLimit.truncated": True}
            answer = {
                "observation": observation,
                "reward": float(reward),
                "done": bool(terminated or truncated),
                "info": info,
            }
            self._out.append(reply(encode(answer), self.compression))
        elif row.replies:
            self._send(self._result(row.name, result))
        else:
            self._acknowledge()
        if row.name == "reset":
            self._seed = None
        self.state = row.states[self.state]
        self.call = None

    def _asked(self) -> Call:
        if self.call is None:
            raise RuntimeError("nothing was asked of the environment")
        return self.call

    def _result(self, name: str, result: Any) -> bytes:
        if name == "reset":
            observation, info = result
            more = {"info": info} if self.modern else {}
            return encode({"observation": observation, **more}, shortest=self.modern)
        if name == "step":
            keys = ("observation", "reward", "terminated", "truncated", "info")
            return encode(dict(zip(keys, result, strict=True)), shortest=True)
        if name == "make":
            return encode(result if self.modern else {"instance": result["instance"]})
        if name == "sample":
            return encode({"sample": result})
        return encode({"info": describe(result, whole=self.modern)})

    def fail(self, error: Exception) -> None:
        """The environment could not do what :attr:`call` says."""
        row = self._asked().row
        self.call = None
        if row.name == "make":
            self.state = State.EMPTY
        elif not isinstance(error, UsageError):  # a wrong action changes nothing
            self.state = _AFTER_FAILURE[self.state]
        self._refuse(error)

    def _refuse(self, error: Exception) -> None:
        self._waiting.clear()
        if self.modern:
            kind = type(error).__name__
            self._reply({"error": {"kind": kind, "message": str(error) or kind}})
        else:
            self._end(error)

    def _end(self, error: Exception) -> None:
        """Close, as far as may be after a word why."""
        self._waiting.clear()
        self._buffer.clear()
        if self.modern:
            self._reply({"error": {"kind": type(error).__name__, "message": str(error)}})
        self.ended = str(error) or type(error).__name__

    def _acknowledge(self) -> None:
        if self.modern:
            self._reply({"ok": True})

    def _reply(self, document: Mapping[str, Any]) -> None:
        self._send(encode(document))

    def _send(self, document: bytes) -> None:
        self._out.append(reply(document, self.compression))

    def to_send(self) -> bytes:
        """The replies that were not sent yet."""
        if len(self._out) == 1:
            return self._out.pop()
        joined = b"".join(self._out)
        self._out.clear()
        return joined


def _not_one(request: Mapping[str, Any], found: int) -> str:
    if found:
        return "one command a request, please"
    known = sorted({row.key for row in TABLE})
    for key in request:
        if key not in known:
            return f"there is no command {key!r}.{did_you_mean(key, known)}"
    return f"no command in {sorted(request)}: see the table of commands"
