"""State in a bucket, on S3 and on what Spaces can do: init, the lock, breaking it, who holds it."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest

from infra_gym.clouds.buckets import BucketStorage, create_bucket
from infra_gym.errors import TerraformError, TerraformInterruptedError
from infra_gym.settings import StateSettings
from infra_gym.terraform.backends import render_backend, state_key
from infra_gym.terraform.documents import StateLock
from infra_gym.testing.object_store import ObjectStore

pytestmark = pytest.mark.both_programs

PATIENCE_S = 30


def place(folder: Path, state: StateSettings, data_folder: Path) -> str:
    key = state_key("project", "environment", "local/layer")
    (folder / "backend.tf").write_text(render_backend(state, key, data_folder))
    return key


def await_middle(folder: Path) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not (folder / "pid").exists():
        assert time.monotonic() < deadline, "the apply did not begin"
        time.sleep(0.02)


def test_state_in_a_folder(terraform, module, tmp_path: Path) -> None:
    folder = module('resource "terraform_data" "x" {}\n')
    data = tmp_path / 'da"ta ${x}'
    key = place(folder, StateSettings(), data)
    terraform.init(folder)
    terraform.apply(folder)
    assert (data / "state" / key).is_file()


def test_state_and_lock_in_a_bucket(
    bucket_state: StateSettings, terraform_for, slow_layer: Path, tmp_path: Path
) -> None:
    create_bucket(bucket_state)
    storage = BucketStorage(bucket_state)
    terraform = terraform_for(bucket_state)
    key = place(slow_layer, bucket_state, tmp_path)
    terraform.init(slow_layer)
    errors: list[TerraformError] = []

    def run() -> None:
        try:
            terraform.apply(slow_layer)
        except TerraformError as error:
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    await_middle(slow_layer)
    lock = storage.read(f"{key}.tflock")
    assert lock is not None
    assert b"OperationTypeApply" in lock

    # A second run is told who holds it, since when, and what to type.
    with pytest.raises(TerraformError, match="locked by") as caught:
        terraform_for(bucket_state).apply(slow_layer)
    held = StateLock.find(caught.value.diagnostics[0])
    assert held is not None
    message = str(caught.value)
    assert held.who in message
    assert held.since in message
    assert f"force-unlock {held.id}" in message
    assert terraform_for(bucket_state).plan(slow_layer).adds >= 1, "a plan needs no lock"

    # Killed hard, it leaves its lock; breaking it helps.
    terraform.interrupt()
    terraform.interrupt()
    thread.join(PATIENCE_S)
    assert isinstance(errors[0], TerraformInterruptedError)
    assert storage.read(f"{key}.tflock") is not None
    with pytest.raises(TerraformError, match="locked by"):
        terraform.destroy(slow_layer)
    terraform.force_unlock(slow_layer, held.id)
    terraform.destroy(slow_layer)
    assert storage.read(f"{key}.tflock") is None
    assert storage.read(key) is not None


@pytest.mark.slow
def test_a_gentle_end_leaves_no_lock_in_the_bucket(
    bucket_state: StateSettings, terraform_for, slow_layer: Path, tmp_path: Path
) -> None:
    create_bucket(bucket_state)
    terraform = terraform_for(bucket_state)
    key = place(slow_layer, bucket_state, tmp_path)
    terraform.init(slow_layer)

    def interrupt() -> None:
        await_middle(slow_layer)
        terraform.interrupt()

    threading.Thread(target=interrupt).start()
    with pytest.raises(TerraformInterruptedError):
        terraform.apply(slow_layer)
    assert BucketStorage(bucket_state).read(f"{key}.tflock") is None


def test_no_credential_reaches_a_file(
    spaces_state: StateSettings, terraform_for, module, tmp_path: Path
) -> None:
    create_bucket(spaces_state)
    folder = module('resource "terraform_data" "x" {}\n')
    place(folder, spaces_state, tmp_path)
    terraform = terraform_for(spaces_state)
    terraform.init(folder)
    terraform.apply(folder)
    secret = os.environ["SPACES_SECRET_ACCESS_KEY"].encode()
    for file in folder.rglob("*"):
        assert not file.is_file() or secret not in file.read_bytes(), file


def test_a_bucket_that_is_not_there(
    spaces_state: StateSettings, terraform_for, module, tmp_path: Path
) -> None:
    folder = module('resource "terraform_data" "x" {}\n')
    place(folder, spaces_state.model_copy(update={"bucket": "never-made"}), tmp_path)
    with pytest.raises(TerraformError, match="bucket"):
        terraform_for(spaces_state).init(folder)


@pytest.mark.slow
def test_a_store_that_goes_away_in_the_middle_costs_nothing(
    s3_state: StateSettings, terraform_for, module, tmp_path: Path
) -> None:
    folder = module(
        'resource "terraform_data" "x" {\n'
        '  provisioner "local-exec" { command = "echo $$ > pid; sleep 1" }\n}\n'
    )
    with ObjectStore() as store:
        state = s3_state.model_copy(update={"endpoint": store.url})
        create_bucket(state)
        terraform = terraform_for(state)
        key = place(folder, state, tmp_path)
        backend = (folder / "backend.tf").read_text()
        (folder / "backend.tf").write_text(
            backend.replace("use_lockfile = true", "use_lockfile = true\n    max_retries  = 1")
        )
        terraform.init(folder)

        def vanish() -> None:
            await_middle(folder)
            store.down = True

        threading.Thread(target=vanish).start()
        with pytest.raises(TerraformError, match="save state") as caught:
            terraform.apply(folder)
        assert "errored.tfstate" in str(caught.value)
        assert (folder / "errored.tfstate").exists()

        store.down = False
        with pytest.raises(TerraformError, match="locked by") as caught:
            terraform.apply(folder)
        held = StateLock.find(caught.value.diagnostics[0])
        assert held is not None
        terraform.force_unlock(folder, held.id)
        assert terraform.apply(folder).changes == (), "it remembers what it made"
        assert not (folder / "errored.tfstate").exists()
        assert BucketStorage(state).read(key) is not None
        assert len(terraform.destroy(folder).changes) == 1
