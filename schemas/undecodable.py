"""What every decoder of this package raises, and nothing else, whatever bytes it is given."""

from typing import Self


class Undecodable(ValueError):
    """These bytes are not what they claim to be; `path` is the dotted place inside the value, empty for all of it."""

    def __init__(self, detail: str, path: str = "") -> None:
        super().__init__(f"{path}: {detail}" if path else detail)
        self.detail = detail
        self.path = path

    def under(self, name: str | int) -> Self:
        """Give the same fault, one level further out."""
        return type(self)(self.detail, joined(name, self.path))


def joined(name: str | int, path: str) -> str:
    """`lines`, `3.price` become `lines.3.price`."""
    return f"{name}.{path}" if path else str(name)
