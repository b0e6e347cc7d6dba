"""A query in the heater's request: PostgreSQL's wire protocol, a pool, and what is counted of both.

It lies beside ``heater.py``, which loads it where ``--query`` is given, and needs the standard
library only. Where the database is, and who asks, say libpq's own environment variables: PGHOST,
PGPORT, PGUSER, PGDATABASE and PGPASSWORD.

A replica has at most so many connections at once, each used by one query at a time. A request that
gets none in time, or whose query fails, is answered 503. Connections live for some seconds only, so
that a server with fewer connections than its clients want serves all of them in turn.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import os
import secrets
import struct
import sys
from bisect import bisect_left
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

CONNECT_DEADLINE_S = 2.0
WAIT_DEADLINE_S = 2.0
QUERY_DEADLINE_S = 5.0
LIFETIME_S = 5.0
RETRY_S = 0.1
BUCKETS: tuple[float, ...] = (
    *(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.2, 0.25),
    *(0.3, 0.4, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0),
)

_PROTOCOL_3 = 196608
_MECHANISM = "SCRAM-SHA-256"
_LONGEST = 64 * 1024 * 1024


class DatabaseError(Exception):
    """The database cannot be reached, refuses, or a query failed."""


@dataclass(frozen=True)
class Place:
    """Where the database is, and who asks it."""

    host: str
    port: int
    user: str
    database: str
    password: str = field(repr=False)

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> Place:
        """As libpq's variables say."""
        user = environ.get("PGUSER", "postgres")
        return cls(
            host=environ.get("PGHOST", "127.0.0.1"),
            port=int(environ.get("PGPORT", "5432")),
            user=user,
            database=environ.get("PGDATABASE", user),
            password=environ.get("PGPASSWORD", ""),
        )


class Scram:
    """The client's side of SCRAM-SHA-256 (RFC 5802, RFC 7677), without channel binding.

    Args:
        password: Plain ASCII, as RFC 4013 leaves it.
        nonce: Random; another one in tests.
    """

    def __init__(self, password: str, nonce: str | None = None) -> None:
        self._password = password.encode()
        self._bare = f"n=,r={nonce or secrets.token_urlsafe(18)}"
        self._signature = b""

    def first(self) -> bytes:
        """The first message."""
        return b"n,," + self._bare.encode()

    def final(self, challenge: bytes) -> bytes:
        """The proof, for the server's first message."""
        told = _attributes(challenge)
        if not told["r"].startswith(self._bare.partition("r=")[2]):
            raise DatabaseError("the server answered another client's login")
        salted = hashlib.pbkdf2_hmac(
            "sha256", self._password, base64.b64decode(told["s"]), int(told["i"])
        )
        without_proof = f"c=biws,r={told['r']}"
        spoken = ",".join([self._bare, challenge.decode(), without_proof]).encode()
        client = _keyed(salted, b"Client Key")
        signature = _keyed(hashlib.sha256(client).digest(), spoken)
        self._signature = _keyed(_keyed(salted, b"Server Key"), spoken)
        proof = bytes(a ^ b for a, b in zip(client, signature, strict=True))
        return f"{without_proof},p={base64.b64encode(proof).decode()}".encode()

    def check(self, outcome: bytes) -> None:
        """Make sure that the server knows the password as well."""
        told = _attributes(outcome).get("v", "")
        if not hmac.compare_digest(base64.b64decode(told), self._signature):
            raise DatabaseError("the server does not know the password")


