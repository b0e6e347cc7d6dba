"""What the fake answers about droplets, volumes, SSH keys and reserved IPs."""

from __future__ import annotations

from typing import Any

from infra_gym.testing.digitalocean import actions, droplets, networks, projects, reserved_ips
from infra_gym.testing.digitalocean.account import Account, unprocessable
from infra_gym.testing.digitalocean.routing import Answer, Asked, route

_API = "https://api.digitalocean.com/v2"


@route("GET", "/droplets")
def _droplets(account: Account, asked: Asked) -> Answer:
    tag, name = asked.query.get("tag_name"), asked.query.get("name")
    told = [
        droplets.told(account, droplet)
        for droplet in account.all_of("droplet")
        if (tag is None or tag in droplet.body["tags"]) and (name is None or name == droplet.name)
    ]
    return Answer(200, told, "droplets")


@route("POST", "/droplets")
def _create_droplet(account: Account, asked: Asked) -> Answer:
    for tag in asked.body.get("tags") or []:
        projects.ensure_tag(account, tag)
    names = asked.body.get("names") or [asked.body.get("name")]
    made = [droplets.create(account, {**asked.body, "name": name}) for name in names]
    links = {
        "actions": [
            {"id": int(one.id), "rel": "create", "href": f"{_API}/actions/{one.id}"} for one in made
        ]
    }
    told = [droplets.told(account, one) for one in made]
    one_or_all = {"droplets": told} if "names" in asked.body else {"droplet": told[0]}
    return Answer(202, {**one_or_all, "links": links})


@route("DELETE", "/droplets")
def _delete_tagged(account: Account, asked: Asked) -> Answer:
    tag = asked.query.get("tag_name")
    if not tag:
        raise unprocessable("tag_name is required")
    for droplet in account.all_of("droplet"):
        if tag in droplet.body["tags"]:
            droplets.delete(account, droplet)
    return Answer(204)


@route("GET", "/droplets/<identity>")
def _droplet(account: Account, asked: Asked, identity: str) -> Answer:  # noqa: ARG001
    return Answer(200, {"droplet": droplets.told(account, account.find("droplet", identity))})


@route("DELETE", "/droplets/<identity>")
def _delete_droplet(account: Account, asked: Asked, identity: str) -> Answer:  # noqa: ARG001
    droplets.delete(account, account.find("droplet", identity))
    return Answer(204)


@route("POST", "/droplets/<identity>/actions")
def _droplet_action(account: Account, asked: Asked, identity: str) -> Answer:
    droplet = account.find("droplet", identity)
    return Answer(201, {"action": droplets.action(account, droplet, asked.body)})


@route("GET", "/droplets/<identity>/actions")
def _droplet_actions(account: Account, asked: Asked, identity: str) -> Answer:  # noqa: ARG001
    return Answer(200, actions.of(account, account.find("droplet", identity)), "actions")


@route("GET", "/droplets/<_>/actions/<action>")
@route("GET", "/actions/<action>")
def _action(account: Account, asked: Asked, action: str, _: str = "") -> Answer:  # noqa: ARG001
    return Answer(200, {"action": account.find("action", action).body})


@route("GET", "/droplets/<identity>/firewalls")
def _droplet_firewalls(account: Account, asked: Asked, identity: str) -> Answer:  # noqa: ARG001
    found = networks.firewalls_of(account, account.find("droplet", identity))
    return Answer(200, [one.body for one in found], "firewalls")


@route("GET", "/volumes")
def _volumes(account: Account, asked: Asked) -> Answer:
    name = asked.query.get("name")
    told = [one.body for one in account.all_of("volume") if name in {None, one.name}]
    return Answer(200, told, "volumes")


@route("POST", "/volumes")
def _create_volume(account: Account, asked: Asked) -> Answer:
    return Answer(201, {"volume": droplets.create_volume(account, asked.body).body})


@route("GET", "/volumes/<identity>")
def _volume(account: Account, asked: Asked, identity: str) -> Answer:  # noqa: ARG001
    return Answer(200, {"volume": account.find("volume", identity).body})


@route("DELETE", "/volumes/<identity>")
def _delete_volume(account: Account, asked: Asked, identity: str) -> Answer:  # noqa: ARG001
    droplets.delete_volume(account, account.find("volume", identity))
    return Answer(204)


@route("POST", "/volumes/<identity>/actions")
def _volume_action(account: Account, asked: Asked, identity: str) -> Answer:
    volume = account.find("volume", identity)
    return Answer(202, {"action": droplets.volume_action(account, volume, asked.body)})


@route("GET", "/account/keys")
def _keys(account: Account, asked: Asked) -> Answer:  # noqa: ARG001
    return Answer(200, [_key_told(key.body) for key in account.all_of("key")], "ssh_keys")


@route("POST", "/account/keys")
def _create_key(account: Account, asked: Asked) -> Answer:
    return Answer(201, {"ssh_key": _key_told(droplets.create_key(account, asked.body).body)})


@route("GET", "/account/keys/<identity>")
def _key(account: Account, asked: Asked, identity: str) -> Answer:  # noqa: ARG001
    return Answer(200, {"ssh_key": _key_told(droplets.find_key(account, identity).body)})


@route("PUT", "/account/keys/<identity>")
def _update_key(account: Account, asked: Asked, identity: str) -> Answer:
    key = droplets.find_key(account, identity)
    key.body["name"] = asked.body.get("name") or key.name
    return Answer(200, {"ssh_key": _key_told(key.body)})


@route("DELETE", "/account/keys/<identity>")
def _delete_key(account: Account, asked: Asked, identity: str) -> Answer:  # noqa: ARG001
    account.remove(droplets.find_key(account, identity))
    return Answer(204)


def _key_told(body: dict[str, Any]) -> dict[str, Any]:
    return {key: body[key] for key in ("id", "name", "public_key", "fingerprint")}


@route("GET", "/reserved_ips")
def _reserved_ips(account: Account, asked: Asked) -> Answer:  # noqa: ARG001
    told = [reserved_ips.told(account, one) for one in account.all_of(reserved_ips.KIND)]
    return Answer(200, told, "reserved_ips")


@route("POST", "/reserved_ips")
def _create_reserved_ip(account: Account, asked: Asked) -> Answer:
    made = reserved_ips.create(account, asked.body)
    return Answer(202, {"reserved_ip": reserved_ips.told(account, made), "links": {}})


@route("GET", "/reserved_ips/<identity>")
def _reserved_ip(account: Account, asked: Asked, identity: str) -> Answer:  # noqa: ARG001
    one = account.find(reserved_ips.KIND, identity)
    return Answer(200, {"reserved_ip": reserved_ips.told(account, one)})


@route("DELETE", "/reserved_ips/<identity>")
def _delete_reserved_ip(account: Account, asked: Asked, identity: str) -> Answer:  # noqa: ARG001
    account.remove(account.find(reserved_ips.KIND, identity))
    return Answer(204)


@route("POST", "/reserved_ips/<identity>/actions")
def _reserved_ip_action(account: Account, asked: Asked, identity: str) -> Answer:
    one = account.find(reserved_ips.KIND, identity)
    return Answer(201, {"action": reserved_ips.action(account, one, asked.body)})
