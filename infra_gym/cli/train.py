"""``infra-gym train``: learn a policy in the simulator, and keep it as a model."""

from __future__ import annotations

import contextlib
import enum
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from infra_gym.cli.options import AnyIdentifier, Form
from infra_gym.cli.output import Output, command, table
from infra_gym.cli.signals import Signals
from infra_gym.cli.workload import workload_of
from infra_gym.errors import SettingsError, UsageError

if TYPE_CHECKING:
    from infra_gym.training import Plan, Progress, Trained

_LINE_S = 5.0


class Algorithm(enum.Enum):
    """How to learn."""

    PPO = "ppo"
    DQN = "dqn"
    MASKABLE_PPO = "maskable-ppo"


def register(app: typer.Typer) -> None:
    """Add ``train`` to the program."""
    command(app, "train")(train)


def train(
    output: Output,
    identifier: AnyIdentifier,
    algo: Annotated[
        Algorithm | None,
        typer.Option(help="How to learn; default: what suits the environment.", show_default=False),
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option(min=1, help="Of all environments together.", show_default="the recipe's"),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, help="Decides what is random.", show_default="1")
    ] = None,
    workload: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PROFILE|KEY=VALUE,...",
            help="Train under this load: sine, or mean_rps=80; repeatable, for several at once.",
            show_default="the recipe's",
        ),
    ] = None,
    fidelity: Annotated[
        Form | None,
        typer.Option(
            help="Of the simulator; default: fluid where there is one.", show_default=False
        ),
    ] = None,
    target: Annotated[
        str | None,
        typer.Option(metavar="sim", help="Where it trains.", show_default="sim"),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Where the model, its settings and TensorBoard's logs go.",
            show_default="./runs/train-ID-TIME",
            file_okay=False,
        ),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the training that --out has.")
    ] = False,
) -> None:
    """Train a policy in the simulator; FOLDER/model.zip is then an agent on every target.

    The model is written as it is trained, so a training that was killed goes on with --resume;
    Ctrl-C writes it and stops, once more stops at once. See what it learns with
    `tensorboard --logdir FOLDER`.
    """
    _only_sim(identifier, target)
    from infra_gym.training import Plan, read_plan
    from infra_gym.training import train as trained
    from infra_gym.training.library import need_library

    need_library()
    if resume:
        if out is None:
            raise UsageError("--resume: which training?", next_command="--resume --out FOLDER")
        noted = read_plan(out)
        _refuse_others(noted, identifier, algo, seed, workload, fidelity)
        plan = noted if steps is None else noted.longer(_more(steps, noted, out))
    else:
        plan = Plan.make(
            identifier,
            algorithm=algo.value if algo else None,
            steps=steps,
            seed=1 if seed is None else seed,
            workloads=_workloads(identifier, workload or ()),
            fidelity=fidelity.value if fidelity else None,
        )
    name = Path(identifier.replace(":", "-")).stem
    folder = out or Path("runs") / f"train-{name}-{time.strftime('%Y%m%d-%H%M%S')}"
    output.note(f"{plan.algorithm} in {identifier}, {plan.steps:,} steps, into {folder}")
    if plan.steps != plan.recipe.steps:
        output.note(
            f"These are {plan.recipe.steps:,} steps, rounded up: {plan.environments:,} "
            "environments make them in turns."
        )
    with (
        Signals() as signals,
        _shown(output, plan) as show,
        signals.patience(lambda: output.note("Writing the model; once more stops at once.")),
    ):
        done = trained(
            plan,
            folder,
            resume=resume,
            on_progress=show,
            stopped=lambda: signals.times > 0,
        )
    _tell(output, plan, folder, done)
    if signals.first is not None:
        raise typer.Exit(128 + signals.first)


def _only_sim(identifier: str, target: str | None) -> None:
    if target not in (None, "sim"):
        raise SettingsError(
            f"A training takes millions of steps, and those of {target!r} take seconds each.",
            next_command=f"infra-gym train {identifier} --target sim, then infra-gym evaluate "
            f"{identifier} --target {target} --agent FOLDER/model.zip",
        )


