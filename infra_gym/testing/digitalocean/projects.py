"""Projects, which hold resources, and tags, which are resources of their own."""

from __future__ import annotations

import re
from typing import Any

from infra_gym.testing.digitalocean.account import (
    Account,
    Refusal,
    Resource,
    not_found,
    timestamp,
    unprocessable,
)

_TAG = re.compile(r"[a-zA-Z0-9_\-:]{1,255}")
_IN_PROJECTS = frozenset(
    {"droplet", "kubernetes", "loadbalancer", "reservedip", "space", "volume", "vpc"}
)
_TAGGED = {
    "droplet": "droplets",
    "volume": "volumes",
    "image": "images",
    "snapshot": "volume_snapshots",
    "database": "databases",
}


def create(account: Account, body: dict[str, Any], *, default: bool = False) -> Resource:
    """POST /v2/projects."""
    if not body.get("name") or not body.get("purpose"):
        raise unprocessable("name and purpose are required")
    if any(project.name == body["name"] for project in account.all_of("project")):
        raise Refusal(409, "conflict", "name is already in use")
    return account.add(
        "project",
        {
            "name": body["name"],
            "purpose": body["purpose"],
            "description": body.get("description", ""),
            "environment": body.get("environment", "Development"),
            "owner_uuid": "99525febec065ca37b2ffe4f852fd2b2581895e7",
            "owner_id": 258992,
            "is_default": default,
            "updated_at": timestamp(account.clock()),
            "resources": {},
        },
    )


def told(project: Resource) -> dict[str, Any]:
    """A project as the API tells it."""
    return {key: value for key, value in project.body.items() if key != "resources"}


def update(account: Account, project: Resource, body: dict[str, Any]) -> None:
    """PUT or PATCH /v2/projects/ID."""
    for key in ("name", "description", "purpose", "environment"):
        if body.get(key) is not None:
            project.body[key] = body[key]
    project.body["updated_at"] = timestamp(account.clock())


def delete(account: Account, project: Resource) -> None:
    """DELETE /v2/projects/ID: refused while it holds resources."""
    if project.body["is_default"]:
        raise Refusal(403, "forbidden", "cannot delete the default project")
    if resources(account, project):
        raise Refusal(412, "precondition_failed", "cannot delete a project with resources")
    account.remove(project)


def resources(account: Account, project: Resource) -> list[dict[str, Any]]:
    """GET .../resources: what it holds and is still there; clusters that go still count."""
    there = {resource.urn for resource in account.everything()}
    return [
        {"urn": urn, "assigned_at": at, "links": {"self": _link(urn)}, "status": "ok"}
        for urn, at in project.body["resources"].items()
        if urn in there or urn.startswith("do:space:")
    ]


def assign(account: Account, project: Resource, urns: list[str]) -> list[dict[str, Any]]:
    """POST .../resources: a resource is in one project at a time; one that is gone is in none."""
    assigned = []
    there = {resource.urn for resource in account.everything()}
    for urn in urns:
        kind = urn.removeprefix("do:").partition(":")[0]
        if kind not in _IN_PROJECTS:
            raise unprocessable(f"{urn} cannot be assigned to a project")
        found = kind == "space" or urn in there
        for other in account.all_of("project"):
            other.body["resources"].pop(urn, None)
        now = timestamp(account.clock())
        if found:
            project.body["resources"][urn] = now
        status = "assigned" if found else "not_found"
        assigned.append(
            {"urn": urn, "assigned_at": now, "links": {"self": _link(urn)}, "status": status}
        )
    return assigned


def find(account: Account, identity: str) -> Resource:
    """A project by its id; ``default`` is the default one."""
    if identity != "default":
        return account.find("project", identity)
    for project in account.all_of("project"):
        if project.body["is_default"]:
            return project
    raise not_found()


def ensure_tag(account: Account, name: str) -> Resource:
    """POST /v2/tags: a tag that is there already is as good."""
    if not _TAG.fullmatch(name):
        raise unprocessable(f"tag name {name!r} is invalid")
    for tag in account.all_of("tag"):
        if tag.id == name:
            return tag
    return account.add("tag", {"id": name, "name": name})


def delete_tag(account: Account, tag: Resource) -> None:
    """DELETE /v2/tags/NAME: whatever carried it is without it."""
    for resource in account.everything():
        tags = resource.body.get("tags")
        if tags and tag.id in tags:
            tags.remove(tag.id)
    account.remove(tag)


def tagged(account: Account, asked: list[dict[str, str]]) -> list[Resource]:
    """The resources that are to be tagged, or to lose a tag."""
    return [account.find(one["resource_type"], one["resource_id"]) for one in asked]


def tag_told(account: Account, tag: Resource) -> dict[str, Any]:
    """A tag with how many resources carry it."""
    counts = {
        plural: {"count": sum(tag.id in one.body["tags"] for one in account.all_of(kind))}
        for kind, plural in _TAGGED.items()
    }
    total = sum(count["count"] for count in counts.values())
    return {"name": tag.id, "resources": {"count": total, **counts}}


def _link(urn: str) -> str:
    kind, _, identity = urn.removeprefix("do:").partition(":")
    paths = {
        "kubernetes": "kubernetes/clusters",
        "loadbalancer": "load_balancers",
        "droplet": "droplets",
        "volume": "volumes",
        "vpc": "vpcs",
    }
    return f"https://api.digitalocean.com/v2/{paths.get(kind, kind)}/{identity}"
