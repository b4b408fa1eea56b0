"""What every test may ask for: see tests/servers/fixtures.py."""

pytest_plugins = ["pytester", "tests.servers.fixtures", "tests.skips"]
