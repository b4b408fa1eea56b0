"""`amends runs cancel|kill|rerun`: wishes of people, left in the run's inbox."""

from typing import Annotated

import typer

from amends.coordinator.cli.call import Call, command
from amends.coordinator.cli.groups import RUNS
from amends.coordinator.cli.runs import RunArgument

Reason = Annotated[str, typer.Option(metavar="R", help="Why; it stands in the log.")]
Actor = Annotated[str | None, typer.Option("--as", metavar="NAME", help="Who decides; default: the login name.")]
Wait = Annotated[bool, typer.Option("--wait", help="Wait for what becomes of the run, and exit as it ended.")]
Timeout = Annotated[str, typer.Option(metavar="DURATION", help="How long --wait waits.")]


@command(RUNS, "cancel", example='amends runs cancel refund/R-77 --reason "ordered twice"')
def cancel(  # noqa: PLR0917  options of a command
    call: Call, run: RunArgument, reason: Reason, actor: Actor = None, wait: Wait = False, timeout: Timeout = "60s"
) -> int:
    """Stop forward work and undo what was done."""
    from amends.coordinator.cli.wishing import Wished, leave
    from amends.schemas.wishes import Cancel

    wished = Wished("cancel", lambda row, by: Cancel(actor=by, saga_id=row.saga_id, reason=reason))
    return leave(call, run, wished, actor, wait=wait, timeout=timeout)


@command(RUNS, "kill", example='amends runs kill 8f1c1a52 --reason "participant is gone for good"')
def kill(  # noqa: PLR0917  options of a command
    call: Call, run: RunArgument, reason: Reason, actor: Actor = None, wait: Wait = False, timeout: Timeout = "60s"
) -> int:
    """Stop a run where it stands, undo nothing, and publish what it leaves in the world."""
    from amends.coordinator.cli.wishing import Wished, leave
    from amends.schemas.wishes import Kill

    wished = Wished("kill", lambda row, by: Kill(actor=by, saga_id=row.saga_id, reason=reason))
    return leave(call, run, wished, actor, wait=wait, timeout=timeout)


@command(RUNS, "rerun", example='amends runs rerun refund/R-77 --reason "the mail server is back"')
def rerun(  # noqa: PLR0917  options of a command
    call: Call, run: RunArgument, reason: Reason, actor: Actor = None, wait: Wait = False, timeout: Timeout = "60s"
) -> int:
    """Carry the request of a run that has ended out anew, as its next generation."""
    from amends.coordinator.cli.rerunning import leave_rerun

    return leave_rerun(call, run, reason, actor, wait=wait, timeout=timeout)
