"""What the servers need of the machine, and where it is."""

import hashlib
import os
import re
import shutil
import subprocess
from functools import cache
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
CACHE = CHECKOUT / ".cache"
POM = Path(__file__).with_name("pom.xml")
SCHEMA_REGISTRY = ("apicurio-registry-app", "2.6.13.Final")
"""Its archive on Maven Central, of the group io.apicurio. Version 3 needs a newer Java than Kafka does."""
JAVA_MIN = 17
POSTGRES_MIN = 15
"""What compose.yaml runs, and the oldest that is tested: Debian 12 has it."""


class Missing(Exception):
    """Something is not installed here. `make servers` puts it right, or says what to do."""


@cache
def java() -> str:
    """Return the path of a Java that Kafka runs on."""
    home = os.environ.get("JAVA_HOME")
    found = shutil.which("java", path=f"{home}/bin" if home else None)
    if found is None:
        raise Missing(f"Java {JAVA_MIN} is not installed")
    said = subprocess.run([found, "-version"], capture_output=True, text=True, check=True, timeout=30).stderr
    version = re.search(r'version "(\d+)', said)
    if version is None or int(version[1]) < JAVA_MIN:
        raise Missing(f"Java {JAVA_MIN} or newer is not installed, {found} is {said.splitlines()[0]}")
    return found


def kafka_folder() -> Path:
    """Where the broker's jars belong; a changed pom.xml means another folder."""
    return CACHE / "kafka" / hashlib.sha256(POM.read_bytes()).hexdigest()[:12]


def kafka_lib() -> Path:
    """Return the folder of the broker's jars. It exists only when complete."""
    lib = kafka_folder() / "lib"
    if not lib.is_dir():
        raise Missing("Kafka's jars are not in .cache/kafka")
    return lib


def schema_registry_folder() -> Path:
    """Where the schema registry belongs."""
    return CACHE / "schema-registry" / SCHEMA_REGISTRY[1]


def schema_registry_jar() -> Path:
    """Return the jar that starts the schema registry. It exists only when all is there."""
    name, version = SCHEMA_REGISTRY
    jar = schema_registry_folder() / f"{name}-{version}-runner.jar"
    if not jar.exists():
        raise Missing("the schema registry is not in .cache/schema-registry")
    return jar


@cache
def postgres_bin() -> Path:
    """Return the folder that holds `initdb` and `postgres`, the newest version first."""
    debian = sorted(
        Path("/usr/lib/postgresql").glob("*/bin"), key=lambda folder: float(folder.parent.name), reverse=True
    )
    on_path = [Path(found).resolve().parent for found in [shutil.which("postgres")] if found]
    for folder in [*debian, *on_path]:
        if all((folder / program).exists() for program in ("initdb", "postgres")):
            return folder
    raise Missing("PostgreSQL is not installed")


def kcat() -> str:
    """Return the path of kcat, an independent Kafka client."""
    if found := shutil.which("kcat"):
        return found
    raise Missing("kcat is not installed")
