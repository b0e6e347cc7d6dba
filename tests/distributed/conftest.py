"""What the tests with Ray share: they are skipped where it is not installed."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from typing import Any

import pytest


@pytest.fixture(autouse=True)
def _needs_ray() -> None:
    if importlib.util.find_spec("ray") is None:
        pytest.skip('Ray is not installed: pip install -e ".[ray]"')


@pytest.fixture(autouse=True)
def data(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The data folder, which Ray's processes inherit; the working directory is empty."""
    monkeypatch.setenv("INFRA_GYM_DATA_FOLDER", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "data"


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """The address of a Ray cluster of one machine, to which this process is not connected."""
    from infra_gym.distributed.cluster import library

    if importlib.util.find_spec("ray") is None:
        pytest.skip('Ray is not installed: pip install -e ".[ray]"')
    library()
    from ray.cluster_utils import Cluster

    made = Cluster()
    made.add_node(num_cpus=4, object_store_memory=100 * 1024 * 1024, include_dashboard=False)
    try:
        yield made.address
    finally:
        made.shutdown()
