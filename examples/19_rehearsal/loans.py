"""Lends books: take it off the shelf, write the loan down, hand it over. With a sandbox in which it is rehearsed."""

from pydantic import BaseModel

from amends import Saga, Sql, StepRefused, Topic
from amends.connectors.sql import Transaction
from amends.testing import Sandbox, SqlStandIn


class Loan(BaseModel):
    """What arrives on the topic `loans`."""

    request_id: str
    title: str
    reader: str


library = Sql("library", url="sqlite:///library.db")

loans = Saga("loan", trigger=Topic("loans", Loan, idempotency_key="request_id", business_key="title"))


@loans.action(dependency=library)
async def take(trigger: Loan) -> None:
    def off_the_shelf(tx: Transaction) -> None:
        there = "UPDATE copies SET on_shelf = on_shelf - 1, lent = lent + 1 WHERE title = :title AND on_shelf > 0"
        if not tx.execute(there, trigger.model_dump()):
            raise StepRefused(f"{trigger.title} is out", kind="out")

    await library.perform(off_the_shelf)


@take.undo(verify="reply")
async def put_back(trigger: Loan) -> None:
    def onto_the_shelf(tx: Transaction) -> None:
        tx.execute("UPDATE copies SET on_shelf = on_shelf + 1, lent = lent - 1 WHERE title = ?", (trigger.title,))

    await library.undo(onto_the_shelf)


@loans.action(dependency=library, after=take)
async def write_down(trigger: Loan) -> None:
    def write(tx: Transaction) -> None:
        tx.execute("INSERT INTO loans VALUES (:request_id, :title, :reader)", trigger.model_dump())

    await library.perform(write)


@write_down.undo(verify="reply")
async def strike(trigger: Loan) -> None:
    await library.undo(lambda tx: tx.execute("DELETE FROM loans WHERE request_id = ?", (trigger.request_id,)))


@loans.read(after=write_down)
def slip(trigger: Loan) -> str:
    return f"{trigger.title} for {trigger.reader}"


sandbox = Sandbox(
    loans,
    triggers=[Loan(request_id="L-1", title="Emma", reader="Ann")],
    stand_ins=[
        SqlStandIn(
            library,
            script="""
            CREATE TABLE copies (title TEXT PRIMARY KEY, on_shelf INTEGER, lent INTEGER);
            CREATE TABLE loans (request_id TEXT PRIMARY KEY, title TEXT, reader TEXT);
            INSERT INTO copies VALUES ('Emma', 2, 1), ('Persuasion', 1, 0);
            INSERT INTO loans VALUES ('L-0', 'Emma', 'Ben');
            """,
        )
    ],
)
