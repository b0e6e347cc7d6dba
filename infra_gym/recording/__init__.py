"""The run log: what an environment did, as JSON Lines; and files that are written in one go."""

from infra_gym.recording.reader import Episode, Run, read_run
from infra_gym.recording.schema import Close, Header, Reset, Step
from infra_gym.recording.whole_file import write_whole
from infra_gym.recording.writer import RunLog

__all__ = [
    "Close",
    "Episode",
    "Header",
    "Reset",
    "Run",
    "RunLog",
    "Step",
    "read_run",
    "write_whole",
]
