"""The tables, written once for both databases; only the names of the types differ.

The log's own table `events` is made by each log, because its columns are the library's.
"""

from dataclasses import dataclass
from typing import Final

VERSION: Final = 4
"""Rises with every change of the tables; a store of a higher version is refused."""

UNFINISHED: Final = "status <> 'completed'"
"""The condition of the one index over statuses: whoever asks for completed runs reads them from the newest.

Every change of a run pays for each index that knows its status, so there is one. Queries say the condition exactly as
the index does, so that the planner sees that they fit.
"""

OPEN: Final = f"status IN ('queued', 'running', 'waiting', 'compensating', 'parked') AND {UNFINISHED}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Types:
    """How a database calls its types. `text` compares by bytes, so that prefixes and order are the same everywhere."""

    integer: str
    text: str
    data: str
    flag: str
    numbered: str
    """A row number that the database gives, as primary key."""
    run_id: str
    """The columns by which a run's row is found."""
    dead_letter_digest: str
    """What `dead_letter_digest` gives for the columns of a row."""
    clustered: str = ""
    """Behind a table that is nothing but its primary key."""


_DEAD_LETTERS_ONCE: Final = """CREATE UNIQUE INDEX dead_letters_once
    ON dead_letters (topic, partition, "offset", coalesce(saga, ''), digest)"""
"""A record that is read again is the same dead letter; another one at its place, in a topic made anew, is not."""


def create(types: Types) -> list[str]:
    """Every statement that makes an empty store, but for the log's own."""
    integer, text, data, flag = types.integer, types.text, types.data, types.flag
    return [
        f"CREATE TABLE store (version {integer} NOT NULL, incarnation {text} NOT NULL, made_at {integer} NOT NULL)",
        f"""CREATE TABLE shards (
            shard {integer} PRIMARY KEY, owner {text}, epoch {integer} NOT NULL, expires_at {integer},
            position {integer} NOT NULL, head {text} NOT NULL, clean {flag} NOT NULL)""",
        f"""CREATE TABLE leases (
            role {text} NOT NULL, shard {integer} NOT NULL, owner {text}, epoch {integer} NOT NULL,
            expires_at {integer}, position {integer} NOT NULL, clean {flag} NOT NULL, PRIMARY KEY (role, shard))""",
        f"""CREATE TABLE workers (
            role {text} NOT NULL, worker {text} NOT NULL, expires_at {integer} NOT NULL, PRIMARY KEY (role, worker))""",
        *runs(types),
        origins(types),
        f"CREATE TABLE duplicates (saga_id {text} PRIMARY KEY, count {integer} NOT NULL, origins {text} NOT NULL)",
        f"""CREATE TABLE inbox (
            id {types.numbered}, shard {integer} NOT NULL, message_id {text} NOT NULL UNIQUE, body {data} NOT NULL)""",
        "CREATE INDEX inbox_shard ON inbox (shard, id)",
        f"""CREATE TABLE definitions (
            hash {text} PRIMARY KEY, name {text} NOT NULL, version {integer} NOT NULL, body {data} NOT NULL,
            stored_at {integer} NOT NULL)""",
        f"CREATE TABLE blobs (digest {text} PRIMARY KEY, data {data} NOT NULL)",
        f"""CREATE TABLE dead_letters (
            n {integer} PRIMARY KEY, topic {text} NOT NULL, partition {integer} NOT NULL, "offset" {integer} NOT NULL,
            key {data}, value {data}, headers {text} NOT NULL, idempotency_key {text}, saga {text},
            reason {text} NOT NULL, detail {text} NOT NULL, path {text}, saga_id {text},
            size_bytes {integer} NOT NULL, at {integer} NOT NULL, redriven_at {integer},
            digest {text} NOT NULL DEFAULT '')""",
        _DEAD_LETTERS_ONCE,
        f"CREATE TABLE counters (name {text} PRIMARY KEY, value {integer} NOT NULL)",
        "INSERT INTO counters VALUES ('dead_letters', 0), ('dead_letters_relayed', 0)",
        *_relay_waits(types),
        *_subjects(types),
        *_archived(types),
        *_messages(types),
        *_locks(types),
        f"CREATE TABLE topics (topic {text} PRIMARY KEY, next_offset {integer} NOT NULL)",
        f"""CREATE TABLE records (
            topic {text} NOT NULL, "offset" {integer} NOT NULL, key {data}, value {data}, headers {text} NOT NULL,
            at {integer} NOT NULL, PRIMARY KEY (topic, "offset"))""",
        f"""CREATE TABLE consumers (
            consumer {text} NOT NULL, topic {text} NOT NULL, next_offset {integer} NOT NULL,
            PRIMARY KEY (consumer, topic))""",
    ]


