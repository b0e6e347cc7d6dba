"""DigitalOcean from nothing to nothing: real providers, a real cluster, a fake account."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600), pytest.mark.usefixtures("needs_provider")]

KUBECONFIG = os.environ.get("INFRA_GYM_TEST_KUBECONFIG")


@pytest.mark.skipif(not KUBECONFIG, reason="INFRA_GYM_TEST_KUBECONFIG names no kubeconfig")
def test_an_episode_leaves_nothing_in_the_account(tmp_path):
    done = subprocess.run(
        [
            *(sys.executable, "-m", "infra_gym", "rehearse", "SimpleK8sWebApp-v0", "--json"),
            *("--kubeconfig", str(KUBECONFIG), "--steps", "2", "--interval", "10"),
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=590,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    told = json.loads(done.stdout)
    assert told["left"] == []
    assert round(told["metered_usd"], 2) == told["bill_usd"] > 0
    steps = [
        record
        for record in map(json.loads, Path(told["log"]).read_text().splitlines())
        if record["kind"] == "step"
    ]
    assert len(steps) == 2
