"""Terraform's events as progress."""

import io

import pytest
from rich.console import Console

from infra_gym.cli.output import Output
from infra_gym.cli.progress import StackProgress, shown, summary
from infra_gym.terraform.documents import Event


def event(kind, **document):
    return Event.of({"type": kind, "@message": kind, **document})


def resource(kind, action="create", address="terraform_data.one"):
    return event(kind, hook={"resource": {"addr": address}, "action": action})


def ended(operation="apply", add=0, change=0, remove=0):
    changes = {"add": add, "change": change, "remove": remove, "operation": operation}
    return event("change_summary", changes=changes)


@pytest.fixture
def progress():
    now = [0.0]
    made = StackProgress(["local/core", "local/heater"], clock=lambda: now[0])
    made.now = now
    return made


def text(renderable):
    console = Console(file=io.StringIO(), width=80)
    console.print(renderable)
    return console.file.getvalue()


def test_a_layer_waits_works_and_is_done(progress):
    one = progress.layers["local/heater"]
    assert one.state == "waiting"
    progress.on_event("local/heater", resource("apply_start"))
    assert (one.state, one.doing) == ("working", "creating terraform_data.one")
    progress.now[0] = 1.5
    progress.on_event("local/heater", ended(add=2, remove=1))
    assert (one.state, one.doing, one.seconds) == ("done", "2 added, 1 destroyed", 1.5)
    shown_text = text(progress)
    assert "✓ local/heater" in shown_text
    assert "1.5 s" in shown_text
    assert "· local/core" in shown_text


def test_an_error_fails_the_layer_and_a_warning_does_not(progress):
    one = progress.layers["local/core"]
    progress.on_event("local/core", event("diagnostic", diagnostic={"severity": "warning"}))
    assert one.state == "working"
    error = {"severity": "error", "summary": "Port 20001 is taken"}
    progress.on_event("local/core", event("diagnostic", diagnostic=error))
    assert one.state == "failed"
    assert "✗ local/core" in text(progress)
    assert "Port 20001 is taken" in text(progress)


def test_a_layer_works_again_after_it_was_done(progress):
    one = progress.layers["local/heater"]
    progress.on_event("local/heater", ended())
    assert (one.state, one.doing) == ("done", "no changes")
    progress.on_event("local/heater", resource("refresh_start"))
    assert one.state == "working"


def test_a_layer_that_was_not_announced_is_shown():
    progress = StackProgress()
    progress.on_event("k8s/core", resource("apply_start", "delete"))
    assert "destroying terraform_data.one" in text(progress)


def test_a_plans_summary_is_no_end():
    assert summary(ended("plan", add=2)) is None
    assert summary(ended("destroy", remove=2)) == "2 destroyed"


def test_without_a_terminal_progress_is_lines_on_standard_error(capsys):
    with shown(Output(), ["local/core"]) as on_event:
        on_event("local/core", resource("apply_start"))
        on_event("local/core", resource("apply_complete"))
        on_event("local/core", ended(add=1))
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines() == ["local/core: apply_complete", "local/core: 1 added"]


def test_quiet_shows_nothing(capsys):
    with shown(Output(quiet=True), ["local/core"]) as on_event:
        on_event("local/core", ended(add=1))
    assert capsys.readouterr() == ("", "")