def _more(steps: int, noted: Plan, folder: Path) -> int:
    """A training that goes on never becomes shorter; Ctrl-C ends it earlier."""
    if steps < noted.recipe.steps:
        raise UsageError(
            f"--steps {steps}: the training in {folder} was begun for {noted.recipe.steps} steps, "
            "those that are made included, and goes on to these.",
            next_command=f"leave --steps out, or --steps {noted.recipe.steps} or more",
        )
    return steps


def _refuse_others(
    noted: Plan,
    identifier: str,
    algo: Algorithm | None,
    seed: int | None,
    workload: Sequence[str] | None,
    fidelity: Form | None,
) -> None:
    """What a training was begun with stays."""
    given = {
        "--algo": algo is not None and algo.value != noted.algorithm,
        "--seed": seed is not None and seed != noted.seed,
        "--workload": bool(workload),
        "--fidelity": fidelity is not None,
        "ID": identifier != noted.environment,
    }
    wrong = [name for name, differs in given.items() if differs]
    if wrong:
        raise UsageError(
            f"{', '.join(wrong)}: the training was begun with other settings "
            f"({noted.algorithm} in {noted.environment}, seed {noted.seed}), and keeps them.",
            next_command=f"infra-gym train {noted.environment} --resume --out FOLDER",
        )


def _workloads(identifier: str, texts: Sequence[str]) -> list[dict[str, Any]]:
    if not texts:
        return []
    from infra_gym.definitions.catalog import find_definition

    declared = find_definition(identifier).workload
    return [workload_of(text, declared) for text in texts]


@contextlib.contextmanager
def _shown(output: Output, plan: Plan) -> Iterator[Callable[[Progress], None]]:
    """Show how far it is: a bar on a terminal, a line now and then elsewhere."""
    if output.quiet:
        yield lambda _: None
    elif output.aside.is_terminal:
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        columns = ("{task.percentage:>3.0f} %", BarColumn(), "{task.fields[text]}")
        with Progress(
            TextColumn(columns[0]), columns[1], TextColumn(columns[2]), TimeRemainingColumn(),
            console=output.aside,
        ) as bar:  # fmt: skip
            task = bar.add_task("", total=plan.steps, text="")
            yield lambda one: bar.update(task, completed=one.steps, text=_line(one))
    else:
        yield _Lines(output.note)


class _Lines:
    """A line every few seconds."""

    def __init__(self, line: Callable[[str], None]) -> None:
        self._line = line
        self._last = time.monotonic()

    def __call__(self, progress: Progress) -> None:
        now = time.monotonic()
        if now - self._last >= _LINE_S:
            self._last = now
            self._line(f"{progress.steps:,} of {progress.of:,} steps, {_line(progress)}")


def _line(progress: Progress) -> str:
    reward = "" if progress.reward is None else f", reward of an episode {progress.reward:.4g}"
    return f"{progress.steps_per_s:,.0f} steps/s{reward}"


def _tell(output: Output, plan: Plan, folder: Path, done: Trained) -> None:
    progress = done.progress
    document = {
        "id": plan.environment,
        "algorithm": plan.algorithm,
        "seed": plan.seed,
        "steps": progress.steps,
        "complete": done.complete,
        "reward": progress.reward,
        "steps_per_s": progress.steps_per_s,
        "model": done.model,
    }
    rows = [
        ("steps", f"{progress.steps:,} of {progress.of:,}"),
        ("steps/s", f"{progress.steps_per_s:,.0f}"),
        ("reward of the last episodes", progress.reward),
    ]
    go_on = (
        f"Next: infra-gym evaluate {plan.environment} --target sim --agent {done.model}"
        if done.complete
        else f"To go on: infra-gym train {plan.environment} --resume --out {folder}"
    )
    output.result(document, table("TRAINING", "", rows=rows), f"Model: {done.model}", go_on)
