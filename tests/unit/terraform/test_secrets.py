from __future__ import annotations

import pytest

from infra_gym.terraform.secrets import MASK, Masker

ENVIRON = {
    "DIGITALOCEAN_TOKEN": "dop_v1_abcdef",
    "AWS_ACCESS_KEY_ID": "AKIAPUBLIC",
    "AWS_SECRET_ACCESS_KEY": "the-key-itself",
    "TF_VAR_db_password": "tr0ub4dor",
    "PATH": "/usr/bin:/bin",
    "SHORT_TOKEN": "true",
}


@pytest.mark.parametrize("secret", ["dop_v1_abcdef", "the-key-itself", "tr0ub4dor"])
def test_values_of_secret_variables_are_hidden(secret: str) -> None:
    assert Masker(ENVIRON, {}).text(f"got {secret}!") == f"got {MASK}!"


def test_the_rest_stays() -> None:
    text = "AKIAPUBLIC in /usr/bin:/bin is true"
    assert Masker(ENVIRON, {}).text(text) == text


def test_lines_and_quoted_forms_are_hidden() -> None:
    masker = Masker({}, {"key": '-----BEGIN-----\nMIIB"x"abc\n-----END-----'})
    assert masker.text('a line: MIIB"x"abc') == f"a line: {MASK}"
    assert masker.text('quoted: "MIIB\\"x\\"abc"') == f'quoted: "{MASK}"'


def test_the_longer_of_two_that_overlap_goes_first() -> None:
    masker = Masker({}, {"a": "secret", "b": "secret-longer"})
    assert masker.text("secret-longer and secret") == f"{MASK} and {MASK}"


def test_documents_are_hidden_to_the_bottom() -> None:
    masker = Masker({}, {"a": "hunter2"})
    document = {"list": [{"hunter2": "x hunter2"}], "number": 2, "none": None}
    assert masker.document(document) == {
        "list": [{MASK: f"x {MASK}"}],
        "number": 2,
        "none": None,
    }


def test_without_secrets_nothing_is_touched() -> None:
    document = {"a": ["b"]}
    assert Masker({}, {}).document(document) is document
