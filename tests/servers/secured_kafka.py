"""A Kafka broker that asks who you are: TLS with its own certificate authority, PLAIN and SCRAM-SHA-256, and ACLs."""

import secrets
import subprocess
from pathlib import Path

from tests.servers.kafka import KafkaServer, write_properties
from tests.servers.ports import LOOPBACK


class SecuredKafkaServer(KafkaServer):
    """`address` speaks SASL_SSL. `user_name` has `password` by either mechanism; `ca_file` proves the broker."""

    ports_needed = 3
    user_name = "alice"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.password = secrets.token_hex(8)

    @property
    def ca_file(self) -> Path:
        return self.folder / "ca.crt"

    def prepare(self) -> None:
        """Make the certificates, and let StorageTool write the user down, before the first start."""
        first = not self.data.exists()
        write_properties(self.folder / "server.properties", self.configuration())
        if first:
            self._make_certificates()
            self._format()

    def configuration(self) -> dict[str, str]:
        clients, controller, internal = self.ports
        module = "org.apache.kafka.common.security"
        return {
            **super().configuration(),
            "listeners": f"SASL_SSL://{LOOPBACK}:{clients},CONTROLLER://{LOOPBACK}:{controller},"
            f"INTERNAL://{LOOPBACK}:{internal}",
            "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,INTERNAL:PLAINTEXT,SASL_SSL:SASL_SSL",
            "inter.broker.listener.name": "INTERNAL",
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "allow.everyone.if.no.acl.found": "true",
            "super.users": "User:ANONYMOUS",  # the broker itself, on the listeners that ask nobody
            "sasl.enabled.mechanisms": "SCRAM-SHA-256,PLAIN",
            "listener.name.sasl_ssl.scram-sha-256.sasl.jaas.config": f"{module}.scram.ScramLoginModule required;",
            "listener.name.sasl_ssl.plain.sasl.jaas.config": f"{module}.plain.PlainLoginModule required "
            f'user_{self.user_name}="{self.password}";',
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": str(self.folder / "server.pem"),
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": str(self.ca_file),
        }

    def _format(self) -> None:
        cluster = ("--cluster-id", secrets.token_hex(11))
        scram = ("--add-scram", f"SCRAM-SHA-256=[name={self.user_name},password={self.password}]")
        config = ("--config", self.folder / "server.properties")
        self._run(*self.jvm(), "kafka.tools.StorageTool", "format", *cluster, *config, *scram)

    def _make_certificates(self) -> None:
        key, request, certificate = (self.folder / f"server.{end}" for end in ("key", "csr", "crt"))
        authority_key, extensions = self.folder / "ca.key", self.folder / "extensions"
        extensions.write_text(f"subjectAltName=IP:{LOOPBACK}\n")
        new_key = ("-newkey", "rsa:2048", "-nodes", "-keyout")
        authority = ("-CA", self.ca_file, "-CAkey", authority_key, "-CAcreateserial", "-extfile", extensions)
        extension = ("-addext", "keyUsage=critical,keyCertSign,cRLSign")
        self._run(
            "openssl", "req", "-x509", *new_key, authority_key, "-subj", "/CN=tests", *extension, "-out", self.ca_file
        )
        self._run("openssl", "req", *new_key, key, "-subj", f"/CN={LOOPBACK}", "-out", request)
        self._run("openssl", "x509", "-req", "-in", request, *authority, "-out", certificate)
        (self.folder / "server.pem").write_text(key.read_text() + certificate.read_text())

    def _run(self, *command: object) -> None:
        with self.log.open("ab") as log:
            subprocess.run(list(map(str, command)), cwd=self.folder, stdout=log, stderr=log, check=True, timeout=60)
