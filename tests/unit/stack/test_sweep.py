"""Who owns what, and what a sweep would take."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from infra_gym.clouds.digitalocean_runs import CloudRun, digest_of
from infra_gym.errors import (
    CloudError,
    CloudRefusedError,
    LayerFailedError,
    StackError,
    StackLockedError,
)
from infra_gym.stack.ledger import LayerRecord, Ledger, StackRecord
from infra_gym.stack.lock import Owner, StackLock
from infra_gym.stack.storage import FolderStorage
from infra_gym.stack.sweep import Leftover, choose, destroy_leftover, find_leftovers

NOW = datetime(2026, 11, 28, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.fixture
def storage(tmp_path):
    return FolderStorage(tmp_path)


def record(storage, environment, *, expires):
    Ledger(storage, "p", environment).write_stack(
        StackRecord(
            id="SimpleK8sWebApp-v0",
            target="do",
            cluster=None,
            layers=("do/core",),
            created=NOW - 5 * HOUR,
            expires=expires,
            owner=Owner.of_this_process(1),
        )
    )


def made_in_the_cloud(storage, environment, title, inputs=None):
    """The record of the layer that names the stack's things."""
    Ledger(storage, "p", environment).write(
        LayerRecord(
            layer="do/core",
            status="applied",
            inputs=inputs or {},
            outputs={"name": title} if title else {},
            owner=Owner.of_this_process(1),
            started=NOW,
            updated=NOW,
            source_hash="",
            terraform="terraform 1.11.4",
        )
    )


def hold(storage, environment, *, alive):
    """A lock whose process lives, or one whose process is gone."""
    owner = Owner.of_this_process(1)
    if not alive:
        owner = owner.model_copy(update={"process_start": 1.0})
    key = f"infrastructure/p/{environment}/lock/00000001.json"
    storage.write(key, owner.model_dump_json().encode())


def run(environment="e", *, expires, digest=None):
    digest = digest or digest_of("p", environment)
    name = f"ig-{expires:%Y%m%dt%H%M}z-{digest}"
    return CloudRun(name, f"{name}-p-{environment}", expires, digest)


@pytest.mark.parametrize(
    ("lock", "expires", "verdict"),
    [
        ("alive", NOW + HOUR, "live"),
        ("alive", NOW - HOUR, "live"),
        ("gone", NOW + HOUR, "dead"),
        ("gone", NOW - HOUR, "expired"),
        ("none", NOW + HOUR, "kept"),
        ("none", NOW - HOUR, "expired"),
    ],
    ids=["live", "late-but-live", "dead", "dead-and-expired", "kept", "expired"],
)
def test_a_ledger_tells(storage, lock, expires, verdict):
    record(storage, "e", expires=expires)
    if lock != "none":
        hold(storage, "e", alive=lock == "alive")
    (found,) = find_leftovers(storage, [], moment=NOW)
    assert (found.name, found.verdict) == ("p/e", verdict)


def test_a_run_that_died_before_its_first_record_has_left_its_lock(storage):
    hold(storage, "e", alive=False)
    (found,) = find_leftovers(storage, [], moment=NOW)
    assert (found.name, found.verdict, found.record) == ("p/e", "dead", None)


def test_states_without_a_ledger_may_be_somebodys(storage):
    storage.write("infrastructure/p/e/state/do/core.tfstate", b"{}")
    (found,) = find_leftovers(storage, [], moment=NOW)
    assert (found.name, found.verdict) == ("p/e", "unknown")


def test_a_core_that_never_came_up_is_known_by_its_inputs(storage):
    record(storage, "e", expires=NOW + HOUR)
    ours = run(expires=NOW + HOUR)
    made_in_the_cloud(storage, "e", None, inputs={"expires": (NOW + HOUR).isoformat()})
    (found,) = find_leftovers(storage, [ours], moment=NOW)
    assert found.cloud == (ours,)


@pytest.mark.parametrize(
    ("expires", "verdict"), [(NOW - HOUR, "expired"), (NOW + HOUR, "unknown")], ids=["late", "not"]
)
def test_a_name_tells_where_no_ledger_does(storage, expires, verdict):
    (found,) = find_leftovers(storage, [run(expires=expires)], moment=NOW)
    assert found.verdict == verdict
    assert found.name == found.cloud[0].name


def test_a_live_stack_is_not_judged_by_the_expiry_in_its_name(storage):
    record(storage, "e", expires=NOW + HOUR)
    hold(storage, "e", alive=True)
    ours = run(expires=NOW - HOUR)
    made_in_the_cloud(storage, "e", ours.title)
    (found,) = find_leftovers(storage, [ours], moment=NOW)
    assert (found.verdict, len(found.cloud)) == ("live", 1)


def leftovers(storage):
    record(storage, "dead", expires=NOW + HOUR)
    hold(storage, "dead", alive=False)
    record(storage, "live", expires=NOW + HOUR)
    hold(storage, "live", alive=True)
    made_in_the_cloud(storage, "live", run("live", expires=NOW + HOUR).title)
    runs = [
        run("live", expires=NOW + HOUR),
        run("late", expires=NOW - HOUR),
        run("another", expires=NOW + 2 * HOUR),
    ]
    return find_leftovers(storage, runs, moment=NOW)


