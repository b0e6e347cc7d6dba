import os
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta

import pytest

from infra_gym.errors import OwnershipLostError, StackError, StackLockedError, StateBackendError
from infra_gym.stack.lock import BEAT_S, DEAD_AFTER_S, Owner, StackLock
from infra_gym.stack.storage import FolderStorage

PREFIX = "infrastructure/p/e/lock/"
BEAT = "infrastructure/p/e/ledger/heartbeat.json"


@pytest.fixture
def storage(tmp_path):
    return FolderStorage(tmp_path)


@pytest.fixture
def make(storage):
    locks = []

    def make(**options) -> StackLock:
        lock = StackLock(storage, "p", "e", **options)
        locks.append(lock)
        return lock

    yield make
    for lock in locks:
        lock.release()


def put(storage, **changes) -> Owner:
    """A lock that another run has left."""
    owner = Owner.of_this_process(3).model_copy(update={"token": "theirs", **changes})
    storage.write(f"{PREFIX}{owner.generation:08d}.json", owner.model_dump_json().encode())
    return owner


def dead_process() -> tuple[int, float]:
    program = subprocess.Popen([sys.executable, "-c", ""])
    program.wait()
    return program.pid, time.time()


def test_acquire_check_release(make, storage):
    lock = make()
    lock.acquire()
    assert storage.keys(PREFIX) == [f"{PREFIX}00000001.json"]
    assert lock.holder() == lock.owner
    lock.check()
    lock.release()
    lock.release()
    assert storage.keys("") == []
    with pytest.raises(StackError, match="not held"):
        lock.check()


def test_a_live_owner_is_told(make):
    make().acquire()
    with pytest.raises(StackLockedError) as told:
        make().acquire()
    text = str(told.value)
    assert f"process {os.getpid()}" in text
    assert "since 20" in text
    assert "infra-gym layers unlock -p p -e e" in text


def test_a_dead_owner_is_followed(make, storage):
    pid, _ = dead_process()
    put(storage, pid=pid)
    lock = make()
    lock.acquire()
    assert storage.keys(PREFIX) == [f"{PREFIX}00000004.json"]
    lock.check()


def test_a_process_id_that_is_used_again_is_another_process(make, storage):
    owner = Owner.of_this_process(1)
    put(storage, pid=os.getpid(), process_start=owner.process_start - 100)
    make().acquire()


def test_a_zombie_is_dead(make, storage):
    program = subprocess.Popen([sys.executable, "-c", ""])
    import psutil

    start = psutil.Process(program.pid).create_time()
    while psutil.Process(program.pid).status() != psutil.STATUS_ZOMBIE:
        time.sleep(0.01)
    put(storage, pid=program.pid, process_start=start)
    make().acquire()
    program.wait()


def test_another_host_lives_as_long_as_its_heart_beats(make, storage):
    long_ago = datetime.now(UTC) - timedelta(seconds=10 * DEAD_AFTER_S)
    slept = []
    other = put(storage, host="elsewhere", since=long_ago)
    lock = make(sleep=slept.append)
    storage.write(BEAT, f'{{"token": "theirs", "at": {time.time() - DEAD_AFTER_S / 2}}}'.encode())
    with pytest.raises(StackLockedError, match="@elsewhere"):
        lock.acquire()
    assert slept == []
    assert lock.is_alive(other)

    storage.write(BEAT, b'{"token": "theirs", "at": 5}')
    assert not lock.is_alive(other)
    lock.acquire()
    assert slept == [BEAT_S * 1.5]


def test_another_machine_of_the_same_name_cannot_be_seen(make, storage):
    pid, _ = dead_process()
    other = put(storage, machine="another boot", pid=pid)
    storage.write(BEAT, f'{{"token": "theirs", "at": {time.time()}}}'.encode())
    assert other.is_here
    assert not other.is_visible
    with pytest.raises(StackLockedError):
        make().acquire()


def test_a_store_that_fails_in_the_middle_leaves_no_lock(storage):
    class Failing(FolderStorage):
        def write(self, key, data):
            raise StateBackendError("gone")

    failing = Failing(storage.path)
    lock = StackLock(failing, "p", "e")
    with pytest.raises(StateBackendError):
        lock.acquire()
    lock.release()
    assert storage.keys("") == []


