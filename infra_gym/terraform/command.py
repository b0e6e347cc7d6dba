"""Run Terraform or OpenTofu on a layer's run directory.

One command is one process. What changes something streams its events to ``events.jsonl`` in the
folder, from which outputs, changes and diagnostics are read, so that an apply costs no second
process; what only reads is captured in memory.
"""

from __future__ import annotations

import functools
import json
import os
import re
import shutil
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

from python_terraform import IsFlagged
from python_terraform import Terraform as CommandLine

from infra_gym.errors import MissingProgramError, TerraformError
from infra_gym.terraform.documents import Applied, Diagnostic, Event, Output, Plan
from infra_gym.terraform.events import EventFile
from infra_gym.terraform.failures import (
    ERRORED_STATE_FILE,
    complaints,
    failure,
    plain,
    unheard,
    writing,
)
from infra_gym.terraform.plugin_cache import alone
from infra_gym.terraform.process import Process
from infra_gym.terraform.secrets import Masker

MINIMUM_VERSION = (1, 10)
"""The first with S3 locks by conditional writes; ephemeral variables came to OpenTofu in 1.11."""

EVENTS_FILE = "events.jsonl"
PLAN_FILE = "plan.tfplan"
SAVED_BACKEND = ".terraform/terraform.tfstate"

# Of the user's shell, these would change what is run, or on which state.
_NOT_INHERITED = ("TF_CLI_ARGS", "TF_DATA_DIR", "TF_WORKSPACE")

_INSTALL = (
    "install Terraform 1.10 or later (https://developer.hashicorp.com/terraform/install) or "
    "OpenTofu (https://opentofu.org/docs/intro/install), or name the program in INFRA_GYM_BINARY; "
    "INFRA_GYM_TARGET=sim needs neither"
)
OnEvent = Callable[[Event], None]


@dataclass(frozen=True, slots=True)
class Deadlines:
    """Seconds after which a command is stopped."""

    init_s: float = 600
    """``init``: providers may have to be downloaded."""
    plan_s: float = 600
    apply_s: float = 3600
    """``apply`` and ``destroy``: a managed cluster takes a quarter of an hour."""
    query_s: float = 60
    """Everything that only reads."""
    grace_s: float = 60
    """From the gentle SIGINT to SIGKILL."""


