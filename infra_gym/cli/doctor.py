"""``infra-gym doctor``: what is installed, what is missing, and what to type.

The main job is an environment on the target that is asked for: on ``local`` it needs Terraform or
OpenTofu, Prometheus, a folder to write to, and the state backend; on ``k8s`` no Prometheus on this
machine, but a cluster; on ``do`` a token. What only other targets need is told, but is no failure.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from infra_gym.cli.doctor_check import Check, attempt
from infra_gym.cli.options import Target
from infra_gym.cli.output import Output, command, mark, styled, table

if TYPE_CHECKING:
    from infra_gym.settings import Settings

_VERSION_DEADLINE_S = 15
_SYSTEM_PATH = "/usr/local/bin:/usr/bin:/bin:/home/linuxbrew/.linuxbrew/bin"

# What to type, by the first of these programs that is there; "" is for where none is.
_INSTALL: dict[str, dict[str, str]] = {
    "terraform": {
        "brew": "brew install opentofu",
        "snap": "sudo snap install --classic opentofu",
        "": "curl -fsSL https://get.opentofu.org/install-opentofu.sh -o install-opentofu.sh"
        " && sh install-opentofu.sh --install-method deb"
        " (rpm on Fedora, apk on Alpine), or see https://developer.hashicorp.com/terraform/install",
    },
    "prometheus": {
        "brew": "brew install prometheus",
        "apt-get": "sudo apt-get install --no-install-recommends prometheus",
        "": "put the program from https://prometheus.io/download/ on the PATH",
    },
}


def register(app: typer.Typer) -> None:
    """Add ``doctor`` to the program."""
    command(app, "doctor")(doctor)


def doctor(output: Output, *, target: Target = None) -> None:
    """Tell what is installed, what is missing, and what to type.

    Exit code 0: the main job, an environment on the target, can run. Exit code 1: it cannot.
    """
    from infra_gym.settings import load_settings, settings_file

    settings = load_settings(target=target)
    checks = _EXAMINE.get(settings.target, examine)(settings)
    ready = all(check.ok for check in checks if check.needed)
    document = {
        "ready": ready,
        "target": settings.target,
        "settings_file": settings_file(),
        "checks": [asdict(check) for check in checks],
    }
    option = f"--target {settings.target} " if settings.target in _EXAMINE else ""
    verdict = (
        styled(
            "green", "Ready:", f" infra-gym run SimpleK8sWebApp-v0 {option}--agent hpa --steps 20"
        )
        if ready
        else styled("red", "Not ready.", " What needs no program: --target sim")
    )
    output.result(
        document,
        table(
            "",
            "WHAT",
            "FOUND",
            rows=[(mark(_verdict(check)), check.name, check.found) for check in checks],
        ),
        *_steps("What to type:", [one for one in checks if one.needed]),
        *_steps("Only for what else you want:", [one for one in checks if not one.needed]),
        verdict,
    )
    if not ready:
        raise typer.Exit(1)


def _steps(title: str, checks: list[Check]) -> list[str]:
    """What to type for those that are not well, below a title; nothing where all are."""
    steps = [f"  {check.name}: {check.next}" for check in checks if not check.ok and check.next]
    return [title, *steps] if steps else []


def examine_with_cluster(settings: Settings) -> list[Check]:
    """The checks for target ``k8s``."""
    from infra_gym.cli.doctor_kubernetes import examine_cluster

    return [
        _python(),
        _terraform(settings),
        _data_folder(settings.data_folder),
        _state(settings),
        *examine_cluster(settings),
    ]


def examine_with_account(settings: Settings) -> list[Check]:
    """The checks for target ``do``: what measures and what supervises runs there."""
    return [
        _python(),
        _terraform(settings),
        _data_folder(settings.data_folder),
        _state(settings),
        _digitalocean(needed=True),
    ]


def examine(settings: Settings) -> list[Check]:
    """All checks, in the order in which they are shown."""
    return [
        _python(),
        _terraform(settings),
        _prometheus(settings),
        _supervisor(),
        _data_folder(settings.data_folder),
        _state(settings),
        _kubernetes(settings),
        _digitalocean(needed=False),
        _training(),
    ]


_EXAMINE: Mapping[str, Callable[[Settings], list[Check]]] = {
    "do": examine_with_account,
    "k8s": examine_with_cluster,
}
"""For targets elsewhere than on this machine."""


def _python() -> Check:
    system = platform.system()
    found = f"Python {platform.python_version()} on {_system_name()}"
    supported = system in ("Linux", "Darwin")
    return Check(
        "system", supported, found, next="use Linux, macOS or WSL: Windows is not supported"
    )


def _system_name() -> str:
    if sys.platform == "darwin":
        return f"macOS {platform.mac_ver()[0]}"
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        return platform.system()


def _terraform(settings: Settings) -> Check:
    from infra_gym.terraform.command import Terraform

    def find() -> str:
        terraform = Terraform(settings.binary)
        return f"{terraform.name} {terraform.version} ({terraform.path})"

    return attempt("terraform or tofu", find, install("terraform"))


def _prometheus(settings: Settings) -> Check:
    program = settings.prometheus or "prometheus"

    def find() -> str:
        path = shutil.which(program)
        if path is None:
            raise FileNotFoundError(f"no program {program!r} on the PATH")
        answer = subprocess.run(
            [path, "--version"],
            capture_output=True,
            text=True,
            timeout=_VERSION_DEADLINE_S,
            check=False,
        )
        if answer.returncode != 0:
            raise OSError(f"{path} --version failed with exit code {answer.returncode}")
        words = (answer.stdout or answer.stderr).split()
        version = words[2] if words[:2] == ["prometheus,", "version"] else "of unknown version"
        return f"prometheus {version} ({path})"

    return attempt("prometheus", find, install("prometheus"))


def _supervisor() -> Check:
    found = importlib.util.find_spec("supervisor") is not None
    text = "installed with the package" if found else "not importable"
    return Check("supervisor", found, text, next=f"{sys.executable} -m pip install supervisor")


def _data_folder(folder: Path) -> Check:
    import tempfile

    def write() -> str:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            free = shutil.disk_usage(folder).free / 1e9
        return f"{folder}, writable, {free:.1f} GB free"

    return attempt(
        "data folder", write, "set another folder: export INFRA_GYM_DATA_FOLDER=/path/to/folder"
    )


def _state(settings: Settings) -> Check:
    from infra_gym.stack.storage import open_storage

    state = settings.state
    place = f"{state.backend} {state.bucket}" if state.bucket else "local folder"

    def read() -> str:
        open_storage(settings).keys("infrastructure/")
        return f"{place}, reachable"

    return attempt("state backend", read, "infra-gym backend check")


def _kubernetes(settings: Settings) -> Check:
    from infra_gym.clouds.kubernetes_config import candidates

    found = [str(file) for file in candidates(settings.kubeconfig) if file.is_file()]
    return Check(
        "kubeconfig",
        bool(found),
        ", ".join(found) or "none; only target k8s needs one",
        needed=False,
        next="export KUBECONFIG=/path/to/kubeconfig (only for target k8s), then: "
        "infra-gym doctor --target k8s",
    )


def _digitalocean(*, needed: bool) -> Check:
    found = bool(os.environ.get("DIGITALOCEAN_TOKEN"))
    return Check(
        "DigitalOcean",
        found,
        "DIGITALOCEAN_TOKEN is set" if found else "no DIGITALOCEAN_TOKEN; only target do needs it",
        needed=needed,
        next="export DIGITALOCEAN_TOKEN=... (only for target do, which costs money)",
    )


def _training() -> Check:
    found = importlib.util.find_spec("stable_baselines3") is not None
    return Check(
        "training",
        found,
        "Stable-Baselines3 is installed"
        if found
        else "no Stable-Baselines3; only training needs it",
        needed=False,
        next=f"{sys.executable} -m pip install 'infra-gym[train]'",
    )


def install(program: str) -> str:
    """What to type on this machine to get ``terraform`` or ``prometheus``."""
    lines = _INSTALL[program]
    if sys.platform == "darwin":
        return lines["brew"]
    path = os.pathsep.join([os.environ.get("PATH", ""), _SYSTEM_PATH])
    tools = (tool for tool in lines if tool and shutil.which(tool, path=path))
    return lines[next(tools, "")]


def _verdict(check: Check) -> bool | None:
    return True if check.ok else (False if check.needed else None)
