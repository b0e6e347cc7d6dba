"""What ``gym.make`` calls: from a definition and arguments to an environment, touching nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

from infra_gym.clouds.digitalocean_standing import AccountView
from infra_gym.cost import Budget
from infra_gym.definitions.catalog import find_definition
from infra_gym.definitions.models import Definition
from infra_gym.environments.calibration import twin_parameters
from infra_gym.environments.env import InfraEnv, OnFailure
from infra_gym.environments.place import Place, find_place, recorded_place, without_programs
from infra_gym.errors import MissingProgramError, SettingsError, did_you_mean
from infra_gym.recording import Run, read_run
from infra_gym.settings import Settings, Target, load_settings
from infra_gym.stack import Stack
from infra_gym.stack.costs import billed_layers
from infra_gym.task.controls import ActionMode
from infra_gym.task.task import Task
from infra_gym.terraform.documents import Event
from infra_gym.worlds.base import World
from infra_gym.worlds.dry import DryRun
from infra_gym.worlds.episode import Overrun
from infra_gym.worlds.live import LiveOptions, LiveWorld
from infra_gym.worlds.metering import Metering
from infra_gym.worlds.replay import ReplayWorld
from infra_gym.worlds.twins import Fidelity, Parameters, make_twin

_READY_S = 90.0
_READY_ON_CLUSTER_S = 300.0
_READY_ON_DROPLETS_S = 900.0
_PATIENCE_FAR_AWAY_S = 30.0


def make(
    definition: str,
    *,
    target: Target | None = None,
    project: str | None = None,
    environment: str | None = None,
    dry_run: bool = False,
    fidelity: Fidelity | None = None,
    interval_s: float | None = None,
    clock: Target | None = None,
    workload: Mapping[str, Any] | None = None,
    action: ActionMode | None = None,
    calibration: str | Path | None = None,
    randomise: bool = False,
    recording: str | Path | None = None,
    budget_usd: float | None = None,
    max_seconds: float | None = None,
    overrun: Overrun = "mark",
    on_failure: OnFailure = "raise",
    spend_money: bool | None = None,
    keep: bool = False,
    log: str | Path | None = None,
    log_info: Mapping[str, Any] | None = None,
    on_event: Callable[[str, Event], None] | None = None,
    render_mode: str | None = None,
) -> InfraEnv:
    """Make an environment; ``gym.make("SimpleK8sWebApp-v0", ...)`` takes the same arguments.

    ``gym.make`` knows ids, no paths: those of the package, and of files in ``envs/`` beside
    ``infra-gym.toml``. An environment of any other file is made here, and comes without
    ``gym.make``'s wrappers: ``gymnasium.wrappers.TimeLimit(env, env.definition.max_episode_steps)``
    ends its episodes as they would be.

    Args:
        definition: An environment's id, or the path of a YAML file.
        target: ``local``, ``sim``, ``k8s``, ``do`` or ``replay``; else INFRA_GYM_TARGET, else
            infra-gym.toml, else ``local``.
        project: First part of all names.
        environment: Second part, owned by one run at a time; left out, a unique one is made.
        dry_run: Touch nothing: ``reset`` prints the plan, metrics come from the simulator.
        fidelity: Of the simulator, so for ``sim`` only: ``reference`` (default), request by
            request; ``fluid``, by flows: many times faster, and nearly as true.
        interval_s: Another length of a step, in seconds.
        clock: For ``sim`` only: a target whose interval and time scale hold, so that both can be
            compared step by step.
        workload: Another load, such as ``{"profile": "constant", "mean_rps": 30}``.
        action: ``delta`` or ``absolute``; default: the definition's.
        calibration: Of the simulator: the file that ``infra-gym calibrate`` wrote.
        randomise: Draw the simulator's parameters from the calibration's spread, episode by
            episode, as the seed decides; else they are its estimate.
        recording: For ``replay`` only: the run log whose episodes are played again, by their seeds.
        budget_usd: US dollars after which an episode is truncated and everything torn down; on
            ``do`` what the account is billed counts, and so does what the teardown will cost, for
            which 10 minutes are assumed.
        max_seconds: Wall-clock seconds after which the same happens.
        overrun: ``mark`` or ``pause``: what happens when the learner takes longer than a tick. The
            live environments of a vector whose steps take turns (``sync``) always do: make that
            vector ``async``, or ``pause``.
        on_failure: ``raise`` (default) or ``truncate``.
        spend_money: On ``do``: yes, the account may be billed; else the setting of that name.
        keep: Leave what was made when the environment is closed; a spent budget leaves nothing.
        log: Path of the run log.
        log_info: What else the log's header tells, such as ``{"agent": "hpa"}``.
        on_event: Called with layer and event while Terraform runs.
        render_mode: ``human``, ``ansi`` or ``rgb_array``.

    Raises:
        UnknownNameError: No such environment.
        SettingsError: An argument or setting that cannot be.
    """
    _one_of("action", action, (None, *get_args(ActionMode)))
    _one_of("fidelity", fidelity, (None, *get_args(Fidelity)))
    _one_of("overrun", overrun, get_args(Overrun))
    _one_of("on_failure", on_failure, get_args(OnFailure))
    found = find_definition(definition)
    settings = load_settings(
        target=target,
        project=project,
        environment=environment,
        budget_usd=budget_usd,
        max_seconds=max_seconds,
        spend_money=spend_money,
    )
    world: World
    if recording is not None or settings.target == "replay":
        given = {
            "interval_s": interval_s,
            "clock": clock,
            "workload": workload,
            "fidelity": fidelity,
            "randomise": randomise or None,
        }
        run = _recorded(found, settings, recording, {**given, "calibration": calibration})
        place = recorded_place(run.header, settings)
        world = ReplayWorld(found, run, Path(str(recording)))
    else:
        place = find_place(found, settings, interval_s, workload, clock)
        parameters = twin_parameters(found, place, calibration, randomise=randomise)
        world = _world(
            found,
            settings,
            place,
            overrun,
            on_event,
            parameters,
            fidelity=fidelity,
            dry_run=dry_run,
        )
    return InfraEnv(
        found,
        place,
        world,
        Task(found, action),
        budget=Budget(
            usd=settings.budget_usd,
            seconds=_seconds(settings, has_stack=isinstance(world, LiveWorld)),
        ),
        on_failure=on_failure,
        keep=keep,
        log=None if log is None else Path(log),
        log_info=log_info or {},
        render_mode=render_mode,
    )


def _one_of(name: str, value: object, allowed: Sequence[str | None]) -> None:
    if value not in allowed:
        words = [word for word in allowed if word is not None]
        raise SettingsError(f"{name} cannot be {value!r}.{did_you_mean(str(value), words)}")


def _recorded(
    definition: Definition,
    settings: Settings,
    recording: str | Path | None,
    given: Mapping[str, Any],
) -> Run:
    """The run that is played again; what it decides must not be given as well."""
    if recording is None:
        raise SettingsError(
            "The target replay needs a recording: the run log of a run of this environment.",
            next_command=definition.making('target="replay", recording="LOG.jsonl"')
            + f", or infra-gym run {definition.named} --target replay --recording LOG.jsonl",
        )
    if settings.target != "replay":
        raise SettingsError(
            f"A recording is of the target replay, and the target is {settings.target!r}.",
            next_command=definition.making(f'target="replay", recording="{recording}"')
            + ", or --target replay",
        )
    wrong = [name for name, value in given.items() if value is not None]
    if wrong:
        raise SettingsError(
            f"{', '.join(wrong)}: decided by the recording.", next_command="leave it out"
        )
    return read_run(recording)


def _seconds(settings: Settings, *, has_stack: bool) -> float | None:
    """How long the environment may live: what was asked for, at most until its stack expires."""
    if not has_stack:
        return settings.max_seconds
    expiry_s = settings.expiry_hours * 3600
    return expiry_s if settings.max_seconds is None else min(settings.max_seconds, expiry_s)


def _world(
    definition: Definition,
    settings: Settings,
    place: Place,
    overrun: Overrun,
    on_event: Callable[[str, Event], None] | None,
    parameters: Parameters,
    *,
    fidelity: Fidelity | None,
    dry_run: bool,
) -> World:
    def twin() -> World:
        return make_twin(
            definition,
            workload=place.workload,
            interval_s=place.interval_s,
            time_scale=place.time_scale,
            fidelity=fidelity or "reference",
            parameters=parameters,
        )

    if place.target == "sim":
        return twin()
    if fidelity is not None:
        raise SettingsError(
            f"fidelity={fidelity!r} is of the simulator, and {place.target!r} is no simulator.",
            next_command=definition.making(f'target="sim", fidelity="{fidelity}"')
            + ", or --target sim",
        )
    try:
        stack = Stack(
            layers=definition.layers[place.target],
            target=place.target,
            settings=settings,
            project=place.project,
            environment=place.environment,
            definition=definition,
            on_event=on_event,
        )
    except MissingProgramError as error:
        raise without_programs(error, definition) from error
    if dry_run:
        return DryRun(stack, twin())
    return LiveWorld(
        definition,
        place.target,
        stack,
        folder=settings.data_folder / "runs" / place.project / place.environment,
        workload=place.workload,
        options=_options(settings, place, overrun, on_cluster=stack.on_cluster),
        metering=_metering(stack),
    )


def _metering(stack: Stack) -> Metering | None:
    """What meters the stack, where an account is billed for it."""
    if not billed_layers(stack.layers):
        return None
    return Metering(
        _account_view,
        name=lambda: stack.name_in_account,
        load=stack.meter_lines,
        save=stack.keep_meter_lines,
    )


def _account_view() -> AccountView:
    from infra_gym.clouds.digitalocean import DigitalOcean  # slow to import

    account = DigitalOcean.from_environment()
    return AccountView(account, account.prices())


def _options(
    settings: Settings, place: Place, overrun: Overrun, *, on_cluster: bool
) -> LiveOptions:
    """How time is kept; elsewhere images are pulled, and a server may be away for a bit."""
    elsewhere = on_cluster or place.target == "do"
    # Droplets install what they need after their apply.
    ready_s = _READY_ON_CLUSTER_S if on_cluster else _READY_ON_DROPLETS_S if elsewhere else _READY_S
    return LiveOptions(
        interval_s=place.interval_s,
        time_scale=place.time_scale,
        overrun=overrun,
        ready_deadline_s=settings.ready_seconds or ready_s,
        patience_s=_PATIENCE_FAR_AWAY_S if elsewhere else 0.0,
        prometheus_url=settings.prometheus_url if elsewhere else None,
    )
