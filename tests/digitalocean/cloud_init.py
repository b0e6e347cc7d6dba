"""What droplets are given at their first boot, held against cloud-init's own schema."""

from __future__ import annotations

import base64
import gzip
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import yaml

HEAD = "#cloud-config\n"
KEYS = {"hostname", "runcmd", "ssh_pwauth", "write_files"}
"""What our layers use, all of it in every release of cloud-init since 20.04's."""
_INSTALLED = Path("/usr/lib/python3/dist-packages")
_SCHEMA = "cloudinit/config/schemas/schema-cloud-config-v1.json"


def find_schema(folder: Path) -> dict[str, Any] | str:
    """cloud-init's schema, from its package, installed or fetched; else why there is none."""
    if not (_INSTALLED / _SCHEMA).exists():
        if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
            return "cloud-init is not installed, and there is no apt-get to fetch it with"
        command = ["apt-get", "-q", "-o", "APT::Sandbox::User=root", "download", "cloud-init"]
        fetched = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, timeout=60, check=False
        )
        if fetched.returncode:
            return f"cloud-init cannot be fetched: {fetched.stderr.strip()[:200]}"
        (package,) = folder.glob("*.deb")
        subprocess.run(["dpkg-deb", "-x", package, folder / "package"], check=True, timeout=60)
    here = folder / "package" / str(_INSTALLED).lstrip("/")
    root = _INSTALLED if (_INSTALLED / _SCHEMA).exists() else here
    found: dict[str, Any] = json.loads((root / _SCHEMA).read_text())
    return found


def read(user_data: str) -> dict[str, Any]:
    """What stands in it; it has to be a cloud-config with the keys that are known here."""
    assert user_data.startswith(HEAD)
    config: dict[str, Any] = yaml.safe_load(user_data)
    assert set(config) <= KEYS
    return config


def check(config: dict[str, Any], schema: dict[str, Any]) -> None:
    """Raise where it is not what cloud-init asks for."""
    jsonschema.Draft4Validator(schema).validate(config)


def files(config: dict[str, Any]) -> dict[str, str]:
    """What is written, by path."""
    found = {}
    for file in config.get("write_files", []):
        content = file["content"]
        if file.get("encoding") == "gz+b64":
            content = gzip.decompress(base64.b64decode(content)).decode()
        found[file["path"]] = content
    return found
