"""Settings of every test: property tests ignore the clock of a busy machine, and commands receive Ctrl-C."""

from __future__ import annotations

import signal

from hypothesis import HealthCheck, settings

settings.register_profile("titlecard", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("titlecard")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a shell's background job, which its child processes inherit
    signal.signal(signal.SIGINT, signal.default_int_handler)
