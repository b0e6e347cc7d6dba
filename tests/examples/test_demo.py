"""``make demo`` shows what it promises, and leaves nothing behind."""

from __future__ import annotations

import os
import re
import subprocess
from itertools import pairwise
from pathlib import Path

import numpy as np
import psutil
import pytest

from infra_gym.recording import read_run

ROOT = Path(__file__).parents[2]
STEPS = 20


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_make_demo(tmp_path: Path) -> None:
    environ = {name: value for name, value in os.environ.items() if not name.startswith("XDG_")}
    done = subprocess.run(
        ["make", "demo"],
        cwd=ROOT,
        env={**environ, "HOME": str(tmp_path)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=360,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (name,) = re.findall(r"^Run log: (\S+)$", done.stdout, re.MULTILINE)
    run = read_run(ROOT / name)
    (ROOT / name).unlink()

    assert run.closed is not None
    (episode,) = run.episodes
    assert len(episode.steps) == STEPS
    assert all(np.isfinite(step.observation).all() for step in episode.steps)
    seen = [step.metrics["existing"] for step in episode.steps]  # counted by Prometheus
    assert max(seen) > seen[0]
    assert any(after < before for before, after in pairwise(seen))

    assert [process for process in psutil.process_iter() if works_in(process, tmp_path)] == []
    data = [path for path in tmp_path.rglob("*") if path.is_file() and "infra-gym" in str(path)]
    assert data == []


def works_in(process: psutil.Process, folder: Path) -> bool:
    try:
        return Path(process.cwd()).is_relative_to(folder)
    except (psutil.Error, OSError):
        return False
