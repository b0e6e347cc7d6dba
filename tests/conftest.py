"""What holds for all tests."""

from __future__ import annotations

import signal

# A shell's background jobs start with SIGINT ignored, and so would every program that tests start:
# Ctrl-C, which many tests are about, has to work there as well.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