def test_orphans_go_and_what_is_unknown_stays(storage):
    found = leftovers(storage)
    chosen = choose(found, (), expired_only=False)
    assert [one.verdict for one in chosen] == ["expired", "dead"]


def test_only_what_expired(storage):
    chosen = choose(leftovers(storage), (), expired_only=True)
    assert [one.verdict for one in chosen] == ["expired"]


def test_what_is_named_goes_whatever_it_is(storage):
    found = leftovers(storage)
    another = run("another", expires=NOW + 2 * HOUR).name
    chosen = choose(found, [another, "p/live"], expired_only=False)
    assert [one.verdict for one in chosen] == ["live", "unknown"]
    with pytest.raises(KeyError, match="nobody"):
        choose(found, ["nobody"], expired_only=False)


def test_the_lock_of_a_sweeper_does_not_make_it_live(storage):
    record(storage, "e", expires=NOW - HOUR)
    lock = StackLock(storage, "p", "e")
    lock.acquire()
    (held,) = find_leftovers(storage, [], moment=NOW)
    lock.release()
    (free,) = find_leftovers(storage, [], moment=NOW)
    assert (held.verdict, free.verdict) == ("live", "expired")


def test_the_same_names_in_another_ledger_are_anothers(storage):
    record(storage, "e", expires=NOW - HOUR)
    found = find_leftovers(storage, [run("e", expires=NOW + HOUR)], moment=NOW)
    assert [(one.verdict, len(one.cloud)) for one in found] == [("expired", 0), ("unknown", 1)]


def test_a_ledger_that_cannot_be_read_keeps_nobody_from_being_swept(storage):
    record(storage, "late", expires=NOW - HOUR)
    storage.write("infrastructure/p/odd/ledger/stack.json", b'{"version": 99}')
    found = find_leftovers(storage, [run("odd", expires=NOW - HOUR)], moment=NOW)
    assert {one.name: one.verdict for one in found} == {"p/late": "expired", "p/odd": "unreadable"}
    assert [one.name for one in choose(found, (), expired_only=False)] == ["p/late"]


class Account:
    """One with a network of each run, which goes at once."""

    def __init__(self, *runs, unlisted=()):
        self.names = [run.title for run in runs]
        self._unlisted = unlisted

    def listed(self, kind):
        if kind in self._unlisted:
            raise CloudRefusedError(f"DigitalOcean refuses to list {kind}.")
        return [{"id": name, "name": name} for name in self.names if kind == "vpcs"]

    def delete(self, kind, identity):
        self.names.remove(identity)

    def members(self, vpc):
        return []


class Destroys:
    """A ledger's destroy that fails so many times."""

    def __init__(self, *, failures):
        self.calls = 0
        self._failures = failures

    def __call__(self):
        self.calls += 1
        if self.calls <= self._failures:
            raise LayerFailedError("Layer do/core: destroy failed.")


def left_over(run, verdict="dead"):
    return Leftover(verdict, run.expires, "p", "e", cloud=(run,))


@pytest.mark.parametrize(("failures", "calls"), [(0, 1), (1, 2)], ids=["well", "failed"])
def test_the_account_is_cleared_whatever_becomes_of_the_ledgers_destroy(failures, calls):
    ours, another = run(expires=NOW), run("another", expires=NOW)
    account, destroys = Account(ours, another), Destroys(failures=failures)
    destroy_leftover(left_over(ours), account=account, destroy_stack=destroys)
    assert (account.names, destroys.calls) == ([another.title], calls)


def test_a_ledger_that_cannot_forget_is_told_when_the_account_is_clear():
    ours = run(expires=NOW)
    account = Account(ours)
    with pytest.raises(LayerFailedError):
        destroy_leftover(left_over(ours), account=account, destroy_stack=Destroys(failures=9))
    assert account.names == []


def test_a_stack_that_somebody_works_on_after_all_is_left_alone():
    ours = run(expires=NOW)
    account = Account(ours)

    def destroy_stack():
        raise StackLockedError("Another run owns the stack.")

    with pytest.raises(StackLockedError):
        destroy_leftover(left_over(ours), account=account, destroy_stack=destroy_stack)
    assert account.names == [ours.title]


def test_without_an_account_the_ledgers_failure_is_told():
    with pytest.raises(LayerFailedError):
        destroy_leftover(
            left_over(run(expires=NOW)), account=None, destroy_stack=Destroys(failures=1)
        )


def test_a_kind_that_cannot_be_listed_is_told_and_the_others_go():
    ours = run(expires=NOW)
    account = Account(ours, unlisted=("volumes",))
    with pytest.raises(CloudError, match="of volumes is not known"):
        destroy_leftover(left_over(ours), account=account, destroy_stack=Destroys(failures=0))
    assert account.names == []


def test_a_ledger_that_cannot_be_understood_is_not_destroyed_by():
    ours = run(expires=NOW)
    account, destroys = Account(ours), Destroys(failures=0)
    with pytest.raises(StackError, match="cannot be understood"):
        destroy_leftover(left_over(ours, "unreadable"), account=account, destroy_stack=destroys)
    assert (account.names, destroys.calls) == ([], 0)
