from __future__ import annotations

import json

import pytest

from infra_gym.terraform.documents import (
    Applied,
    Change,
    Diagnostic,
    Event,
    Output,
    Plan,
    StateLock,
)


def event(**document: object) -> Event:
    return Event.parse(json.dumps(document))


def hook(address: str, action: str, kind: str = "apply_complete") -> Event:
    return event(type=kind, hook={"resource": {"addr": address}, "action": action})


def test_a_diagnostic_says_what_and_where() -> None:
    found = Diagnostic.parse(
        {
            "severity": "error",
            "summary": "local-exec provisioner error",
            "detail": "exit status 7",
            "address": "terraform_data.bad",
            "range": {"filename": "main.tf", "start": {"line": 2}},
        }
    )
    assert found.text() == (
        "local-exec provisioner error (terraform_data.bad in main.tf:2): exit status 7"
    )
    assert Diagnostic.parse({"summary": "odd"}).text() == "odd"


def test_an_event_of_every_kind_is_read() -> None:
    start = hook("module.a.terraform_data.x[0]", "create", "apply_start")
    assert (start.type, start.address, start.action) == (
        "apply_start",
        "module.a.terraform_data.x[0]",
        "create",
    )
    change = event(type="planned_change", change={"resource": {"addr": "a.b"}, "action": "update"})
    assert (change.address, change.action) == ("a.b", "update")
    failed = event(**{"@level": "error", "type": "diagnostic", "diagnostic": {"summary": "no"}})
    assert failed.diagnostic is not None
    assert failed.diagnostic.summary == "no"
    assert event(**{"@message": "untyped"}).type == "log"


@pytest.mark.parametrize("line", ["panic: runtime error", '{"@message": "cut of', "[]", "1", ""])
def test_a_line_that_is_no_event_is_text(line: str) -> None:
    assert Event.parse(line) == Event(type="text", message=line)


def test_what_was_applied() -> None:
    applied = Applied.of(
        [
            event(type="outputs", outputs={"url": {"sensitive": False, "action": "update"}}),
            hook("a.new", "create"),
            hook("a.again", "delete"),
            hook("a.again", "create"),
            hook("a.never", "create", "apply_start"),
            event(
                type="outputs",
                outputs={
                    "url": {"sensitive": False, "type": "string", "value": "http://x"},
                    "key": {"sensitive": True, "type": "string"},
                },
            ),
        ],
        1.5,
    )
    assert applied.changes == (
        Change("a.new", ("create",)),
        Change("a.again", ("delete", "create")),
    )
    assert applied.outputs == {
        "url": Output("http://x", "string"),
        "key": Output(None, "string", sensitive=True, known=False),
    }
    assert applied.seconds == 1.5


def test_outputs_that_a_destroy_foresees_are_no_outputs() -> None:
    foreseen = event(type="outputs", outputs={"url": {"sensitive": False, "action": "delete"}})
    assert Applied.of([foreseen], 0.1).outputs == {}


def test_a_plan_is_counted_as_terraform_counts() -> None:
    def resource(address: str, *actions: str) -> dict[str, object]:
        return {"address": address, "change": {"actions": list(actions)}}

    plan = Plan.parse(
        {
            "resource_changes": [
                resource("a.same", "no-op"),
                resource("a.data", "read"),
                resource("a.new", "create"),
                resource("a.changed", "update"),
                resource("a.gone", "delete"),
                resource("a.replaced", "delete", "create"),
            ],
            "planned_values": {
                "outputs": {
                    "known": {"sensitive": False, "type": "number", "value": None},
                    "later": {"sensitive": False},
                    "secret": {"sensitive": True, "type": "string", "value": "hunter2"},
                }
            },
        }
    )
    assert (plan.adds, plan.modifies, plan.removes) == (2, 1, 2)
    assert [change.address for change in plan.changes] == [
        "a.new",
        "a.changed",
        "a.gone",
        "a.replaced",
    ]
    assert plan.outputs["known"] == Output(None, "number")
    assert not plan.outputs["later"].known
    assert plan.outputs["secret"] == Output(None, "string", sensitive=True, known=False)


def test_an_empty_plan() -> None:
    assert Plan.parse({}) == Plan((), 0, 0, 0, {})


def test_the_holder_of_a_lock_is_found() -> None:
    detail = (
        "Error message: resource temporarily unavailable\nLock Info:\n"
        "  ID:        60892a90-6361\n  Path:      x.tfstate\n  Operation: OperationTypeApply\n"
        "  Who:       ann@host\n  Version:   1.11.4\n  Created:   2026-01-02 03:04:05 +0000 UTC\n"
        "  Info:      \n\nTerraform acquires a state lock"
    )
    assert StateLock.find(detail) == StateLock(
        id="60892a90-6361", who="ann@host", since="2026-01-02 03:04:05 +0000 UTC", operation="Apply"
    )
    assert StateLock.find("Error: no lock here") is None
    bare = StateLock.find("Lock Info:\n  ID:   7\n  Who:\n")
    assert bare == StateLock("7", "somebody", "an unknown time", "unknown")
