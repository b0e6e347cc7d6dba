"""Spaces, actions and observations as strict JSON, and back again.

What JSON cannot say is said so: a number that is not finite in an observation, a reward or an info
is ``null``, because clients in other languages crash on ``NaN``; an infinite bound of a space is
plus or minus 1e100.
"""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import orjson
from gymnasium import spaces
from numpy.typing import NDArray

from infra_gym.errors import ActionError, UsageError

END_OF_REPLY = b"\r\n\r\n"
INFINITE = 1e100
"""What stands for an infinite bound."""

_LARGE = 256
"""Numbers from which on an array is handed to the encoder as it lies in memory."""
_OPTIONS = (
    orjson.OPT_PASSTHROUGH_DATACLASS
    | orjson.OPT_PASSTHROUGH_DATETIME
    | orjson.OPT_PASSTHROUGH_SUBCLASS
)

_encode_slowly = json.JSONEncoder(
    allow_nan=False, check_circular=False, separators=(",", ":")
).encode


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


_decode = json.JSONDecoder(parse_constant=_refuse).decode


# ---------------------------------------------------------------- lines


def read_document(line: bytes) -> Any:
    """The JSON document on ``line``, which is UTF-8.

    Raises:
        UsageError: It is none; ``NaN`` and ``Infinity`` are none either.
    """
    try:
        return orjson.loads(line)
    except ValueError:
        pass  # Python's own reader takes a little more, and says better what is wrong
    try:
        return _decode(line.decode())
    except (ValueError, RecursionError) as error:
        raise UsageError(f"the request is no JSON: {error or 'too deep'}") from error


def encode(value: Any, *, shortest: bool = False) -> bytes:
    """``value`` as JSON in ASCII, see the head of this module.

    Args:
        value: Of any kind; what JSON has no form for becomes its ``str``.
        shortest: Write an array of single precision with as few digits as tell its numbers apart.
            Else there are enough for who reads it in double precision to get the very same numbers.
    """
    options = _OPTIONS | orjson.OPT_SERIALIZE_NUMPY if shortest else _OPTIONS
    try:
        written: bytes = orjson.dumps(value, _simpler, options)
    except TypeError:
        written = b""
    # Keys that are no strings, numbers of more than 64 bits, and letters that are no ASCII.
    return written if written and written.isascii() else _slowly(value)


def _simpler(value: Any) -> Any:
    """``value`` of a type that the encoder does not know, as one that it knows."""
    if type(value) is np.ndarray:
        if value.size < _LARGE or value.dtype.char not in "?bBhHiIlLqQd":
            return value.tolist()
        return orjson.Fragment(
            orjson.dumps(np.ascontiguousarray(value), option=orjson.OPT_SERIALIZE_NUMPY)
        )
    return plain(value)


def _slowly(value: Any) -> bytes:
    value = plain(value)
    try:
        return _encode_slowly(value).encode("ascii")
    except ValueError:  # a number that is not finite
        return _encode_slowly(finite(value)).encode("ascii")


def reply(document: bytes, compression: int = 0) -> bytes:
    """One reply as it is sent.

    Args:
        document: JSON in ASCII, on one line.
        compression: 0 for none; with 1 to 9 it is zlib's stream of the line.
    """
    if not compression:
        return document + END_OF_REPLY
    while True:
        stream = zlib.compress(document, compression) + END_OF_REPLY
        if stream.find(END_OF_REPLY) == len(stream) - len(END_OF_REPLY):
            return stream
        document += b" "  # the mark of the end came up inside; another text has another stream


def plain(value: Any) -> Any:
    """``value`` of Python's own types: arrays as nested lists, NumPy's numbers as numbers.

    What JSON has no form for becomes its ``str``.
    """
    kind = type(value)
    if kind is dict:
        return {str(key): plain(item) for key, item in value.items()} if value else value
    if value is None or kind in (float, int, bool, str):
        return value
    if isinstance(value, np.ndarray) and value.dtype != object:
        return value.tolist()
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset | np.ndarray):
        return [plain(item) for item in value]
    return str(value)


