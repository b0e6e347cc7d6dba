import pytest

from infra_gym.errors import DefinitionError, StackError, UnknownNameError
from infra_gym.stack.placeholders import UNKNOWN, fill_typed, placeholder
from infra_gym.stack.wiring import Sources, Wire, fill, wire, wires_in
from infra_gym.terraform.hcl import REQUIRED, Variable


def variable(name: str, default=REQUIRED, **options) -> Variable:
    options = {
        "type": "string",
        "description": "",
        "sensitive": False,
        "ephemeral": False,
    } | options
    return Variable(name=name, default=default, **options)


def variables(*declared: Variable) -> dict[str, Variable]:
    return {one.name: one for one in declared}


OUTPUTS = {
    "local/core": frozenset({"run_folder", "url"}),
    "local/heater": frozenset({"url", "targets"}),
    "local/siege": frozenset({"url"}),
    "local/last": frozenset(),
}


def test_the_first_source_that_applies_wins():
    declared = variables(variable("url"), variable("size", default=1))
    every = {
        "given": {"url": "given"},
        "written": {"url": "written"},
        "from_shell": {"url": "shell"},
        "recorded": {"url": "recorded"},
        "outputs": OUTPUTS,
        "run_variables": {"url": lambda: "run"},
    }
    expected = ["given", "written", "shell", "recorded", Wire("local/siege", "url"), "run"]
    for value, name in zip(expected, [*every], strict=True):
        assert wire("local/last", declared, Sources(**every)) == {"url": value}
        del every[name]


def test_variables_with_a_default_are_left_to_it():
    declared = variables(variable("url", default=None))
    sources = Sources(outputs=OUTPUTS, run_variables={"url": lambda: "run"})
    assert wire("local/last", declared, sources) == {}


def test_only_earlier_layers_are_looked_at():
    declared = variables(variable("targets"))
    with pytest.raises(StackError) as told:
        wire("local/core", declared, Sources(outputs=OUTPUTS))
    assert told.value.next_command == "add --var targets=..."
    assert wire("local/siege", declared, Sources(outputs=OUTPUTS)) == {
        "targets": Wire("local/heater", "targets")
    }


def test_a_missing_secret_is_asked_for_by_the_shell():
    declared = variables(variable("token", sensitive=True))
    with pytest.raises(StackError) as told:
        wire("local/core", declared, Sources())
    assert told.value.next_command == "export TF_VAR_token=..."
    assert wire("local/core", declared, Sources(from_shell={"token": "s"})) == {}, "never touched"


def test_the_shells_texts_become_values():
    declared = variables(
        variable("name"),
        variable("size", default=1, type="number"),
        variable("map", type="map(any)"),
    )
    sources = Sources(
        from_shell={"name": "1.10", "size": "3", "map": "{ a = 1 }", "other": "x"},
        recorded={"map": "left to Terraform"},
    )
    assert wire("local/core", declared, sources) == {"name": "1.10", "size": 3}


def test_references_are_found_inside_maps_and_lists():
    declared = variables(variable("targets"), variable("file"), variable("own"))
    written = {
        "targets": {"a": "heater.targets", "b": ["local/siege.url", 7]},
        "file": "data.csv",
        "own": "heater",
    }
    values = wire("local/last", declared, Sources(written=written, outputs=OUTPUTS))
    assert values["targets"] == {
        "a": Wire("local/heater", "targets"),
        "b": [Wire("local/siege", "url"), 7],
    }
    assert (values["file"], values["own"]) == ("data.csv", "heater")
    assert wires_in(values) == [Wire("local/heater", "targets"), Wire("local/siege", "url")]
    filled = fill(values, lambda one: one.output.upper())
    assert filled["targets"] == {"a": "TARGETS", "b": ["URL", 7]}


def test_an_explicit_value_is_never_a_reference():
    declared = variables(variable("url"))
    sources = Sources(given={"url": "heater.url"}, outputs=OUTPUTS)
    assert wire("local/last", declared, sources) == {"url": "heater.url"}


def test_what_was_an_output_is_that_output_again():
    declared = variables(variable("url"))
    sources = Sources(
        recorded={"url": "old"}, recorded_wires={"url": "local/heater.url"}, outputs=OUTPUTS
    )
    assert wire("local/last", declared, sources) == {"url": Wire("local/heater", "url")}
    gone = Sources(recorded={"url": "old"}, recorded_wires={"url": "local/gone.url"})
    assert wire("local/last", declared, gone) == {"url": "old"}


def test_wrong_names_are_told():
    declared = variables(variable("replicas", default=1))
    with pytest.raises(UnknownNameError, match="Did you mean 'replicas'"):
        wire("local/last", declared, Sources(given={"replica": 2}))
    with pytest.raises(DefinitionError, match="Did you mean 'replicas'"):
        wire("local/last", declared, Sources(written={"replica": 2}))
    with pytest.raises(DefinitionError, match=r"no output 'ulr'\. Did you mean 'url'"):
        wire("local/last", declared, Sources(written={"replicas": "heater.ulr"}, outputs=OUTPUTS))


@pytest.mark.parametrize(
    ("declared", "value"),
    [
        ("string", UNKNOWN),
        ("any", UNKNOWN),
        ("number", 1),
        ("bool", False),
        ("list(string)", []),
        ("map(number)", {}),
        ("object({ a = string })", {}),
    ],
)
def test_placeholders_have_the_declared_type(declared, value):
    assert placeholder(declared) == value


def test_placeholders_inside_collections():
    def output(wired, declared):
        return placeholder(declared)

    value = {"a": Wire("x/y", "z"), "b": 3}
    assert fill_typed(value, "map(list(string))", output) == {"a": [], "b": 3}
    assert fill_typed([Wire("x/y", "z")], "list(number)", output) == [1]


def test_what_has_no_source_may_be_left_out():
    variables = {"size": variable("size", default="small"), "key": variable("key")}
    sources = Sources(given={"size": "large"})
    with pytest.raises(StackError, match="key"):
        wire("local/a", variables, sources)
    assert wire("local/a", variables, sources, partly=True) == {"size": "large"}
