"""Make the bucket for Terraform's state, and find out whether its locks can be trusted.

A lock is an object that is written only if it does not exist (``If-None-Match: *``). A store that
ignores the header gives everybody the lock, and nobody learns of it. So the store is asked, not
believed: :func:`check_bucket` tries, and the verdict is kept beside the state, for every machine.
"""

from __future__ import annotations

import hashlib
import json
import threading
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from infra_gym.clouds.objects import BucketStorage, error_code, status
from infra_gym.errors import StateBackendError
from infra_gym.settings import Settings, StateSettings
from infra_gym.terraform.backends import state_endpoint

__all__ = ["BucketStorage", "Verdict", "check_bucket", "create_bucket", "known_verdict"]

VERDICT_KEY = "infrastructure/.infra-gym/locks.json"

OLD_VERSIONS_DAYS = 30

_PROBE_PREFIX = "infrastructure/.infra-gym/probe-"
_RACERS = 8
_RACES = 3

# Answers that mean "this store, or this key, cannot"; any other error ends the command.
_CANNOT = (400, 403, 404, 405, 501)


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether the store keeps to conditional writes."""

    locks_hold: bool
    lines: list[str]
    """What was tried, and what came of it."""
    checked: str
    """When, ISO 8601, UTC."""


_FOLDER = Verdict(True, ["A folder on this machine: the file system's links hold locks."], "")


@dataclass(frozen=True, slots=True)
class _Protection:
    """Something that a state bucket should have, and that not every store has."""

    name: str
    turn_on: Callable[[Any, str], object]
    is_on: Callable[[Any, str], bool]


def create_bucket(settings: StateSettings) -> list[str]:
    """Make the bucket: private, encrypted, with versions, where the store can.

    Each protection is read back after it was set. A bucket that holds objects already is left as it
    is, for other things may live in it.

    Returns:
        Lines for people: what was done, and what the store cannot do.

    Raises:
        StateBackendError: The bucket cannot be made or used.
    """
    storage = BucketStorage(settings)
    made = _make(storage)
    with storage.explained("be listed"):
        held = storage.client.list_objects_v2(Bucket=settings.bucket, MaxKeys=1).get("KeyCount", 0)
    what = "made" if made else "in use already: left as it is" if held else "there already, empty"
    lines = [f"bucket {settings.bucket}: {what}"]
    return lines + [_protect(storage, protection, change=not held) for protection in _PROTECTIONS]


def check_bucket(settings: Settings) -> Verdict:
    """Try whether the store's locks hold, and keep the verdict in the bucket and on this machine.

    A second write of the same object must be refused, after a delete the next one must pass, and of
    eight writes at once exactly one must win.

    Raises:
        StateBackendError: The store cannot be reached, or the bucket does not exist.
    """
    storage = BucketStorage(settings.state)
    key = f"{_PROBE_PREFIX}{uuid.uuid4().hex}"
    try:
        lines, locks_hold = _probe(storage, key)
    finally:
        storage.delete(key)
    verdict = Verdict(locks_hold, lines, datetime.now(UTC).isoformat(timespec="seconds"))
    text = json.dumps(asdict(verdict), indent=1)
    storage.write(VERDICT_KEY, text.encode())
    _keep(_local_copy(settings), text)
    return verdict


def known_verdict(settings: Settings) -> Verdict | None:
    """What an earlier check found, on this machine or another; ``None`` when there was none.

    Raises:
        StateBackendError: The store cannot be reached.
    """
    if settings.state.backend == "local":
        return _FOLDER
    copy = _local_copy(settings)
    if copy.is_file() and (verdict := _read(copy.read_bytes())):
        return verdict
    found = BucketStorage(settings.state).read(VERDICT_KEY)
    verdict = _read(found) if found else None
    if found and verdict:
        _keep(copy, found.decode())
    return verdict


def _make(storage: BucketStorage) -> bool:
    """Whether the bucket had to be made."""
    settings = storage.settings
    with storage.explained("be looked up"):
        try:
            storage.client.head_bucket(Bucket=settings.bucket)
        except ClientError as error:
            if status(error) != 404:
                raise
        else:
            return False
    place = {}
    if settings.backend == "s3" and settings.region != "us-east-1":
        place = {"CreateBucketConfiguration": {"LocationConstraint": settings.region}}
    with storage.explained("be made"):
        storage.client.create_bucket(Bucket=settings.bucket, **place)
    return True


def _protect(storage: BucketStorage, protection: _Protection, *, change: bool) -> str:
    bucket = storage.settings.bucket
    with storage.explained(f"turn on {protection.name}"):
        try:
            if change:
                protection.turn_on(storage.client, str(bucket))
            on = protection.is_on(storage.client, str(bucket))
        except ClientError as error:
            if status(error) not in _CANNOT:
                raise
            if not change:
                return f"{protection.name}: off, or not to be had here ({error_code(error)})"
            why = "not allowed" if status(error) == 403 else "this store does not do it"
            return f"{protection.name}: NOT on: {why} ({error_code(error)})"
    if on:
        return f"{protection.name}: on"
    return f"{protection.name}: NOT on" + (": the store took the order and ignored it" * change)


def _turn_on_expiry(client: Any, bucket: str) -> None:
    rule = {
        "ID": "infra-gym-old-versions",
        "Status": "Enabled",
        "Filter": {"Prefix": "infrastructure/"},
        "NoncurrentVersionExpiration": {"NoncurrentDays": OLD_VERSIONS_DAYS},
    }
    client.put_bucket_lifecycle_configuration(
        Bucket=bucket, LifecycleConfiguration={"Rules": [rule]}
    )


_BLOCKED = dict.fromkeys(
    ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets"), True
)
_AES = {"Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}]}

_PROTECTIONS = (
    _Protection(
        "versions",
        lambda client, bucket: client.put_bucket_versioning(
            Bucket=bucket, VersioningConfiguration={"Status": "Enabled"}
        ),
        lambda client, bucket: (
            client.get_bucket_versioning(Bucket=bucket).get("Status") == "Enabled"
        ),
    ),
    _Protection(
        f"expiry of old versions after {OLD_VERSIONS_DAYS} days",
        _turn_on_expiry,
        lambda client, bucket: any(
            rule.get("NoncurrentVersionExpiration")
            for rule in client.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]
        ),
    ),
    _Protection(
        "public access block",
        lambda client, bucket: client.put_public_access_block(
            Bucket=bucket, PublicAccessBlockConfiguration=_BLOCKED
        ),
        lambda client, bucket: (
            client.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"]
            == _BLOCKED
        ),
    ),
    _Protection(
        "encryption",
        lambda client, bucket: client.put_bucket_encryption(
            Bucket=bucket, ServerSideEncryptionConfiguration=_AES
        ),
        lambda client, bucket: bool(
            client.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"][
                "Rules"
            ]
        ),
    ),
)


def _probe(storage: BucketStorage, key: str) -> tuple[list[str], bool]:
    """What was seen, and whether all of it was as it must be."""
    try:
        first = storage.create(key, b"first")
        second = storage.create(key, b"second")
        stands = storage.read(key) == b"first"
        storage.delete(key)
        again = storage.create(key, b"again")
        races = [_race(storage, key) for _ in range(_RACES)]
    except StateBackendError as error:
        cause = error.__cause__
        if isinstance(cause, ClientError) and status(cause) in (400, 405, 501):
            return [f"The store refuses conditional writes: {error_code(cause)}."], False
        raise
    clean = sum(races)
    seen = [
        (first, "The first write of an object passed.", "The first write was refused."),
        (
            not second and stands,
            "A second write of it was refused.",
            "A second write of it passed: the store ignores If-None-Match.",
        ),
        (again, "After its deletion it could be written.", "After its deletion it was refused."),
        (
            clean == _RACES,
            f"Of {_RACERS} writes at once exactly one won, {_RACES} times of {_RACES}.",
            f"Of {_RACERS} writes at once exactly one won only {clean} times of {_RACES}.",
        ),
    ]
    return [good if fine else bad for fine, good, bad in seen], all(fine for fine, _, _ in seen)


def _race(storage: BucketStorage, key: str) -> bool:
    """Whether exactly one of many writers at once wins, and its object is the one that stays."""
    storage.delete(key)
    start = threading.Barrier(_RACERS)

    def run(number: int) -> bool:
        start.wait()
        return storage.create(key, f"racer {number}".encode())

    with ThreadPoolExecutor(_RACERS) as pool:
        won = list(pool.map(run, range(_RACERS)))
    return won.count(True) == 1 and storage.read(key) == f"racer {won.index(True)}".encode()


def _local_copy(settings: Settings) -> Path:
    place = f"{state_endpoint(settings.state)} {settings.state.region} {settings.state.bucket}"
    name = hashlib.sha256(place.encode()).hexdigest()[:16]
    return settings.data_folder / "verdicts" / f"{name}.json"


def _keep(copy: Path, text: str) -> None:
    try:
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text(text)
    except OSError as error:
        raise StateBackendError(
            f"The verdict on the bucket's locks cannot be kept in {copy}: {error.strerror}.",
            next_command="choose another folder with INFRA_GYM_DATA_FOLDER",
        ) from error


def _read(text: bytes) -> Verdict | None:
    try:
        return Verdict(**json.loads(text))
    except (ValueError, TypeError):
        return None
