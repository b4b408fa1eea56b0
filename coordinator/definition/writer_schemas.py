"""The Avro schemas that `Topic(schemas=…)` lists: files beside the module that makes the saga."""

import glob
from collections.abc import Mapping
from pathlib import Path

from amends.coordinator.definition.findings import Finding, finding
from amends.coordinator.definition.places import Place


def listed_schemas(pattern: str | None, *, at: Place, saga: str, findings: list[Finding]) -> Mapping[str, str]:
    """The files a `Topic(schemas=…)` matches, beside the module that made the saga: name to text."""
    if pattern is None:
        return {}
    folder = Path(at.file).parent
    names = sorted(glob.glob(pattern, root_dir=folder, recursive=True))  # noqa: PTH207  a pattern may begin with ..
    texts: dict[str, str] = {}
    for name in names:
        try:
            texts[name] = (folder / name).read_text()
            _refuse_no_schema(texts[name])
        except (OSError, ValueError) as error:
            findings.append(_finding(f"{name} is no Avro schema: {' '.join(str(error).split())}", at=at, saga=saga))
    if not names:
        findings.append(_finding(f"Topic(schemas={pattern!r}) matches no file beside this module", at=at, saga=saga))
    return texts


def _refuse_no_schema(text: str) -> None:
    from amends.schemas.avro.codec import writer_schema  # noqa: PLC0415  the Avro codec is loaded only where there are files

    writer_schema(text)


def _finding(what: str, *, at: Place, saga: str) -> Finding:
    return finding("AM1074", what, do=_DO, at=at, saga=saga)


_DO = "name .avsc files by a pattern seen from the module's folder: schemas='avro/*.avsc'"
