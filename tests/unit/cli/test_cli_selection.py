"""What the names on the command line mean."""

from datetime import UTC, datetime, timedelta

import pytest

from infra_gym.cli.selection import select, stacks
from infra_gym.definitions.parts import full_name
from infra_gym.errors import SettingsError, UnknownNameError, UsageError
from infra_gym.settings import load_settings
from infra_gym.stack.ledger import Ledger, StackRecord
from infra_gym.stack.lock import Owner
from infra_gym.stack.storage import open_storage

ID = "SimpleK8sWebApp-v0"
LAYERS = ("local/core", "local/heater", "local/siege-engine", "local/prometheus")


@pytest.fixture(autouse=True)
def somewhere_else(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("INFRA_GYM_DATA_FOLDER", str(tmp_path / "data"))


def record(name, identifier=ID, layers=LAYERS, target="local"):
    """A stack in the ledger."""
    moment = datetime.now(UTC)
    Ledger(open_storage(load_settings()), "infra-gym", name).write_stack(
        StackRecord(
            id=identifier,
            target=target,
            cluster=None,
            layers=layers,
            created=moment,
            expires=moment + timedelta(hours=1),
            owner=Owner.of_this_process(1),
        )
    )


def chosen(*names, environment=None, target=None, **options):
    return select(names, project=None, environment=environment, target=target, **options)


def test_an_environment_is_its_layers_on_the_target():
    selection = chosen(ID, environment="mine")
    assert (selection.layers, selection.chosen) == (LAYERS, None)
    assert selection.target == "local"
    assert selection.name == "infra-gym/mine"


def test_some_of_its_layers_by_short_or_full_name():
    selection = chosen(ID, "heater", "local/core", environment="mine")
    assert selection.layers == LAYERS
    assert selection.command_layers == ("local/heater", "local/core")


def test_a_new_one_gets_a_new_name():
    first, second = chosen(ID, new=True), chosen(ID, new=True)
    assert first.environment != second.environment
    assert first.environment.startswith("simplek8swebapp-v0-local-")


def test_the_only_one_that_is_there_is_meant():
    record("mine")
    record("elsewhere", target="k8s")
    record("other", identifier="Other-v0")
    assert chosen(ID).environment == "mine"
    assert chosen(ID, new=True).environment == "mine"


def test_one_of_several_must_be_named():
    record("mine")
    record("yours")
    with pytest.raises(UsageError, match="-e mine or -e yours"):
        chosen(ID)


def test_none_is_there():
    record("other", identifier="Other-v0")
    with pytest.raises(UsageError, match="those that are there: other"):
        chosen(ID)


def test_layers_need_the_name_of_a_stack():
    record("mine")
    with pytest.raises(UsageError, match="-e mine"):
        chosen("local/heater", new=True)


def test_layers_of_a_recorded_environment_keep_its_wiring():
    record("mine")
    selection = chosen("local/heater", environment="mine", new=True)
    assert selection.layers == LAYERS
    assert selection.chosen == ("local/heater",)
    assert selection.definition.id == ID


def test_layers_of_a_new_stack_tell_the_target():
    assert chosen("local/core", environment="new", new=True).target == "local"
    assert chosen("local/core", environment="new", target="k8s", new=True).target == "k8s"


def test_a_recorded_stack_needs_no_names():
    record("mine", identifier=None, layers=("local/core",))
    selection = chosen(environment="mine")
    assert selection.layers == ("local/core",)
    assert selection.definition is None
    with pytest.raises(UsageError, match="no stack named nowhere"):
        chosen(environment="nowhere")
    assert chosen(environment="nowhere", blank=True).layers == ()


def test_what_a_run_left_before_its_first_record_can_be_named():
    open_storage(load_settings()).write("infrastructure/infra-gym/early/lock/00000001.json", b"{}")
    assert chosen(environment="early").layers == ()


def test_a_target_without_layers_is_refused():
    with pytest.raises(SettingsError, match="--target local"):
        chosen(ID, target="sim")


def test_stacks_of_other_projects_are_not_told():
    record("mine")
    assert list(stacks(load_settings())) == ["mine"]
    assert stacks(load_settings(project="another")) == {}


def test_variables_are_read_by_their_type():
    selection = chosen(ID, environment="mine")
    assert selection.inputs(["replicas=3", "heater.work=cpu", "local/heater.slots=2"]) == {
        "local/heater": {"replicas": 3, "work": "cpu", "slots": 2}
    }


def test_a_string_stays_as_it_was_typed():
    selection = chosen(ID, environment="mine")
    assert selection.inputs(["heater.python=3.10"])["local/heater"]["python"] == "3.10"


def test_a_variable_is_looked_for_in_the_layers_of_the_command():
    selection = chosen(ID, "siege-engine", environment="mine")
    assert selection.inputs(["port=20000"]) == {"local/siege-engine": {"port": 20000}}
    with pytest.raises(UnknownNameError):
        selection.inputs(["replicas=3"])
    assert selection.inputs(["heater.replicas=3"]) == {"local/heater": {"replicas": 3}}


def test_a_wrong_layer_gets_the_right_one_in_the_same_form():
    with pytest.raises(UnknownNameError, match="'heater'"):
        full_name("heatr", LAYERS)
    with pytest.raises(UnknownNameError, match="'local/heater'"):
        full_name("local/heatr", LAYERS)
