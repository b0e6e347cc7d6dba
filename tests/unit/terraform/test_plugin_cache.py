from __future__ import annotations

import threading
from pathlib import Path

import pytest

from infra_gym.terraform.plugin_cache import alone


def test_one_at_a_time(tmp_path: Path) -> None:
    inside: list[str] = []

    def second() -> None:
        with alone(str(tmp_path)):
            inside.append("second")

    thread = threading.Thread(target=second)
    with alone(str(tmp_path)):
        thread.start()
        thread.join(0.2)
        inside.append("first")
    thread.join(10)
    assert inside == ["first", "second"]


@pytest.mark.parametrize("cache", [None, "", "missing"])
def test_without_a_cache_nobody_waits(cache: str | None, tmp_path: Path) -> None:
    named = cache and str(tmp_path / cache)
    with alone(named), alone(named):
        assert list(tmp_path.iterdir()) == []