def finite(value: Any) -> Any:
    """Plain ``value`` with ``null`` for every number that is not finite."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [finite(item) for item in value]
    return value


# ---------------------------------------------------------------- spaces


def describe(space: spaces.Space[Any], *, whole: bool = False) -> dict[str, Any]:
    """A space as its ``info``.

    Args:
        space: Any of Gymnasium's.
        whole: Say also what the first clients did not ask for and :func:`read_space` needs.
    """
    described: dict[str, Any] = {"name": type(space).__name__}
    match space:
        case spaces.Box():
            return described | {
                "shape": list(space.shape),
                "low": _bounds(space.low),
                "high": _bounds(space.high),
                **({"dtype": str(space.dtype)} if whole else {}),
            }
        case spaces.Discrete():
            start = {"start": int(space.start)} if whole or space.start else {}
            return described | {"n": int(space.n), **start}
        case spaces.MultiBinary():
            described["n"] = math.prod(space.shape)
        case spaces.MultiDiscrete():
            low = space.start.ravel()
            described["n"] = int(space.nvec.size)
            described["low"] = low.tolist()
            described["high"] = (low + space.nvec.ravel() - 1).tolist()
    return described | _rest(space) if whole else described


def _rest(space: spaces.Space[Any]) -> dict[str, Any]:
    match space:
        case spaces.MultiBinary() | spaces.MultiDiscrete():
            return {"shape": list(space.shape)}
        case spaces.Tuple():
            return {"spaces": [describe(one, whole=True) for one in space.spaces]}
        case spaces.Dict():
            return {"spaces": {key: describe(one, whole=True) for key, one in space.spaces.items()}}
    return {}


def _bounds(bounds: NDArray[Any]) -> list[Any]:
    if bounds.dtype.kind == "f":
        wide = bounds.astype(np.float64)
        bounds = np.where(np.isinf(wide), np.sign(wide) * INFINITE, wide)
    flat: list[Any] = bounds.ravel().tolist()
    return flat


def read_space(info: Mapping[str, Any]) -> spaces.Space[Any]:
    """The space that :func:`describe` told the whole of.

    Raises:
        UsageError: It is of a kind that is not known here.
    """
    match info["name"]:
        case "Box":
            shape = tuple(info["shape"])
            low, high = (_read_bounds(info[side], info["dtype"], shape) for side in ("low", "high"))
            return spaces.Box(low, high, shape, np.dtype(info["dtype"]).type)
        case "Discrete":
            return spaces.Discrete(info["n"], start=info["start"])
        case "MultiBinary":
            shape = info["shape"]
            return spaces.MultiBinary(shape if len(shape) != 1 else shape[0])
        case "MultiDiscrete":
            low = np.array(info["low"], dtype=np.int64).reshape(info["shape"])
            high = np.array(info["high"], dtype=np.int64).reshape(info["shape"])
            return spaces.MultiDiscrete(high - low + 1, start=low)
        case "Tuple":
            return spaces.Tuple([read_space(one) for one in info["spaces"]])
        case "Dict":
            return spaces.Dict({key: read_space(one) for key, one in info["spaces"].items()})
    raise UsageError(f"a space of the kind {info['name']!r} cannot be read here")


def _read_bounds(bounds: list[float], dtype: str, shape: tuple[int, ...]) -> NDArray[Any]:
    if np.dtype(dtype).kind != "f":
        return np.array(bounds, dtype=dtype).reshape(shape)
    wide = np.array(bounds, dtype=np.float64).reshape(shape)
    wide[np.abs(wide) >= INFINITE] *= np.inf
    return wide.astype(dtype)


# ---------------------------------------------------------------- values of a space


def read_action(space: spaces.Space[Any], action: Any) -> Any:
    """The action of ``space`` that a client wrote.

    A number may be written as a whole float (``1.0``), everything also as JSON in a string
    (``"1"``, ``"[0, 1]"``). A Box's action may lie outside its bounds, as environments expect it.

    Raises:
        ActionError: It cannot be one.
    """
    try:
        if isinstance(action, str) and not isinstance(space, spaces.Text):
            action = _decode(action)
        with np.errstate(all="ignore"):  # what does not fit is refused below
            return _value(space, action)
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError) as error:
        raise ActionError(f"action {_short(action)} is not in {space}: {error}") from error


def read_value(space: spaces.Space[Any], value: Any) -> Any:
    """The observation of ``space`` that a server sent; ``null`` is not a number again."""
    if isinstance(space, spaces.Box) and space.dtype.kind == "f":
        return np.array(value, dtype=space.dtype).reshape(space.shape)
    return _value(space, value)


def _value(space: spaces.Space[Any], value: Any) -> Any:
    match space:
        case spaces.Discrete():
            number = _whole(value)
            if not 0 <= number - space.start < space.n:
                raise ValueError(f"{number} is out of range")
            return number
        case spaces.Box():
            array = np.asarray(value, dtype=space.dtype).reshape(space.shape)
            if space.dtype.kind == "f" and not np.isfinite(array).all():
                raise ValueError("not finite")
            return array
        case spaces.MultiBinary() | spaces.MultiDiscrete():
            exact = np.asarray(value, dtype=np.float64).reshape(space.shape)
            array = exact.astype(space.dtype)
            if not ((array == exact).all() and space.contains(array)):
                raise ValueError("out of range")
            return array
        case spaces.Tuple():
            return tuple(_value(*pair) for pair in zip(space.spaces, value, strict=True))
        case spaces.Dict():
            return {key: _value(one, value[key]) for key, one in space.spaces.items()}
    if value not in space:
        raise ValueError("not in the space")
    return value


def _whole(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError("not a number")
    number = int(value)
    if number != value:
        raise ValueError("not a whole number")
    return number


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 100 else f"{text[:100]}..."
