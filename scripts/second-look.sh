#!/bin/sh
# Runs pytest and, where at most three tests failed, runs those once more.
#
# A busy machine makes a test of processes, threads or time fail now and then; a broken program fails
# it twice. What needs a second look is named, so that it can be mended.
#
#   scripts/second-look.sh PYTHON -m pytest ARGUMENTS
set -eu

cache=$(mktemp -d)
trap 'rm -rf "$cache"' EXIT
trap 'exit 130' INT TERM

status=0
"$@" -o cache_dir="$cache" || status=$?
[ "$status" = 1 ] || exit "$status"

failed=$("$1" -c '
import json, pathlib, sys
print(*json.loads(pathlib.Path(sys.argv[1]).read_text()), sep="\n")
' "$cache/v/cache/lastfailed")
[ "$(printf '%s\n' "$failed" | wc -l)" -le 3 ] || exit "$status"

printf '\nFailed once, run again:\n%s\n' "$failed"
"$@" -o cache_dir="$cache" --last-failed --last-failed-no-failures=none
