from __future__ import annotations

from pathlib import Path

from infra_gym.clouds.buckets import known_verdict
from infra_gym.settings import load_settings


def test_a_folder_holds_locks_and_needs_no_check(tmp_path: Path) -> None:
    verdict = known_verdict(load_settings(data_folder=tmp_path))
    assert verdict is not None
    assert verdict.locks_hold
    assert list(tmp_path.iterdir()) == []
