"""``name=value``."""

import pytest

from infra_gym.cli.variables import pairs, value
from infra_gym.errors import UsageError


def test_pairs_are_split_at_the_first_equals_sign():
    assert pairs("--var", ["a=1", "heater.url=http://x?y=z", "empty="]) == {
        "a": "1",
        "heater.url": "http://x?y=z",
        "empty": "",
    }


@pytest.mark.parametrize("text", ["replicas", "=3", " =3"])
def test_what_is_no_pair_says_what_to_write(text):
    with pytest.raises(UsageError, match="--var replicas=3"):
        pairs("--var", [text])


def test_the_example_fits_the_option():
    with pytest.raises(UsageError, match="--workload sine,mean_rps=80"):
        pairs("--workload", ["mean"], example="sine,mean_rps=80")


@pytest.mark.parametrize(
    ("text", "read"),
    [("3", 3), ("0.5", 0.5), ("true", True), ("[1, 2]", [1, 2]), ("small", "small"), ("", "")],
)
def test_values_are_json_where_they_are_json(text, read):
    assert value(text) == read
