"""Install a built wheel outside the checkout, read-only, and use it as a stranger would.

    python tests/wheel/check.py dist/infra_gym-VERSION-py3-none-any.whl

Needs only the standard library, terraform or tofu, and prometheus. Exits with 1 and the reason
where the package does not work, writes into its own folder, or leaves something behind.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

# The three lines that the README shows.
THREE_LINES = """
import gymnasium as gym, infra_gym
env = gym.make("SimpleK8sWebApp-v0")
print(env.reset(seed=1)); print(env.step(2)); env.close()
"""

WHERE = "import infra_gym, pathlib; print(pathlib.Path(infra_gym.__file__).parent)"

LEFT = """
import json, pathlib, psutil, sys
home = pathlib.Path(sys.argv[1]).resolve()
def lies_in(process):
    try:
        return home in (pathlib.Path(process.cwd()), *pathlib.Path(process.cwd()).parents)
    except (psutil.Error, OSError):
        return False
print(json.dumps([" ".join(p.cmdline()) for p in psutil.process_iter() if lies_in(p)]))
"""


def main(wheel: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="infra-gym-wheel-") as folder:
        place = Path(folder)
        home, elsewhere = place / "home", place / "elsewhere"
        for made in (home, elsewhere, place / "pip"):
            made.mkdir()
        venv.create(place / "venv", with_pip=True)
        python = place / "venv" / "bin" / "python"
        environ = _environ(home)

        def run(*command: str | Path, **more: str) -> str:
            print("$", *(str(part) for part in command), flush=True)
            done = subprocess.run(
                command,
                cwd=elsewhere,
                env=environ | more,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                text=True,
                timeout=300,
                check=True,
            )
            return done.stdout.strip()

        # A home of its own: pip asks other programs for their versions, and those may write there.
        run(python, "-m", "pip", "install", "--quiet", wheel.resolve(), HOME=str(place / "pip"))
        package = Path(run(python, "-c", WHERE))
        _make_read_only(package)
        before = _fingerprint(package)

        print(run(python.with_name("infra-gym"), "--version"))
        print(run(python.with_name("infra-gym"), "envs", "list"))
        print(run(python, "-c", THREE_LINES))

        if _fingerprint(package) != before:
            raise SystemExit(f"Something was written into {package}.")
        if files := [
            path for folder in (home, elsewhere) for path in folder.rglob("*") if path.is_file()
        ]:
            raise SystemExit(f"Files left: {files}")
        if processes := json.loads(run(python, "-c", LEFT, home)):
            raise SystemExit(f"Processes left: {processes}")
        _make_removable(package)
    print("The wheel works outside the checkout, read-only, and leaves nothing behind.")


def _environ(home: Path) -> dict[str, str]:
    """This process's environment with a new home and without what points at the checkout."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("XDG_", "PYTHON", "VIRTUAL_ENV"))
    }
    return {**kept, "HOME": str(home)}


def _make_read_only(folder: Path) -> None:
    for path in (folder, *folder.rglob("*")):
        path.chmod(path.stat().st_mode & ~(stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH))


def _make_removable(folder: Path) -> None:
    for path in (folder, *folder.rglob("*")):
        path.chmod(path.stat().st_mode | stat.S_IWUSR)


def _fingerprint(folder: Path) -> dict[str, str]:
    """Every file's hash: root may write to what is read-only, but not unseen."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


if __name__ == "__main__":
    main(Path(sys.argv[1]))
