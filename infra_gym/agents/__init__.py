"""Agents: what acts in an environment, and the registry that makes them by name.

``random``, ``fixed``, ``threshold``, ``hpa`` and ``predictive`` take no training, nor do
``knative``, which is for functions, and ``batch``, which is for BatchScheduling-v0; ``oracle``
knows the future, in simulators. After a colon comes a file with parameters, as
``infra-gym calibrate --agent NAME`` writes it. A path that ends with ``.zip`` is that of a model
that ``infra-gym train`` wrote::

    agent = make_agent("hpa", target=0.5)
    agent = make_agent("threshold:threshold.json")
    agent = make_agent("batch", score="sjf")
    agent = make_agent("runs/first/model.zip")
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any, get_type_hints

from pydantic import TypeAdapter, ValidationError

from infra_gym.agents.base import Agent
from infra_gym.agents.tuned import read_tuned
from infra_gym.errors import UnknownNameError, UsageError, did_you_mean

# Imported only when asked for: some agents need extras.
_AGENTS = {
    "batch": "infra_gym.agents.batch_rule:BatchRuleAgent",
    "fixed": "infra_gym.agents.fixed:FixedAgent",
    "hpa": "infra_gym.agents.hpa:HpaAgent",
    "knative": "infra_gym.agents.knative:KnativeAgent",
    "oracle": "infra_gym.agents.oracle:OracleAgent",
    "predictive": "infra_gym.agents.predictive:PredictiveAgent",
    "random": "infra_gym.agents.random_agent:RandomAgent",
    "threshold": "infra_gym.agents.threshold:ThresholdAgent",
}

MODEL_SUFFIX = ".zip"
"""How the path of a trained model ends."""


def agent_names() -> list[str]:
    """The names that :func:`make_agent` knows."""
    return sorted(_AGENTS)


def make_agent(name: str, **parameters: Any) -> Agent:
    """An agent by name.

    Args:
        name: One of :func:`agent_names`, or one with ``:FILE`` after it, whose parameters hold
            where ``parameters`` says nothing else; or the path of a trained model.
        parameters: What the agent's class takes; text is read as numbers.

    Raises:
        UnknownNameError: There is no such agent.
        UsageError: The agent has no such parameter, or it cannot have this value; the model cannot
            be read.
    """
    if name.endswith(MODEL_SUFFIX):
        return _trained(name, parameters)
    name, _, file = name.partition(":")
    if name not in _AGENTS:
        raise UnknownNameError("agent", name, _AGENTS)
    if file:
        parameters = {**read_tuned(name, Path(file)).parameters, **parameters}
    module, _, class_name = _AGENTS[name].partition(":")
    kind: type[Agent] = getattr(import_module(module), class_name)
    types = get_type_hints(kind.__init__) if "__init__" in vars(kind) else {}
    return kind(
        **{
            parameter: _checked(name, parameter, value, types)
            for parameter, value in parameters.items()
        }
    )


def _trained(path: str, parameters: dict[str, Any]) -> Agent:
    if parameters:
        raise UsageError(f"A trained model takes no parameters, {path!r} not {sorted(parameters)}.")
    from infra_gym.agents.trained import TrainedAgent

    return TrainedAgent(Path(path))


def _checked(agent: str, parameter: str, value: Any, types: dict[str, Any]) -> Any:
    known = [each for each in types if each != "return"]
    if parameter not in known:
        takes = did_you_mean(parameter, known) or " It takes none."
        raise UsageError(f"The agent {agent!r} has no parameter {parameter!r}.{takes}")
    try:
        return TypeAdapter(types[parameter]).validate_python(value)
    except ValidationError as error:
        reason = error.errors()[0]["msg"]
        raise UsageError(f"The agent {agent!r}, {parameter}={value!r}: {reason}.") from error


__all__ = ["Agent", "agent_names", "make_agent"]
