"""``make kind``: what it makes, and what it says where something is missing."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "kind.sh"
RUN = "infra-gym run SimpleK8sWebApp-v0 --target k8s --agent hpa --steps 20\n"


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    """A folder that is all of the PATH, with what a shell script needs."""
    folder = tmp_path / "programs"
    folder.mkdir()
    for name in ("sh", "mkdir", "grep"):
        real = next(p / name for p in map(Path, ("/usr/bin", "/bin")) if (p / name).exists())
        (folder / name).symlink_to(real)
    return folder


def put(folder: Path, name: str, script: str) -> None:
    (folder / name).write_text(f"#!/bin/sh\necho {name} $* >> {folder}/calls\n{script}\n")
    (folder / name).chmod(0o755)


def run(programs: Path, tmp_path: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["/bin/sh", SCRIPT, str(tmp_path / "kind")],
        env={"PATH": str(programs)},
        capture_output=True,
        text=True,
        timeout=30,
    )


@pytest.mark.parametrize(
    ("clusters", "call"),
    [("another", "kind create cluster --name infra-gym"), ("infra-gym", "kind export kubeconfig")],
)
def test_a_cluster_is_made_once_and_the_line_to_type_is_printed(
    programs: Path, tmp_path: Path, clusters: str, call: str
) -> None:
    put(programs, "docker", "")
    put(programs, "kind", f'[ "$1" != get ] || echo {clusters}')
    done = run(programs, tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"export KUBECONFIG={tmp_path / 'kind' / 'kubeconfig'}\n{RUN}"
    assert call in (programs / "calls").read_text()


def test_what_is_missing_is_named(programs: Path, tmp_path: Path) -> None:
    assert "Docker is needed" in run(programs, tmp_path).stderr
    put(programs, "docker", "exit 1")
    assert "Docker does not answer" in run(programs, tmp_path).stderr
    put(programs, "docker", "")
    done = run(programs, tmp_path)
    assert done.returncode == 1
    assert "kind is needed" in done.stderr
    assert done.stdout == ""
