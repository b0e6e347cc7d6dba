from __future__ import annotations

from pathlib import Path

import hcl2
import pytest

from infra_gym.settings import StateSettings
from infra_gym.terraform.backends import backend_environment, hcl, render_backend, state_key

KEY = state_key("shop", "blue", "local/heater")


def backend(state: StateSettings, data: Path = Path("/data")) -> dict:
    options = hcl2.SerializationOptions(strip_string_quotes=True, explicit_blocks=False)
    text = render_backend(state, KEY, data)
    (settings,) = hcl2.loads(text, serialization_options=options)["terraform"]
    ((_, body),) = settings["backend"][0].items()
    return body


def test_the_key_names_project_environment_and_layer() -> None:
    assert KEY == "infrastructure/shop/blue/state/local/heater.tfstate"


def test_local() -> None:
    assert backend(StateSettings()) == {"path": f"/data/state/{KEY}"}


def test_aws() -> None:
    body = backend(StateSettings(backend="s3", bucket="b", region="eu-west-1"))
    assert body == {
        "bucket": "b",
        "key": KEY,
        "region": "eu-west-1",
        "use_lockfile": True,
        "encrypt": True,
    }


@pytest.mark.parametrize(
    ("state", "endpoint", "region", "path_style"),
    [
        (
            StateSettings(backend="spaces", bucket="b", region="nyc3"),
            "https://nyc3.digitaloceanspaces.com",
            "us-east-1",
            False,
        ),
        (
            StateSettings(backend="s3", bucket="b", endpoint="http://minio:9000", region="here"),
            "http://minio:9000",
            "here",
            True,
        ),
    ],
)
def test_other_stores(state: StateSettings, endpoint: str, region: str, path_style: bool) -> None:
    body = backend(state)
    assert body["endpoints"] == {"s3": endpoint}
    assert body["region"] == region
    assert body["use_path_style"] is path_style
    assert body["use_lockfile"] is True
    assert "encrypt" not in body
    skipped = {name for name, value in body.items() if name.startswith("skip_") and value}
    assert skipped == {
        "skip_credentials_validation",
        "skip_requesting_account_id",
        "skip_metadata_api_check",
        "skip_region_validation",
        "skip_s3_checksum",
    }


def test_odd_names_cannot_break_out() -> None:
    assert hcl('a"b\\c\n${x} %{if}') == '"a\\"b\\\\c\\n$${x} %%{if}"'
    assert hcl(True) == "true"


def test_a_space_may_use_the_providers_own_names() -> None:
    state = StateSettings(backend="spaces", bucket="b", region="nyc3")
    environ = {"SPACES_ACCESS_KEY_ID": "id", "SPACES_SECRET_ACCESS_KEY": "key"}
    assert backend_environment(state, environ) == {
        "AWS_REQUEST_CHECKSUM_CALCULATION": "when_required",
        "AWS_RESPONSE_CHECKSUM_VALIDATION": "when_required",
        "AWS_ACCESS_KEY_ID": "id",
        "AWS_SECRET_ACCESS_KEY": "key",
    }
    assert "AWS_ACCESS_KEY_ID" not in backend_environment(state, {})


def test_s3_takes_its_own_credentials_only() -> None:
    state = StateSettings(backend="s3", bucket="b")
    assert "AWS_ACCESS_KEY_ID" not in backend_environment(state, {"SPACES_ACCESS_KEY_ID": "id"})
    assert backend_environment(StateSettings(), {}) == {}
