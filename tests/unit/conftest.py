"""Settings of the property tests: no clock, and the same examples in every run."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

settings.register_profile("new", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("same", settings.get_profile("new"), derandomize=True)
settings.load_profile("same")  # `--hypothesis-profile new` looks for other examples
