"""`amends check` and `amends graph`."""

import re
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from amends.coordinator.cli.call import Call, command
from amends.coordinator.cli.groups import APP, WRITE
from amends.coordinator.cli.serving import AppArgument
from amends.coordinator.errors import UsageError

if TYPE_CHECKING:
    from amends.coordinator.definition.findings import Finding
    from amends.coordinator.definition.loading import App

STORED = "--stored-runs"
_URLS = ("sqlite:", "postgresql:", "postgres:", "memory:")


@command(
    APP,
    "check",
    panel=WRITE,
    example="amends check shop/sagas.py --store",
    says={"store": "Also list open runs without a fitting handler; a URL says in which store."},
)
def check(
    call: Call, app: AppArgument = None, stored_runs: Annotated[bool, typer.Option(STORED, hidden=True)] = False
) -> int:
    """Every rule about definitions, each finding with file, line, column, code and hint; exit 1 on an error."""
    from amends.coordinator.cli.apps import app_names
    from amends.coordinator.cli.output import room, show_list, toned
    from amends.coordinator.definition.loading import check_app
    from amends.coordinator.reading.folding import fitting
    from amends.coordinator.reading.words import counted

    names = app_names(app, call.settings)
    findings = [each for name in names for each in check_app(name)]
    errors = sum(each.severity == "error" for each in findings)
    if stored_runs and not errors:
        findings += _unserved(call, app)
        errors = sum(each.severity == "error" for each in findings)

    def text(_: list[Any]) -> str:
        if not findings:
            return f"{toned('good', '✔')} {', '.join(names)}: every rule is kept"
        warnings = len(findings) - errors
        end = f"{counted(errors, 'error')}, {counted(warnings, 'warning')}"
        width = room(sys.stdout)
        lines = [line for each in findings for line in fitting(each.text(), first="", rest="  ", width=width)]
        return "\n".join([*lines, f"{'✖' if errors else '✔'} {end}"])

    show_list(call, (_facts(each) for each in findings), text)
    return 1 if errors else 0


@command(APP, "graph", panel=WRITE, example="amends graph shop/sagas.py refund --format mermaid")
def graph(
    call: Call,
    app: AppArgument = None,
    saga: Annotated[
        str | None, typer.Argument(metavar="SAGA", help="Its name; name@2 is version 2. Default: the only one.")
    ] = None,
    form: Annotated[str, typer.Option("--format", metavar="FORMAT", help="text, mermaid or svg.")] = "text",
) -> None:
    """The steps of a saga, their order, the undos and theirs, the pivot."""
    from amends.coordinator.cli.apps import loaded_app
    from amends.coordinator.cli.output import write, write_line
    from amends.coordinator.definition.drawing import as_mermaid, as_text
    from amends.coordinator.definition.drawing_svg import as_svg
    from amends.schemas.canonical import encode

    if form not in {"text", "mermaid", "svg"}:
        raise UsageError("AM5005", f"--format {form!r} is not known", do="write text, mermaid or svg")
    loaded = loaded_app(app, call.settings)
    name, version = _named(saga) if saga is not None else (_only_one(loaded), None)
    drawn = loaded.by(name, version).form
    if not call.text:
        write_line(encode(drawn))
    elif form == "svg":
        write_line(as_svg(drawn).rstrip().encode())
    else:
        write(as_text(drawn) if form == "text" else as_mermaid(drawn))


def _named(saga: str) -> tuple[str, int | None]:
    name, sign, version = saga.partition("@")
    if sign and not re.fullmatch("[0-9]{1,9}", version):
        raise UsageError("AM5005", f"{saga!r}: the version is no number", do="write it like refund@3")
    return name, int(version) if sign else None


def _only_one(app: "App") -> str:
    names = sorted({saga.name for saga in app.sagas or app.parts})
    if len(names) > 1:
        raise UsageError("AM5005", f"APP {app.name!r} has more than one saga", do=f"name one: {', '.join(names)}")
    return names[0]


def _unserved(call: Call, app: str | None) -> "list[Finding]":
    """Open runs whose step or undo today's handlers cannot serve (rule 14)."""
    from amends.coordinator.cli.apps import loaded_app
    from amends.coordinator.definition.findings import Finding
    from amends.coordinator.runtime.catalogue import Catalogue

    sagas = loaded_app(app, call.settings).sagas
    found = []
    with call.store() as store:
        catalogue = Catalogue(sagas=sagas, stored=store.definition)
        for run in store.runs_open():
            known = catalogue.by_hash(run.definition_hash)
            missing = sorted(known.plan.missing) if known is not None else ["its whole definition"]
            if missing:
                found.append(
                    Finding(
                        code="AM3002",
                        severity="error",
                        message=f"open run {run.saga_id} of v{run.definition_version} lacks {', '.join(missing)}",
                        hint="keep a handler of that name whose schemas can read what was stored",
                        file=None,
                        line=None,
                        column=None,
                        saga=run.saga,
                    )
                )
    return found


def _facts(finding: "Finding") -> dict[str, Any]:
    return {
        "code": finding.code,
        "severity": finding.severity,
        "message": finding.message,
        "hint": finding.hint,
        "file": finding.file,
        "line": finding.line,
        "column": finding.column,
        "saga": finding.saga,
    }


def rewritten(arguments: list[str]) -> list[str]:
    """`check APP --store` asks for the open runs, `--store URL` also says where: give each its own flag."""
    if "check" not in arguments[:1]:
        return arguments
    found: list[str] = []
    for at, each in enumerate(arguments):
        following = arguments[at + 1] if at + 1 < len(arguments) else ""
        if each == "--store":
            found += [STORED, "--store"] if following.startswith(_URLS) else [STORED]
        elif each.startswith("--store="):
            found += [STORED, each]
        else:
            found.append(each)
    return found
