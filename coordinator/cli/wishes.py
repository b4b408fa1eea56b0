"""`amends runs cancel|kill`: wishes of people, left in the run's inbox."""

from typing import Annotated, Literal

import typer

from amends.coordinator.cli.call import Call, command
from amends.coordinator.cli.groups import RUNS
from amends.coordinator.cli.runs import RunArgument

Reason = Annotated[str, typer.Option(metavar="R", help="Why; it stands in the log.")]
Actor = Annotated[str | None, typer.Option("--as", metavar="NAME", help="Who decides; default: the login name.")]
Wait = Annotated[bool, typer.Option("--wait", help="Wait for what becomes of the run, and exit as it ended.")]
Timeout = Annotated[str, typer.Option(metavar="DURATION", help="How long --wait waits.")]


def _declare(request: Literal["cancel", "kill"], *, example: str, says: str) -> None:
    def wish(  # noqa: PLR0917  options of a command
        call: Call, run: RunArgument, reason: Reason, actor: Actor = None, wait: Wait = False, timeout: Timeout = "60s"
    ) -> int:
        from amends.coordinator.cli.wishing import Wished, leave
        from amends.schemas.wishes import Cancel, Kill

        kind = Cancel if request == "cancel" else Kill
        wished = Wished(request, lambda row, by: kind(actor=by, saga_id=row.saga_id, reason=reason))
        return leave(call, run, wished, actor, wait=wait, timeout=timeout)

    wish.__doc__ = says
    command(RUNS, request, example=example)(wish)


_declare(
    "cancel",
    example='amends runs cancel refund/R-77 --reason "ordered twice"',
    says="Stop forward work and undo what was done.",
)
_declare(
    "kill",
    example='amends runs kill 8f1c1a52 --reason "participant is gone for good"',
    says="Stop a run where it stands, undo nothing, and publish what it leaves in the world.",
)
