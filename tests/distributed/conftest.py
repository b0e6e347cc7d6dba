"""What the tests with Ray share: they are skipped where it is not installed."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from typing import Any

import pytest

from infra_gym.errors import WorkersError

_MISSING = 'Ray is not installed: pip install -e ".[ray]"'


@pytest.fixture(autouse=True)
def _needs_ray() -> None:
    if importlib.util.find_spec("ray") is None:
        pytest.skip(_MISSING)


@pytest.fixture(autouse=True)
def data(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The data folder, which Ray's processes inherit; the working directory is empty."""
    monkeypatch.setenv("INFRA_GYM_DATA_FOLDER", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "data"


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """The address of a Ray of this machine's, to which this process is connected."""
    if importlib.util.find_spec("ray") is None:
        pytest.skip(_MISSING)
    from infra_gym.distributed.cluster import library, start_here

    try:
        start_here(4)
    except WorkersError as error:  # its patience cannot be set, and this machine is too busy
        pytest.skip(error.message)
    yield library().get_runtime_context().gcs_address
    library().shutdown()