class Terraform:
    """The ``terraform`` or ``tofu`` program.

    Thread-safe: commands may run at once in different folders. Nothing is started before the first
    command, which also checks the version, once.

    Args:
        binary: A name or a path; default: ``terraform``, else ``tofu``.
        deadlines: When commands are stopped.
        environ: The environment of its processes; default: this process's.

    Raises:
        MissingProgramError: No such program (from the constructor), or one that is too old or does
            not run (from the first command).
    """

    def __init__(
        self,
        binary: str | None = None,
        *,
        deadlines: Deadlines | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        given = os.environ if environ is None else environ
        self.deadlines = deadlines or Deadlines()
        self._environ = {k: v for k, v in given.items() if not k.startswith(_NOT_INHERITED)}
        self._environ |= {"CHECKPOINT_DISABLE": "1", "TF_IN_AUTOMATION": "1", "TF_INPUT": "0"}
        # A file that is not there means no configuration; named so, it is not warned of each time.
        if not Path(self._environ.get("TF_CLI_CONFIG_FILE", os.devnull)).exists():
            self._environ["TF_CLI_CONFIG_FILE"] = os.devnull
        self.path = _find(binary, self._environ.get("PATH"))
        # The builder reads a state file from its working folder: it gets one that has none.
        self._command_line = CommandLine(working_dir=os.devnull, terraform_bin_path=str(self.path))
        self._running: set[Process] = set()
        self._lock = threading.RLock()  # a signal's handler may call interrupt() at any time

    @property
    def name(self) -> Literal["terraform", "tofu"]:
        """What the program says it is, whatever its file is called."""
        return self._program[0]

    @property
    def version(self) -> str:
        """Such as ``1.11.4``."""
        return self._program[1]

    def add_environment(self, variables: Mapping[str, str]) -> None:
        """Let commands from now on have these variables as well: a provider's own, such as paths.

        What is secret does not belong here unless its name says so: see
        :mod:`~infra_gym.terraform.secrets`.
        """
        self._environ = self._environ | dict(variables)

    def init(self, folder: Path, *, on_event: OnEvent | None = None) -> None:
        """Connect the folder to its backend and install its providers.

        Raises:
            TerraformError: It failed, was interrupted or passed its deadline.
        """
        # Even -reconfigure reads what it ignores, and fails on the half that a kill leaves of it.
        (folder / SAVED_BACKEND).unlink(missing_ok=True)
        argv = self._argv("init", input=False, reconfigure=IsFlagged, json=IsFlagged)
        with alone(self._environ.get("TF_PLUGIN_CACHE_DIR")):
            self._stream("init", argv, folder, self.deadlines.init_s, on_event=on_event)

    def plan(
        self,
        folder: Path,
        *,
        refresh: bool = True,
        destroy: bool = False,
        secrets: Mapping[str, str] | None = None,
        on_event: OnEvent | None = None,
    ) -> Plan:
        """What an apply (or a destroy) would do; takes no lock and leaves nothing behind.

        Raises:
            TerraformError: It failed, was interrupted or passed its deadline.
        """
        argv = self._argv(
            "plan",
            out=PLAN_FILE,
            input=False,
            lock=False,
            refresh=refresh,
            destroy=IsFlagged if destroy else None,
            json=IsFlagged,
        )
        try:
            self._stream("plan", argv, folder, self.deadlines.plan_s, secrets, on_event)
            shown = self._query("show", self._argv("show", PLAN_FILE, json=IsFlagged), folder)
        finally:
            (folder / PLAN_FILE).unlink(missing_ok=True)
        return Plan.parse(_document(shown))

    def apply(
        self,
        folder: Path,
        *,
        refresh: bool = True,
        replace: Sequence[str] = (),
        secrets: Mapping[str, str] | None = None,
        on_event: OnEvent | None = None,
    ) -> Applied:
        """Make the layer what its files and inputs say. One process.

        Args:
            folder: A run directory after :meth:`init`.
            refresh: Compare the state with the world first.
            replace: Addresses of resources to make anew.
            secrets: Values of variables that must touch no file and no argument list.
            on_event: Called in this thread with every event as it comes. When it raises, Terraform
                is stopped gently, and the exception goes on.

        Raises:
            TerraformError: It failed, was interrupted or passed its deadline.
        """
        argv = self._argv(
            "apply", input=False, auto_approve=IsFlagged, refresh=refresh, replace=list(replace),
            json=IsFlagged,
        )  # fmt: skip
        return self._change("apply", argv, folder, secrets, on_event)

    def destroy(
        self,
        folder: Path,
        *,
        refresh: bool = True,
        secrets: Mapping[str, str] | None = None,
        on_event: OnEvent | None = None,
    ) -> Applied:
        """Destroy all that the layer's state holds; arguments and errors as :meth:`apply`'s."""
        argv = self._argv(
            "destroy", input=False, auto_approve=IsFlagged, refresh=refresh, json=IsFlagged
        )
        return self._change("destroy", argv, folder, secrets, on_event)

    def outputs(self, folder: Path) -> dict[str, Output]:
        """The outputs in the state, the values of sensitive ones included."""
        shown = self._query("output", self._argv("output", json=IsFlagged), folder)
        return {name: Output.parse(output) for name, output in _document(shown).items()}

    def validate(self, folder: Path) -> list[Diagnostic]:
        """What is wrong with the folder's files; empty when they are valid."""
        argv = self._argv("validate", json=IsFlagged)
        shown = self._query("validate", argv, folder, accept=(0, 1))
        return [Diagnostic.parse(document) for document in _document(shown)["diagnostics"]]

    def format_check(self, folder: Path) -> list[str]:
        """Files, relative to the folder, that ``fmt`` would rewrite."""
        argv = self._argv("fmt", check=IsFlagged, recursive=IsFlagged, list=True)
        return self._query("fmt", argv, folder, accept=(0, 3)).splitlines()

    def graph(self, folder: Path) -> str:
        """The resources' dependencies in the DOT language."""
        return self._query("graph", self._argv("graph"), folder)

    def state_addresses(self, folder: Path) -> list[str]:
        """Addresses of all resources in the state; none when there is no state."""
        try:
            return self._query("state list", self._argv("state list"), folder).splitlines()
        except TerraformError as error:
            if "No state file was found" in error.message:
                return []
            raise

    def force_unlock(self, folder: Path, lock_id: str) -> None:
        """Break a lock whose holder is gone."""
        argv = self._argv("force-unlock", lock_id, force=IsFlagged)
        self._query("force-unlock", argv, folder)

    def interrupt(self) -> None:
        """Stop every running command gently; called again, kill them. From any thread, at once."""
        with self._lock:
            running = list(self._running)
        for process in running:
            process.interrupt()

    def _check_version(self) -> None:
        """Raise when it is too old; one process the first time, none after."""
        _ = self._program

    @functools.cached_property
    def _program(self) -> tuple[Literal["terraform", "tofu"], str]:
        # At home, for version managers choose by the folder, and run directories lie there.
        home = Path.home() if Path.home().is_dir() else Path("/")
        argv = [str(self.path), "version"]
        process = self._run(argv, home, self._environ, self.deadlines.query_s)
        found = re.search(rb"^(Terraform|OpenTofu) v(\d+)\.(\d+)\S*", process.output, re.MULTILINE)
        if process.interrupted:
            raise failure(process, program=self.path, command="version", folder=home, texts=[])
        if found is None:
            why = (process.complaint or process.output).decode(errors="replace").strip()
            raise MissingProgramError(
                f"{self.path} does not say which version it is: {why}", next_command=_INSTALL
            )
        name: Literal["terraform", "tofu"] = "tofu" if found[1] == b"OpenTofu" else "terraform"
        version = found[0].split(b" v")[1].decode()
        if (int(found[2]), int(found[3])) < MINIMUM_VERSION:
            raise MissingProgramError(
                f"{self.path} is {found[1].decode()} {version}; 1.10 or later is needed.",
                next_command=_INSTALL,
            )
        return name, version

    def _argv(self, command: str, *arguments: str, **options: Any) -> list[str]:
        """The command line; options with underscores for dashes, ``None`` left out."""
        return cast(
            "list[str]", self._command_line.generate_cmd_string(command, *arguments, **options)
        )

    def _change(
        self,
        command: str,
        argv: Sequence[str],
        folder: Path,
        secrets: Mapping[str, str] | None,
        on_event: OnEvent | None,
    ) -> Applied:
        if (folder / ERRORED_STATE_FILE).exists():
            self._store_kept_state(folder)
        events, seconds = self._stream(
            command, argv, folder, self.deadlines.apply_s, secrets, on_event
        )
        if not any(event.is_summary_of(command) for event in events):
            raise unheard(
                folder / EVENTS_FILE, f"{self.path.name} {command} in {folder} ended well"
            )
        return Applied.of(events, seconds)

    def _store_kept_state(self, folder: Path) -> None:
        """Store what an earlier command could not, lest its resources be forgotten."""
        self._query("state push", self._argv("state push", ERRORED_STATE_FILE), folder)
        (folder / ERRORED_STATE_FILE).unlink()

    def _stream(
        self,
        command: str,
        argv: Sequence[str],
        folder: Path,
        deadline_s: float,
        secrets: Mapping[str, str] | None = None,
        on_event: OnEvent | None = None,
    ) -> tuple[list[Event], float]:
        """Run a command whose output is events; return all of them, and the process's seconds."""
        self._check_version()
        secrets = secrets or {}
        environ = self._environ | {f"TF_VAR_{name}": value for name, value in secrets.items()}
        masker = Masker(environ, secrets)
        path = folder / EVENTS_FILE
        _check_folder(folder)
        with writing(path):
            file = EventFile(path, masker=masker, on_event=on_event)
        try:
            process = self._run(argv, folder, environ, deadline_s, file)
        finally:
            with writing(path):
                file.close()
        if process.returncode != 0:
            texts = [masker.text(text) for text in complaints(file.events)]
            if file.cut_off and not process.interrupted and not process.timed_out:
                raise unheard(path, f"{self.path.name} {command} in {folder} failed")
            raise failure(process, program=self.path, command=command, folder=folder, texts=texts)
        return file.events, process.seconds

    def _query(
        self, command: str, argv: Sequence[str], folder: Path, *, accept: Sequence[int] = (0,)
    ) -> str:
        """Run a command that only reads; return its output."""
        self._check_version()
        _check_folder(folder)
        process = self._run(argv, folder, self._environ, self.deadlines.query_s)
        if process.returncode not in accept:
            masker = Masker(self._environ, {})
            said = process.complaint.decode(errors="replace")
            texts = [masker.text(text) for text in plain(said)]
            raise failure(process, program=self.path, command=command, folder=folder, texts=texts)
        return process.output.decode(errors="replace")

    def _run(
        self,
        argv: Sequence[str],
        folder: Path,
        environ: Mapping[str, str],
        deadline_s: float,
        events: EventFile | None = None,
    ) -> Process:
        """A process from its start to its end; meanwhile :meth:`interrupt` knows of it."""
        process = Process(
            argv,
            folder=folder,
            environ=environ,
            file=events.writer if events else None,
            grace_s=self.deadlines.grace_s,
        )
        with self._lock:
            self._running.add(process)
        try:
            process.run(deadline_s, events.read if events else None)
        finally:
            with self._lock:
                self._running.discard(process)
        if process.error is not None:
            raise MissingProgramError(
                f"{self.path} cannot be run: {process.error.strerror}.", next_command=_INSTALL
            ) from process.error
        return process


def _check_folder(folder: Path) -> None:
    if not folder.is_dir():
        raise TerraformError(f"There is no folder {folder} to run terraform in.")


def _find(binary: str | None, search_path: str | None) -> Path:
    for name in [binary] if binary else ["terraform", "tofu"]:
        found = shutil.which(name, path=search_path)
        if found:
            return Path(found).absolute()
    missing = f"The program {binary} was not" if binary else "Neither terraform nor tofu was"
    raise MissingProgramError(f"{missing} found.", next_command=_INSTALL)


def _document(text: str) -> Any:
    """The JSON in an output; OpenTofu puts warnings of its configuration before it."""
    start = re.search(r"^\{", text, re.MULTILINE)
    return json.loads(text[start.start() :] if start else text)
