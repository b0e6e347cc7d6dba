"""What the keeper writes for supervisor, and what it says when it cannot."""

from __future__ import annotations

import json
import shlex
import socket

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from supervisor.options import ServerOptions

from infra_gym.apps import keeper

ARGUMENTS = st.lists(
    st.text(st.sampled_from("ab /;#%$'\"\\(){}*~=[]:-\t,é"), min_size=1, max_size=12),
    min_size=1,
    max_size=4,
)


def as_supervisor_reads(folder, command):
    """The command line that supervisor makes of a program's configuration."""
    conf = folder / "supervisord.conf"
    (folder / "programs/app").mkdir(parents=True, exist_ok=True)
    conf.write_text(
        keeper.SUPERVISOR_CONF.format(socket=f"{folder}/s")
        + keeper.PROGRAM_INI.format(name="app", command=keeper.quote(command))
    )
    options = ServerOptions()
    options.realize(args=["-c", str(conf)])
    [group] = options.process_group_configs
    return shlex.split(group.process_configs[0].command)


@given(command=ARGUMENTS)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
def test_supervisor_reads_a_command_as_it_was_given(tmp_path, monkeypatch, command):
    monkeypatch.chdir(tmp_path)
    assert as_supervisor_reads(tmp_path, ["/bin/my app", *command]) == ["/bin/my app", *command]


def test_a_taken_port_is_named():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(keeper.KeeperError, match=f"heater-0 cannot have port {port} of"):
            keeper.require_free("heater-0", port)


def test_the_socket_is_short_and_one_of_a_folder(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / ("long" * 20)))
    names = {keeper.socket_path(tmp_path / name) for name in ("one", "two")}
    assert len(names) == 2
    assert all(len(name) < 90 for name in names)


def test_a_start_without_a_supervisor_says_what_to_do(tmp_path, monkeypatch, capsys):
    request = {"conf": f"{tmp_path}/supervisord.conf", "programs": []}
    monkeypatch.setenv("REQUEST", json.dumps(request))
    assert keeper.main(["start"]) == 1
    said = capsys.readouterr().err
    assert f"the supervisor of {tmp_path} is not running" in said
    assert "apply them again" in said


@pytest.mark.parametrize("command", ["retire", "stop", "down"])
def test_ending_what_never_was_is_no_error(tmp_path, monkeypatch, command):
    request = {"conf": f"{tmp_path}/gone/supervisord.conf"}
    if command != "down":
        request["names"] = ["heater-0"]
    monkeypatch.setenv("REQUEST", json.dumps(request))
    assert keeper.main([command]) == 0
    assert list(tmp_path.iterdir()) == []
