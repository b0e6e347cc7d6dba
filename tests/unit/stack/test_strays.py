"""What an account has of a stack that no state knows, and what of it is deleted."""

from __future__ import annotations

import json
import threading

import pytest

from infra_gym.clouds.digitalocean_runs import title_of
from infra_gym.errors import CloudError, CloudRefusedError, TerraformInterruptedError
from infra_gym.stack.ledger import LayerRecord, now
from infra_gym.stack.lock import Owner
from infra_gym.stack.storage import FolderStorage
from infra_gym.stack.strays import CORE, Strays, ids_in

EXPIRES = now()
TITLE = title_of("p", "e", EXPIRES)
CLUSTER = "do/managed-k8s"


class Account:
    """Things by kind and id; all go at once, but for those that are stuck."""

    def __init__(self):
        self.things = {}
        self.stuck = set()
        self.errors = {}

    def put(self, kind, identity, name=TITLE, **more):
        self.things[kind, identity] = {"id": identity, "name": name, **more}

    def listed(self, kind):
        if kind in self.errors:
            raise self.errors[kind]
        return [one for (of, _), one in self.things.items() if of == kind]

    def delete(self, kind, identity):
        if identity in self.stuck:
            raise CloudError("Can not delete VPC with members")
        self.things.pop((kind, identity), None)

    def members(self, vpc):
        return []


@pytest.fixture
def account():
    made = Account()
    made.put("vpcs", "vpc-1")
    made.put("kubernetes", "cluster-1", vpc_uuid="vpc-1")
    made.put("droplets", 7, name="system-abc", vpc_uuid="vpc-1", tags=["k8s:cluster-1"])
    made.put("vpcs", "another", name="somebody-elses")
    return made


@pytest.fixture
def storage(tmp_path):
    return FolderStorage(tmp_path)


@pytest.fixture
def stopping():
    return threading.Event()


@pytest.fixture
def strays(storage, account, stopping):
    return Strays("p", "e", storage, stopping, lambda: account)


def records(**statuses):
    names = {"core": CORE, "cluster": CLUSTER}
    return {
        names[name]: LayerRecord(
            layer=names[name],
            status=status,
            inputs={"expires": EXPIRES.isoformat()},
            owner=Owner.of_this_process(1),
            started=now(),
            updated=now(),
            source_hash="",
            terraform="terraform 1.11.4",
        )
        for name, status in statuses.items()
    }


def know(storage, layer, *ids):
    instances = [{"attributes": {"id": identity}} for identity in ids]
    state = {"resources": [{"mode": "managed", "instances": instances}]}
    storage.write(f"infrastructure/p/e/state/{layer}.tfstate", json.dumps(state).encode())


def left(account):
    return {identity for _, identity in account.things}


def test_before_an_apply_goes_what_the_last_one_could_not_write_down(strays, storage, account):
    know(storage, CORE, "vpc-1")
    strays.remove_before_apply(records(core="applied", cluster="failed"))
    assert left(account) == {"vpc-1", 7, "another"}  # nodes go with their cluster


@pytest.mark.parametrize("status", ["applied", "failed"])
def test_before_an_apply_stays_what_a_state_knows(strays, storage, account, status):
    know(storage, CORE, "vpc-1")
    know(storage, CLUSTER, "cluster-1")
    strays.remove_before_apply(records(core="applied", cluster=status))
    assert left(account) == {"vpc-1", "cluster-1", 7, "another"}


def test_before_an_apply_nothing_is_asked_where_all_went_well(strays, account):
    account.errors["vpcs"] = CloudError("nobody asks")
    strays.remove_before_apply(records(core="applied", cluster="applied"))
    assert "cluster-1" in left(account)


def test_before_the_network_goes_all_that_lies_in_it(strays, storage, account):
    know(storage, CORE, "vpc-1")
    strays.remove_before_destroy(records(core="applied"))
    assert left(account) == {"vpc-1", "another"}


def test_before_the_network_goes_stays_what_another_layer_still_has(strays, storage, account):
    know(storage, CORE, "vpc-1")
    know(storage, CLUSTER, "cluster-1")
    strays.remove_before_destroy(records(core="applied", cluster="applied"))
    assert left(account) == {"vpc-1", "cluster-1", 7, "another"}


def test_a_state_that_cannot_be_read_keeps_what_it_may_know(strays, storage, account):
    storage.write(f"infrastructure/p/e/state/{CORE}.tfstate", b'{"encrypted_data": "x"}')
    strays.remove_before_apply(records(core="applied", cluster="failed"))
    assert "cluster-1" in left(account)
    strays.remove_before_destroy(records(core="applied"))
    assert left(account) == {"vpc-1", "another"}


def put_roles(account):
    """What a layer of droplets names after the run, and its role."""
    account.put("firewalls", "firewall-1", name=f"{TITLE}-bastion")
    account.put("tags", f"{TITLE}:bastion", name=f"{TITLE}:bastion")


@pytest.mark.parametrize("state", [b'{"resources": []}', b"no JSON"], ids=["read", "nonsense"])
def test_before_the_network_goes_what_is_named_by_a_role(strays, storage, account, state):
    put_roles(account)
    account.put("tags", TITLE)
    storage.write("infrastructure/p/e/state/do/support.tfstate", state)
    know(storage, CORE, "vpc-1", TITLE)
    strays.remove_before_destroy(records(core="applied"))
    assert left(account) == {"vpc-1", TITLE, "another"}


def test_what_is_named_by_a_role_is_the_stacks_where_nothing_else_is_left(strays, account):
    for key in [key for key in account.things if key[1] != "another"]:
        account.things.pop(key)
    put_roles(account)
    strays.remove_before_destroy(records(core="failed"))
    assert left(account) == {"another"}


def test_what_outlives_its_cluster_is_known_by_it(strays, storage, account):
    account.put("volumes", "volume-1", name="pvc-1", tags=["k8s:cluster-1"])
    know(storage, CORE, "vpc-1")
    strays.look(records(core="applied", cluster="applied"))
    account.things.pop(("kubernetes", "cluster-1"))
    strays.remove_before_destroy(records(core="applied"))
    assert left(account) == {"vpc-1", "another"}


def test_what_a_token_may_not_list_it_has_not_made(strays, storage, account):
    account.errors["volumes"] = CloudRefusedError("You are not authorized.")
    know(storage, CORE, "vpc-1")
    strays.remove_before_destroy(records(core="applied"))
    assert left(account) == {"vpc-1", "another"}
    account.errors["volumes"] = CloudError("Unexpected server-side error")
    with pytest.raises(CloudError, match="server-side"):
        strays.remove_before_destroy(records(core="applied"))


def test_an_interrupt_ends_the_waiting(strays, storage, account, stopping):
    know(storage, CORE, "vpc-1")
    account.stuck.add("cluster-1")
    stopping.set()
    with pytest.raises(TerraformInterruptedError, match="stopped") as caught:
        strays.remove_before_destroy(records(core="applied"))
    assert caught.value.next_command == "infra-gym sweep p/e"


@pytest.mark.parametrize(
    ("state", "ids"),
    [
        (None, frozenset()),
        (b"", frozenset()),
        (b"no JSON", None),
        (b'{"encrypted_data": "x"}', None),
        (b'{"resources": [{"instances": [{"attributes": {"id": 7}}, {"attributes": {}}]}]}', {"7"}),
    ],
    ids=["none", "empty", "nonsense", "encrypted", "ids"],
)
def test_ids_in_a_state(state, ids):
    assert ids_in(state) == ids
