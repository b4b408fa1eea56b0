"""Has a text translated: a translator takes it home, and what comes of it a person tells days later."""

import sqlite3

from pydantic import BaseModel

from amends import Pending, Saga, Sql, Topic
from amends.connectors.sql import Transaction


class Text(BaseModel):
    """What a publisher sends."""

    request_id: str
    title: str
    language: str


class Translated(BaseModel):
    """What the answer says."""

    pages: int


desk = Sql("desk", url="sqlite:///desk.db")

translation = Saga(
    "translation",
    trigger=Topic("texts", Text, idempotency_key="request_id", business_key="title"),
    deadline="90d",
)


@translation.action(dependency=desk)
async def open_file(trigger: Text) -> None:
    def write(tx: Transaction) -> None:
        tx.execute("INSERT INTO files VALUES (?)", (trigger.title,))

    await desk.perform(write)


@open_file.undo(verify="reply")
async def close_file(trigger: Text) -> None:
    await desk.undo(lambda tx: tx.execute("DELETE FROM files WHERE title = ?", (trigger.title,)))


@translation.action(idempotent=True, irreversible=True, after=open_file, pending_within="60d")
async def commission(trigger: Text) -> Translated | Pending:
    """Post it to the translator. The attempt ends here; the step is done when somebody answers for it."""
    return Pending(correlation=f"job {trigger.request_id}")


@translation.result
def bill(trigger: Text, translated: Translated = commission.result) -> str:
    return f"{trigger.title}: {translated.pages} pages"


if __name__ == "__main__":  # The desk's own files, made the first time and shown each time.
    with sqlite3.connect("desk.db") as files:
        files.execute("CREATE TABLE IF NOT EXISTS files (title TEXT)")
        for (title,) in files.execute("SELECT title FROM files ORDER BY title"):
            print(title)
