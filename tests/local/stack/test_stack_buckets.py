"""Ledger, lock and state in a bucket, on S3 and on what Spaces can do."""

from __future__ import annotations

import statistics
import threading
import time

import pytest

from infra_gym.clouds.buckets import BucketStorage, check_bucket, create_bucket
from infra_gym.errors import LayerFailedError, StackLockedError, StateBackendError
from infra_gym.settings import Settings
from infra_gym.stack.leftovers import terraforms_in
from infra_gym.testing.object_store import ObjectStore


@pytest.fixture
def open_in_bucket(open_layers, bucket_state, terraform_for):
    """A function that opens a stack with its state in a bucket."""
    create_bucket(bucket_state)

    def make(*layers, **options):
        options = {"terraform": terraform_for(bucket_state), **options}
        return open_layers(*layers, state=bucket_state, **options)

    return make


@pytest.mark.both_programs
def test_a_life_in_a_bucket(open_in_bucket, bucket_state, leftovers):
    stack = open_in_bucket("alpha", "beta")
    storage = BucketStorage(bucket_state)
    with stack:
        stack.apply(inputs={"alpha": {"size": 2}})
        with pytest.raises(StackLockedError, match="Another run owns the stack"):
            open_in_bucket("alpha", "beta").apply()
        stack.apply_layer("beta", {"replicas": 3}, refresh=False)
        assert [one.resources for one in stack.status().layers] == [2, 3]
        assert {key.split("/")[3] for key in storage.keys("infrastructure/p/e/")} == {
            "ledger",
            "lock",
            "state",
        }
        stack.destroy()
    assert storage.keys("infrastructure/p/e/") == []
    assert leftovers() == []


@pytest.mark.slow
def test_a_killed_terraform_s_state_lock(open_in_bucket, bucket_state, leftovers, tmp_path):
    stack = open_in_bucket("slow")
    began = tmp_path / "data/runs/p/e/local/slow/began"

    def kill() -> None:
        deadline = time.monotonic() + 60
        while not began.exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        for process in terraforms_in(tmp_path / "data"):
            process.kill()

    thread = threading.Thread(target=kill)
    thread.start()
    with pytest.raises(Exception, match="local/slow"):
        stack.apply(inputs={"slow": {"seconds": 5}})
    thread.join()
    storage = BucketStorage(bucket_state)
    assert any(key.endswith(".tflock") for key in storage.keys("infrastructure/p/e/"))
    stack.destroy()
    assert storage.keys("infrastructure/p/e/") == []
    assert leftovers() == []


def test_a_bucket_that_is_not_there(open_layers, bucket_state, terraform_for):
    stack = open_layers("alpha", state=bucket_state, terraform=terraform_for(bucket_state))
    with pytest.raises(StateBackendError) as told:
        stack.apply()
    assert told.value.next_command == "infra-gym backend create"


def test_parallel_use_is_refused_where_locks_do_not_hold(
    open_layers, bucket_state, terraform_for, tmp_path
):
    with ObjectStore(keeps_conditions=False) as store:
        state = bucket_state.model_copy(update={"endpoint": store.url})
        create_bucket(state)
        options = {"state": state, "terraform": terraform_for(state)}
        assert not check_bucket(Settings(data_folder=tmp_path / "data", state=state)).locks_hold
        with (
            open_layers("alpha", **options),
            pytest.raises(StackLockedError, match=r"locks of bucket .* do not hold") as told,
        ):
            open_layers("alpha", environment="other", **options).apply()
        assert "p/e is used by" in told.value.message
        with open_layers("alpha", environment="other", **options):
            pass


def test_of_two_that_begin_at_once_where_locks_do_not_hold_one_is_refused(
    open_layers, bucket_state, terraform_for, tmp_path
):
    with ObjectStore(keeps_conditions=False) as store:
        state = bucket_state.model_copy(update={"endpoint": store.url})
        create_bucket(state)
        options = {"state": state, "terraform": terraform_for(state)}
        check_bucket(Settings(data_folder=tmp_path / "data", state=state))
        first = open_layers("alpha", **options)

        class Overtaken(BucketStorage):
            def create(self, key: str, data: bytes) -> bool:
                first.acquire()
                return super().create(key, data)

        second = open_layers("alpha", environment="other", storage=Overtaken(state), **options)
        with pytest.raises(StackLockedError, match="p/e is used by"):
            second.acquire()
        assert not second.acquired
        first.release()
        assert BucketStorage(state).keys("infrastructure/p/") == []


@pytest.mark.slow
def test_a_step_costs_little_beside_terraform(open_in_bucket):
    with open_in_bucket("alpha") as stack:
        stack.apply()
        beside = []
        for size in (2, 3, 2, 3, 2):
            begin = time.perf_counter()
            applied = stack.apply_layer("alpha", {"size": size}, refresh=False)
            beside.append(time.perf_counter() - begin - applied.seconds)
        # One listing, one reading and two writes of a bucket on this machine; far below a second.
        assert statistics.median(beside) < 0.5
        print(f"beside terraform: {[round(1000 * seconds) for seconds in beside]} ms")
        stack.destroy()


def test_a_store_that_goes_away_is_told_before_anything_is_done(
    open_layers, bucket_state, terraform_for, tmp_path
):
    with ObjectStore() as store:
        state = bucket_state.model_copy(update={"endpoint": store.url})
        create_bucket(state)
        stack = open_layers("alpha", state=state, terraform=terraform_for(state))
        stack.acquire()
        stack.apply()
    events = tmp_path / "data/runs/p/e/local/alpha/events.jsonl"
    before = events.stat().st_mtime_ns
    with pytest.raises(StateBackendError) as told:
        stack.apply_layer("alpha", {"size": 2}, refresh=False)
    assert "INFRA_GYM_STATE__ENDPOINT" in told.value.next_command
    assert events.stat().st_mtime_ns == before
    with pytest.raises(StateBackendError):
        stack.release()


@pytest.mark.slow
def test_a_store_that_goes_away_in_the_middle_loses_nothing(
    open_layers, bucket_state, terraform_for, leftovers, tmp_path
):
    began = tmp_path / "data/runs/p/e/local/slow/began"
    with ObjectStore() as store:
        state = bucket_state.model_copy(update={"endpoint": store.url})
        create_bucket(state)
        stack = open_layers("slow", state=state, terraform=terraform_for(state))

        def vanish() -> None:
            deadline = time.monotonic() + 60
            while not began.exists() and time.monotonic() < deadline:
                time.sleep(0.02)
            store.down = True

        thread = threading.Thread(target=vanish)
        thread.start()
        with pytest.raises(LayerFailedError, match="save state") as told:
            stack.apply(inputs={"slow": {"seconds": 1}})
        thread.join()
        assert "when the state's store answers again" in told.value.next_command
        store.down = False

        status = stack.status()
        assert (status.owner_alive, status.layers[0].status) == (False, "interrupted")
        applied = stack.apply()["local/slow"]
        assert applied.changes == (), "what was made before is remembered, not made again"
        stack.destroy()
        assert BucketStorage(state).keys("infrastructure/p/") == []
    assert leftovers() == []
