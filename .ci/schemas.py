"""Write the committed schemas again from the code, Avro and JSON."""

import sys
from pathlib import Path

from amends.schemas.export import schema_files

FOLDER = Path(__file__).resolve().parents[1] / "schemas"


def main() -> int:
    """Return the exit code: 1 if a committed file was not what the code says."""
    said = {FOLDER / schema.form / schema.file: schema.text for schema in schema_files()}
    changed = [file for file, text in said.items() if not file.exists() or file.read_text() != text]
    for file in changed:
        file.write_text(said[file])
        print(f"{file}: did not say what the code says, and was written again: look at the change and commit it")
    left = {*FOLDER.glob("avro/*.avsc"), *FOLDER.glob("json/*.json")} - said.keys()
    for file in sorted(left):
        print(f"{file}: comes from no schema of the code")
    return 1 if changed or left else 0


if __name__ == "__main__":
    sys.exit(main())
