"""How a stack reaches the cluster that it made: credentials that last, and are renewed."""

from __future__ import annotations

import pytest

from infra_gym.errors import CloudError, CloudMissingError
from infra_gym.settings import Settings
from infra_gym.stack.access import TEARDOWN_S, ClusterAccess

EXPIRY_S = 24 * 3600
HOUR_S = 3600


class Cluster:
    """What is needed of one; remembers the credentials that it goes on with."""

    def __init__(self, kubeconfig):
        self.texts = [kubeconfig.read_text()]
        self._path = kubeconfig

    def identity(self):
        return "it"

    def environment(self):
        return {"KUBE_CONFIG_PATH": str(self._path), "KUBE_CONFIG_PATHS": ""}

    def renew(self, kubeconfig):
        self.texts.append(kubeconfig.read_text())


class Account:
    """Gives kubeconfigs; each is another."""

    def __init__(self):
        self.asked = []
        self.error = None

    def __call__(self, cluster, seconds):
        if self.error is not None:
            raise self.error
        self.asked.append((cluster, seconds))
        return f"kubeconfig {len(self.asked)}"


class Program:
    def add_environment(self, variables):
        self.variables = variables


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def account():
    return Account()


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def access(tmp_path, account, clock):
    return ClusterAccess(
        Settings(expiry_hours=EXPIRY_S / 3600),
        Program(),
        folder=tmp_path / "run",
        connect=lambda kubeconfig, context: Cluster(kubeconfig),
        credentials=account,
        clock=clock,
    )


def test_credentials_outlive_the_stack_by_what_its_teardown_takes(access, account):
    access.open("id-1")
    assert account.asked == [("id-1", EXPIRY_S + TEARDOWN_S)]


def test_credentials_are_renewed_while_the_stack_lives_on(access, account, clock):
    access.open("id-1")
    cluster = access.cluster
    access.open("id-1")
    assert len(account.asked) == 1
    clock.now += HOUR_S + 1
    access.open("id-1")
    access.open("id-1")
    assert access.cluster is cluster  # the ways through it stay
    assert cluster.texts == ["kubeconfig 1", "kubeconfig 2"]


def test_an_account_that_is_away_does_no_harm_while_credentials_last(access, account, clock):
    access.open("id-1")
    account.error = CloudError("DigitalOcean does not answer.")
    clock.now += HOUR_S + 1
    access.open("id-1")
    clock.now += EXPIRY_S
    with pytest.raises(CloudError):
        access.open("id-1")


def test_a_cluster_that_is_gone_is_told_at_the_next_renewal(access, account, clock):
    access.open("id-1")
    account.error = CloudMissingError("There is no such cluster.")
    clock.now += HOUR_S + 1
    with pytest.raises(CloudMissingError):
        access.open("id-1")
