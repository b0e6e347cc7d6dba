"""The same conformance suite as on this machine."""

from __future__ import annotations

import pytest

from infra_gym.testing import check_environment


@pytest.mark.timeout(460)
def test_the_environment_conforms_on_a_cluster(project):
    report = check_environment(
        "SimpleK8sWebApp-v0",
        steps=6,
        target="k8s",
        project=project,
        environment="conformance",
        interval_s=5.0,
    )
    print(report)
    report.raise_for_failures()
