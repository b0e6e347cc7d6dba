"""The door to a DigitalOcean account: prices, credentials of clusters, what is there, deletions.

It is pydo with one deadline for each call, retries of what may pass, all pages of a listing, and
errors: pydo itself returns most refusals as if they were answers.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

import yaml

from infra_gym.cost import LISTED, PriceTable
from infra_gym.errors import CloudError, CloudMissingError, CloudRefusedError, SettingsError

if TYPE_CHECKING:
    import pydo

TOKENS = ("DIGITALOCEAN_TOKEN", "DIGITALOCEAN_ACCESS_TOKEN")
"""Environment variables that Terraform's provider reads a token from, in its order."""
ENDPOINT = "DIGITALOCEAN_API_URL"
"""Environment variable that names another API, such as a fake one."""

NEW_TOKEN = (
    f"check that the token in {TOKENS[0]} is not expired and may read and write; make a new one at "
    f"https://cloud.digitalocean.com/account/api/tokens, export {TOKENS[0]}=..., and repeat the "
    "command: what is there already goes on"
)
"""What to do where an account does not accept a token."""

_TIMEOUT_S = 30
_RETRIES = 4
_PER_PAGE = 200
_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


class DigitalOcean:
    """One account.

    Args:
        token: An API token with read and write scope.
        endpoint: Another API; default: DigitalOcean's.

    Raises:
        SettingsError: The endpoint would send the token unencrypted to another machine.
    """

    def __init__(self, token: str, endpoint: str | None = None) -> None:
        self._client = _client(token, endpoint)

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] | None = None) -> Self:
        """The account whose token Terraform's provider would use.

        Raises:
            SettingsError: There is no token.
        """
        found = os.environ if environ is None else environ
        for name in TOKENS:
            if found.get(name):
                return cls(found[name], found.get(ENDPOINT))
        raise SettingsError(
            "There is no DigitalOcean token.",
            next_command=f"make one at https://cloud.digitalocean.com/account/api/tokens, then: "
            f"export {TOKENS[0]}=...",
        )

    def identity(self) -> str:
        """What tells the account from all others: its team's UUID, for a team owns what is made."""
        told = self._call("read the account", self._client.account.get)["account"]
        return str((told.get("team") or {}).get("uuid") or told["uuid"])

    def prices(self) -> PriceTable:
        """Prices, with those of all sizes of droplets and nodes as this account is offered them."""
        sizes = {size["slug"]: float(size["price_hourly"]) for size in self.listed("sizes")}
        return LISTED.of_account(sizes, datetime.now(UTC).strftime("%Y-%m-%d"))

    def kubeconfig(self, cluster: str, seconds: int) -> str:
        """A kubeconfig of a managed cluster, as YAML; a secret.

        Args:
            cluster: The cluster's id.
            seconds: After which its credentials expire.
        """
        told = self._call(
            "read the credentials of the cluster",
            self._client.kubernetes.get_credentials,
            cluster,
            expiry_seconds=seconds,
        )
        user = {
            "token": told.get("token"),
            "client-certificate-data": told.get("client_certificate_data"),
            "client-key-data": told.get("client_key_data"),
        }
        server = {
            "server": told["server"],
            "certificate-authority-data": told.get("certificate_authority_data"),
        }
        name = f"do-{cluster}"
        return yaml.safe_dump(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "clusters": [{"name": name, "cluster": _given(server)}],
                "users": [{"name": name, "user": _given(user)}],
                "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
                "current-context": name,
            }
        )

    def listed(self, kind: str) -> list[dict[str, Any]]:
        """All of one kind, as the API tells them.

        Args:
            kind: ``kubernetes``, ``droplets``, ``load_balancers``, ``volumes``, ``firewalls``,
                ``vpcs``, ``projects``, ``ssh_keys``, ``tags`` or ``sizes``.
        """
        group = getattr(self._client, kind)
        call = group.list_clusters if kind == "kubernetes" else group.list
        key = "kubernetes_clusters" if kind == "kubernetes" else kind
        found: list[dict[str, Any]] = []
        page = 1
        while True:
            answered = self._call(f"list {kind}", call, per_page=_PER_PAGE, page=page)
            found += answered[key]
            if "next" not in (answered.get("links") or {}).get("pages", {}):
                return found
            page += 1

    def members(self, vpc: str) -> list[str]:
        """What lies in a VPC and keeps it from being deleted, as ``KIND NAME (ID)``."""
        call = self._client.vpcs.list_members
        told = self._call("look what is in the VPC", call, vpc, per_page=_PER_PAGE)["members"]
        return [
            "{kind} {name} ({identity})".format(
                kind=str(one["urn"]).split(":")[1],
                name=one.get("name", ""),
                identity=str(one["urn"]).rpartition(":")[2],
            )
            for one in told
        ]

    def delete(self, kind: str, identity: Any) -> None:
        """Delete one thing; a cluster with the load balancers and volumes that it made.

        Args:
            kind: As for :meth:`listed`.
            identity: Its id; a tag's name.

        Raises:
            CloudError: It cannot be deleted, yet or at all. What is gone already is no error.
        """
        call = getattr(getattr(self._client, kind), _DELETIONS.get(kind, "delete"))
        self._call(f"delete {identity} of {kind}", call, identity, missing_ok=True)

    def _call(
        self,
        what: str,
        call: Callable[..., Any],
        *arguments: Any,
        missing_ok: bool = False,
        **named: Any,
    ) -> Any:
        """What was answered; refusals and failures become errors."""
        from azure.core.exceptions import AzureError, HttpResponseError

        try:
            answered = call(*arguments, **named)
        except HttpResponseError as error:
            said = getattr(error.error, "message", None) or error.message
            raise _refused(what, error.status_code or 0, said) from error
        except AzureError as error:
            raise CloudError(
                f"DigitalOcean does not answer: {what}: {error}",
                next_command="see https://status.digitalocean.com, then repeat the command",
            ) from error
        if isinstance(answered, Mapping) and {"id", "message"} <= answered.keys():
            if missing_ok and answered["id"] == "not_found":
                return {}
            raise _refused(what, _STATUS.get(answered["id"].lower(), 0), answered["message"])
        return answered


