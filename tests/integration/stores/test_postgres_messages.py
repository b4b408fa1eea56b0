"""A message and a wait of one key on PostgreSQL: the second waits until the first has committed, and sees it."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final

import psycopg
import pytest

from amends.connectors.stores import open_store
from amends.connectors.stores.postgres.connections import SCHEMA
from amends.connectors.stores.postgres.writer import LOCK_KEY
from tests.contract.stores.builders import saga_id
from tests.contract.stores.test_messages import Waits, brought, sent, wait
from tests.servers.waiting import wait_until

pytestmark = pytest.mark.postgres
INSERT_AWAITED: Final = f"""INSERT INTO {SCHEMA}.awaited (saga_id, path, shard, correlation_key, type)
    VALUES (%s, 'goods', 0, 'A-12', 'Arrival')"""
INSERT_MESSAGE: Final = f"""INSERT INTO {SCHEMA}.messages (message_id, correlation_key, type, awaited_as, body, topic,
    partition, "offset", received_at, expires_at, actor)
    VALUES ('m1', 'A-12', 'Arrival', 'Arrival', '1', 't', 0, 1, 0, 4000000000000000, 'kim')"""


@pytest.mark.parametrize("first", ["the wait", "the message"])
def test_the_second_of_two_at_once_sees_what_the_first_has_not_committed_yet(
    postgres: str, tmp_path: Path, first: str
) -> None:
    store = open_store(postgres, data_dir=tmp_path, shards=1)
    waits = Waits(store)
    sends, begins = (lambda: store.put_messages([sent()])), (lambda: waits.begin(wait()))
    second: Callable[[], object] = sends if first == "the wait" else begins
    with psycopg.connect(postgres) as open_transaction, psycopg.connect(postgres, autocommit=True) as watch:
        open_transaction.execute(LOCK_KEY.replace("?", "%s"), ("A-12",))
        if first == "the wait":
            open_transaction.execute(INSERT_AWAITED, (saga_id("a"),))
        else:
            open_transaction.execute(INSERT_MESSAGE)
        thread = threading.Thread(target=second)
        thread.start()
        wait_until(lambda: waiting_for_a_lock(watch), within_s=20, what="the second waits for the first")
        assert brought(store) == []
        open_transaction.commit()
        thread.join(20)
    assert [each[:2] for each in brought(store)] == [(saga_id("a"), "m1")]
    assert store.awaited() == []
    store.close()


def waiting_for_a_lock(watch: psycopg.Connection[tuple[int]]) -> bool:
    found = watch.execute(
        "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    ).fetchone()
    return found is not None and found[0] > 0