def test_a_lock_that_could_not_be_given_back_keeps_no_later_run_of_the_process_out(storage, make):
    class Failing(FolderStorage):
        away = False

        def delete(self, key):
            if self.away:
                raise StateBackendError("gone")
            super().delete(key)

    failing = Failing(storage.path)
    lock = StackLock(failing, "p", "e")
    lock.acquire()
    failing.away = True
    with pytest.raises(StateBackendError):
        lock.release()
    failing.away = False
    holder = lock.holder()
    assert holder is not None
    assert not lock.is_alive(holder)
    lock.acquire()
    with pytest.raises(StackLockedError):
        make().acquire()
    lock.release()
    assert storage.keys("") == []


def test_another_hosts_clock_may_be_wrong(make, storage):
    long_ago = datetime.now(UTC) - timedelta(seconds=10 * DEAD_AFTER_S)
    put(storage, host="elsewhere", since=long_ago)
    storage.write(BEAT, b'{"token": "theirs", "at": 5}')

    def beat_meanwhile(seconds: float) -> None:
        storage.write(BEAT, f'{{"token": "theirs", "at": {5 + seconds}}}'.encode())

    with pytest.raises(StackLockedError):
        make(sleep=beat_meanwhile).acquire()


def test_a_clock_that_is_ahead_keeps_nobody_alive(make, storage):
    put(storage, host="elsewhere")
    ahead = time.time() + 10 * DEAD_AFTER_S
    storage.write(BEAT, f'{{"token": "theirs", "at": {ahead}}}'.encode())
    slept = []
    make(sleep=slept.append).acquire()
    assert slept == [BEAT_S * 1.5]


def test_a_heartbeat_that_cannot_be_understood_is_none(make, storage):
    put(storage, host="elsewhere")
    storage.write(BEAT, b"{")
    with pytest.raises(StackLockedError, match="@elsewhere"):
        make().acquire()


def test_what_else_lies_beside_the_lock_is_none(make, storage):
    for name in (".DS_Store", "notes.json", "00000001.json~"):
        storage.write(PREFIX + name, b"?")
    lock = make()
    lock.acquire()
    lock.check()
    lock.release()
    assert f"{PREFIX}00000001.json" not in storage.keys(PREFIX)


def test_an_owner_that_was_taken_over(make, storage):
    sleeper, heir = make(), make()
    sleeper.acquire()
    heir.seize()
    with pytest.raises(OwnershipLostError, match="taken over by"):
        sleeper.check()
    sleeper.release()
    heir.check()
    heir.release()
    assert storage.keys("") == []


def test_the_same_generation_with_another_token_is_not_ours(make, storage):
    lock = make()
    lock.acquire()
    put(storage, generation=1)
    with pytest.raises(OwnershipLostError):
        lock.check()
    lock.release()
    assert storage.keys(PREFIX) == [f"{PREFIX}00000001.json"]


def test_a_store_that_ignores_conditions_gives_the_lock_to_the_last(storage):
    class Careless(FolderStorage):
        def create(self, key, data):
            self.write(key, data)
            put(self, generation=1)  # another run, a moment later
            return True

    with pytest.raises(StackLockedError):
        StackLock(Careless(storage.path), "p", "e").acquire()


def test_who_is_overtaken_while_acquiring_leaves_nothing(storage):
    class Overtaken(FolderStorage):
        def create(self, key, data):
            created = super().create(key, data)
            put(self, generation=7)  # another run, a moment later
            return created

    lock = StackLock(Overtaken(storage.path), "p", "e")
    with pytest.raises(StackLockedError):
        lock.acquire()
    assert storage.keys("") == [f"{PREFIX}00000007.json"]


def test_a_lock_that_cannot_be_read(make, storage):
    storage.write(f"{PREFIX}00000001.json", b"{}")
    with pytest.raises(StackLockedError, match="cannot be understood") as told:
        make().acquire()
    assert "layers unlock" in told.value.next_command
    lock = make()
    lock.seize()
    lock.check()
