"""Write a participant that is commanded over the bus, as a service of its own, without a coordinator.

    from amends.participant import Service, StepRefused, Transaction

    shipping = Service(
        "shipping", commands="shipping.commands", replies="shipping.replies", database="sqlite:///shipping.db"
    )

    @shipping.on("book")
    def book(tx: Transaction, order: Order) -> Booking:
        ...  # one transaction, together with what is remembered of the command

    @shipping.on("cancel")
    def cancel(tx: Transaction, order: Order) -> None:
        booking = tx.step_result(Booking)  # what `book` returned; it is not called where there is nothing to undo

    if __name__ == "__main__":
        shipping.run()

The same key never acts twice, a reply that was lost is sent again, an undo that comes first makes the service refuse
the late command, and a coordinator that has been replaced is not heard.
"""

from amends.connectors.participant.service import Service
from amends.connectors.participant.wire import Command
from amends.connectors.sql.transaction import Transaction
from amends.coordinator.failures import StepRefused, StepUnavailable

__all__ = ["Command", "Service", "StepRefused", "StepUnavailable", "Transaction"]
