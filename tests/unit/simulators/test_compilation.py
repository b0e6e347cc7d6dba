"""Where nothing can be kept on disk, a simulator is compiled all the same."""

from __future__ import annotations

import numba
import pytest

from infra_gym.simulators.compilation import compiled


def twice(number: int) -> int:
    return 2 * number


def test_it_is_compiled_and_kept():
    function = compiled(twice)
    assert function(21) == 42
    assert function.stats.cache_path


def test_without_a_folder_for_the_cache_it_is_compiled_all_the_same(monkeypatch):
    njit = numba.njit

    def nowhere_to_keep(*arguments, cache=False, **options):
        if cache:
            raise RuntimeError("cannot cache function 'twice': no locator available")
        return njit(*arguments, **options)

    monkeypatch.setattr(numba, "njit", nowhere_to_keep)
    assert compiled(twice)(21) == 42


@pytest.mark.parametrize("number", [3, 2.5])
def test_the_arithmetic_is_pythons(number):
    assert compiled(twice)(number) == twice(number)