def runs(types: Types) -> list[str]:
    """The index of runs. Duplicates stand apart: they are counted by workers that do not own the run's shard."""
    integer, text, flag = types.integer, types.text, types.flag
    return [
        f"""CREATE TABLE runs (
            {types.run_id}, shard {integer} NOT NULL, namespace {text} NOT NULL, saga {text} NOT NULL,
            definition_version {integer} NOT NULL, definition_hash {text} NOT NULL, idempotency_key {text} NOT NULL,
            business_key {text} NOT NULL, generation {integer} NOT NULL, request_digest {text} NOT NULL,
            status {text} NOT NULL, cause {text}, version {integer} NOT NULL, started_at {integer} NOT NULL,
            updated_at {integer} NOT NULL, ended_at {integer}, next_due_at {integer}, waiting_for {text},
            quarantined {flag} NOT NULL, duplicates {integer} NOT NULL, origins {text} NOT NULL)""",
        "CREATE INDEX runs_newest ON runs (started_at, saga_id)",
        "CREATE INDEX runs_saga ON runs (saga, started_at, saga_id)",
        "CREATE INDEX runs_idempotency_key ON runs (idempotency_key)",
        "CREATE INDEX runs_business_key ON runs (business_key)",
        f"CREATE INDEX runs_status ON runs (status, started_at, saga_id, shard) WHERE {UNFINISHED}",
    ]


def origins(types: Types) -> str:
    """Which records began or repeated which run."""
    integer, text = types.integer, types.text
    return f"""CREATE TABLE origins (
        topic {text} NOT NULL, partition {integer} NOT NULL, "offset" {integer} NOT NULL, saga_id {text} NOT NULL,
        PRIMARY KEY (topic, partition, "offset", saga_id)){types.clustered}"""


def _relay_waits(types: Types) -> list[str]:
    """Where the relay stands still, by shard; -1 stands for the dead letters."""
    integer, text = types.integer, types.text
    return [
        f"""CREATE TABLE relay_waits (
            shard {integer} PRIMARY KEY, position {integer} NOT NULL, why {text} NOT NULL, since {integer} NOT NULL)"""
    ]


def _subjects(types: Types) -> list[str]:
    """Data keys, and which runs were sealed under which. A subject has one key that is not erased."""
    integer, text = types.integer, types.text
    return [
        f"""CREATE TABLE subjects (
            key_id {text} PRIMARY KEY, subject {text} NOT NULL, label {text} NOT NULL, wrapped {types.data},
            made_at {integer} NOT NULL, held {text}, held_by {text}, held_at {integer}, erased_at {integer},
            erased_by {text}, reason {text})""",
        "CREATE UNIQUE INDEX subjects_living ON subjects (subject) WHERE erased_at IS NULL",
        f"""CREATE TABLE subject_runs (
            key_id {text} NOT NULL, saga_id {text} NOT NULL, PRIMARY KEY (key_id, saga_id)){types.clustered}""",
    ]


