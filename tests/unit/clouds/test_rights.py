from __future__ import annotations

import re
from pathlib import Path

import pytest

from infra_gym.clouds.kubernetes_rights import RIGHTS, cluster_role

ROOT = Path(__file__).parents[3]
RESOURCES = {
    "kubernetes_config_map_v1": "configmaps",
    "kubernetes_deployment_v1": "deployments",
    "kubernetes_namespace_v1": "namespaces",
    "kubernetes_persistent_volume_claim_v1": "persistentvolumeclaims",
    "kubernetes_role_binding_v1": "rolebindings",
    "kubernetes_role_v1": "roles",
    "kubernetes_secret_v1": "secrets",
    "kubernetes_service_account_v1": "serviceaccounts",
    "kubernetes_service_v1": "services",
}
LAYERS = sorted((ROOT / "layers" / "k8s").iterdir())


@pytest.mark.parametrize("layer", LAYERS, ids=lambda path: path.name)
def test_what_a_layer_makes_is_among_the_rights(layer: Path) -> None:
    text = "".join(file.read_text() for file in layer.glob("*.tf"))
    rights = {(right.verb, right.resource) for right in RIGHTS}
    for kind in re.findall(r'^resource "(kubernetes_\w+)"', text, re.MULTILINE):
        for verb in ("get", "create", "patch", "delete"):
            assert (verb, RESOURCES[kind]) in rights


def test_the_page_has_the_rights_that_are_asked_for() -> None:
    page = (ROOT / "docs/how-to/run-on-a-cluster.md").read_text()
    assert f"```yaml\n{cluster_role('infra-gym')}```" in page
