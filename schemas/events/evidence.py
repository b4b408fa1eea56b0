"""What was seen on the way: evidence, checkpoints, refusals."""

from amends.schemas.events.base import Digest, EventStruct, Role
from amends.schemas.ids import Direction


class EvidenceRecorded(EventStruct, frozen=True, kw_only=True):
    """What the runtime saw a connector do: evidence, where a model's words would be a claim."""

    path: str
    direction: Direction
    role: Role
    attempt: int
    tool: str
    action: str
    resource: str
    permission: str
    status: str
    external_id: str | None
    at: str
    arguments: Digest | None
    result: Digest | None


class CheckpointRecorded(EventStruct, frozen=True, kw_only=True):
    """A place that a handler named on its way, with what it found worth telling; it decides nothing."""

    path: str
    direction: Direction
    role: Role
    attempt: int
    name: str
    at: str
    body: Digest


class PermissionDenied(EventStruct, frozen=True, kw_only=True):
    """A handler asked a connector for something its role may not do, a change from a read-back for instance."""

    path: str
    direction: Direction
    role: Role
    attempt: int
    tool: str
    action: str
    resource: str
    why: str
