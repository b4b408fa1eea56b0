"""Bring what the servers need onto this machine: Debian packages where we may, and Kafka's jars from Maven Central."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

from tests.servers import tools
from tests.servers.folders import scratch_folder
from tests.servers.kafka import KafkaServer

CLUSTER_SETTINGS = Path("/etc/postgresql-common/createcluster.conf")


def install() -> None:
    """Install what is missing and nothing else. Raises `Missing` where that takes rights that we have not."""
    packages = [package for package, finds in _NEEDS.items() if not _is_here(finds)]
    if not tools.kafka_folder().exists() and shutil.which("mvn") is None:
        packages.append("maven")
    if packages:
        _apt_install(packages)
    if not tools.kafka_folder().exists():
        _fetch_kafka()
    if not (tools.kafka_folder() / "classes.jsa").exists():
        _archive_classes()


_NEEDS: dict[str, Callable[[], object]] = {
    "openjdk-17-jre-headless": tools.java,
    "postgresql": tools.postgres_bin,
    "kcat": tools.kcat,
}


def _is_here(finds: Callable[[], object]) -> bool:
    try:
        finds()
    except tools.Missing:
        return False
    return True


def _apt_install(packages: list[str]) -> None:
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise tools.Missing(
            f"not installed: {' '.join(packages)}; install them, on Debian by: apt-get install {' '.join(packages)}"
        )
    print(f"installing {' '.join(packages)}", flush=True)
    _apt("update")
    if "openjdk-17-jre-headless" in packages and not _apt_has("openjdk-17-jre-headless"):
        packages[packages.index("openjdk-17-jre-headless")] = "default-jre-headless"  # newer Debians have a newer Java
    if "postgresql" in packages:
        _without_a_cluster(lambda: _apt("install", "postgresql"))
    _apt("install", *packages)
    tools.java.cache_clear()
    tools.postgres_bin.cache_clear()


def _without_a_cluster(install_postgres: Callable[[], None]) -> None:
    """Keep Debian from making a cluster and starting a server of its own: only the programs are wanted."""
    _apt("install", "postgresql-common")
    before = CLUSTER_SETTINGS.read_text()
    CLUSTER_SETTINGS.write_text(f"{before}\ncreate_main_cluster = false\n")
    try:
        install_postgres()
    finally:
        CLUSTER_SETTINGS.write_text(before)


def _apt(command: str, *packages: str) -> None:
    options = ["-y", "--no-install-recommends"] if command == "install" else []
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    subprocess.run(["apt-get", "-q", command, *options, *packages], check=True, env=environment, timeout=600)


def _apt_has(package: str) -> bool:
    said = subprocess.run(
        ["apt-cache", "policy", package], capture_output=True, text=True, check=True, timeout=60
    ).stdout
    return "Candidate:" in said and "Candidate: (none)" not in said


def _fetch_kafka() -> None:
    """Copy the jars beside their place and move them in one step, so that the folder is there only when complete."""
    print("fetching Kafka's jars", flush=True)
    final = tools.kafka_folder()
    final.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=final.parent) as temporary:
        copy = ["dependency:copy-dependencies", "-DincludeScope=runtime", f"-DoutputDirectory={temporary}/new/lib"]
        strict = ["--strict-checksums", "--batch-mode", "--quiet"]
        subprocess.run(
            ["mvn", *strict, "--file", str(tools.POM), *copy], check=True, timeout=600, stdin=subprocess.DEVNULL
        )
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
