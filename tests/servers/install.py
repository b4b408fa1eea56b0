"""Bring what the servers need onto this machine: Debian packages where we may, the rest from Maven Central."""

import fcntl
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.servers import tools
from tests.servers.folders import scratch_folder
from tests.servers.kafka import KafkaServer
from tests.servers.server import ServerFailed

PACKAGES: dict[str, Callable[[], object]] = {
    "openjdk-17-jre-headless|default-jre-headless": tools.java,
    "postgresql": tools.postgres_bin,
    "kcat": tools.kcat,
}
PLUGIN = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1"
"""As in pom.xml."""
ARCHIVED_WITHIN_S = 300.0


def install() -> None:
    """Install what is missing and nothing else. Raises `Missing` where that takes rights that we have not."""
    packages = [package for package, find in PACKAGES.items() if not _is_here(find)]
    fetched = tools.kafka_folder().exists() and tools.schema_registry_folder().exists()
    if not fetched and shutil.which("mvn") is None:
        packages.append("maven")
    if packages:
        print(f"installing {' '.join(packages)}", flush=True)
        installed = subprocess.run([tools.CHECKOUT / ".ci" / "debian", *packages], check=False, timeout=900)
        if installed.returncode != 0:
            raise tools.Missing("not all that the servers need could be installed")
        tools.java.cache_clear()
        tools.postgres_bin.cache_clear()
    fetch_kafka()
    _fetch_schema_registry()


def fetch_kafka() -> None:
    """Bring Kafka's jars where Java and Maven are: into .cache of this checkout, once."""
    if not _is_here(tools.java) or shutil.which("mvn") is None:
        return
    with _only_one(tools.kafka_folder().parent):
        if not tools.kafka_folder().exists():
            _copy_jars()
        archive = tools.kafka_folder() / "classes.jsa"
        if not archive.exists():
            archive_classes(archive)


def _fetch_schema_registry() -> None:
    final = tools.schema_registry_folder()
    name, version = tools.SCHEMA_REGISTRY
    with _only_one(final.parent), tempfile.TemporaryDirectory(dir=final.parent) as temporary:
        if final.exists():
            return
        print("fetching the schema registry (142 MB)", flush=True)
        artifact = f"io.apicurio:{name}:{version}:tar.gz:all"
        _maven(f"{PLUGIN}:copy", f"-Dartifact={artifact}", f"-DoutputDirectory={temporary}")
        unpacked = Path(temporary, "new")
        unpacked.mkdir()
        archive = f"{temporary}/{name}-{version}-all.tar.gz"
        subprocess.run(["tar", "-xzf", archive, "-C", str(unpacked)], check=True, timeout=120)
        unpacked.rename(final)


@contextmanager
def _only_one(folder: Path) -> Iterator[None]:
    """Let one process at a time fill a folder; the others wait and find it full."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _is_here(find: Callable[[], object]) -> bool:
    try:
        find()
    except tools.Missing:
        return False
    return True


def _copy_jars() -> None:
    """Copy them beside their place and move them in one step, so that the folder is there only when complete."""
    print("fetching Kafka's jars", flush=True)
    final = tools.kafka_folder()
    with tempfile.TemporaryDirectory(dir=final.parent) as temporary:
        where = ["-DincludeScope=runtime", f"-DoutputDirectory={temporary}/new/lib"]
        _maven("--file", str(tools.POM), "dependency:copy-dependencies", *where)
        Path(temporary, "new").rename(final)


def _maven(*arguments: str) -> None:
    command = ["mvn", "--strict-checksums", "--batch-mode", "--quiet", *arguments]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600, stdin=subprocess.DEVNULL)
    if ran.returncode != 0:
        raise tools.Missing(f"Maven could not fetch what a server needs: {' '.join(command)}\n{ran.stdout}")


def archive_classes(archive: Path, *, within_s: float = ARCHIVED_WITHIN_S) -> None:
    """Let a broker write down the classes it loads: those that read the archive start twice as fast.

    It writes them when it has ended, some seconds of work, on a busy machine many times that. Without them everything
    goes on as well, only slower.
    """
    print("archiving Kafka's classes", flush=True)
    unfinished = archive.with_suffix(".new")
    quiet = tuple(f"-Xlog:cds{more}=error" for more in ("", "+dynamic"))
    with scratch_folder("kafka") as folder:
        server = KafkaServer(folder, jvm_options=(f"-XX:ArchiveClassesAtExit={unfinished}", *quiet))
        try:
            server.start(within_s=within_s)
            server.stop(within_s=within_s)
        except ServerFailed as error:
            print(f"they were not archived, so that brokers start slower: {str(error).splitlines()[0]}", flush=True)
            unfinished.unlink(missing_ok=True)
            return
    if unfinished.exists():
        unfinished.rename(archive)