def _archived(types: Types) -> list[str]:
    """What stays of entries that have moved to an archive: their places and hashes, and the archive's name."""
    integer, text = types.integer, types.text
    return [
        f"""CREATE TABLE archived (
            shard {integer} NOT NULL, position {integer} NOT NULL, saga_id {text} NOT NULL, version {integer} NOT NULL,
            hash {text} NOT NULL, archive {text} NOT NULL, PRIMARY KEY (shard, position)){types.clustered}""",
        "CREATE INDEX archived_run ON archived (saga_id, version)",
    ]


def _messages(types: Types) -> list[str]:
    """Messages from outside, and what is waited for; each finds the other by key and type, the oldest first."""
    integer, text = types.integer, types.text
    return [
        f"""CREATE TABLE messages (
            n {types.numbered}, message_id {text} NOT NULL UNIQUE, correlation_key {text} NOT NULL,
            type {text} NOT NULL, awaited_as {text} NOT NULL, answer {text}, reason {text}, external_id {text},
            body {text} NOT NULL, topic {text} NOT NULL, partition {integer} NOT NULL, "offset" {integer} NOT NULL,
            received_at {integer} NOT NULL, expires_at {integer} NOT NULL, actor {text} NOT NULL, taken_by {text})""",
        "CREATE INDEX messages_kept ON messages (correlation_key, awaited_as, n) WHERE taken_by IS NULL",
        "CREATE INDEX messages_expire ON messages (expires_at)",
        f"""CREATE TABLE awaited (
            n {types.numbered}, saga_id {text} NOT NULL, path {text} NOT NULL, shard {integer} NOT NULL,
            correlation_key {text} NOT NULL, type {text} NOT NULL, UNIQUE (saga_id, path))""",
        "CREATE INDEX awaited_key ON awaited (correlation_key, type, n)",
    ]


def _locks(types: Types) -> list[str]:
    """Who holds which key, and who waits for it; that no key has two holders the database makes sure of."""
    integer, text = types.integer, types.text
    return [
        f"""CREATE TABLE locks (
            key {text} NOT NULL, saga_id {text} NOT NULL, shard {integer} NOT NULL, place {integer} NOT NULL,
            since {integer} NOT NULL, held_since {integer}, PRIMARY KEY (key, saga_id))""",
        "CREATE UNIQUE INDEX locks_place ON locks (key, place)",
        "CREATE INDEX locks_run ON locks (saga_id)",
        "CREATE UNIQUE INDEX locks_held ON locks (key) WHERE held_since IS NOT NULL",
        "INSERT INTO counters VALUES ('locks', 0)",
    ]


def upgrade(types: Types, *, found: int) -> list[str]:
    """Every statement that brings the tables of an older store up to `VERSION`, but for the store's own."""
    since: dict[int, list[str]] = {
        2: _relay_waits(types),
        3: [
            f"ALTER TABLE dead_letters ADD COLUMN digest {types.text} NOT NULL DEFAULT ''",
            f"UPDATE dead_letters SET digest = {types.dead_letter_digest}",
            "DROP INDEX dead_letters_place",
            _DEAD_LETTERS_ONCE,
        ],
        4: [*_subjects(types), *_messages(types), *_archived(types), *_locks(types)],
    }
    return [statement for version in range(found + 1, VERSION + 1) for statement in since[version]]


def fill(*, shards: int) -> list[tuple[str, tuple[object, ...]]]:
    """The rows of an empty store: its shards, and the leases of relay and bus."""
    rows: list[tuple[str, tuple[object, ...]]] = []
    for shard in range(shards):
        rows.append(("INSERT INTO shards VALUES (?, NULL, 0, NULL, 0, '', ?)", (shard, True)))
        rows.append(("INSERT INTO leases VALUES ('relay', ?, NULL, 0, NULL, 0, ?)", (shard, True)))
    rows.append(("INSERT INTO leases VALUES ('bus', 0, NULL, 0, NULL, 0, ?)", (True,)))
    return rows
