"""Numbers on the command line, no larger than what a store can count."""

from typing import Annotated, Any, Final

import typer

NUMBER_MAX: Final = 2_147_483_647


def _counted(value: Any) -> Any:  # noqa: ANN401  a number, several, or none
    given = value if isinstance(value, list | tuple) else [value]
    for each in given:
        if each is not None and each > NUMBER_MAX:
            raise typer.BadParameter(f"{each} is more than {NUMBER_MAX}")
    return value


Number = Annotated[int, typer.Argument(metavar="N", callback=_counted, help="Its number.")]
Numbers = Annotated[list[int] | None, typer.Argument(metavar="N", callback=_counted, help="Their numbers.")]
Limit = Annotated[int | None, typer.Option(metavar="N", min=1, callback=_counted, help="The last N; default: all.")]
AtMost = Annotated[int, typer.Option(metavar="N", min=1, callback=_counted, help="At most so many.")]
At = Annotated[
    int | None,
    typer.Option("--at", metavar="VERSION", callback=_counted, help="As it was after this entry."),
]
