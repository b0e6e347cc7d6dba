"""The query in the request: the wire protocol against a server that speaks it, and the pool."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import importlib.util
import struct
import sys
from pathlib import Path

import pytest

APPS = Path(__file__).parents[3] / "infra_gym" / "apps"


def module(name):
    spec = importlib.util.spec_from_file_location(name, APPS / f"{name}.py")
    made = importlib.util.module_from_spec(spec)
    sys.modules[name] = made
    spec.loader.exec_module(made)
    return made


postgresql = module("postgresql")
heater = module("heater")


class FakeServer:
    """Takes a password by SCRAM-SHA-256 and answers every query with one row, after a while."""

    def __init__(self, *, password="secret", connections=100, seconds=0.0, knows_it=True):
        self.password = password
        self.seconds = seconds
        self.limit = connections
        self.knows_it = knows_it
        self.open = self.most = self.logins = 0
        self.startup = b""
        self.queries = []
        self.refusal = None
        self._server = None
        self._tasks = set()
        self._pools = []

    async def __aenter__(self):
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_):
        for pool in self._pools:
            pool.close()
        self._server.close()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=5)

    def pool(self, size):
        """A pool that is closed with the server."""
        self._pools.append(postgresql.Pool(self.place(), size))
        return self._pools[-1]

    def place(self, password="secret"):
        port = self._server.sockets[0].getsockname()[1]
        return postgresql.Place("127.0.0.1", port, "ann", "shop", password)

    def environ(self):
        place = self.place()
        return {
            "PGHOST": place.host, "PGPORT": str(place.port), "PGUSER": "ann", "PGPASSWORD": "secret"
        }  # fmt: skip

    async def _serve(self, reader, writer):
        self._tasks.add(asyncio.current_task())
        size = struct.unpack(">i", await reader.readexactly(4))[0]
        self.startup = await reader.readexactly(size - 4)
        if self.open >= self.limit:
            fail(writer, b"53300", b"sorry, too many clients already")
            return
        self.open += 1
        self.most = max(self.most, self.open)
        try:
            if await self._log_in(reader, writer):
                await self._answer(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self.open -= 1
            writer.close()

    async def _log_in(self, reader, writer):
        say(writer, b"R", struct.pack(">i", 10) + b"SCRAM-SHA-256\0\0")
        first = (await hear(reader))[1].split(b"\0", 1)[1][4:]
        bare = first.removeprefix(b"n,,")
        salt = b"a salt of them"
        challenge = (
            b"r=" + bare.split(b"r=")[1] + b"theirs,s=" + base64.b64encode(salt) + b",i=4096"
        )
        say(writer, b"R", struct.pack(">i", 11) + challenge)
        final = (await hear(reader))[1]
        without_proof, proof = final.rsplit(b",p=", 1)
        salted = hashlib.pbkdf2_hmac("sha256", self.password.encode(), salt, 4096)
        spoken = b",".join([bare, challenge, without_proof])
        stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
        signature = hmac.digest(stored, spoken, "sha256")
        key = bytes(a ^ b for a, b in zip(base64.b64decode(proof), signature, strict=True))
        if hashlib.sha256(key).digest() != stored:
            fail(writer, b"28P01", b"password authentication failed")
            return False
        mine = hmac.digest(hmac.digest(salted, b"Server Key", "sha256"), spoken, "sha256")
        mine = mine if self.knows_it else bytes(32)
        say(writer, b"R", struct.pack(">i", 12) + b"v=" + base64.b64encode(mine))
        say(writer, b"R", struct.pack(">i", 0))
        say(writer, b"S", b"server_version\x0017\0")
        say(writer, b"Z", b"I")
        self.logins += 1
        return True

    async def _answer(self, reader, writer):
        while True:
            kind, body = await hear(reader)
            if kind == b"X":
                return
            self.queries.append(body)
            await asyncio.sleep(self.seconds)
            if self.refusal is not None:
                fail(writer, *self.refusal)
                return
            say(writer, b"T", b"\0\0")
            say(writer, b"D", b"\0\0")
            say(writer, b"C", b"SELECT 1\0")
            say(writer, b"Z", b"I")


def say(writer, kind, body):
    writer.write(kind + struct.pack(">i", len(body) + 4) + body)


def fail(writer, code, words):
    say(writer, b"E", b"SFATAL\0C" + code + b"\0M" + words + b"\0\0")
    writer.close()


async def hear(reader):
    head = await reader.readexactly(5)
    return head[:1], await reader.readexactly(struct.unpack(">i", head[1:])[0] - 4)


def metric(lines, name):
    return float(next(line for line in lines if line.startswith(f"{name} ")).split()[1])


def test_the_proof_is_that_of_the_standards_example():
    scram = postgresql.Scram("pencil", "rOprNGfwEbeRWgbNEkqO")
    assert scram.first() == b"n,,n=,r=rOprNGfwEbeRWgbNEkqO"
    # As RFC 7677, section 3, but for the name, which PostgreSQL takes from elsewhere.
    scram._bare = "n=user,r=rOprNGfwEbeRWgbNEkqO"
    nonce = "rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
    final = scram.final(f"r={nonce},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096".encode())
    proof = "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
    assert final == f"c=biws,r={nonce},p={proof}".encode()
    scram.check(b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=")
    with pytest.raises(postgresql.DatabaseError, match="does not know the password"):
        scram.check(b"v=" + base64.b64encode(bytes(32)))


def test_another_clients_nonce_is_refused():
    with pytest.raises(postgresql.DatabaseError, match="another client"):
        postgresql.Scram("pencil", "mine").final(b"r=theirs,s=c2FsdA==,i=4096")


def test_a_query_is_asked_after_a_login():
    async def play():
        async with FakeServer() as server:
            connection = await postgresql.Connection.open(server.place())
            rows = await connection.query("SELECT 1")
            connection.close()
            return rows, server

    rows, server = asyncio.run(play())
    assert rows == 1
    assert server.queries == [b"SELECT 1\0"]
    assert b"user\0ann\0database\0shop\0" in server.startup


@pytest.mark.parametrize(
    ("options", "password", "words"),
    [
        ({}, "wrong", "28P01 password authentication failed"),
        ({"connections": 0}, "secret", "53300 sorry, too many clients"),
        ({"knows_it": False}, "secret", "does not know the password"),
    ],
)
def test_a_refusal_is_told(options, password, words):
    async def play():
        async with FakeServer(**options) as server:
            await postgresql.Connection.open(server.place(password))

    with pytest.raises(postgresql.DatabaseError, match=words):
        asyncio.run(play())


def test_the_password_is_not_shown():
    assert "secret" not in repr(postgresql.Place("h", 1, "u", "d", "secret"))


def test_libpqs_variables_say_where():
    place = postgresql.Place.of({"PGHOST": "db", "PGPORT": "6432", "PGUSER": "ann"})
    assert (place.host, place.port, place.database) == ("db", 6432, "ann")


def test_a_pool_never_has_more_connections_and_uses_them_again():
    async def play():
        async with FakeServer(seconds=0.01) as server:
            pool = server.pool(2)
            await asyncio.gather(*(pool.query("SELECT 1") for _ in range(20)))
            return server, pool.metrics()

    server, lines = asyncio.run(play())
    assert server.most == server.logins == 2
    assert len(server.queries) == 20
    assert metric(lines, "heater_database_query_seconds_count") == 20
    assert metric(lines, "heater_database_wait_seconds_count") == 20
    # The last of twenty waited for nine pairs before it.
    assert metric(lines, "heater_database_wait_seconds_sum") >= sum(range(10)) * 2 * 0.01
    assert metric(lines, "heater_database_connections") == 2
    assert metric(lines, "heater_database_errors_total") == 0


def test_who_gets_no_connection_in_time_is_told(monkeypatch):
    monkeypatch.setattr(postgresql, "WAIT_DEADLINE_S", 0.05)

    async def play():
        async with FakeServer(seconds=0.5) as server:
            pool = server.pool(1)
            first = asyncio.create_task(pool.query("SELECT 1"))
            await asyncio.sleep(0.01)
            with pytest.raises(postgresql.DatabaseError, match="no connection was free"):
                await pool.query("SELECT 1")
            await first
            return pool.metrics()

    assert metric(asyncio.run(play()), "heater_database_errors_total") == 1


def test_a_server_that_is_full_is_asked_again():
    async def play():
        async with FakeServer(connections=1, seconds=0.05) as server:
            one, other = server.pool(1), server.pool(1)
            await one.query("SELECT 1")
            waiting = asyncio.create_task(other.query("SELECT 1"))
            await asyncio.sleep(0.05)
            assert not waiting.done()
            one.close()
            await waiting

    asyncio.run(play())


def test_connections_do_not_live_for_ever(monkeypatch):
    monkeypatch.setattr(postgresql, "LIFETIME_S", 0.0)

    async def play():
        async with FakeServer() as server:
            pool = server.pool(1)
            for _ in range(3):
                await pool.query("SELECT 1")
            return server.logins

    assert asyncio.run(play()) == 3


def test_a_failed_query_costs_the_connection_and_no_more():
    async def play():
        async with FakeServer() as server:
            pool = server.pool(1)
            server.refusal = (b"42P01", b"no such table")
            with pytest.raises(postgresql.DatabaseError, match="42P01 no such table"):
                await pool.query("SELECT 1")
            server.refusal = None
            await pool.query("SELECT 1")
            return server.logins

    assert asyncio.run(play()) == 2


def play_requests(server_options, requests, **work):
    """Send requests to a heater with a query; its answers, and its metrics."""

    async def play():
        async with FakeServer(**server_options) as server:
            loop = asyncio.get_running_loop()
            querying = postgresql.QueryWork(
                heater.TimedWork(loop, work["slots"], lambda: 0.01),
                query="SELECT 1",
                environ=server.environ(),
                **work,
            )
            replica = heater.Heater(
                loop, slots=work["slots"], queue_limit=64, work=querying,
                more_metrics=querying.metrics,
            )  # fmt: skip
            await querying.connected()
            answers = []
            for _ in range(requests):
                replica.serve(answers.append)
            while len(answers) < requests:
                await asyncio.sleep(0.005)
            replica.close()
            return server, answers, replica.metrics()

    return asyncio.run(asyncio.wait_for(play(), 30))


def test_each_request_asks_and_then_works():
    server, answers, metrics = play_requests({}, 6, slots=3, connections=2)
    assert answers == [200] * 6
    assert len(server.queries) == 6
    assert server.most == 2
    assert "heater_database_query_seconds_count 6" in metrics
    assert 'heater_requests_total{code="200"} 6' in metrics


def test_a_database_that_fails_is_a_503(monkeypatch):
    monkeypatch.setattr(FakeServer, "_answer", _gone)
    _, answers, metrics = play_requests({}, 4, slots=2, connections=1)
    assert answers == [503] * 4
    assert 'heater_requests_total{code="503"} 4' in metrics
    assert "heater_database_errors_total 4" in metrics
    # What failed is no request's duration.
    assert "heater_request_duration_seconds_count 0" in metrics


async def _gone(self, reader, writer):
    await hear(reader)
    fail(writer, b"57P01", b"terminating connection")
