"""What every test may ask for: see tests/servers/fixtures.py."""

from hypothesis import HealthCheck, settings

pytest_plugins = ["pytester", "tests.servers.fixtures", "tests.skips"]

# No property is about speed: a busy machine must not make one fail.
settings.register_profile("amends", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("amends")
