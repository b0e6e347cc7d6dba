"""A training script on a billed target that is told to end leaves nothing to be billed for."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from infra_gym.testing.digitalocean import Durations, FakeDigitalOcean

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900), pytest.mark.usefixtures("needs_provider")]

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl run"
SCRIPT = """
import signal
import gymnasium as gym, infra_gym
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # whoever runs the tests may ignore it
env = gym.make("SwarmWebApp-v0", target="do", project="p", environment="e", spend_money=True)
env.reset(seed=1)
"""


@pytest.mark.parametrize(
    ("told", "droplets"),
    [(signal.SIGTERM, 5), (signal.SIGHUP, 1)],
    ids=["while it waits for its metrics", "in the middle of its applies"],
)
def test_nothing_is_left_in_the_account(tmp_path, told, droplets):
    durations = Durations(droplet_boot_s=1, droplet_delete_s=1)
    with FakeDigitalOcean(durations=durations, a_minute=10_000) as fake:
        environ = {
            **{key: value for key, value in os.environ.items() if not key.startswith("INFRA_GYM_")},
            "DIGITALOCEAN_TOKEN": "any",
            "DIGITALOCEAN_API_URL": fake.url,
            "INFRA_GYM_DATA_FOLDER": str(tmp_path / "data"),
            "TF_VAR_ssh_from": '["192.0.2.7/32"]',
            "TF_VAR_ssh_public_key": KEY,
        }
        script = subprocess.Popen([sys.executable, "-c", SCRIPT], env=environ, cwd=tmp_path)
        try:
            deadline = time.monotonic() + 400
            while len(fake.account.all_of("droplet")) < droplets:
                assert script.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.1)
            script.send_signal(told)
            assert script.wait(timeout=450) == 128 + told
        finally:
            script.kill()
            script.wait()
        assert fake.left() == []
        assert fake.bill_usd() > 0
    assert [path for path in (tmp_path / "data").rglob("*") if not path.is_dir()] == []
