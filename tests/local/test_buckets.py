"""Making and probing buckets, on S3, on what Spaces can do, and on a store that holds no locks."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from infra_gym.clouds import objects
from infra_gym.clouds.buckets import (
    VERDICT_KEY,
    BucketStorage,
    check_bucket,
    create_bucket,
    known_verdict,
)
from infra_gym.errors import StateBackendError
from infra_gym.settings import Settings, StateSettings, load_settings
from infra_gym.testing.object_store import ObjectStore


def settings_for(state: StateSettings, folder: Path) -> Settings:
    return load_settings(state=state, data_folder=folder)


def test_create_says_what_the_store_cannot_do(bucket_state: StateSettings) -> None:
    lines = create_bucket(bucket_state)
    assert lines[0] == f"bucket {bucket_state.bucket}: made"
    assert "versions: on" in lines
    if bucket_state.backend == "s3":
        assert {"public access block: on", "encryption: on"} <= set(lines)
    else:
        cannot = "NOT on: this store does not do it (NotImplemented)"
        assert {f"public access block: {cannot}", f"encryption: {cannot}"} <= set(lines)


def test_create_again_changes_nothing_that_is_in_use(s3_state: StateSettings) -> None:
    storage = BucketStorage(s3_state)
    storage.client.create_bucket(Bucket=s3_state.bucket)
    storage.write("somebody/elses.html", b"hello")
    lines = create_bucket(s3_state)
    assert "in use already: left as it is" in lines[0]
    assert "versions: NOT on" in lines
    assert storage.client.get_bucket_versioning(Bucket=s3_state.bucket).get("Status") is None


def test_a_half_made_bucket_is_finished(s3_state: StateSettings) -> None:
    BucketStorage(s3_state).client.create_bucket(Bucket=s3_state.bucket)
    lines = create_bucket(s3_state)
    assert "there already, empty" in lines[0]
    assert "versions: on" in lines


def test_objects(bucket_state: StateSettings) -> None:
    create_bucket(bucket_state)
    storage = BucketStorage(bucket_state)
    assert storage.read("a/b") is None
    assert storage.create("a/b", b"mine")
    assert not storage.create("a/b", b"theirs")
    assert storage.create("a/b", b"mine"), "a lost answer: the same request again is no stranger"
    storage.write("a/b", b"new")
    storage.write("a/c", b"")
    storage.write("other", b"x")
    assert storage.read("a/b") == b"new"
    assert storage.read("a/c") == b""
    assert storage.keys("a/") == ["a/b", "a/c"]
    storage.delete("a/b")
    storage.delete("a/b")
    assert storage.keys("a/") == ["a/c"]


def test_more_keys_than_a_page_holds(s3_state: StateSettings) -> None:
    create_bucket(s3_state)
    storage = BucketStorage(s3_state)
    paginator = storage.client.get_paginator
    storage.client.get_paginator = lambda name: _SmallPages(paginator(name))
    for number in range(5):
        storage.write(f"key/{number}", b"x")
    assert len(storage.keys("key/")) == 5


class _SmallPages:
    def __init__(self, paginator) -> None:
        self._paginator = paginator

    def paginate(self, **arguments):
        return self._paginator.paginate(**arguments, PaginationConfig={"PageSize": 2})


def test_locks_hold_and_the_verdict_is_kept(bucket_state: StateSettings, tmp_path: Path) -> None:
    settings = settings_for(bucket_state, tmp_path / "here")
    create_bucket(bucket_state)
    assert known_verdict(settings) is None
    verdict = check_bucket(settings)
    assert verdict.locks_hold, verdict.lines
    assert any("exactly one won, 3 times of 3" in line for line in verdict.lines)
    assert known_verdict(settings) == verdict
    elsewhere = settings_for(bucket_state, tmp_path / "elsewhere")
    assert known_verdict(elsewhere) == verdict, "another machine reads it from the bucket"
    storage = BucketStorage(bucket_state)
    assert storage.keys("infrastructure/.infra-gym/") == [VERDICT_KEY], "the probe cleans up"
    storage.delete(VERDICT_KEY)
    assert known_verdict(elsewhere) == verdict, "and keeps a copy"


def test_a_store_without_conditions_is_found_out(s3_state: StateSettings, tmp_path: Path) -> None:
    with ObjectStore(keeps_conditions=False) as store:
        state = s3_state.model_copy(update={"endpoint": store.url})
        settings = settings_for(state, tmp_path)
        create_bucket(state)
        verdict = check_bucket(settings)
        assert not verdict.locks_hold
        assert any("ignores If-None-Match" in line for line in verdict.lines)
        assert any("only 0 times of 3" in line for line in verdict.lines)
        stored = BucketStorage(state).read(VERDICT_KEY)
        assert stored is not None
        assert json.loads(stored)["locks_hold"] is False
    known = known_verdict(settings)
    assert known is not None
    assert not known.locks_hold


def test_a_store_that_looks_first_and_writes_later_is_found_out(
    s3_state: StateSettings, tmp_path: Path, monkeypatch
) -> None:
    """One write after another it behaves; only the race shows the gap."""
    gap = threading.Barrier(8)
    real = BucketStorage.create

    def create(storage: BucketStorage, key: str, data: bytes) -> bool:
        if not data.startswith(b"racer"):
            return real(storage, key, data)
        free = storage.read(key) is None
        gap.wait()
        if free:
            storage.write(key, data)
        return free

    monkeypatch.setattr(BucketStorage, "create", create)
    create_bucket(s3_state)
    verdict = check_bucket(settings_for(s3_state, tmp_path))
    assert not verdict.locks_hold
    assert [line for line in verdict.lines if "refused" in line]
    assert "only 0 times of 3" in verdict.lines[-1]


def test_a_broken_local_copy_is_read_anew(s3_state: StateSettings, tmp_path: Path) -> None:
    settings = settings_for(s3_state, tmp_path)
    create_bucket(s3_state)
    verdict = check_bucket(settings)
    (copy,) = (tmp_path / "verdicts").iterdir()
    copy.write_text("{")
    assert known_verdict(settings) == verdict


def test_many_threads_share_one_storage(s3_state: StateSettings) -> None:
    create_bucket(s3_state)
    storage = BucketStorage(s3_state)
    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(lambda n: storage.create("lock", f"{n}".encode()), range(16)))
    assert won.count(True) == 1


def test_a_bucket_that_is_not_there(s3_state: StateSettings, tmp_path: Path) -> None:
    with pytest.raises(StateBackendError, match="NoSuchBucket") as caught:
        BucketStorage(s3_state).read("x")
    assert caught.value.next_command == "infra-gym backend create"
    with pytest.raises(StateBackendError, match="NoSuchBucket"):
        check_bucket(settings_for(s3_state, tmp_path))


def test_nobody_answers(s3_state: StateSettings, monkeypatch) -> None:
    monkeypatch.setattr(objects, "ATTEMPTS", 1)
    state = s3_state.model_copy(update={"endpoint": "http://127.0.0.1:9"})
    with pytest.raises(StateBackendError, match="connect") as caught:
        BucketStorage(state).read("x")
    assert "INFRA_GYM_STATE__ENDPOINT" in str(caught.value)


@pytest.fixture
def refusing_store():
    class Refusing(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = b"<Error><Code>InvalidAccessKeyId</Code><Message>No such key.</Message></Error>"
            self.send_response(403)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Refusing)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_wrong_keys(bucket_state: StateSettings, refusing_store: str) -> None:
    state = bucket_state.model_copy(update={"endpoint": refusing_store})
    with pytest.raises(StateBackendError, match="InvalidAccessKeyId") as caught:
        BucketStorage(state).read("x")
    prefix = "SPACES" if state.backend == "spaces" else "AWS"
    assert f"{prefix}_SECRET_ACCESS_KEY" in str(caught.value)
