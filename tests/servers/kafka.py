"""A real Kafka broker: one KRaft node, ready in about a second."""

import uuid
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from pathlib import Path

from tests.servers import tools
from tests.servers.ports import LOOPBACK, is_open
from tests.servers.server import LocalServer

FOR_ONE_NODE = {
    "offsets.topic.replication.factor": "1",  # without these three, groups and transactions time out without a word
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "offsets.topic.num.partitions": "4",
    "transaction.state.log.num.partitions": "4",
    "num.network.threads": "2",
    "num.io.threads": "4",
}
FOR_SHORT_TESTS = {
    "auto.create.topics.enable": "false",
    "group.initial.rebalance.delay.ms": "0",  # else a group's first join takes 3 s
    "group.min.session.timeout.ms": "500",
    "transaction.abort.timed.out.transaction.cleanup.interval.ms": "500",
    "broker.session.timeout.ms": "2000",  # else the start after a kill -9 waits 9 s for the former self
    "broker.heartbeat.interval.ms": "500",
}


class KafkaServer(LocalServer):
    """`settings` go over the defaults above, into the broker's own configuration."""

    name = "kafka"
    ports_needed = 2

    def __init__(
        self,
        folder: Path,
        *,
        settings: Mapping[str, str] | None = None,
        heap_mb: int = 384,
        jvm_options: tuple[str, ...] = (),
        outlives_us: bool = False,
    ) -> None:
        super().__init__(folder, outlives_us=outlives_us)
        self.settings = dict(settings or {})
        self.heap_mb = heap_mb
        self.jvm_options = jvm_options

    @property
    def address(self) -> str:
        """`host:port`, as clients want it."""
        return f"{LOOPBACK}:{self.ports[0]}"

    @property
    def data(self) -> Path:
        return self.folder / "data"

    def prepare(self) -> None:
        """Write the configuration, and before the first start what `StorageTool format` would write, a JVM faster."""
        self.data.mkdir(exist_ok=True)
        meta = self.data / "meta.properties"
        if not meta.exists():
            cluster = urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
            write_properties(meta, {"version": "1", "cluster.id": cluster, "node.id": "1"})
        write_properties(self.folder / "server.properties", self.configuration())

    def command(self) -> list[str]:
        return [*self.jvm(), "kafka.Kafka", str(self.folder / "server.properties")]

    def jvm(self) -> list[str]:
        """Return the start of a command that runs one of the jars' classes."""
        lib = tools.kafka_lib()
        archive = lib.with_name("classes.jsa")
        sharing = [f"-XX:SharedArchiveFile={archive}", "-Xshare:auto"] if archive.exists() else []
        options = self.jvm_options or sharing
        heap = [f"-Xmx{self.heap_mb}m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-XX:-UsePerfData"]
        logging = "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"
        return [tools.java(), *heap, *options, logging, "-cp", ":".join(map(str, sorted(lib.glob("*.jar"))))]

    def is_ready(self) -> bool:
        return is_open(self.ports[0])

    def configuration(self) -> dict[str, str]:
        """Return all that server.properties holds."""
        clients, controller = self.ports[:2]
        return {
            "process.roles": "broker,controller",
            "node.id": "1",
            "listeners": f"PLAINTEXT://{LOOPBACK}:{clients},CONTROLLER://{LOOPBACK}:{controller}",
            "controller.listener.names": "CONTROLLER",
            "controller.quorum.voters": f"1@{LOOPBACK}:{controller}",
            "log.dirs": str(self.data),
            **FOR_ONE_NODE,
            **FOR_SHORT_TESTS,
            **self.settings,
        }


def write_properties(file: Path, values: Mapping[str, str]) -> None:
    """Write a Java properties file. The values must need no escaping."""
    file.write_text("".join(f"{name}={value}\n" for name, value in values.items()))
