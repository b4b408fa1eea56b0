"""`amends schemas list|export|check`."""

from pathlib import Path
from typing import Annotated, Any, Final

import typer

from amends.coordinator.cli.call import Call, command
from amends.coordinator.cli.groups import SCHEMAS
from amends.coordinator.errors import UsageError

_HEADS: Final = ("name", "topic", "form", "file", "uri")


@command(SCHEMAS, "list", example="amends schemas list")
def list_schemas(call: Call) -> None:
    """The schemas of everything that is published, and of what is kept for later."""
    from amends.coordinator.cli.output import columns, show_list
    from amends.schemas.export import schema_files

    def text(found: list[dict[str, Any]]) -> str:
        rows = [[*(str(each[name]) for name in _HEADS[:-1]), each["uri"] + _remark(each)] for each in found]
        return columns(rows, heads=_HEADS, fold=True)

    prefix = call.settings.topic_prefix
    found = [
        {
            "name": each.name,
            "topic": f"{prefix}.{each.topic}",
            "form": each.form,
            "uri": each.uri,
            "file": each.file,
            "in_use": each.in_use,
        }
        for each in schema_files()
    ]
    show_list(call, found, text)


def _remark(facts: dict[str, Any]) -> str:
    return "" if facts["in_use"] else ", kept for later"


@command(SCHEMAS, "export", example="amends schemas export build/schemas")
def export(
    call: Call,
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Made if it is missing.")],
) -> None:
    """Write them as .avsc and .schema.json files."""
    from amends.coordinator.cli.output import show_list
    from amends.schemas.export import schema_files

    written: list[dict[str, Any]] = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for each in schema_files():
            (folder / each.file).write_text(each.text, encoding="utf-8")
            written.append({"file": str(folder / each.file), "name": each.name, "form": each.form})
    except OSError as error:
        raise UsageError(
            "AM5005", f"{folder} cannot be written: {error.strerror}", do="name a folder that you may write"
        ) from None
    show_list(call, written, lambda rows: "\n".join(f"✔ {row['file']}" for row in rows))


@command(SCHEMAS, "check", example="amends schemas check")
def check(call: Call) -> int:
    """Whether readers of the last release can read what is written today, and the other way round."""
    from amends.coordinator.cli.output import columns, show_list
    from amends.schemas.export import compatibility_faults

    version, released = _last_release()
    faults = compatibility_faults(released)
    facts = [{"file": each.file, "direction": each.direction, "detail": each.detail} for each in faults]

    def text(rows: list[dict[str, Any]]) -> str:
        if not rows:
            return f"✔ {len(released)} schemas can be read by, and can read, release {version}"
        return columns([["✖", row["file"], row["direction"], row["detail"]] for row in rows], fold=True)

    show_list(call, facts, text)
    return 1 if faults else 0


def _last_release() -> tuple[str, dict[str, str]]:
    """The schemas of the newest release that is kept beside ours, by file name."""
    import amends.schemas

    folders = [each for each in (Path(amends.schemas.__file__).parent / "released").iterdir() if each.is_dir()]
    newest = max(folders, key=lambda each: [int(part) for part in each.name.split(".")])
    return newest.name, {each.name: each.read_text(encoding="utf-8") for each in sorted(newest.iterdir())}
