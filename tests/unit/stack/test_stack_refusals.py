import signal
import threading

import pytest

from infra_gym.errors import (
    LayerFailedError,
    OwnershipLostError,
    SettingsError,
    StackMismatchError,
    StateBackendError,
    TerraformError,
    TerraformInterruptedError,
    UnknownNameError,
    UsageError,
)
from infra_gym.settings import Settings
from infra_gym.stack import Owner, StackRecord, open_stack, unique_name
from infra_gym.stack.execution import Outcome, run_layers
from infra_gym.stack.ledger import now
from infra_gym.stack.order import Order
from infra_gym.stack.refusals import Identity, refuse_another, results


def identity(**changes) -> Identity:
    known = {
        "project": "p", "environment": "e", "id": "Web-v0", "target": "local", "cluster": None,
        "layers": ("local/a", "local/b"),
    }  # fmt: skip
    return Identity(**known | changes)


def record(**changes) -> StackRecord:
    known = {
        "id": "Web-v0", "target": "local", "cluster": None, "layers": ("local/a",),
        "created": now(), "expires": now(), "owner": Owner.of_this_process(1),
    }  # fmt: skip
    return StackRecord(**known | changes)


def test_the_same_stack_is_not_refused():
    refuse_another(identity(), None)
    refuse_another(identity(), record())
    refuse_another(
        identity(id=None),
        record(),
    )
    refuse_another(identity(cluster="one", target="k8s"), record(target="k8s"))
    refuse_another(identity(target="k8s"), record(cluster="one", target="k8s"))


@pytest.mark.parametrize(
    ("ours", "theirs", "message", "command"),
    [
        ({}, {"id": "Jobs-v0"}, "another id .*: Jobs-v0, not Web-v0", "destroy --target l"),
        ({}, {"id": None}, "another id .*: single layers", "destroy --target local"),
        ({}, {"target": "k8s"}, "another target .*: k8s, not local", "destroy --target k8s -p p"),
        (
            {"cluster": "two", "target": "k8s"},
            {"cluster": "one", "target": "k8s"},
            "another cluster .*: one, not two",
            "-e e",
        ),
    ],
)
def test_another_stack_is_refused(ours, theirs, message, command):
    with pytest.raises(StackMismatchError, match=message) as told:
        refuse_another(identity(**ours), record(**theirs))
    assert command in str(told.value)


def failed(failures: dict[str, Exception], not_run=()) -> Outcome:
    return Outcome(failures=failures, not_run=not_run)


def test_all_failures_are_told():
    outcome = failed(
        {"local/a": TerraformError("one"), "local/b": TerraformError("two")}, ("local/c",)
    )
    with pytest.raises(LayerFailedError) as told:
        results(identity(), "apply", outcome)
    assert str(told.value) == (
        "Layer local/a: apply failed: one\nLayer local/b: apply failed: two\n"
        "Not run because of it: local/c.\n"
        "Where: environment p/e, target local, layer local/a.\n"
        "Next: infra-gym layers apply Web-v0 --target local -p p -e e"
    )


def test_what_terraform_says_to_type_is_kept():
    outcome = failed({"local/a": TerraformError("locked", next_command="terraform force-unlock 7")})
    with pytest.raises(LayerFailedError, match="force-unlock 7"):
        results(identity(), "apply", outcome)


@pytest.mark.parametrize(
    "error",
    [OwnershipLostError("lost"), StateBackendError("gone"), TerraformInterruptedError("stop")],
)
def test_what_is_not_the_layers_fault_goes_through(error):
    with pytest.raises(type(error)) as told:
        results(identity(), "apply", failed({"local/b": TerraformError("x"), "local/a": error}))
    assert told.value is error


def test_an_environment_of_a_file_is_told_by_its_file():
    ours = identity(named="'my envs/Web-v0.yaml'")
    assert ours.command("apply").startswith("infra-gym layers apply 'my envs/Web-v0.yaml' --target")
    assert ours.command("apply", ["local/a"]).startswith("infra-gym layers apply local/a --target")


