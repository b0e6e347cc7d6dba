import json
import socket

import pytest

from infra_gym.errors import StateBackendError, TerraformError
from infra_gym.settings import Settings
from infra_gym.stack.ledger import LayerRecord, Ledger, now
from infra_gym.stack.lock import Owner
from infra_gym.stack.planning import Planner
from infra_gym.stack.run_directory import RunFolder
from infra_gym.stack.run_variables import RunVariables
from infra_gym.stack.storage import FolderStorage
from infra_gym.stack.takeover import end_dead_run
from infra_gym.stack.wiring import Wire
from infra_gym.terraform.documents import Output, Plan
from infra_gym.terraform.hcl import read_module
from infra_gym.workloads import Schedule

PREFIX = "infrastructure/p/e/"


@pytest.fixture
def storage(tmp_path):
    return FolderStorage(tmp_path / "state")


def test_records(storage):
    ledger = Ledger(storage, "p", "e")
    record = LayerRecord(
        layer="local/heater",
        status="applied",
        inputs={"nested": {"a": [1, 2.5, None, "x"]}},
        owner=Owner.of_this_process(1),
        started=now(),
        updated=now(),
        source_hash="0",
        terraform="terraform 1.11.4",
    )
    ledger.write(record)
    storage.write(f"{PREFIX}ledger/heartbeat.json", b"{}")
    assert ledger.layers() == {"local/heater": record}
    assert ledger.stack() is None
    ledger.remove("local/heater")
    assert ledger.layers() == {}


@pytest.mark.parametrize("content", ["", "{", '{"version": 2}', '{"version": 1}'])
def test_a_record_that_cannot_be_understood(storage, content):
    storage.write(f"{PREFIX}ledger/local/heater.json", content.encode())
    with pytest.raises(StateBackendError, match=r"ledger/local/heater\.json") as told:
        Ledger(storage, "p", "e").layers()
    assert "the version of infra-gym that wrote it" in told.value.next_command


def test_state_locks_of_this_machine_are_removed(storage, tmp_path):
    folder = RunFolder(tmp_path, "p", "e")

    def put(layer: str, who: str) -> None:
        lock = json.dumps({"ID": "7", "Who": who}).encode()
        storage.write(f"{PREFIX}state/local/{layer}.tfstate.tflock", lock)

    put("ours", f"me@{socket.gethostname()}")
    put("theirs", "me@elsewhere")
    storage.write(f"{PREFIX}state/local/broken.tfstate.tflock", b"")
    storage.write(f"{PREFIX}state/local/ours.tfstate", b"state")
    end_dead_run(storage, folder, PREFIX, grace_s=1)
    assert storage.keys(PREFIX) == [
        f"{PREFIX}state/local/broken.tfstate.tflock",
        f"{PREFIX}state/local/ours.tfstate",
        f"{PREFIX}state/local/theirs.tfstate.tflock",
    ]
    end_dead_run(storage, folder, PREFIX, grace_s=1, any_host=True)
    assert storage.keys(PREFIX) == [f"{PREFIX}state/local/ours.tfstate"]


def test_the_schedule_of_a_stack_without_an_agent(tmp_path):
    from infra_gym.definitions.catalog import find_definition

    variables = RunVariables(
        Settings(data_folder=tmp_path),
        project="p",
        environment="e",
        target="local",
        root=tmp_path / "runs/p/e",
        definition=find_definition("SimpleK8sWebApp-v0"),
        extra={},
    )
    file = variables.of("local/siege-engine", touch=False)["schedule"]()
    assert list(tmp_path.iterdir()) == []
    assert variables.of("local/siege-engine", touch=True)["schedule"]() == file
    first = Schedule.read(tmp_path / "runs/p/e/schedule.igs")
    assert len(first.times) > 1000
    assert first.seconds == 200 * 5


class FakeTerraform:
    """Plans whatever it is told."""

    def __init__(self, outputs=None, error=None) -> None:
        self.outputs, self.error, self.seen = outputs or {}, error, None

    def init(self, folder) -> None:
        assert (folder / "backend.tf").read_text() == "the backend"

    def plan(self, folder, *, secrets, on_event) -> Plan:
        self.seen = json.loads((folder / "inputs.auto.tfvars.json").read_text()), secrets
        if self.error:
            raise self.error
        return Plan(changes=(), adds=0, modifies=0, removes=0, outputs=self.outputs)


class Modules(dict):
    def secret_outputs(self, layer):
        return frozenset()


class Inputs:
    def secret_names(self, layer, values):
        return frozenset({"password"}) & {*values}


@pytest.fixture
def planner(tmp_path):
    folder = tmp_path / "module"
    folder.mkdir()
    (folder / "main.tf").write_text(
        'variable "url" { type = string }\nvariable "count_of" { type = number }\n'
        'variable "password" { type = string }\n'
    )
    module = read_module(folder)

    def applied(wired):
        raise KeyError(wired)

    def make(terraform) -> Planner:
        return Planner(
            terraform,
            Modules({"x/a": module, "x/b": module}),
            Inputs(),
            backend=lambda layer: "the backend",
            applied=applied,
            on_event=lambda layer, event: None,
        )

    return make


def test_planned_outputs_serve_before_placeholders(planner):
    terraform = FakeTerraform({"url": Output("http://planned"), "size": Output(None, known=False)})
    plans = planner(terraform)
    plans.plan("x/a", {"url": "literal", "password": "sesame"})
    assert terraform.seen == ({"url": "literal"}, {"password": "sesame"})
    plans.plan("x/b", {"url": Wire("x/a", "url"), "count_of": Wire("x/a", "size")})
    assert terraform.seen == ({"url": "http://planned", "count_of": 1}, {})


def test_a_failed_plan_names_its_placeholders(planner):
    plans = planner(FakeTerraform(error=TerraformError("count_of must be even.")))
    with pytest.raises(TerraformError, match=r"must be even\..*before the apply: x/a\.size"):
        plans.plan("x/b", {"count_of": Wire("x/a", "size")})
