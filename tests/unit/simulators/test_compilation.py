"""What cannot be kept on disk, or is damaged there, is compiled all the same."""

from __future__ import annotations

import errno
import importlib.util
import subprocess
import sys
import warnings
from pathlib import Path

import numba
import pytest
from numba.core.caching import IndexDataCacheFile

from infra_gym.simulators import compilation
from infra_gym.simulators.compilation import compiled, watched


def twice(number: int) -> int:
    return 2 * number


@pytest.fixture
def module(tmp_path):
    """A function in a file of its own, beside which its code is kept; call it for a new process."""
    path = tmp_path / "doubling.py"
    path.write_text("def twice(number):\n    return 2 * number\n")

    def load():
        compilation._told.clear()  # as in a new process
        spec = importlib.util.spec_from_file_location("doubling", path)
        made = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(made)
        return compiled(made.twice)

    return load


def kept(tmp_path: Path) -> list[Path]:
    return sorted((tmp_path / "__pycache__").glob("*.nb?"))


def hits(function) -> int:
    return sum(function.stats.cache_hits.values())


def test_it_is_compiled_and_kept(module, tmp_path):
    assert module()(21) == 42
    assert [file.suffix for file in kept(tmp_path)] == [".nbc", ".nbi"]
    again = module()
    assert again(21) == 42
    assert hits(again) == 1


def test_each_compilation_is_told_and_none_that_was_kept(module):
    told = []
    with watched(told.append):
        module()(21)
        module()(21)
    module()(2.5)
    assert told == ["twice"]


@pytest.mark.parametrize("suffix", [".nbc", ".nbi"])
@pytest.mark.parametrize("left", [0, 0.5])
def test_a_file_that_was_cut_off_is_said_once_and_mended(module, tmp_path, suffix, left):
    module()(21)
    for file in kept(tmp_path):
        if file.suffix == suffix:
            content = file.read_bytes()
            file.write_bytes(content[: int(left * len(content))])
    damaged = module()
    with pytest.warns(RuntimeWarning, match=r"cannot be read .* compiled anew") as told:
        assert damaged(21) == 42
    assert len(told) == 1
    mended = module()
    assert mended(21) == 42
    assert hits(mended) == 1


def test_a_file_that_is_gone_is_made_again(module, tmp_path):
    module()(21)
    for file in kept(tmp_path):
        if file.suffix == ".nbc":
            file.unlink()
    assert module()(21) == 42
    assert hits(mended := module()) == 0
    assert mended(21) == 42
    assert hits(mended) == 1


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EDQUOT])
def test_where_the_disk_refuses_it_is_compiled_and_said_once(module, monkeypatch, number):
    def refuse(self, name, data):
        raise OSError(number, "no")

    monkeypatch.setattr(IndexDataCacheFile, "_save_data", refuse)
    function = module()
    with pytest.warns(RuntimeWarning, match="NUMBA_CACHE_DIR names another folder"):
        assert function(21) == 42
    assert function(2.5) == 5.0  # a second warning would be an error


def test_without_any_folder_it_is_compiled_and_said_once(module, tmp_path, monkeypatch):
    # A file where a folder should be: even the administrator cannot write there.
    (tmp_path / "__pycache__").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "__pycache__"))
    with pytest.warns(RuntimeWarning, match="no folder can be written to"):
        function = module()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert compiled(function.py_func)(21) == 42
    assert function(21) == 42


def test_code_of_other_sources_is_removed(module, tmp_path, monkeypatch):
    module()(21)
    before = kept(tmp_path)
    monkeypatch.setattr(compilation, "_sources", lambda: "other")
    assert module()(21) == 42
    after = kept(tmp_path)
    assert len(before) == len(after) == 2
    assert before != after


_MANY = """
import sys
sys.path.insert(0, sys.argv[1])
import doubling
from infra_gym.simulators.compilation import compiled
for number in ((21, 2.5) if sys.argv[2] == "0" else (2.5, 21)):
    assert compiled(doubling.twice)(number) == 2 * number
"""


@pytest.mark.slow
def test_processes_may_compile_the_same_at_once(module, tmp_path):
    assert module()  # writes the source
    started = [
        subprocess.Popen([sys.executable, "-Werror", "-c", _MANY, str(tmp_path), str(each % 2)])
        for each in range(4)
    ]
    assert [process.wait() for process in started] == [0] * 4
    assert {file.suffix for file in kept(tmp_path)} == {".nbc", ".nbi"}
    assert subprocess.run([*started[0].args], check=True).returncode == 0


def test_without_numbas_compiler_it_stays_python(monkeypatch):
    monkeypatch.setattr(numba.config, "DISABLE_JIT", 1)
    assert compiled(twice) is twice


@pytest.mark.parametrize("number", [3, 2.5])
def test_the_arithmetic_is_pythons(number):
    assert compiled(twice)(number) == twice(number)
