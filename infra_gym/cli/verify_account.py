"""``infra-gym verify-account``: the smallest run on an account of your own, as evidence.

It makes the smallest stack of the target ``do``, takes a few steps, destroys everything on every
path, looks into the account for what is left, and writes down what happened.
"""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from infra_gym.cli.options import EpisodeSteps, Interval, Yes
from infra_gym.cli.output import Output, command, plain
from infra_gym.cli.signals import Signals
from infra_gym.errors import InfraGymError

if TYPE_CHECKING:
    from infra_gym.cli.play import Play
    from infra_gym.clouds.digitalocean_runs import CloudRun, Lister

ID = "SimpleK8sWebApp-v0"
_STEPS = 5
_MAX_S = 20 * 60.0
_CENT = 0.01


def register(app: typer.Typer) -> None:
    """Add the command."""
    command(app, "verify-account")(verify_account)


def verify_account(
    output: Output,
    cap_cents: Annotated[
        int, typer.Option(min=1, help="What it may cost at most, teardown included.")
    ] = 25,
    yes: Yes = False,
    steps: EpisodeSteps = _STEPS,
    interval: Interval = None,
    folder: Annotated[
        Path, typer.Option(file_okay=False, help="Where the recording and the evidence go.")
    ] = Path("verification"),
) -> None:
    """Make, use and destroy the smallest stack on your DigitalOcean account: about 20 minutes.

    Leaves a run log and a document with what was made, how long it took, what it cost, and that
    nothing is left. Exit code 1: it failed, or something is left.
    """
    from infra_gym.cli.consent import may_spend
    from infra_gym.cli.play import make_folder
    from infra_gym.clouds.digitalocean import DigitalOcean

    account = DigitalOcean.from_environment()
    who = sha256(account.identity().encode()).hexdigest()[:12]
    output.note(_plan(cap_cents, steps))
    cap_usd = cap_cents * _CENT
    may_spend(
        output, ID, target="do", yes=yes, interval_s=interval, steps=steps, budget_usd=cap_usd
    )
    make_folder(folder)
    stem = folder / f"verify-account-{time.strftime('%Y%m%d-%H%M%S')}"
    with Signals() as signals:
        play = _play(
            output, signals, log=stem.with_suffix(".jsonl"),
            steps=steps, interval=interval, cap_usd=cap_usd,
        )  # fmt: skip
        evidence = Verification(play, account, note=output.note).run()
    document = {
        "verified": evidence.verified,
        "when": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "account": who,
        "cap_usd": cap_usd,
        **evidence.document(),
        **_versions(play),
        "log": stem.with_suffix(".jsonl"),
        "evidence": stem.with_suffix(".json"),
    }
    stem.with_suffix(".json").write_text(json.dumps(plain(document), indent=2) + "\n")
    output.result(document, *_told(document))
    if signals.first is not None:
        raise typer.Exit(128 + signals.first)
    if not evidence.verified:
        raise typer.Exit(1)