class Connection:
    """One connection, after login; one query at a time."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self.opened = asyncio.get_running_loop().time()

    @classmethod
    async def open(cls, place: Place) -> Connection:
        """Connect and log in.

        Raises:
            DatabaseError: The database cannot be reached in time, or refuses.
        """
        try:
            async with asyncio.timeout(CONNECT_DEADLINE_S):
                made = cls(*await asyncio.open_connection(place.host, place.port))
                try:
                    await made._log_in(place)
                except BaseException:
                    made.close()
                    raise
        except TimeoutError as error:
            raise DatabaseError("no answer in time") from error
        except (OSError, asyncio.IncompleteReadError) as error:
            raise DatabaseError(f"cannot be reached: {error}") from error
        return made

    async def query(self, text: str) -> int:
        """Run a statement; the number of its rows, which are not kept.

        Raises:
            DatabaseError: It failed, or was not done in time. The connection must be closed then.
        """
        try:
            async with asyncio.timeout(QUERY_DEADLINE_S):
                self._send(b"Q", text.encode() + b"\0")
                rows = 0
                while True:
                    kind, _ = await self._receive()
                    rows += kind == b"D"
                    if kind == b"Z":
                        return rows
        except TimeoutError as error:
            raise DatabaseError("the query was not done in time") from error
        except (OSError, asyncio.IncompleteReadError) as error:
            raise DatabaseError(f"the connection broke: {error}") from error

    def close(self) -> None:
        """Say goodbye and hang up."""
        self._send(b"X", b"")
        self._writer.close()

    async def _log_in(self, place: Place) -> None:
        asked = f"user\0{place.user}\0database\0{place.database}\0\0".encode()
        body = struct.pack(">i", _PROTOCOL_3) + asked
        self._writer.write(struct.pack(">i", len(body) + 4) + body)
        scram = Scram(place.password)
        while True:
            kind, body = await self._receive()
            if kind == b"Z":
                return
            if kind == b"R":
                self._authenticate(body, scram)

    def _authenticate(self, body: bytes, scram: Scram) -> None:
        (step,) = struct.unpack(">i", body[:4])
        if step == 10:
            if _MECHANISM.encode() not in body[4:].split(b"\0"):
                raise DatabaseError(f"the server does not offer {_MECHANISM}")
            first = scram.first()
            size = struct.pack(">i", len(first))
            self._send(b"p", _MECHANISM.encode() + b"\0" + size + first)
        elif step == 11:
            self._send(b"p", scram.final(body[4:]))
        elif step == 12:
            scram.check(body[4:])
        elif step != 0:
            raise DatabaseError(f"the server wants a login of kind {step}, not {_MECHANISM}")

    def _send(self, kind: bytes, body: bytes) -> None:
        self._writer.write(kind + struct.pack(">i", len(body) + 4) + body)

    async def _receive(self) -> tuple[bytes, bytes]:
        """The next message's kind and body; what the server complains of is raised."""
        head = await self._reader.readexactly(5)
        kind, size = head[:1], int(struct.unpack(">i", head[1:])[0]) - 4
        if not 0 <= size <= _LONGEST:
            raise DatabaseError("what answers is no PostgreSQL server")
        body = await self._reader.readexactly(size)
        if kind == b"E":
            fields = {part[:1]: part[1:] for part in body.split(b"\0") if part}
            raise DatabaseError(
                f"{fields.get(b'C', b'').decode()} {fields.get(b'M', b'').decode(errors='replace')}"
            )
        return kind, body


class Histogram:
    """Counts of seconds, as Prometheus has them."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._counts = [0] * (len(BUCKETS) + 1)
        self._sum = 0.0

    def observe(self, seconds: float) -> None:
        """Count one."""
        self._counts[bisect_left(BUCKETS, seconds)] += 1
        self._sum += seconds

    def lines(self) -> list[str]:
        """In Prometheus's text format."""
        lines = [f"# TYPE {self._name} histogram"]
        total = 0
        for bound, count in zip((*map(str, BUCKETS), "+Inf"), self._counts, strict=True):
            total += count
            lines.append(f'{self._name}_bucket{{le="{bound}"}} {total}')
        return [*lines, f"{self._name}_sum {self._sum!r}", f"{self._name}_count {total}"]