_DELETIONS = {
    "kubernetes": "destroy_associated_resources_dangerous",
    "droplets": "destroy",
}
_STATUS = {"unauthorized": 401, "forbidden": 403, "not_found": 404, "too_many_requests": 429}


def _client(token: str, endpoint: str | None) -> pydo.Client:
    import pydo  # slow to import
    from azure.core.credentials import AzureKeyCredential
    from azure.core.pipeline.policies import AzureKeyCredentialPolicy

    if endpoint is None:
        return pydo.Client(token, timeout=_TIMEOUT_S, retry_total=_RETRIES)
    parts = urlsplit(endpoint)
    if parts.scheme != "https" and parts.hostname not in _LOOPBACK:
        raise SettingsError(f"{ENDPOINT} must begin with https://, not {endpoint!r}")
    # Left alone, azure sends no token over plain HTTP, not even to this machine.
    bearer = AzureKeyCredentialPolicy(AzureKeyCredential(token), "Authorization", prefix="Bearer")
    return pydo.Client(
        token,
        endpoint=endpoint.rstrip("/"),
        authentication_policy=bearer,
        timeout=_TIMEOUT_S,
        retry_total=_RETRIES,
    )


def _given(values: Mapping[str, str | None]) -> dict[str, str]:
    return {name: value for name, value in values.items() if value}


def _refused(what: str, status: int, message: str) -> CloudError:
    words = f"DigitalOcean refuses to {what}: {message}"
    if status in (401, 403) and "member" not in message:
        return CloudRefusedError(
            words,
            next_command=NEW_TOKEN,
        )
    if status == 404:
        return CloudMissingError(words)
    if status == 429:
        return CloudError(words, next_command="wait a minute, then repeat the command")
    return CloudError(words)
