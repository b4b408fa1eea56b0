"""Bad arguments and names of runs are refused in one line, with an exit code of their own, and change nothing."""

from collections.abc import Sequence

import pytest

from tests.e2e.faults.installation import BOOKINGS, Installation

RUN = "RUN"
"""Stands for the id of the run that was undone."""

HUGE = "9" * 20
"""More than a store can count."""

USAGE = [
    (("no-such-command",), "AM5004", "no-such-command"),
    (("runs", "lst"), "AM5004", "no such command 'lst' (did you mean 'list'?); see: amends runs --help"),
    (("runs", "list", "--no-such-option"), "AM5004", "--no-such-option"),
    (("runs", "list", "-o", "xml"), "AM5004", "'-o' / '--output': 'xml' is not one of 'text', 'json', 'jsonl';"),
    (("runs", "list", "--limit", "many"), "AM5004", "invalid value 'many' for '--limit': it must be a valid integer;"),
    (("runs", "list", "--limit", "-1"), "AM5004", "value '-1' for '--limit': it must be greater than or equal to 1;"),
    (("runs", "list", "--limit", HUGE), "AM5004", f"invalid value for '--limit': {HUGE} is more than 2147483647;"),
    (("outcomes", "--limit", HUGE), "AM5004", HUGE),
    (("audit", "tail", "--limit", HUGE), "AM5004", HUGE),
    (("topics", "tail", "bookings", "--limit", HUGE), "AM5004", HUGE),
    (("runs", "state", RUN, "--at", HUGE), "AM5004", HUGE),
    (("replay", RUN, "--at", HUGE), "AM5004", HUGE),
    (("dead-letters", "show", HUGE), "AM5004", HUGE),
    (("dead-letters", "redrive", "1", HUGE), "AM5004", HUGE),
    (("runs", "list", "--status", "done"), "AM5005", "done"),
    (("runs", "list", "--since", "yesterday"), "AM5005", "yesterday"),
    (("runs", "show"), "AM5004", "RUN"),
    (("runs", "show", RUN, "surplus"), "AM5004", "surplus"),
    (("runs", "state", RUN, "--at", "first"), "AM5004", "--at"),
    (("runs", "cancel", RUN), "AM5004", "--reason"),
    (("publish", "bookings"), "AM5005", "--json or --file"),
    (("publish", "bookings", "--json", "{", "--file", "x"), "AM5005", "--json or --file"),
    (("publish", "bookings", "--json", "{"), "AM5005", "not JSON"),
    (("publish", "bookings", "--json", "[" * 100_000), "AM5005", "JSON"),
    (("publish", "bookings", "--file", "none.jsonl"), "AM5005", "none.jsonl"),
    (("publish", "bookings", "--file", "ledger"), "AM5005", "ledger"),
    (("publish", "bookings", "--file", "-", "--idempotency-key", "k"), "AM5005", "--idempotency-key"),
    (("publish", "bookings", "--json", "{}", "--header", "none"), "AM5005", "NAME=VALUE"),
    (("publish", "no topic", "--json", "{}"), "AM5005", "no topic"),
    (("publish", "", "--json", "{}"), "AM5005", "topic"),
    (("publish", "bookings", "--json", "{}", "--wait", "--timeout", "soon"), "AM5005", "--timeout"),
    (("parked", "resolve", RUN, "--step", "charge"), "AM5005", "--retry"),
    (("parked", "resolve", RUN, "--step", "charge", "--retry", "--skip"), "AM5005", "--retry"),
    (("parked", "resolve", RUN, "--step", "charge", "--skip"), "AM5005", "reason"),
    (("dead-letters", "redrive"), "AM5005", "--all"),
    (("dead-letters", "redrive", "one"), "AM5004", "N"),
    (("dead-letters", "show", "one"), "AM5004", "invalid value 'one' for 'N': it must be a valid integer;"),
    (("messages", "send", "A-12\n", "--type", "Arrival"), "AM5005", "KEY holds a control character"),
    (("messages", "send", "\udcff", "--type", "Arrival"), "AM5005", "no text in UTF-8"),
    (("locks", "release", "\udcff", "--reason", "none"), "AM5005", "no text in UTF-8"),
    (("runs", "list", "--key", "\udcff"), "AM5005", "no text in UTF-8"),
    (("worker",), "AM5006", "APP"),
    (("relay",), "AM5020", "SQLite"),
    (("topics", "create", "bookings", "--partitions", "0"), "AM5004", "0"),
]


