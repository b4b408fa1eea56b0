"""What every test may ask for: see tests/servers/fixtures.py."""

import signal

from hypothesis import HealthCheck, settings

pytest_plugins = ["pytester", "tests.servers.fixtures", "tests.skips"]

# No property is about speed: a busy machine must not make one fail.
settings.register_profile("amends", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("amends")

# A shell that starts the tests in its background has all they start ignore Ctrl-C, and some tests press it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
