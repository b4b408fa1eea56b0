"""Prints a yearbook: after the press has run, there is no way back."""

import sqlite3

from pydantic import BaseModel, PositiveInt

from amends import Retry, Saga, Sql, StepRefused, Topic
from amends.connectors.sql import Transaction


class Yearbook(BaseModel):
    """What a school orders."""

    request_id: str
    school: str
    copies: PositiveInt


house = Sql("house", url="sqlite:///house.db")

yearbook = Saga("yearbook", trigger=Topic("yearbooks", Yearbook, idempotency_key="request_id", business_key="school"))


def note(tx: Transaction, kind: str, school: str) -> None:
    """Write a letter, an invoice, or what was printed, into the printing house's books."""
    tx.execute("INSERT INTO papers VALUES (?, ?)", (kind, school))


def move_paper(tx: Transaction, sheets: int) -> None:
    tx.execute("UPDATE paper SET sheets = sheets + ?", (sheets,))


@yearbook.action(dependency=house)
async def take_paper(trigger: Yearbook) -> None:
    await house.perform(lambda tx: move_paper(tx, -trigger.copies))


@take_paper.undo(verify="reply")
async def return_paper(trigger: Yearbook) -> None:
    await house.undo(lambda tx: move_paper(tx, trigger.copies))


@yearbook.action(dependency=house, after=take_paper, irreversible=True)
async def announce(trigger: Yearbook) -> None:
    """Write to the school that its book is being printed. A letter cannot be unsent."""
    await house.perform(lambda tx: note(tx, "letter: it is being printed", trigger.school))


@announce.follow_up(verify="reply")
async def apologize(trigger: Yearbook) -> None:
    """Send another letter: what makes amends in place of an undo."""
    await house.perform(lambda tx: note(tx, "letter: we are sorry", trigger.school), independent=True)


@yearbook.action(dependency=house, after=announce, pivot=True)
async def run_press(trigger: Yearbook) -> None:
    """Print. This is the pivot: until here everything can be undone, from here on the run only goes forward."""

    def run(tx: Transaction) -> None:
        if trigger.copies > 500:  # noqa: PLR2004  what the machine takes
            raise StepRefused("the press takes 500 copies")
        note(tx, f"printed: {trigger.copies} copies", trigger.school)

    await house.perform(run)


@yearbook.action(dependency=house, after=run_press, retry=Retry(attempts=2, wait="100ms"))
async def bill(trigger: Yearbook) -> None:
    """Must succeed in the end: past the pivot a failure is no reason to turn back."""
    await house.perform(lambda tx: note(tx, "invoice", trigger.school))


TABLES = """
CREATE TABLE IF NOT EXISTS paper (sheets INTEGER);
CREATE TABLE IF NOT EXISTS papers (kind TEXT, school TEXT);
CREATE TABLE IF NOT EXISTS unpaid (school TEXT PRIMARY KEY);
INSERT INTO paper SELECT 1000 WHERE NOT EXISTS (SELECT 1 FROM paper);
INSERT OR IGNORE INTO unpaid VALUES ('Lake School');
CREATE TRIGGER IF NOT EXISTS dunning BEFORE INSERT ON papers
WHEN new.kind = 'invoice' AND EXISTS (SELECT 1 FROM unpaid WHERE school = new.school)
BEGIN SELECT RAISE(ABORT, 'there is an unpaid invoice'); END;
"""

if __name__ == "__main__":  # The house's own books, made the first time and shown each time.
    with sqlite3.connect("house.db") as books:
        books.executescript(TABLES)
        print(*books.execute("SELECT sheets FROM paper").fetchone(), "sheets")
        for kind, school in books.execute("SELECT kind, school FROM papers ORDER BY rowid"):
            print(f"{school}: {kind}")
