"""Write the committed schemas again from the code."""

import sys
from pathlib import Path

from amends.schemas.export import schema_files

SCHEMAS = Path(__file__).resolve().parents[1] / "schemas"


def main() -> int:
    """Return the exit code: 1 if a committed file was not what the code says."""
    changed = []
    for schema in schema_files():
        file = SCHEMAS / schema.form / schema.file
        if not file.exists() or file.read_text() != schema.text:
            file.write_text(schema.text)
            changed.append(file)
    said = {SCHEMAS / schema.form / schema.file for schema in schema_files()}
    left = {*SCHEMAS.glob("avro/*.avsc"), *SCHEMAS.glob("json/*.json")} - said
    for file in changed:
        print(f"{file}: did not say what the code says, and was written again: look at the change and commit it")
    for file in sorted(left):
        print(f"{file}: comes from no schema of the code")
    return 1 if changed or left else 0


if __name__ == "__main__":
    sys.exit(main())
