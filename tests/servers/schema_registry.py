"""A real schema registry that speaks the Confluent protocol: Apicurio, which keeps everything in memory."""

from tests.servers import tools
from tests.servers.ports import LOOPBACK, is_open
from tests.servers.server import LocalServer


class SchemaRegistryServer(LocalServer):
    """`url` is what AMENDS_SCHEMA_REGISTRY takes."""

    name = "schema-registry"

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self.ports[0]}/apis/ccompat/v7"

    def prepare(self) -> None:
        """Nothing is read but the command line."""

    def command(self) -> list[str]:
        listen = [f"-Dquarkus.http.host={LOOPBACK}", f"-Dquarkus.http.port={self.ports[0]}"]
        heap = ["-Xmx256m", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData", f"-Djava.io.tmpdir={self.folder}"]
        return [tools.java(), *heap, *listen, "-jar", str(tools.schema_registry_jar())]

    def is_ready(self) -> bool:
        return is_open(self.ports[0])
