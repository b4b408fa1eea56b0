"""Erasing on PostgreSQL: nothing of what stood in clear stays in the files of its tables."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import psycopg
import pytest

from amends.connectors.stores import open_store
from amends.connectors.stores.postgres.connections import SCHEMA, SESSION
from amends.coordinator.errors import StoreUnavailable
from amends.coordinator.ports.rows import InboxRow
from amends.coordinator.ports.store import Store
from tests.contract.stores.builders import T0, Owner, local, run, saga_id
from tests.contract.stores.test_messages import sent
from tests.contract.stores.test_subjects import WRAPPED, ended, subject

pytestmark = pytest.mark.postgres
SAID: Final = b"come-to-the-analytical-engine"
TABLES: Final = ("subjects", "records", "dead_letters", "inbox", "messages")


@pytest.fixture
def store(postgres: str, tmp_path: Path) -> Iterator[Store]:
    """A subject whose key, trigger, message and a wish for its run came and went among those of others."""
    store = open_store(postgres, data_dir=tmp_path, shards=1)
    store.put_subjects([subject()])
    store.publish([local("letters", SAID), local("letters", b"another")])
    store.put_messages([sent("m", "K", body=f'"{SAID.decode()}"'), sent("n", "L")])
    store.put_inbox([InboxRow(shard=0, message_id="w", body=SAID)])
    owner = Owner(store)
    owner.append(owner.part(0, [("a", 1)], started=[run("a", offset=0)]), sealed=(("key-ada", saga_id("a")),))
    owner.append(owner.part(0, [("a", 2)], changed=[ended("a")], inbox_done=("w",)))
    owner.append(owner.part(0, [("b", 1)], started=[run("b")]))
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute(f"UPDATE {SCHEMA}.origins SET topic = 'letters'")
    yield store
    store.close()


def held(postgres: str, *texts: bytes) -> set[str]:
    """The tables in whose files a text stands."""
    found = set()
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute("CHECKPOINT")
        for table in TABLES:
            where = f"SELECT pg_read_binary_file(pg_relation_filepath('{SCHEMA}.{table}'))".encode()
            row = connection.execute(where).fetchone()
            assert row is not None, "a table has a file"
            found |= {table for text in texts if text in bytes(row[0])}
    return found


def test_what_stood_in_clear_leaves_the_files_of_the_tables(store: Store, postgres: str) -> None:
    assert held(postgres, SAID, WRAPPED) == {"subjects", "records", "inbox", "messages"}
    store.erase_subject("hash-ada", reason="asked to", by="ops", at=T0, waited=[("K", "Arrival")])
    store.scrub()
    assert held(postgres, SAID, WRAPPED) == set()
    assert held(postgres, b"another") == {"records"}
    assert [row.message_id for row in store.messages(key="L")] == ["n"]


def test_a_table_that_somebody_reads_just_now_is_not_waited_for_for_ever(
    store: Store, postgres: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(SESSION, "lock_timeout", "200ms")
    with psycopg.connect(postgres) as reading:
        reading.execute(f"SELECT count(*) FROM {SCHEMA}.records")
        with pytest.raises(StoreUnavailable) as busy:
            store.scrub()
    assert busy.value.code == "AM0310"
    store.scrub()
