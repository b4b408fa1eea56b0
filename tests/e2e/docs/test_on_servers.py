"""docs/on-servers.md: its commands print what it shows, on a real Kafka and a real PostgreSQL."""

import subprocess
import sys
from pathlib import Path

import pytest

from amends.coordinator.config import without_password
from tests.docs.console import play
from tests.docs.pages import DOCS, files_of
from tests.servers.kafka import KafkaServer


@pytest.mark.timeout(180)
def test_the_page_about_servers_prints_what_it_shows(own_kafka: KafkaServer, postgres: str, tmp_path: Path) -> None:
    for name, text in files_of(DOCS / "getting-started.md").items():
        (tmp_path / name).write_text(text)
    subprocess.run([sys.executable, "make_stock.py"], cwd=tmp_path, check=True)
    wrong = play(
        DOCS / "on-servers.md",
        tmp_path,
        settings={"AMENDS_BUS": f"kafka://{own_kafka.address}", "AMENDS_STORE": postgres},
        stand_ins={without_password(postgres): "postgresql://amends:***@127.0.0.1:5432/amends"},
    )
    assert not wrong, "\n\n".join(wrong)
