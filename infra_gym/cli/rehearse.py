"""``infra-gym rehearse``: DigitalOcean from nothing to nothing, without an account."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from infra_gym.cli.options import EpisodeSteps, Identifier, Interval
from infra_gym.cli.output import Output, command, styled, table
from infra_gym.errors import ClusterError, InfraGymError, MissingProgramError

if TYPE_CHECKING:
    from infra_gym.testing.digitalocean import FakeDigitalOcean, Resource
    from infra_gym.testing.object_store import ObjectStore

_BUCKET = "rehearsal"
_PROJECT = "rehearsal"
_ENDED_WELL = 0


def register(app: typer.Typer) -> None:
    """Add the command."""
    command(app, "rehearse")(rehearse)


def rehearse(
    output: Output,
    identifier: Identifier,
    kubeconfig: Annotated[
        Path | None,
        typer.Option(
            help="A cluster that stands behind the managed one, and gets the pods; left out, you "
            "are asked whether the one of KUBECONFIG may.",
            exists=True,
            dir_okay=False,
            show_default=False,
        ),
    ] = None,
    steps: EpisodeSteps = 5,
    agent: Annotated[str, typer.Option(help="random, fixed, threshold or hpa.")] = "hpa",
    interval: Interval = None,
) -> None:
    """Run an environment on target do against a fake DigitalOcean; nothing is billed.

    Terraform, its digitalocean and kubernetes providers and the pods are real; the account and the
    Space that holds the state are not. Exit code 1: a command failed, or something was left in the
    account or in the cluster, or the cluster does not tell.
    """
    from infra_gym.definitions.catalog import find_definition
    from infra_gym.stack import unique_name
    from infra_gym.stack.access import on_cluster

    definition = find_definition(identifier)
    name = unique_name(definition.id, "rehearsal")
    has_pods = on_cluster(definition.layers.get("do", ()))
    behind = cluster_behind(output, kubeconfig) if has_pods else None
    folder = tempfile.mkdtemp(prefix="infra-gym-rehearsal-")
    with ExitStack() as open_:
        account, store = _fakes(open_, behind)
        environ = _environ(account, store, Path(folder))
        run = ["run", identifier, "--target", "do", "--agent", agent, "--steps", str(steps)]
        run += ["-p", _PROJECT, "-e", name]
        run += [] if interval is None else ["--interval", str(interval)]
        run += ["--log", str(Path(folder) / "run.jsonl")]
        run += ["--quiet"] if output.quiet or output.json else []
        code = _all_of([["backend", "create", "--quiet"], run], environ)
        left, bill = account.left(), account.bill_usd()
        namespaces, unknown = _namespaces(behind, name)
    metered = _metered(Path(folder) / "run.jsonl")
    output.result(
        {
            "exit_code": code,
            "namespaces": namespaces if unknown is None else None,
            "left": [{"kind": one.kind, "name": one.name} for one in left],
            "bill_usd": float(bill),
            "metered_usd": metered,
            "requests": len(account.requests),
            "log": Path(folder) / "run.jsonl",
        },
        *(
            []
            if code == _ENDED_WELL
            else [styled("red", f"A command failed with exit code {code}.")]
        ),
        *_told(left),
        *_told_of_namespaces(namespaces, name, unknown, behind),
        f"The account would have been billed ${bill}, after {len(account.requests)} requests.",
        *([] if metered is None else [f"The run's own meter came to ${metered:.2f}."]),
    )
    if code != _ENDED_WELL or left or namespaces or unknown:
        raise typer.Exit(1)


def cluster_behind(
    output: Output, named: Path | None, confirm: Callable[[str], bool] | None = None
) -> Path:
    """The kubeconfig of the cluster that the pods go to; one that nobody named is asked for.

    Args:
        output: Where to say which it is.
        named: What the user has named.
        confirm: How to ask; default: on the terminal, if there is one.

    Raises:
        ClusterError: There is no kubeconfig, or it cannot be used.
        UsageError: None was named, and nobody can be asked.
        typer.Exit: The user says no.
    """
    from infra_gym.cli.consent import again, put
    from infra_gym.clouds.kubernetes_config import Kubeconfig

    file = Kubeconfig.find(named).files[0]
    access = Kubeconfig([file]).access()  # of several in KUBECONFIG, the fake account takes one
    cluster = f"The pods go to the cluster {access.server}, context {access.context} of {file}."
    if named is not None:
        output.note(cluster)
        return file
    put(
        output,
        cluster,
        "Is that one to try things on?",
        unasked="Nobody has named it",
        next_command=f"{again()} --kubeconfig {shlex.quote(str(file))}\n"
        "or a cluster to try things on, such as kind's (make kind): --kubeconfig FILE",
        no="Nothing was made. Another: --kubeconfig FILE, such as kind's (make kind).",
        confirm=confirm,
    )
    return file


def _metered(log: Path) -> float | None:
    """What the run says that it was billed; ``None`` where it has not come to its end."""
    if not log.is_file():
        return None
    last = json.loads(log.read_text(encoding="utf-8").splitlines()[-1])
    found = last.get("info", {}).get("bill") if last["kind"] == "close" else None
    return None if found is None else float(found["usd"])


def _fakes(open_: ExitStack, kubeconfig: Path | None) -> tuple[FakeDigitalOcean, ObjectStore]:
    try:
        from infra_gym.testing.digitalocean import FakeDigitalOcean
        from infra_gym.testing.object_store import SPACES_LACKS, ObjectStore

        account = open_.enter_context(FakeDigitalOcean(kubeconfig=kubeconfig))
        return account, open_.enter_context(ObjectStore(lacks=SPACES_LACKS))
    except ModuleNotFoundError as error:
        raise MissingProgramError(
            f"A rehearsal needs the Python package {error.name}.",
            next_command="pip install 'moto[s3,server]'",
        ) from error


def _environ(account: FakeDigitalOcean, store: ObjectStore, folder: Path) -> dict[str, str]:
    """A machine of its own, as far as accounts, state and settings go."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("AWS_", "DIGITALOCEAN_", "SPACES_", "KUBE"))
    }
    return {
        **kept,
        "DIGITALOCEAN_API_URL": account.url,
        "DIGITALOCEAN_TOKEN": uuid.uuid4().hex,
        "SPACES_ACCESS_KEY_ID": "rehearsal",
        "SPACES_SECRET_ACCESS_KEY": uuid.uuid4().hex,
        "INFRA_GYM_STATE__BACKEND": "spaces",
        "INFRA_GYM_STATE__BUCKET": _BUCKET,
        "INFRA_GYM_STATE__REGION": "nyc3",
        "INFRA_GYM_STATE__ENDPOINT": store.url,
        "INFRA_GYM_DATA_FOLDER": str(folder / "data"),
        "INFRA_GYM_SPEND_MONEY": "true",
        # The cluster behind has no nodes that are kept for the app.
        "TF_VAR_pool": "",
    }


