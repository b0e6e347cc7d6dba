"""``infra-gym serve``: environments for other languages and other machines."""

from __future__ import annotations

import asyncio
import importlib
import logging
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, get_args

import typer

from infra_gym.cli.options import Target, Yes
from infra_gym.cli.output import Output, command
from infra_gym.errors import SettingsError, UsageError, did_you_mean

if TYPE_CHECKING:
    from infra_gym.remote.offer import Offer
    from infra_gym.remote.server import Server
    from infra_gym.remote.workers import Workers


def register(app: typer.Typer) -> None:
    """Add ``serve`` to the program."""
    command(app, "serve")(serve)


def serve(
    output: Output,
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes any free one.")] = 4040,
    host: Annotated[
        str, typer.Option(metavar="ADDRESS", help="Where to listen; the default is this machine.")
    ] = "127.0.0.1",
    allow: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PATTERN",
            help="Serve only ids that fit, such as 'CartPole-*'; repeatable.",
            show_default="every registered id",
        ),
    ] = None,
    imports: Annotated[
        list[str] | None,
        typer.Option(
            "--import", metavar="MODULE", help="Registers more ids, such as ale_py; repeatable."
        ),
    ] = None,
    target: Target = None,
    token_file: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH",
            help="Serve only who knows the token in it.",
            dir_okay=False,
            exists=True,
        ),
    ] = None,
    connections: Annotated[int, typer.Option(min=1, help="At most so many clients.")] = 512,
    idle: Annotated[
        float, typer.Option(min=1, metavar="SECONDS", help="Close who asks nothing for so long.")
    ] = 1200.0,
    processes: Annotated[
        int, typer.Option(min=1, help="Share the clients among so many, to use as many cores.")
    ] = 1,
    ray: Annotated[
        bool, typer.Option("--ray", help="Make each environment in a Ray actor of its own.")
    ] = False,
    ray_address: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="A Ray cluster's, HOST:PORT or auto, for --ray.",
            show_default="RAY_ADDRESS, else Ray is started on this machine",
        ),
    ] = None,
    yes: Yes = False,
) -> None:
    """Serve environments over TCP, for clients of gym-tcp-api and for infra_gym.remote.client.

    A client that goes away frees its environment, and what it made. Ctrl-C closes all; once more
    stops at once and tells what is left.
    """
    import uvloop

    from infra_gym.remote.offer import Offer
    from infra_gym.remote.server import Limits, Server
    from infra_gym.remote.worker import Work
    from infra_gym.remote.workers import Workers
    from infra_gym.settings import model

    if ray_address is not None and not ray:
        raise UsageError(
            "--ray-address is for --ray only", next_command=f"--ray --ray-address {ray_address}"
        )
    if ray and processes > 1:
        raise UsageError(
            "--ray gives each environment a process of its own",
            next_command="leave --processes out, or --ray",
        )
    if target is not None and target not in get_args(model.Target):
        known = get_args(model.Target)
        raise SettingsError(f"target cannot be {target!r}.{did_you_mean(target, known)}")
    for module in imports or ():
        _import(module)
    offer = Offer(allow=tuple(allow or ()), target=target)  # type: ignore[arg-type]
    offer.check()
    offer = replace(offer, spend_money=_may_spend(output, offer, yes=yes))
    level = logging.DEBUG if output.debug else logging.ERROR if output.quiet else logging.INFO
    logging.basicConfig(
        stream=sys.stderr,
        level=level,
        format="%(asctime)s %(levelname)s %(message)s",
    )
    limits = Limits(connections=connections, idle_s=idle)
    token = _token(token_file)
    with ExitStack() as ending:
        if ray:
            offer = ending.enter_context(_on_ray(output, offer, ray_address, imports or ()))
            limits = replace(limits, slow_s=0.0)  # no actor is waited for on the loop
        server: Server | Workers
        if processes == 1:
            server = Server(offer, host=host, port=port, token=token, limits=limits)
        else:
            work = Work(offer, limits, tuple(imports or ()), token, level)
            server = Workers(work, processes, host=host, port=port)
        uvloop.run(_serve(output, server))


def _may_spend(output: Output, offer: Offer, *, yes: bool) -> bool | None:
    """Whether clients may have stacks made that an account is billed for."""
    from infra_gym.cli.consent import ask, summary_of
    from infra_gym.definitions.catalog import definition_ids, find_definition
    from infra_gym.settings import load_settings

    if offer.target != "do":
        return None
    billed = [
        one
        for one in offer.ids()
        if one in definition_ids() and "do" in find_definition(one).layers
    ]
    costs = [f"For each client's {one}: {summary_of(one)}" for one in billed]
    allowed = yes or load_settings().spend_money
    return ask(output, "\n".join(costs), named=billed, yes=allowed) if costs else None


@contextmanager
def _on_ray(
    output: Output, offer: Offer, address: str | None, imports: Sequence[str]
) -> Iterator[Offer]:
    """The same offer, with each environment in a Ray actor."""
    from infra_gym.distributed.cluster import Cluster
    from infra_gym.distributed.serving import RayOffer

    with Cluster(address, workers=0, verbose=output.debug) as cluster:
        placed = RayOffer(
            offer.allow, offer.target, offer.spend_money, cluster=cluster, imports=imports
        )
        placed.check()
        yield placed


async def _serve(output: Output, server: Server | Workers) -> None:
    """Until the first signal; the second cuts the closing short."""
    stop = asyncio.Event()

    def signalled() -> None:
        if stop.is_set():
            server.interrupt()
        stop.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            loop.add_signal_handler(number, signalled)
    async with server:
        output.result(
            {"host": server.host, "port": server.port, "environments": server.offer.ids()},
            f"Serving {len(server.offer.ids())} environments on {server.host} port {server.port}.",
        )
        if server.host not in ("127.0.0.1", "::1", "localhost") and server.token is None:
            output.note("Whoever reaches this address may use it: see --token-file and --allow.")
        sys.stdout.flush()
        await stop.wait()
        output.note("Closing every environment; once more stops at once.")


def _import(module: str) -> None:
    try:
        importlib.import_module(module)
    except ImportError as error:
        raise UsageError(
            f"--import {module}: {error}", next_command=f"pip install {module.partition('.')[0]}"
        ) from error


def _token(path: Path | None) -> str | None:
    if path is None:
        return None
    token = path.read_text(encoding="utf-8").strip()
    if not token:
        raise SettingsError(f"{path} is empty: write the token into it")
    return token
