"""Objects in an S3 bucket or a DigitalOcean Space: what ledger, lock and probe are made of."""

from __future__ import annotations

import functools
import os
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    NoCredentialsError,
    PartialCredentialsError,
)

from infra_gym.errors import StateBackendError
from infra_gym.settings import StateSettings
from infra_gym.terraform.backends import backend_environment, state_endpoint, state_region

CONNECT_DEADLINE_S = 5
READ_DEADLINE_S = 15
ATTEMPTS = 3

_CONFLICT_WAIT_S = 0.2

# Reading the description of S3 takes half a second: once a process. A session is not thread-safe.
_SESSION_LOCK = threading.Lock()
_session = functools.cache(boto3.session.Session)


class BucketStorage:
    """Objects by key. Thread-safe; nothing is touched before the first call.

    Every call has a deadline and is tried at most three times.

    Args:
        settings: Which bucket, and where.
    """

    def __init__(self, settings: StateSettings) -> None:
        self.settings = settings

    @functools.cached_property
    def client(self) -> Any:
        """The boto3 client."""
        environ = {**os.environ, **backend_environment(self.settings)}
        with _SESSION_LOCK:
            return self._new_client(environ)

    def _new_client(self, environ: Mapping[str, str]) -> Any:
        return _session().client(
            "s3",
            region_name=state_region(self.settings),
            endpoint_url=state_endpoint(self.settings),
            aws_access_key_id=environ.get("AWS_ACCESS_KEY_ID"),
            aws_secret_access_key=environ.get("AWS_SECRET_ACCESS_KEY"),
            aws_session_token=environ.get("AWS_SESSION_TOKEN"),
            config=Config(
                connect_timeout=CONNECT_DEADLINE_S,
                read_timeout=READ_DEADLINE_S,
                retries={"total_max_attempts": ATTEMPTS, "mode": "standard"},
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
                s3={"addressing_style": "path" if self.settings.endpoint else "auto"},
            ),
        )

    def read(self, key: str) -> bytes | None:
        """The object's content; ``None`` when there is none.

        Raises:
            StateBackendError: The store cannot be reached or refuses (so all methods).
        """
        with self.explained(f"read {key}"):
            try:
                answer = self.client.get_object(Bucket=self.settings.bucket, Key=key)
                data: bytes = answer["Body"].read()
            except ClientError as error:
                if error_code(error) == "NoSuchKey":
                    return None
                raise
        return data

    def write(self, key: str, data: bytes) -> None:
        """Make or replace the object."""
        with self.explained(f"write {key}"):
            self.client.put_object(Bucket=self.settings.bucket, Key=key, Body=data)

    def create(self, key: str, data: bytes) -> bool:
        """Make the object; ``False`` when it exists.

        Of several callers at once exactly one gets ``True``, where the store keeps to conditional
        writes (:func:`infra_gym.clouds.buckets.check_bucket`). ``data`` must differ between them: a
        request whose answer was lost is sent again, and recognises its own first try by it.
        """
        with self.explained(f"create {key}"):
            for attempt in range(ATTEMPTS):
                try:
                    self.client.put_object(
                        Bucket=self.settings.bucket, Key=key, Body=data, IfNoneMatch="*"
                    )
                except ClientError as error:
                    if status(error) == 412:
                        return self.read(key) == data
                    # Another write or delete of the same key is under way.
                    if status(error) != 409 or attempt == ATTEMPTS - 1:
                        raise
                    time.sleep(_CONFLICT_WAIT_S * 2**attempt)
                else:
                    return True
        raise AssertionError

    def delete(self, key: str) -> None:
        """Delete the object, if there is one."""
        with self.explained(f"delete {key}"):
            self.client.delete_object(Bucket=self.settings.bucket, Key=key)

    def keys(self, prefix: str) -> list[str]:
        """All keys that begin with ``prefix``, in order."""
        with self.explained(f"list {prefix}"):
            pages = self.client.get_paginator("list_objects_v2").paginate(
                Bucket=self.settings.bucket, Prefix=prefix
            )
            return sorted(item["Key"] for page in pages for item in page.get("Contents", []))

    @contextmanager
    def explained(self, what: str) -> Iterator[None]:
        """Turn boto3's errors into ours, which say what to do."""
        try:
            yield
        except (ClientError, BotoCoreError) as error:
            where = state_endpoint(self.settings) or f"AWS, {self.settings.region}"
            raise StateBackendError(
                f"Bucket {self.settings.bucket} ({where}): cannot {what}: {_reason(error)}.",
                next_command=_advice(error, self.settings),
            ) from error


def error_code(error: ClientError) -> str:
    """The store's word for it, such as ``NoSuchKey``."""
    return str(error.response.get("Error", {}).get("Code", ""))


def status(error: ClientError) -> int:
    """The HTTP status."""
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def _reason(error: ClientError | BotoCoreError) -> str:
    if isinstance(error, ClientError):
        said = error.response.get("Error", {}).get("Message", "")
        return f"{error_code(error)}: {said} (HTTP {status(error)})".replace(".:", ":")
    return str(error).rstrip(".")


def _advice(error: ClientError | BotoCoreError, settings: StateSettings) -> str:
    prefix = "SPACES" if settings.backend == "spaces" else "AWS"
    credentials = (
        f"put the right keys into {prefix}_ACCESS_KEY_ID and {prefix}_SECRET_ACCESS_KEY, "
        "or give them access to this bucket"
    )
    if isinstance(error, NoCredentialsError | PartialCredentialsError):
        return credentials
    if not isinstance(error, ClientError):
        return (
            "check the network, INFRA_GYM_STATE__ENDPOINT and INFRA_GYM_STATE__REGION; "
            "then repeat the command"
        )
    if error_code(error) == "NoSuchBucket":
        return "infra-gym backend create"
    if error_code(error) in ("BucketAlreadyExists", "InvalidBucketName"):
        return "choose another name with INFRA_GYM_STATE__BUCKET"
    if status(error) in (401, 403):
        return credentials
    return "repeat the command; infra-gym backend check tells whether the store can be used at all"
