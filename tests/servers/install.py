"""Bring what the servers need onto this machine: Debian packages where we may, and Kafka's jars from Maven Central."""

import fcntl
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

from tests.servers import tools
from tests.servers.folders import scratch_folder
from tests.servers.kafka import KafkaServer

PACKAGES: dict[str, Callable[[], object]] = {
    "openjdk-17-jre-headless|default-jre-headless": tools.java,
    "postgresql": tools.postgres_bin,
    "kcat": tools.kcat,
}


def install() -> None:
    """Install what is missing and nothing else. Raises `Missing` where that takes rights that we have not."""
    packages = [package for package, find in PACKAGES.items() if not _is_here(find)]
    if not tools.kafka_folder().exists() and shutil.which("mvn") is None:
        packages.append("maven")
    if packages:
        print(f"installing {' '.join(packages)}", flush=True)
        installed = subprocess.run([tools.CHECKOUT / ".ci" / "debian", *packages], check=False, timeout=900)
        if installed.returncode != 0:
            raise tools.Missing("not all that the servers need could be installed")
        tools.java.cache_clear()
        tools.postgres_bin.cache_clear()
    fetch_kafka()


def fetch_kafka() -> None:
    """Bring Kafka's jars where Java and Maven are: into .cache of this checkout, once."""
    if not _is_here(tools.java) or shutil.which("mvn") is None:
        return
    tools.kafka_folder().parent.mkdir(parents=True, exist_ok=True)
    with (tools.kafka_folder().parent / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not tools.kafka_folder().exists():
            _copy_jars()
        if not (tools.kafka_folder() / "classes.jsa").exists():
            _archive_classes()


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
        copy = ["dependency:copy-dependencies", "-DincludeScope=runtime", f"-DoutputDirectory={temporary}/new/lib"]
        maven = [
            "mvn",
            "--strict-checksums",
            "--batch-mode",
            "--quiet",
            "-Dstyle.color=never",
            "--file",
            str(tools.POM),
            *copy,
        ]
        if subprocess.run(maven, check=False, timeout=600, stdin=subprocess.DEVNULL).returncode != 0:
            raise tools.Missing("Kafka's jars could not be fetched by Maven")
        Path(temporary, "new").rename(final)


def _archive_classes() -> None:
    """Let a broker write down the classes it loads: those that read the archive start twice as fast."""
    archive = tools.kafka_folder() / "classes.jsa"
    unfinished = archive.with_suffix(".new")
    with scratch_folder("kafka") as folder:
        server = KafkaServer(folder, jvm_options=(f"-XX:ArchiveClassesAtExit={unfinished}",))
        with server:
            pass
    unfinished.rename(archive)
