"""Recorded loads from CSV files."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from infra_gym.errors import UsageError
from infra_gym.workloads import Trace


def trace(folder: Path, text: str, **more: Any) -> Trace:
    path = folder / "load.csv"
    path.write_text(text)
    return Trace(profile="trace", path=path, **more)


def rates(load: Trace, *times: float) -> list[float]:
    return load.rate(np.array(times), np.random.default_rng(0)).tolist()


def test_rows_hold_until_the_next_and_repeat(tmp_path: Path) -> None:
    load = trace(tmp_path, "seconds,rps\n100,5\n110,20\n130,1\n")
    assert rates(load, 0, 9.9, 10, 29, 30, 49) == [5, 5, 20, 20, 1, 1]
    assert rates(load, 50, 60, 1030) == [5, 20, 1]  # 50 s long: the last row as long as the second


def test_iso_times_and_other_columns(tmp_path: Path) -> None:
    load = trace(
        tmp_path,
        "host,timestamp,value\na,2024-01-01 00:00:00,5\na,2024-01-01T00:05:00Z,7\n",
    )
    assert rates(load, 0, 299, 300) == [5, 5, 7]


def test_scales_to_a_mean(tmp_path: Path) -> None:
    load = trace(tmp_path, "seconds,rps\n0,10\n10,30\n", mean_rps=100)
    assert rates(load, 0, 10) == [50, 150]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", r":1: the header needs seconds,rps or timestamp,value"),
        ("seconds,value\n0,1\n", r":1: the header needs"),
        ("seconds,rps\n", "at least two rows, not 0"),
        ("seconds,rps\n0,1\n", "at least two rows, not 1"),
        ("seconds,rps\n0,1\n5,x\n", r":3: .*'x'"),
        ("seconds,rps\n0,1\n5\n", r":3: "),
        ("seconds,rps\n0,1\n0,2\n", r":3: not later than line 2"),
        ("seconds,rps\n5,1\n4,2\n", r":3: not later than line 2"),
        ("seconds,rps\n0,1\n5,-2\n", r":3: a finite time and a rate of at least 0"),
        ("seconds,rps\n0,nan\n5,2\n", r":2: a finite time"),
        ("seconds,rps\ninf,1\n5,2\n", r":2: a finite time"),
        ("timestamp,value\nyesterday,1\n5,2\n", r":2: .*yesterday"),
    ],
)
def test_a_broken_file_names_its_line(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        rates(trace(tmp_path, text), 0)


def test_a_missing_file_and_a_silent_one(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"none\.csv cannot be read"):
        rates(Trace(profile="trace", path=tmp_path / "none.csv"), 0)
    with pytest.raises(UsageError, match="all rates are 0"):
        rates(trace(tmp_path, "seconds,rps\n0,0\n1,0\n", mean_rps=1), 0)


def test_a_sheet_is_read_like_a_csv_file(tmp_path: Path) -> None:
    pytest.importorskip("openpyxl", reason="the extra `xlsx` is not installed")
    pandas = pytest.importorskip("pandas", reason="the extra `xlsx` is not installed")
    times = pandas.to_datetime(["2019-05-01 00:00", "2019-05-01 00:05", "2019-05-01 00:10"])
    path = tmp_path / "load.xlsx"
    sheet = pandas.DataFrame({"worker": "one", "timestamp": times, "value": [10, 2.5, 7]})
    sheet.to_excel(path, index=False)
    assert rates(Trace(profile="trace", path=path), 0, 300, 600) == [10, 2.5, 7]
    sheet.assign(value=[10, None, 7]).to_excel(path, index=False)
    with pytest.raises(UsageError, match=r"load\.xlsx:3: "):
        rates(Trace(profile="trace", path=path), 0)
    path.write_text("no sheet")
    with pytest.raises(UsageError, match=r"load\.xlsx cannot be read"):
        rates(Trace(profile="trace", path=path), 0)


def test_a_sheet_without_the_extra_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(UsageError, match=r"pip install 'infra-gym\[xlsx\]'"):
        rates(Trace(profile="trace", path=tmp_path / "load.xlsx"), 0)
