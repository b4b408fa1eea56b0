"""kill -9 at each entry of a saga that uses every construct, and of the service it commands: the world is the same.

The saga is that of `examples/90_everything`. One festival is turned back, parks because its undo fails, is undone to a
savepoint by a person and takes place after all; the other one is undone. The worker dies at each append to the log, the
band at each commit of its own database, once before it and once after it.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from queue import SimpleQueue
from shutil import rmtree
from typing import Final, Literal, get_args

import pytest

from amends.schemas.events import Event
from tests.crash.everything.deaths import Death
from tests.crash.everything.village import Host, Story, Village, hosting
from tests.crash.everything.world import entries_of, world

LANES: Final = 3
"""So many villages at once: most of the time of each goes by waiting."""
When = Literal["before", "after"]

TAKES_PLACE: Final = Story(
    festival={
        "request_id": "F-1", "festival": "Wine Fair", "mayor": "M-7", "square": "market", "guests": 480,
        "stalls": [
            {"number": 1, "name": "Ann", "meters": 3}, {"number": 2, "name": "Ben", "meters": 4},
            {"number": 3, "name": "Cem", "meters": 9},
        ],
        "opens_at": "2026-01-01T09:00:00Z",
    },
    troubles=("line-cut", "office-closed", "rain", "yard-locked"),
    greeting=None,
)  # fmt: skip
IS_UNDONE: Final = Story(
    festival={**TAKES_PLACE.festival, "request_id": "F-2", "festival": "Open Air", "guests": 501},
    troubles=("line-cut", "rain"),
    greeting="Be glad.",
)
both_stories = pytest.mark.parametrize("story", [TAKES_PLACE, IS_UNDONE], ids=["takes place", "is undone"])

ELSEWHERE: Final = {
    "RerunStarted", "ParkingResolved", "RunResumed", "SagaKilled", "LockReleased",  # other decisions of people
    "LimitReached", "LateReplyRecorded", "PermissionDenied",  # what must not come about here
}  # fmt: skip


@pytest.fixture(scope="module")
def hosts() -> Iterator[SimpleQueue[Host]]:
    free: SimpleQueue[Host] = SimpleQueue()
    with ExitStack() as stack:
        for _ in range(LANES):
            free.put(stack.enter_context(hosting()))
        yield free


@pytest.fixture(scope="module")
def host(hosts: SimpleQueue[Host]) -> Host:
    one = hosts.get()
    hosts.put(one)
    return one


@pytest.mark.timeout(600)
@pytest.mark.parametrize("when", ["after", "before"])
@both_stories
def test_the_world_is_the_same_whichever_entry_the_worker_dies_at(
    story: Story, when: When, hosts: SimpleQueue[Host], tmp_path: Path
) -> None:
    host = hosts.get()
    begun = Village.prepared(host, story, tmp_path / "begun")
    undisturbed = begun.copied(tmp_path / "undisturbed", host)
    assert not undisturbed.work()
    expected, entries = world(undisturbed), len(entries_of(undisturbed))
    hosts.put(host)

    def dies_at(entry: int) -> bool:
        host = hosts.get()
        try:
            return dies(begun.copied(tmp_path / f"{entry}", host), Death(who="worker", when=when, at=entry), expected)
        finally:
            hosts.put(host)

    with ThreadPoolExecutor(LANES) as lanes:
        died = list(lanes.map(dies_at, range(1, entries + 1)))
    assert sum(died) > 0.9 * entries, "what goes on beside each other may take an entry less"


@pytest.mark.timeout(300)
@pytest.mark.parametrize("when", ["after", "before"])
@both_stories
def test_the_world_is_the_same_whichever_commit_the_second_process_dies_at(
    story: Story, when: When, host: Host, tmp_path: Path
) -> None:
    begun = Village.prepared(host, story, tmp_path / "begun")
    undisturbed = begun.copied(tmp_path / "undisturbed", host)
    assert not undisturbed.work()
    expected, commands = world(undisturbed), len(undisturbed.rows("band.db", "SELECT line FROM diary"))
    for at in count(1):
        village = begun.copied(tmp_path / f"{at}", host)
        if not dies(village, Death(who="band", when=when, at=at), expected):
            break
    assert at > 2 * commands, "each command is committed with its reply, and once more when that is published"


@pytest.mark.timeout(180)
def test_the_two_festivals_write_every_event_but_those_of_other_examples(host: Host, tmp_path: Path) -> None:
    written = set()
    for story in (TAKES_PLACE, IS_UNDONE):
        village = Village.prepared(host, story, tmp_path / str(story.festival["request_id"]))
        village.work()
        written |= {type(event).__name__ for entry in entries_of(village) for event in entry.events}
    assert {each.__name__ for each in get_args(Event)} - written == ELSEWHERE


def dies(village: Village, death: Death, expected: dict[str, object]) -> bool:
    """Whether somebody died; the world is the expected one all the same."""
    died = village.work(death)
    assert world(village) == expected, f"{death}: {village.logs()}"
    rmtree(village.folder)
    return died
