"""What a definition asks of the participant a step acts on: a name, and what it promises about doubt."""

from typing import Protocol, runtime_checkable

from amends.coordinator.definition.form import Certainty


@runtime_checkable
class Dependency(Protocol):
    """A declared participant, a connector for instance. Its promises are the defaults of every step that acts on it."""

    @property
    def name(self) -> str:
        """Unique among an app's participants; sync handlers share a pool per name."""

    @property
    def certainty(self) -> Certainty | None:
        """None promises nothing."""


def name_of(dependency: object) -> str | None:
    """The participant's name; a bare text is one. None for something that has none."""
    name = dependency if isinstance(dependency, str) else getattr(dependency, "name", None)
    return name if isinstance(name, str) and name else None


def certainty_of(dependency: object) -> Certainty:
    """What it promises; nothing, where it says nothing."""
    promised = getattr(dependency, "certainty", None)
    return promised if isinstance(promised, Certainty) else Certainty()
