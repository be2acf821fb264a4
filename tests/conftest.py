"""What holds for every test: no property test fails by the clock of a busy machine."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

settings.register_profile("titlecard", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("titlecard")
