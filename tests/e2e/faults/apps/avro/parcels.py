"""Parcels that come as Avro, of a schema that bombs can be built with."""

import os
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from amends import Context, Saga, Topic


class Parcel(BaseModel):
    """A trigger."""

    id: str
    nothings: list[None]
    box: dict[str, Any]


parcels = Saga("parcel", version=1, trigger=Topic("parcels", Parcel, idempotency_key="id", schemas="*.avsc"))


@parcels.action(idempotent=True)
def deliver(ctx: Context, trigger: Parcel) -> None:
    Path(os.environ["LEDGER"], f"{trigger.id} deliver {ctx.idempotency_key}").touch()


@deliver.undo(verify="reply")
def fetch_back(ctx: Context, trigger: Parcel) -> None:
    Path(os.environ["LEDGER"], f"{trigger.id} fetch_back {ctx.idempotency_key}").touch()
