"""A real PostgreSQL server with a folder, a port and a password of its own."""

import secrets
import shutil
import signal
import subprocess
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
from psycopg import sql

from tests.servers import tools
from tests.servers.ports import LOOPBACK
from tests.servers.server import LocalServer, as_user

USER = "amends"
FOR_SHORT_TESTS = {
    "fsync": "off",  # a killed server loses nothing by it, only a machine without power would
    "full_page_writes": "off",
    "max_connections": "200",
    "shared_buffers": "64MB",
    "timezone": "Asia/Kolkata",  # no test may rest on a server in UTC
}


class PostgresServer(LocalServer):
    """`settings` go over the defaults above."""

    name = "postgres"
    stop_signal = signal.SIGINT  # "fast": sessions are ended, not waited for
    death_signal = "QUIT"  # "immediate": it takes its children and its shared memory along
    user = "postgres"  # PostgreSQL refuses to run as root

    def __init__(self, folder: Path, *, settings: Mapping[str, str] | None = None, outlives_us: bool = False) -> None:
        super().__init__(folder, outlives_us=outlives_us)
        self.settings = {**FOR_SHORT_TESTS, **(settings or {})}
        self.password = secrets.token_hex(8)

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def url(self) -> str:
        """The maintenance database, as a superuser; tests take `new_database(server.url)`."""
        return f"postgresql://{USER}:{self.password}@{LOOPBACK}:{self.ports[0]}/postgres"

    def prepare(self) -> None:
        """Make the cluster before the first start."""
        if self.data.exists():
            return
        self.data.mkdir(mode=0o700)
        password = self.folder / "password"
        password.write_text(self.password)
        password.chmod(0o600)
        if as_user(self.user):
            shutil.chown(self.data, self.user)
            shutil.chown(password, self.user)
        initdb = [str(tools.postgres_bin() / "initdb"), "--pgdata", str(self.data), "--username", USER]
        initdb += ["--pwfile", str(password), "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-sync"]
        with self.log.open("ab") as log:
            subprocess.run(
                [*as_user(self.user), *initdb], cwd=self.folder, stdout=log, stderr=log, check=True, timeout=60
            )

    def command(self) -> list[str]:
        settings = {
            "listen_addresses": LOOPBACK,
            "port": str(self.ports[0]),
            "unix_socket_directories": "",
            **self.settings,
        }
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        return [str(tools.postgres_bin() / "postgres"), "-D", str(self.data), *options]

    def is_ready(self) -> bool:
        """Read what the server itself writes; a file of a killed predecessor names another pid."""
        try:
            status = (self.data / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return False
        return status[:1] == [str(self.pid)] and status[7:8] == ["ready   "]


@contextmanager
def new_database(server_url: str) -> Iterator[str]:
    """Make an empty database, give its URL, and drop it whoever is still connected. The user must be allowed to."""
    name = f"t{uuid.uuid4().hex[:12]}"
    _execute(server_url, "CREATE DATABASE {} TEMPLATE template0", name)
    try:
        yield urlsplit(server_url)._replace(path=f"/{name}").geturl()
    finally:
        _execute(server_url, "DROP DATABASE IF EXISTS {} WITH (FORCE)", name)


def _execute(server_url: str, statement: str, name: str) -> None:
    with psycopg.connect(server_url, autocommit=True, connect_timeout=10) as connection:
        connection.execute(sql.SQL(statement).format(sql.Identifier(name)))