class Pool:
    """At most so many connections; whoever finds none free waits, first come first served.

    Args:
        place: The database.
        size: Connections at once.
    """

    def __init__(self, place: Place, size: int) -> None:
        self._place = place
        self._places = asyncio.Semaphore(size)
        self._idle: list[Connection] = []
        self._open = 0
        self._waiting = 0
        self._errors = 0
        self._waits = Histogram("heater_database_wait_seconds")
        self._queries = Histogram("heater_database_query_seconds")

    async def query(self, text: str) -> None:
        """Run a statement on a connection of the pool.

        Raises:
            DatabaseError: No connection in time, or the statement failed.
        """
        loop = asyncio.get_running_loop()
        begin = loop.time()
        self._waiting += 1
        try:
            async with asyncio.timeout(WAIT_DEADLINE_S):
                await self._places.acquire()
        except TimeoutError as error:
            self._errors += 1
            raise DatabaseError("no connection was free in time") from error
        finally:
            self._waiting -= 1
        try:
            await self._on_a_connection(text, begin)
        except DatabaseError:
            self._errors += 1
            raise
        finally:
            self._places.release()

    async def connected(self) -> None:
        """Wait until a connection could be made; says on standard error what is in the way."""
        said = ""
        while True:
            try:
                self._give_back(await self._connect())
            except DatabaseError as error:
                if str(error) != said:
                    said = str(error)
                    print(f"database {self._place.host}: {said}", file=sys.stderr, flush=True)
                await asyncio.sleep(RETRY_S)
            else:
                return

    def metrics(self) -> list[str]:
        """In Prometheus's text format."""
        lines = [*self._waits.lines(), *self._queries.lines()]
        for name, kind, value in (
            ("heater_database_connections", "gauge", self._open),
            ("heater_database_waiting", "gauge", self._waiting),
            ("heater_database_errors_total", "counter", self._errors),
        ):
            lines += [f"# TYPE {name} {kind}", f"{name} {value}"]
        return lines

    def close(self) -> None:
        """Hang up."""
        while self._idle:
            self._drop(self._idle.pop())

    async def _on_a_connection(self, text: str, begin: float) -> None:
        loop = asyncio.get_running_loop()
        self._waiting += 1
        try:
            connection = await self._free(begin + WAIT_DEADLINE_S)
        finally:
            self._waiting -= 1
            self._waits.observe(loop.time() - begin)
        asked = loop.time()
        try:
            await connection.query(text)
        except BaseException:
            self._drop(connection)
            self.close()  # what lies idle has probably lost its server as well
            raise
        self._queries.observe(loop.time() - asked)
        self._give_back(connection)

    async def _free(self, ends: float) -> Connection:
        """An idle connection, or a new one; a server that refuses is asked again until ``ends``."""
        if self._idle:
            return self._idle.pop()
        while True:
            try:
                return await self._connect()
            except DatabaseError:
                if asyncio.get_running_loop().time() + RETRY_S >= ends:
                    raise
                await asyncio.sleep(RETRY_S)

    async def _connect(self) -> Connection:
        made = await Connection.open(self._place)
        self._open += 1
        return made

    def _give_back(self, connection: Connection) -> None:
        if asyncio.get_running_loop().time() - connection.opened < LIFETIME_S:
            self._idle.append(connection)
        else:
            self._drop(connection)

    def _drop(self, connection: Connection) -> None:
        self._open -= 1
        connection.close()


class Work(Protocol):
    """What the heater does in a slot beside the query; see ``heater.py``."""

    def begin(self, arrival: float, done: Callable[[float], None]) -> None:
        """Take a request that came at ``arrival``; ``done(end)`` is called once."""

    def close(self) -> None:
        """Let go of what was taken."""


class QueryWork:
    """A query, then the work of a request without one; a slot is held for both.

    Args:
        work: That work.
        slots: Requests served at once.
        query: The statement.
        connections: To the database, at once.
        environ: Where the database is.
    """

    def __init__(
        self,
        work: Work,
        *,
        slots: int,
        query: str,
        connections: int,
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        self._work = work
        self._query = query
        self._slots = asyncio.Semaphore(slots)
        self._pool = Pool(Place.of(environ), connections)
        self._tasks: set[asyncio.Task[None]] = set()

    async def connected(self) -> None:
        """Wait until the database answers."""
        await self._pool.connected()

    def begin(self, arrival: float, done: Callable[..., None]) -> None:  # noqa: ARG002
        """Take a request; ``done(end)`` or, where the database fails, ``done(end, 503)``."""
        task = asyncio.create_task(self._serve(done))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, done: Callable[..., None]) -> None:
        loop = asyncio.get_running_loop()
        async with self._slots:
            try:
                await self._pool.query(self._query)
            except DatabaseError:
                done(loop.time(), 503)
                return
            ended: asyncio.Future[float] = loop.create_future()
            self._work.begin(loop.time(), ended.set_result)
            end = await ended
        done(end)

    def metrics(self) -> list[str]:
        """In Prometheus's text format."""
        return self._pool.metrics()

    def close(self) -> None:
        """Let go of the work and hang up."""
        self._work.close()
        self._pool.close()


def _attributes(message: bytes) -> dict[str, str]:
    """``a=1,b=2`` as a mapping."""
    return {part[:1]: part[2:] for part in message.decode().split(",")}


def _keyed(key: bytes, message: bytes) -> bytes:
    return hmac.digest(key, message, "sha256")
