"""What a bundle says it holds: its last part, with the hash of every other one and of itself."""

import platform
import re
from importlib.metadata import version
from typing import Any, Final

import msgspec

from amends.coordinator.evidence.tar import Part
from amends.schemas.canonical import encode, sha256_hex
from amends.schemas.events import Digest
from amends.schemas.ids import SagaId
from amends.schemas.signed_head import SignedHead

FORMAT: Final = 1
MANIFEST: Final = "manifest.json"
HEADS: Final = "checkpoints.jsonl"
MANIFEST_BYTES_MAX: Final = 64 * 1024 * 1024
RUNS_MAX: Final = 1_000
PARTS_MAX: Final = 100_000
BUNDLE_BYTES_MAX: Final = 4 * 1024**3

_NAMES: Final = re.compile(
    r"runs/[0-9a-f-]{36}/(entries\.jsonl|outcomes\.jsonl|run\.json)"
    r"|definitions/[0-9A-Za-z_-]{1,80}\.json"
    r"|payloads/[0-9a-z-]{1,88}"
    r"|shards/[0-9]{1,8}\.jsonl"
    r"|checkpoints\.jsonl|manifest\.json"
)


class Manifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`missing` is what the entries name and the store did not have. `hash` is over the canonical JSON of the rest."""

    format: int = FORMAT
    store: str
    made_at: str
    versions: dict[str, str]
    runs: tuple[SagaId, ...]
    missing: tuple[str, ...]
    parts: tuple[Part, ...]
    hash: str = ""

    @property
    def text(self) -> bytes:
        """As it stands in the bundle."""
        return encode(self)

    def with_hash(self) -> "Manifest":
        """The same with the hash that it must carry."""
        return msgspec.structs.replace(self, hash=sha256_hex(self._rest))

    @property
    def is_whole(self) -> bool:
        return self.hash == sha256_hex(self._rest)

    @property
    def _rest(self) -> bytes:
        return encode({name: getattr(self, name) for name in self.__struct_fields__ if name != "hash"})


class Segment(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A stretch of a shard's chain: behind the position `after`, where the head was `head`, came entries with these
    hashes, one position each.
    """  # noqa: D205  one sentence

    after: int
    hashes: tuple[str, ...]
    head: str


class RunPart(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is said about a run: its row in the index of runs, and where in its shard each of its entries stands."""

    positions: tuple[int, ...]
    row: dict[str, Any]


def is_name(name: str) -> bool:
    """Whether a bundle may have a part of this name: none leads out of a folder that it is unpacked in."""
    return _NAMES.fullmatch(name) is not None


def run_part(saga_id: SagaId, what: str) -> str:
    return f"runs/{saga_id}/{what}"


def definition_part(digest: str) -> str:
    return f"definitions/{digest.replace(':', '-')}.json"


def payload_part(digest: Digest) -> str:
    return f"payloads/{digest.replace(':', '-')}"


def shard_part(shard: int) -> str:
    return f"shards/{shard}.jsonl"


def versions() -> dict[str, str]:
    """What the bundle is made with."""
    return {"amends": version("amends"), "python": platform.python_version()}


def read_manifest(data: bytes) -> Manifest:
    """Raises `ValueError` for what is no manifest, and for one that was not written so."""
    found = msgspec.json.decode(data, type=Manifest)
    if found.text != data:
        raise ValueError("it is not in canonical form")
    return found


def format_of(data: bytes) -> int:
    """The format that a manifest of any version names."""
    return msgspec.json.decode(data, type=_Format).format


class _Format(msgspec.Struct, frozen=True):
    format: int


def head_line(signed: SignedHead) -> bytes:
    return encode(signed) + b"\n"