def _all_of(commands: Sequence[Sequence[str]], environ: Mapping[str, str]) -> int:
    """Run commands until one fails; the last one's exit code."""
    code = _ENDED_WELL
    for command_line in commands:
        code = _program(command_line, environ)
        if code != _ENDED_WELL:
            break
    return code


def _namespaces(
    kubeconfig: Path | None, environment: str
) -> tuple[list[str], InfraGymError | None]:
    """What the rehearsal has left in the cluster behind; else why that is not known."""
    from infra_gym.clouds.kubernetes import Cluster

    if kubeconfig is None:
        return [], None
    try:
        with Cluster.connect(kubeconfig) as cluster:
            return cluster.namespaces(_PROJECT, environment), None
    except ClusterError as error:
        return [], error


def _program(arguments: Sequence[str], environ: Mapping[str, str]) -> int:
    """Run this program as a user would; its exit code. What it prints goes to standard error.

    An interrupt is handed on, each one once, and what the program then destroys is awaited.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", "infra_gym", *arguments],
        env=environ,
        stdout=sys.stderr,
        start_new_session=True,
    )
    while True:
        try:
            return process.wait()
        except KeyboardInterrupt:
            process.send_signal(signal.SIGINT)


def _told(left: Sequence[Resource]) -> list[Any]:
    if not left:
        return [styled("green", "Nothing is left in the account.")]
    rows = [(one.kind, one.name) for one in left]
    return [styled("red", "Left in the account:"), table("KIND", "NAME", rows=rows)]


def _told_of_namespaces(
    names: Sequence[str], environment: str, unknown: InfraGymError | None, kubeconfig: Path | None
) -> list[Any]:
    kubectl = f"kubectl --kubeconfig {shlex.quote(str(kubeconfig))}"
    if unknown is not None:
        ours = f"infra-gym/project={_PROJECT},infra-gym/environment={environment}"
        return [
            styled("red", "What is left in the cluster behind is not known: "),
            unknown.message,
            f"Next: when it answers again, {kubectl} delete namespace -l {ours}",
        ]
    if not names:
        return []
    return [
        styled("red", "Left in the cluster behind: "),
        f"{', '.join(names)}. Next: {kubectl} delete namespace {' '.join(names)}",
    ]
