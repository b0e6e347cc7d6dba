"""The run log: what an environment did, as JSON Lines."""

from infra_gym.recording.reader import Episode, Run, read_run
from infra_gym.recording.schema import Close, Header, Reset, Step
from infra_gym.recording.writer import RunLog

__all__ = ["Close", "Episode", "Header", "Reset", "Run", "RunLog", "Step", "read_run"]
