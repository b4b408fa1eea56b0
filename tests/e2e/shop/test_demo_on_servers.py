"""The demo on a real Kafka and a real PostgreSQL tells the same, and leaves nothing there for ever."""

import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest
from confluent_kafka.admin import AdminClient

from tests.e2e.shop.playing import FOLDER, left_running, play, playing

pytestmark = [
    pytest.mark.timeout(300),
    pytest.mark.skipif(sys.platform != "linux", reason="what runs is read from /proc, which Linux alone has"),
]


def test_it_tells_the_same_on_real_servers_and_the_next_demo_cleans_up_there(
    kafka: str, postgres_server: str, tmp_path: Path
) -> None:
    played = play(tmp_path, AMENDS_BUS=f"kafka://{kafka}", AMENDS_STORE=postgres_server)
    assert (played.code, played.complained) == (0, "")
    for facts in (
        ("kill -9, while A-1028 had just been charged",),
        ("25 payments for 25 orders, never twice for the same",),
        ("40 records: 30 runs, 3 duplicates and 7 dead letters.",),
        ("order v1 · order A-1019 · ↩ compensated",),
        ("order v2 · order A-1032 · ✔ completed",),
        ("The books balance.",),
    ):
        assert played.has(*facts), facts
    assert left_running(tmp_path) == []

    password = urlsplit(postgres_server).password
    assert password is None or password not in played.said
    settings = played.data / "amends.toml"
    assert settings.stat().st_mode & 0o077 == 0  # It holds the password.

    named = re.findall(r"^   (amends .*--config \.amends-demo/amends\.toml)$", played.said, re.MULTILINE)
    assert [command.split()[1] for command in named] == ["runs", "runs", "replay", "triggers", "dead-letters", "audit"]
    path = f"{Path(sys.executable).parent}:/usr/bin:/bin"
    for command in [*named, "amends audit verify --all --from-topic --config .amends-demo/amends.toml"]:
        done = subprocess.run(
            command, shell=True, cwd=tmp_path, env={"PATH": path}, capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stderr) == (0, ""), command
        assert done.stdout, command

    run = re.findall(r"(shop-demo-[0-9a-f]{6})\.orders", played.said)[0]
    assert topics_of(kafka, run) >= {f"{run}.orders", f"{run}.outcomes", f"{run}.audit"}
    assert has_database(postgres_server, run.replace("-", "_"))
    with playing(tmp_path) as demo:
        demo.until("1. The participants are running")
        demo.interrupt()
        assert demo.end().code == 130
    assert topics_of(kafka, run) == set()
    assert not has_database(postgres_server, run.replace("-", "_"))


def test_servers_that_are_away_are_named_before_anything_begins(tmp_path: Path) -> None:
    refused = play(tmp_path, AMENDS_STORE="postgresql://amends:hidden@127.0.0.1:1/db")
    assert (refused.code, refused.said) == (2, "")
    assert refused.complained.startswith("error AM6003: ")
    assert "hidden" not in refused.complained
    assert left_running(tmp_path) == []
    assert [path.name for path in tmp_path.iterdir()] == [FOLDER]


def topics_of(kafka: str, run: str) -> set[str]:
    admin = AdminClient({"bootstrap.servers": kafka})
    return {topic for topic in admin.list_topics(timeout=10).topics if topic.startswith(f"{run}.")}


def has_database(server: str, name: str) -> bool:
    with psycopg.connect(server) as connection:
        found = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone()
    return found is not None
