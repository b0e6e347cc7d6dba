"""Which names a lost worker may have left, and what happens to them; without Ray."""

from __future__ import annotations

import importlib.util

import pytest

from infra_gym.distributed.cluster import library
from infra_gym.distributed.leftovers import destroy_left, left_by, worker_name
from infra_gym.errors import MissingProgramError
from infra_gym.settings import Settings
from infra_gym.stack.storage import FolderStorage


def test_a_replacement_has_another_name():
    assert worker_name("demo", 2) == "demo-2"
    names = {worker_name("demo", 2, replaced=True) for _ in range(8)}
    assert len(names) > 1
    assert all(name.startswith("demo-2-") and len(name) == len("demo-2-abcd") for name in names)


def test_a_worker_leaves_its_own_names_only(tmp_path):
    storage = FolderStorage(tmp_path)
    for project, name in (
        ("p", "demo-1"), ("p", "demo-1-abcd"), ("p", "demo-10"), ("p", "demo-2"), ("q", "demo-1"),
    ):  # fmt: skip
        storage.write(f"infrastructure/{project}/{name}/ledger/stack.json", b"{}")
        storage.write(f"infrastructure/{project}/{name}/lock/00000001.json", b"{}")
    assert left_by(storage, "p", "demo-1") == ["demo-1", "demo-1-abcd"]
    assert left_by(storage, "p", "demo-3") == []


def test_where_nothing_is_left_nothing_is_destroyed(tmp_path):
    assert destroy_left(Settings(project="p", data_folder=tmp_path), "demo-1") == []


@pytest.mark.skipif(importlib.util.find_spec("ray") is not None, reason="Ray is installed")
def test_without_ray_the_error_says_what_to_type():
    with pytest.raises(MissingProgramError, match=r'pip install "infra-gym\[ray\]"'):
        library()