def test_a_failure_blocks_only_what_waits_for_it():
    order = Order(["x/a", "x/b", "x/c", "x/d"], {"x/b": ["x/a"], "x/c": ["x/b"]})

    def work(layer: str) -> str:
        if layer == "x/b":
            raise TerraformError("b")
        return layer

    outcome = run_layers(order, work, interrupt=lambda: None)
    assert outcome.results == {"x/a": "x/a", "x/d": "x/d"}
    assert [*outcome.failures] == ["x/b"]
    assert outcome.not_run == ("x/c",)


@pytest.mark.parametrize(
    "ending", [KeyboardInterrupt("Stopped."), SystemExit(143)], ids=["interrupt", "exit"]
)
def test_an_interrupt_awaits_what_runs_and_begins_no_more(ending):
    order = Order(["x/a", "x/b"], {"x/b": ["x/a"]})
    interrupted, began = threading.Event(), []

    def end(*_: object) -> None:
        raise ending

    def work(layer: str) -> None:
        began.append(layer)
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
        assert interrupted.wait(20)

    before = signal.signal(signal.SIGINT, end)
    try:
        with pytest.raises(type(ending)) as raised:
            run_layers(order, work, interrupt=interrupted.set)
    finally:
        signal.signal(signal.SIGINT, before)
    assert raised.value is ending
    assert began == ["x/a"]


def test_layers_wait_for_each_other_only_where_they_must():
    meeting = threading.Barrier(2, timeout=20)
    order = Order(["x/a", "x/b"], {})
    assert run_layers(order, lambda layer: meeting.wait(), interrupt=lambda: None).failures == {}


def test_unique_names_can_be_used():
    names = {unique_name("A" * 60 + "-v0", "local") for _ in range(20)}
    assert len(names) == 20
    assert all(Settings(environment=name).environment == name for name in names)
    assert unique_name("SimpleK8sWebApp-v0", "do").startswith("simplek8swebapp-v0-do-")


def test_stacks_are_opened_by_id_or_layers(tmp_path, monkeypatch):
    monkeypatch.delenv("INFRA_GYM_ENVIRONMENT", raising=False)
    settings = Settings(data_folder=tmp_path)
    stack = open_stack("SimpleK8sWebApp-v0", settings=settings)
    assert stack.target == "local"
    assert stack.layers[0] == "local/core"
    assert stack.environment.startswith("simplek8swebapp-v0-local-")
    heater = open_stack("local/heater", project="mine", environment="web", settings=settings)
    assert (heater.layers, heater.project, heater.target) == (("local/heater",), "mine", "local")
    assert list(tmp_path.iterdir()) == [], "nothing is touched"


@pytest.mark.parametrize(
    ("what", "options", "error", "message"),
    [
        ("SimpleK8sWebAp-v0", {}, UnknownNameError, "Did you mean 'SimpleK8sWebApp-v0'"),
        ("local/heatr", {"environment": "e"}, UnknownNameError, "Did you mean 'local/heater'"),
        ("local/heater", {}, UsageError, "add -e ENVIRONMENT"),
        ("local/heater", {"environment": "No Name"}, SettingsError, "1 to 40 lower-case letters"),
        ("SimpleK8sWebApp-v0", {"target": "replay"}, UsageError, "no layers for target 'replay'"),
    ],
)
def test_what_cannot_be_opened_is_told(tmp_path, monkeypatch, what, options, error, message):
    monkeypatch.delenv("INFRA_GYM_ENVIRONMENT", raising=False)
    with pytest.raises(error) as told:
        open_stack(what, settings=Settings(data_folder=tmp_path), **options)
    assert message in str(told.value)


def test_a_stack_of_another_account_is_refused():
    there = record(target="do", account="team-1")
    refuse_another(identity(target="do", account="team-1"), there)
    refuse_another(identity(target="do"), there)
    refuse_another(identity(target="do", account="team-2"), record(target="do"))
    with pytest.raises(
        StackMismatchError, match=r"account, team-1; the token is of team-2"
    ) as told:
        refuse_another(identity(target="do", account="team-2"), there)
    assert "export DIGITALOCEAN_TOKEN" in str(told.value)
