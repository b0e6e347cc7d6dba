"""What every Kubernetes layer promises, read from its files: no provider is needed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hcl2
import pytest

from infra_gym.terraform.hcl import read_module

LAYERS = sorted((Path(__file__).parents[3] / "layers" / "k8s").iterdir())


def blocks(folder: Path, kind: str) -> Iterator[dict[str, Any]]:
    """The resources of a kind."""
    options = hcl2.SerializationOptions(with_comments=False, explicit_blocks=False)
    with (folder / "main.tf").open() as file:
        document = hcl2.load(file, serialization_options=options)
    for resource in document.get("resource", []):
        for found, bodies in resource.items():
            if found.strip('"') == kind:
                yield from bodies.values()


def only(body: dict[str, Any], *keys: str) -> dict[str, Any]:
    """A block inside blocks, each of which stands once."""
    for key in keys:
        (body,) = body[key]
    return body


DEPLOYMENTS = [
    pytest.param(folder, deployment, id=folder.name)
    for folder in LAYERS
    for deployment in blocks(folder, "kubernetes_deployment_v1")
]


@pytest.mark.parametrize("folder", LAYERS, ids=lambda folder: folder.name)
def test_a_layer_asks_for_one_provider_and_has_no_lock_file(folder):
    providers = read_module(folder).providers
    assert {name: one.source for name, one in providers.items()} == {
        "kubernetes": "hashicorp/kubernetes"
    }
    assert not (folder / ".terraform.lock.hcl").exists(), "none is right for every platform"


@pytest.mark.parametrize(("folder", "deployment"), DEPLOYMENTS)
def test_an_apply_waits_for_no_pod(folder, deployment):
    assert deployment["wait_for_rollout"] is False


@pytest.mark.parametrize(("folder", "deployment"), DEPLOYMENTS)
def test_pods_ask_for_no_more_than_the_restricted_level_allows(folder, deployment):
    pod = only(deployment, "spec", "template", "spec")
    assert only(pod, "security_context")["run_as_non_root"] is True
    seccomp = only(pod, "security_context", "seccomp_profile")
    assert seccomp["type"].strip('"') == "RuntimeDefault"
    for container in pod["container"]:
        allowed = only(container, "security_context")
        assert allowed["run_as_non_root"] is True
        assert allowed["allow_privilege_escalation"] is False
        assert allowed["read_only_root_filesystem"] is True
        assert [one.strip('"') for one in only(allowed, "capabilities")["drop"]] == ["ALL"]


@pytest.mark.parametrize(("folder", "deployment"), DEPLOYMENTS)
def test_containers_have_bounds_and_name_their_command(folder, deployment):
    for container in only(deployment, "spec", "template", "spec")["container"]:
        resources = only(container, "resources")
        assert {"requests", "limits"} <= resources.keys()
        assert container["command"]


@pytest.mark.parametrize("folder", LAYERS, ids=lambda folder: folder.name)
def test_images_are_pinned(folder):
    images = {
        name: variable.default
        for name, variable in read_module(folder).variables.items()
        if name.endswith("image")
    }
    for name, image in images.items():
        assert re.fullmatch(r"[a-z0-9./-]+:[a-z0-9.-]*[0-9][a-z0-9.-]*", image), name
