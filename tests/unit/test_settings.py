"""Settings: where they come from, which one wins, and what is said about a wrong one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from infra_gym.errors import SettingsError
from infra_gym.settings import load_settings, settings_file


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory and no variables of ours."""
    for name in os.environ:
        if name.upper().startswith(("INFRA_GYM_", "TF_VAR_")):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(folder: Path, text: str) -> Path:
    file = folder / "infra-gym.toml"
    file.write_text(text)
    return file


def test_defaults_need_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setattr("sys.platform", "linux")
    settings = load_settings()
    assert settings.project == "infra-gym"
    assert settings.environment is None
    assert settings.target == "local"
    assert settings.state.backend == "local"
    assert settings.budget_usd is None
    assert settings.data_folder.name == "infra-gym"
    assert settings.data_folder.is_absolute()


def test_argument_beats_variable_beats_terraform_beats_file(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(folder, 'project = "from-file"\ntarget = "sim"\n')
    assert load_settings().project == "from-file"
    monkeypatch.setenv("TF_VAR_project", "from-terraform")
    assert load_settings().project == "from-terraform"
    monkeypatch.setenv("INFRA_GYM_PROJECT", "from-variable")
    assert load_settings().project == "from-variable"
    assert load_settings(project="from-argument").project == "from-argument"
    assert load_settings(project=None).project == "from-variable"
    assert load_settings().target == "sim"


def test_terraforms_environment_counts_and_its_other_variables_do_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TF_VAR_environment", "mine")
    monkeypatch.setenv("TF_VAR_target", "do")
    assert load_settings().environment == "mine"
    assert load_settings().target == "local"


def test_nested_keys_from_both_places_are_merged(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(folder, '[state]\nbackend = "spaces"\nbucket = "in-file"\nregion = "nyc3"\n')
    monkeypatch.setenv("INFRA_GYM_STATE__BUCKET", "in-variable")
    state = load_settings().state
    assert (state.backend, state.bucket, state.region) == ("spaces", "in-variable", "nyc3")


def test_empty_variables_count_as_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INFRA_GYM_TARGET", "")
    monkeypatch.setenv("TF_VAR_project", "")
    assert load_settings().target == "local"
    assert load_settings().project == "infra-gym"


def test_the_nearest_file_upwards_counts(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write(folder, 'project = "above"\n')
    below = folder / "one" / "two"
    below.mkdir(parents=True)
    monkeypatch.chdir(below)
    assert settings_file() == file.resolve()
    assert load_settings().project == "above"
    write(below, 'project = "here"\n')
    assert load_settings().project == "here"
    assert settings_file(folder) == file.resolve()


def test_a_removed_working_directory_has_no_file(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "gone").mkdir()
    monkeypatch.chdir(folder / "gone")
    (folder / "gone").rmdir()
    assert settings_file() is None
    assert load_settings().project == "infra-gym"
    monkeypatch.chdir(folder)


def test_paths_in_the_file_start_at_its_folder(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(folder, 'data_folder = "data"\nbinary = "bin/tofu"\nprometheus = "prometheus"\n')
    (folder / "below").mkdir()
    monkeypatch.chdir(folder / "below")
    settings = load_settings()
    assert settings.data_folder == folder.resolve() / "data"
    assert settings.binary == str(folder.resolve() / "bin" / "tofu")
    assert settings.prometheus == "prometheus"


def test_other_paths_start_here_or_at_home(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    assert load_settings(data_folder="~/runs").data_folder == Path("/home/somebody/runs")
    monkeypatch.setenv("INFRA_GYM_DATA_FOLDER", "runs")
    assert load_settings().data_folder == Path.cwd() / "runs"


def test_the_test_suites_own_variables_are_no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INFRA_GYM_TEST_KUBECONFIG", "/some/where")
    assert load_settings().project == "infra-gym"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            "targte = 'sim'",
            r"infra-gym\.toml: targte: there is no such key\. Did you mean 'target'",
        ),
        ("[state]\nbuket = 'b'", r"infra-gym\.toml: state\.buket: .*Did you mean 'bucket'"),
        (
            "target = 'locl'",
            r"infra-gym\.toml: target: 'locl' is not allowed\. Did you mean 'local'",
        ),
        ("target = 'locl'", r"Allowed: sim, local, k8s, do, replay"),
        (
            "project = 'My_Project'",
            r"project: 'My_Project' is not allowed: write 1 to 40 lower-case",
        ),
        ("project = '-a'", r"project: '-a' is not allowed"),
        (f"project = '{'a' * 41}'", r"is not allowed: write 1 to 40"),
        ("project = 3", r"infra-gym\.toml: project: should be a valid string, not 3"),
        ("budget_usd = 0", r"budget_usd: should be greater than 0, not 0"),
        ("budget_usd = nan", r"budget_usd: should be a finite number, not nan"),
        ("max_seconds = 'long'", r"max_seconds: should be a valid number, not 'long'"),
        ("[state]\nbackend = 's3'", r"infra-gym\.toml: state: backend 's3' needs a bucket"),
        ("state = 3", r"infra-gym\.toml: state: a mapping \(key: value\) is needed, not 3"),
        ("project = \ntarget = 1", r"infra-gym\.toml: .*line 1"),
        ("a = 1\na = 2\nb = 3", r"infra-gym\.toml: .*line 2"),
    ],
)
def test_a_wrong_file_is_told_with_file_key_and_what_is_allowed(
    folder: Path, text: str, says: str
) -> None:
    write(folder, text)
    with pytest.raises(SettingsError, match=says) as refused:
        load_settings()
    assert refused.value.exit_code == 2


@pytest.mark.parametrize(
    ("variable", "value", "says"),
    [
        ("INFRA_GYM_TARGET", "moon", r"^INFRA_GYM_TARGET: 'moon' is not allowed\. Allowed: sim"),
        ("INFRA_GYM_TARGTE", "sim", r"^INFRA_GYM_TARGTE: .*Did you mean 'TARGET'"),
        ("INFRA_GYM_STATES__BUCKET", "b", r"^INFRA_GYM_STATES__BUCKET: .*Did you mean 'STATE'"),
        ("INFRA_GYM_STATE__BUKET", "b", r"^INFRA_GYM_STATE__BUKET: .*Did you mean 'bucket'"),
        ("INFRA_GYM_STATE__BACKEND", "gcs", r"^INFRA_GYM_STATE__BACKEND: 'gcs' is not allowed"),
        ("INFRA_GYM_STATE", "bucket", r"INFRA_GYM_STATE__BUCKET=my-bucket"),
        ("INFRA_GYM_EXPIRY_HOURS", "-1", r"^INFRA_GYM_EXPIRY_HOURS: should be greater than 0"),
        ("TF_VAR_project", "A", r"^TF_VAR_project: 'A' is not allowed"),
        ("TF_VAR_environment", "a_b", r"^TF_VAR_environment: 'a_b' is not allowed"),
    ],
)
def test_a_wrong_variable_is_told_by_its_name(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, says: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(SettingsError, match=says):
        load_settings()


def test_a_wrong_argument_is_told_as_a_setting(folder: Path) -> None:
    write(folder, "project = 'good'")
    with pytest.raises(SettingsError, match=r"^setting target: 'moon' is not allowed"):
        load_settings(target="moon")
    with pytest.raises(SettingsError, match=r"^setting trget: .*Did you mean 'target'"):
        load_settings(trget="sim")


def test_all_that_is_wrong_is_told_at_once(folder: Path) -> None:
    write(folder, "target = 'moon'\nbudget_usd = -1")
    with pytest.raises(SettingsError) as refused:
        load_settings()
    assert len(refused.value.message.splitlines()) == 2


def test_a_file_that_cannot_be_read_is_told(folder: Path) -> None:
    (folder / "infra-gym.toml").write_bytes(b"project = '\xff'")
    with pytest.raises(SettingsError, match=r"infra-gym\.toml"):
        load_settings()


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        load_settings().project = "other"  # type: ignore[misc]
