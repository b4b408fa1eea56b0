"""Look locked dependencies up for known vulnerabilities: exit 1 if there are any. No index answers: say so, pass."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any


def main() -> int:
    """Return the exit code."""
    return max(audit(lock) for lock in sys.argv[1:])


def audit(lock: str) -> int:
    """Return 1 if a dependency in `lock` has a known vulnerability."""
    auditor = Path(sys.executable).with_name("pip-audit")
    command = [str(auditor), "--requirement", lock, "--require-hashes", "--disable-pip", "--format", "json"]
    ran = subprocess.run([*command, "--progress-spinner", "off"], capture_output=True, text=True, check=False)  # noqa: S603 - our own words
    try:
        dependencies: list[dict[str, Any]] = json.loads(ran.stdout)["dependencies"]
    except json.JSONDecodeError:
        if "requests.exceptions" not in ran.stderr:
            print(f"{lock}: pip-audit failed\n{ran.stderr}")
            return 1
        print(f"{lock}: NOT AUDITED, no index answers: {ran.stderr.strip().splitlines()[-1]}")
        return 0
    looked_up = [dependency for dependency in dependencies if "skip_reason" not in dependency]
    found = [dependency for dependency in looked_up if dependency["vulns"]]
    for dependency in found:
        for vulnerability in dependency["vulns"]:
            fixed = ", ".join(vulnerability["fix_versions"]) or "no version yet"
            print(f"{lock}: {dependency['name']} {dependency['version']}: {vulnerability['id']}, fixed in {fixed}")
    unknown = len(dependencies) - len(looked_up)
    print(f"{lock}: {len(looked_up)} audited, {len(found)} vulnerable, {unknown} NOT AUDITED: unknown to the index")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
