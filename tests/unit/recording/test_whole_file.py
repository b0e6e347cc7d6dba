"""A file is written in one go, or not at all."""

from __future__ import annotations

import os
import stat
import threading

import pytest

from infra_gym.errors import UsageError
from infra_gym.recording import write_whole


def test_a_reader_finds_the_old_or_the_new(tmp_path):
    path, texts = tmp_path / "new" / "file.json", {letter * 100_000 for letter in "ab"}
    write_whole(path, "a" * 100_000)
    seen, over = set(), threading.Event()

    def read():
        while not over.is_set():
            seen.add(path.read_text())

    reader = threading.Thread(target=read)
    reader.start()
    try:
        for _ in range(100):
            for text in sorted(texts):
                write_whole(path, text)
    finally:
        over.set()
        reader.join()
    assert seen <= texts
    assert [one.name for one in path.parent.iterdir()] == ["file.json"]


def test_what_is_no_file_is_written_into(tmp_path):
    """Root may put a file in the place of /dev/null."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    descriptor = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        write_whole(pipe, "told")
        assert os.read(descriptor, 100) == b"told"
    finally:
        os.close(descriptor)
    assert pipe.is_fifo()


def test_a_link_stays_one_and_a_file_keeps_its_mode(tmp_path):
    (tmp_path / "file").write_text("before")
    (tmp_path / "file").chmod(0o600)
    (tmp_path / "link").symlink_to("file")
    for name in ("link", "file"):
        write_whole(tmp_path / name, name)
        assert (tmp_path / "file").read_text() == name
        assert (tmp_path / "link").is_symlink()
        assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o600


def test_half_a_surrogate_pair_costs_nothing_else(tmp_path):
    write_whole(tmp_path / "file", "a\ud800b")
    assert (tmp_path / "file").read_text() == "a?b"


def test_a_disk_that_refuses_is_told_and_nothing_is_left(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    for path in (tmp_path / "folder", tmp_path / "file" / "in it", tmp_path / ("x" * 300)):
        with pytest.raises(UsageError, match="cannot be written") as refused:
            write_whole(path, "text")
        assert refused.value.next_command == "name another place: --out PATH"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder"]
