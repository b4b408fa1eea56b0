"""compose.yaml as Compose reads it: merged, variables filled in, services in the order they wait for each other."""

import re
from collections.abc import Mapping
from graphlib import TopologicalSorter
from typing import Any

import yaml

from tests.servers.tools import CHECKOUT

FILE = CHECKOUT / "compose.yaml"
_VARIABLE = re.compile(r"\$(?:(?P<escaped>\$)|\{(?P<name>\w+)(?:(?P<how>:[-?])(?P<rest>[^}]*))?\})")
_UNITS_S = {"ms": 0.001, "s": 1.0, "m": 60.0}

Service = dict[str, Any]


def load(variables: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Everything in the file, with these variables of the shell."""
    return _filled(yaml.safe_load(FILE.read_text()), dict(variables or {}))  # type: ignore[no-any-return]


def in_order(services: Mapping[str, Service]) -> list[str]:
    """Names of services, each after those that it depends on."""
    return list(TopologicalSorter({name: each.get("depends_on", {}) for name, each in services.items()}).static_order())


def seconds(duration: str) -> float:
    """`500ms`, `15s`, `1m`."""
    found = re.fullmatch(r"(\d+)(ms|s|m)", duration)
    assert found is not None, f"{duration!r} is no duration of Compose"
    return int(found[1]) * _UNITS_S[found[2]]


def secret_file(name: str) -> str:
    """Where Compose mounts a secret."""
    return f"/run/secrets/{name}"


def _filled(value: Any, variables: dict[str, str]) -> Any:
    if isinstance(value, dict):
        return {key: _filled(each, variables) for key, each in value.items()}
    if isinstance(value, list):
        return [_filled(each, variables) for each in value]
    return _VARIABLE.sub(lambda found: _value(found, variables), value) if isinstance(value, str) else value


def _value(found: re.Match[str], variables: dict[str, str]) -> str:
    if found["escaped"]:
        return "$"
    assert found["name"] in variables or found["how"] == ":-", f"{found[0]} is not set"
    return variables.get(found["name"]) or found["rest"]
