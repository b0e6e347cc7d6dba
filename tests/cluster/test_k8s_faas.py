"""The conformance suite on functions that run in pods behind the gateway."""

from __future__ import annotations

import pytest

from infra_gym.testing import check_environment


@pytest.mark.timeout(460)
def test_functions_conform_on_a_cluster(project):
    report = check_environment(
        "FaaSScaling-v0",
        steps=6,
        target="k8s",
        project=project,
        interval_s=5.0,
    )
    print(report)
    report.raise_for_failures()
