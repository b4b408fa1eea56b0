"""The names that users import are those of the contract, and asking for one imports no more than it needs."""

import json
import subprocess
import sys

import amends

HEAVY = ("aiohttp", "aiokafka", "anthropic", "faust", "fastapi", "psycopg", "pydantic", "eventsourcing", "fastavro")


def test_the_public_names_are_those_of_the_contract() -> None:
    assert amends.__all__ == [
        *("Budget", "Context", "Http", "Participant", "Pending", "Retry", "Saga", "Smtp", "Sql"),
        *("StepRefused", "StepUnavailable", "StepUnknown", "Topic", "negate", "one_of", "testing"),
    ]


def test_every_public_name_is_there() -> None:
    assert all(getattr(amends, name) is not None for name in amends.__all__)
    assert set(amends.__all__) <= set(dir(amends))
    assert not hasattr(amends, "Sega")


def test_importing_amends_imports_nothing_heavy() -> None:
    program = f"import amends, json, sys; print(json.dumps([name for name in {HEAVY!r} if name in sys.modules]))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=30)
    assert json.loads(done.stdout) == []