@pytest.mark.parametrize(("arguments", "code", "says"), [pytest.param(*row, id=" ".join(row[0])[:60]) for row in USAGE])
def test_a_call_that_cannot_be_is_a_usage_error(
    used: Installation, arguments: Sequence[str], code: str, says: str
) -> None:
    given = [undone(used) if each == RUN else each for each in arguments]
    with used.unchanged():
        used.command(*given).refused(2, code, says)


NAMED = [
    (("runs", "show"), ()),
    (("runs", "story"), ()),
    (("runs", "watch"), ()),
    (("runs", "cancel"), ("--reason", "x")),
    (("runs", "kill"), ("--reason", "x")),
    (("parked", "show"), ()),
    (("parked", "resolve"), ("--step", "charge", "--retry")),
    (("audit", "tail"), ()),
    (("audit", "verify"), ()),
    (("replay",), ()),
]
UNKNOWN = [
    "00000000-0000-0000-0000-000000000000",
    "no-such-run",
    "booking/no-such-key",
    "abc",
    "",
    "../../etc",
    "ü" * 999,
]


@pytest.mark.parametrize(("command", "options"), [pytest.param(*row, id=" ".join(row[0])) for row in NAMED])
def test_an_unknown_run_is_not_found(used: Installation, command: Sequence[str], options: Sequence[str]) -> None:
    with used.unchanged():
        used.command(*command, "no-such-run", *options).refused(6, "AM5010", "no-such-run")


@pytest.mark.parametrize("name", UNKNOWN, ids=lambda name: name[:20] or "empty")
def test_nothing_that_is_no_run_is_taken_for_one(used: Installation, name: str) -> None:
    with used.unchanged():
        used.command("runs", "show", name).refused(6, "AM5010")


@pytest.mark.parametrize(("command", "options"), [pytest.param(*row, id=" ".join(row[0])) for row in NAMED])
def test_an_ambiguous_prefix_names_those_it_may_mean(
    used: Installation, command: Sequence[str], options: Sequence[str]
) -> None:
    ids = make_alike(used)
    with used.unchanged():
        done = used.command(*command, "abcdef01", *options)
        done.refused(6, "AM5011", *ids)


@pytest.mark.parametrize("group", [(), ("runs",), ("store",)], ids=" ".join)
def test_a_group_without_a_command_shows_its_help(used: Installation, group: Sequence[str]) -> None:
    done = used.command(*group)
    assert (done.code, done.error.partition(";")[0]) == (2, "error AM5004: no command is given")
    assert "Usage: " in done.out


def test_what_is_not_there_is_not_found(used: Installation) -> None:
    with used.unchanged():
        used.command("dead-letters", "show", "99").refused(6, "AM5030", "99")
        used.command("dead-letters", "redrive", "99").refused(6, "AM5030", "99")
        used.command("runs", "state", "booking/A-1", "--at", "99").refused(6, "AM5012", "99")
        used.command("topics", "tail", "no-such-topic").refused(6, "AM5040", "no-such-topic")
        used.command("demo", "no-such-demo").refused(6, "AM5050", "no-such-demo")
        used.command("graph", BOOKINGS, "no-such-saga").refused(6, "AM1103", "no-such-saga")


WISHES = [
    ("runs", "cancel", "--reason", "x"),
    ("runs", "kill", "--reason", "x"),
    ("parked", "resolve", "--step", "charge", "--retry"),
]


@pytest.mark.parametrize("arguments", WISHES, ids=" ".join)
def test_a_run_that_has_ended_stays_as_it_is(used: Installation, arguments: Sequence[str]) -> None:
    with used.unchanged():
        used.command(*arguments, undone(used)).refused(7, "AM5013", "compensated")


def undone(used: Installation) -> str:
    found: str = used.rows("SELECT saga_id FROM runs WHERE status = 'compensated'")[0][0]
    return found


def make_alike(used: Installation) -> list[str]:
    """Give the runs ids with one beginning, as chance would in a big enough store."""
    ids = ["abcdef01-0000-5000-8000-000000000001", "abcdef01-0000-5000-8000-000000000002"]
    used.write(
        *(
            f"UPDATE runs SET saga_id = '{id_}' WHERE saga_id = '{run}'"
            for id_, (run,) in zip(ids, used.rows("SELECT saga_id FROM runs"), strict=True)
        )
    )
    return ids
