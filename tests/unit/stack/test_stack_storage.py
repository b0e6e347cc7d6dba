import os
import threading

import pytest

from infra_gym.errors import StateBackendError
from infra_gym.settings import Settings, StateSettings
from infra_gym.stack.storage import FolderStorage, open_storage


@pytest.fixture
def storage(tmp_path):
    return FolderStorage(tmp_path / "state")


def test_objects(storage):
    assert storage.read("a/b.json") is None
    assert storage.keys("a/") == []
    storage.write("a/b.json", b"1")
    storage.write("a/b.json", b"2")
    storage.write("a/c/d.json", b"3")
    assert storage.read("a/b.json") == b"2"
    assert storage.keys("a/") == ["a/b.json", "a/c/d.json"]
    assert storage.keys("a/b") == ["a/b.json"]
    storage.delete("a/b.json")
    storage.delete("a/b.json")
    storage.delete("a/c/d.json")
    assert storage.keys("") == []
    assert list(storage.path.iterdir()) == [], "empty folders go as well"


def test_one_of_many_creates(storage):
    begin = threading.Barrier(8)
    won = []

    def create(number: int) -> None:
        begin.wait()
        if storage.create("lock/1.json", str(number).encode()):
            won.append(str(number).encode())

    threads = [threading.Thread(target=create, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert won == [storage.read("lock/1.json")]
    assert storage.keys("") == ["lock/1.json"]


def test_writers_and_deleters_of_the_same_folder(storage):
    def write(number: int) -> None:
        for _ in range(50):
            storage.write(f"a/b/{number}.json", b"x")
            storage.delete(f"a/b/{number}.json")

    errors = []

    def guarded(number: int) -> None:
        try:
            write(number)
        except StateBackendError as error:
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert storage.keys("") == []


def test_what_a_killed_writer_left_is_removed(storage):
    storage.write("a/b.json", b"1")
    dead, alive = (storage.path / f"a/.c.json.1.{pid}.partial" for pid in (2**22 + 1, os.getpid()))
    dead.touch()
    alive.touch()
    assert storage.keys("") == ["a/b.json"]
    storage.delete("a/b.json")
    assert not dead.exists()
    assert alive.exists()


def test_objects_are_for_their_user_only(storage):
    storage.write("a/b.json", b"1")
    assert (storage.path / "a/b.json").stat().st_mode & 0o077 == 0
    assert storage.path.stat().st_mode & 0o077 == 0


def test_a_folder_that_cannot_be_used(tmp_path):
    (tmp_path / "file").touch()
    storage = FolderStorage(tmp_path / "file")
    with pytest.raises(StateBackendError, match="cannot be used") as told:
        storage.write("a/b.json", b"1")
    assert "INFRA_GYM_DATA_FOLDER" in told.value.next_command
    assert storage.read("a/b.json") is None


def test_the_settings_choose(tmp_path):
    storage = open_storage(Settings(data_folder=tmp_path))
    assert isinstance(storage, FolderStorage)
    assert storage.path == tmp_path / "state"
    bucket = open_storage(Settings(state=StateSettings(backend="s3", bucket="b")))
    assert type(bucket).__name__ == "BucketStorage"