@dataclass
class Verification:
    """One run on an account, from nothing to nothing.

    Attributes:
        play: The episode; it closes its environment whatever happens.
        account: Where to look for what is left.
        note: Told what is done.
        sleep: Another one in tests.
        clock: Seconds; another one in tests.
        problem: What went wrong, if anything did.
        swept: What the environment's own teardown had left, and was destroyed then.
        left: What is still there.
        seconds: How long it all took.
    """

    play: Play
    account: Lister
    note: Callable[[str], None]
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic
    problem: str | None = None
    swept: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def run(self) -> Verification:
        """Play, destroy, and look; this object with the results in it."""
        began = self.clock()
        try:
            self._attempt(self.play.run)
        finally:
            if self.problem is not None:
                self.note(f"{self.problem}\nDestroying what there is.")
                self._insist(self.play.env.close)
            self._insist(self._sweep)
            self.seconds = self.clock() - began
        return self

    @property
    def verified(self) -> bool:
        """Whether every step was taken, and nothing had to be swept or is left."""
        all_taken = self.play.episode.steps == self.play.steps
        clean = self.problem is None and not self.swept and not self.left
        return all_taken and clean and not self.still_billed_usd_per_hour

    @property
    def still_billed_usd_per_hour(self) -> float:
        """Of what the meter still saw at the end, such as a volume of a cluster that is gone."""
        bill = self.play.env.bill
        return 0.0 if bill is None else bill.usd_per_hour

    def document(self) -> dict[str, Any]:
        """What happened."""
        bill = self.play.env.bill
        summary = self.play.episode.summary()
        return {
            "id": self.play.env.definition.id,
            "steps": summary["steps"],
            "ended": summary["ended"],
            "requests": summary["requests"],
            "seconds": self.seconds,
            "billed_usd": None if bill is None else bill.usd,
            "still_billed_usd_per_hour": self.still_billed_usd_per_hour,
            "problem": self.problem,
            "swept": self.swept,
            "left": self.left,
        }

    def _attempt(self, do: Callable[[], None]) -> None:
        """What fails is told at the end, and keeps nothing from being destroyed."""
        try:
            do()
        except InfraGymError as error:
            self.problem = self.problem or str(error)

    def _insist(self, do: Callable[[], None]) -> None:
        """As :meth:`_attempt`; a first Ctrl-C does not stop it. The next one does, and is told."""
        doing = "Destroying; once more stops at once, and leaves what there is."
        try:
            with self.play.signals.patience(lambda: self.note(doing)):
                self._attempt(do)
        except KeyboardInterrupt:
            stopped = "Stopped before all was destroyed. Next: infra-gym sweep"
            self.problem = f"{self.problem}\n{stopped}" if self.problem else stopped

    def _sweep(self) -> None:
        """Destroy what is left of the run in the account, past Terraform."""
        from infra_gym.clouds.digitalocean_runs import destroy_run

        runs = self._there()
        self.swept = _names(runs)
        self.left = self.swept
        for run in runs:
            self.note(f"Left in the account: {', '.join(_names([run]))}. Destroying it.")
            destroy_run(self.account, run, sleep=self.sleep, clock=self.clock)
        self.left = _names(self._there())

    def _there(self) -> list[CloudRun]:
        from infra_gym.clouds.digitalocean_runs import digest_of, find_runs

        place = self.play.env.place
        digest = digest_of(place.project, place.environment)
        return [run for run in find_runs(self.account) if run.digest == digest]


def _names(runs: list[CloudRun]) -> list[str]:
    return [f"{thing.kind}/{thing.name}" for run in runs for thing in run.things]


def _play(
    output: Output,
    signals: Signals,
    *,
    log: Path,
    steps: int,
    interval: float | None,
    cap_usd: float,
) -> Play:
    from infra_gym.agents import make_agent
    from infra_gym.cli.dashboard import choose
    from infra_gym.cli.episode import Episode
    from infra_gym.cli.play import Play
    from infra_gym.definitions.catalog import find_definition
    from infra_gym.environments.make import make
    from infra_gym.stack import unique_name

    episode = Episode(find_definition(ID))
    view = choose(output, episode, steps)
    env = make(
        ID,
        target="do",
        environment=unique_name("verify", "do"),
        interval_s=interval,
        budget_usd=cap_usd,
        max_seconds=_MAX_S,
        spend_money=True,
        log=log,
        on_event=view.on_event,
    )
    return Play(env, make_agent("hpa"), episode, view, signals, steps=steps, seed=1, keep=False)


def _plan(cap_cents: int, steps: int) -> str:
    return (
        "This makes a project, a VPC, a firewall, a Kubernetes cluster with two nodes, and a small "
        f"web app; takes {steps} steps; destroys everything; and looks into the account for what "
        f"is left. It takes about 20 minutes. It stops before it costs {cap_cents} cents, "
        "teardown included. Nothing else in the account is touched."
    )


def _versions(play: Play) -> dict[str, Any]:
    from infra_gym import __version__

    return {
        "infra_gym": __version__,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "terraform": play.terraform_version,
    }


def _told(document: dict[str, Any]) -> list[str]:
    lines = []
    if document["verified"]:
        lines.append("Verified: made, used and destroyed; nothing is left in the account.")
    if document["problem"]:
        lines.append(f"It failed: {document['problem']}")
    if document["swept"]:
        lines.append(f"Its own teardown had left {', '.join(document['swept'])}.")
    if document["left"]:
        lines.append(f"STILL THERE: {', '.join(document['left'])}. Next: infra-gym sweep")
    if document["still_billed_usd_per_hour"]:
        lines.append(
            f"STILL BILLED: ${document['still_billed_usd_per_hour']:.4f} an hour. Look at "
            "https://cloud.digitalocean.com/ for volumes and load balancers."
        )
    if document["billed_usd"] is not None:
        lines.append(
            f"Billed: ${document['billed_usd']:.2f} by the meter; compare it with "
            "https://cloud.digitalocean.com/account/billing tomorrow."
        )
    lines.append(f"Recording: {document['log']}, evidence: {document['evidence']}")
    lines.append("To have it on the page of what ran for real, open an issue with the evidence.")
    return lines
