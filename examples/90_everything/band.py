"""The band: another service, with books of its own. Of the festival it knows two topics.

`python band.py` plays its part until it is stopped; `python band.py diary` shows what it has written down.
"""

import sqlite3
import sys

from pydantic import BaseModel

from amends.participant import Service, Transaction

TABLES = """
    CREATE TABLE IF NOT EXISTS gigs (festival TEXT);
    CREATE TABLE IF NOT EXISTS diary (page INTEGER PRIMARY KEY, line TEXT);
"""

band = Service("band", commands="band.commands", replies="band.replies", database="sqlite:///band.db")


class Gig(BaseModel):
    """What it is asked for."""

    festival: str


class Promise(BaseModel):
    """What it answers."""

    plays_until: str


@band.on("book")
def book(tx: Transaction, gig: Gig) -> Promise:
    tx.execute("INSERT INTO gigs VALUES (?)", (gig.festival,))
    write(tx, f"plays at {gig.festival}")
    return Promise(plays_until="22:00")


@band.on("cancel")
def cancel(tx: Transaction, gig: Gig) -> None:
    tx.execute("DELETE FROM gigs WHERE festival = ?", (gig.festival,))
    write(tx, f"does not play at {gig.festival}")


def write(tx: Transaction, line: str) -> None:
    tx.execute("INSERT INTO diary (line) VALUES (?)", (line,))


if __name__ == "__main__":
    with sqlite3.connect("band.db") as books:
        books.executescript(TABLES)
        if sys.argv[1:] == ["diary"]:
            for (line,) in books.execute("SELECT line FROM diary ORDER BY page"):
                print(line)
    if sys.argv[1:] != ["diary"]:
        band.run()
