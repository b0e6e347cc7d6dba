"""Gives an arrival schedule to the running siege engine. Argument: the file."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import sys
from pathlib import Path


def main() -> int:
    """Copy the file and have the copy loaded; returns the exit status."""
    schedule, copy, port = Path(sys.argv[1]), Path(os.environ["COPY"]), int(os.environ["PORT"])
    beside = copy.with_suffix(".new")
    try:
        shutil.copyfile(schedule, beside)
        beside.replace(copy)
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        connection.request("POST", "/schedule", json.dumps({"path": str(copy)}))
        answer = connection.getresponse()
        text = answer.read().decode()
    except OSError as error:
        print(f"cannot load the schedule {schedule}: {error}", file=sys.stderr)  # noqa: T201
        return 1
    if answer.status != 200:
        print(f"the siege engine refused {schedule}: {text}", file=sys.stderr)  # noqa: T201
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
