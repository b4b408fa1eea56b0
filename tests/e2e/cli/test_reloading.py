"""`amends dev --reload`: what the sources say now is what runs, and nothing is lost on the way."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from amends.coordinator.cli.source_files import FILES_MAX, changed, sources_of
from amends.coordinator.errors import UsageError
from tests.e2e.faults.installation import STOPS_WITHIN_S, WITHIN_S, Installation, Running
from tests.servers.waiting import wait_until

pytestmark = pytest.mark.timeout(120)  # processes that start and end, several in a test

APP = """
import asyncio
import os
from pathlib import Path

from pydantic import BaseModel

from amends import Saga, Topic
from wording import GREETING

LEDGER = Path(os.environ["LEDGER"])


class Guest(BaseModel):
    id: str


welcome = Saga("welcome", version=1, trigger=Topic("guests", Guest, idempotency_key="id"))


@welcome.action(idempotent=True)
async def greet(trigger: Guest) -> str:
    (LEDGER / f"{trigger.id} arrived").touch()
    while trigger.id == "slow" and not (LEDGER / "go").exists():
        await asyncio.sleep(0.02)
    (LEDGER / f"{trigger.id} {GREETING}").touch()
    return GREETING


@greet.undo(verify="reply")
async def leave(trigger: Guest) -> None: ...
"""
STEP_MORE = """

@welcome.action(after=greet, idempotent=True)
async def serve(trigger: Guest) -> None:
    (LEDGER / f"{trigger.id} served").touch()


@serve.undo(verify="reply")
async def clear(trigger: Guest) -> None: ...
"""
NO_UNDO = """

@welcome.action(after=greet)
async def serve(trigger: Guest) -> None: ...
"""


@pytest.fixture
def shop(tmp_path: Path) -> Installation:
    made = Installation(folder=tmp_path)
    made.ledger.mkdir()
    (tmp_path / "sagas.py").write_text(APP)
    word(made, "hello")
    return made


@pytest.fixture
def dev(shop: Installation) -> Iterator[Running]:
    with shop.running("dev", "sagas.py", "--reload") as running:
        running.says("worker_started")
        yield running


def word(shop: Installation, greeting: str) -> None:
    (shop.folder / "wording.py").write_text(f'GREETING = "{greeting}"\n')


def greeted(shop: Installation, guest: str, greeting: str) -> None:
    shop.publish("guests", {"id": guest})
    seen(shop, f"{guest} {greeting}")


def seen(shop: Installation, entry: str) -> None:
    wait_until((shop.ledger / entry).exists, within_s=WITHIN_S, what=f"the ledger says {entry}")


def test_a_change_is_taken_up_however_quickly_it_comes(shop: Installation, dev: Running) -> None:
    greeted(shop, "ann", "hello")
    for count, greeting in enumerate(
        ("salut", "hallo", "howdy"), start=2
    ):  # all of one size: Python's cache is by size
        word(shop, greeting)
        dev.says("worker_started", count=count)
        greeted(shop, f"guest-{count}", greeting)
    assert [each["files"] for each in dev.events("sources_changed")] == [["wording.py"]] * 3
    assert all(line.startswith("{") or "✔ completed" in line for line in dev.text.splitlines()), "one form on a pipe"
    assert dev.stop() == 0


def test_a_run_in_flight_goes_on_with_the_new_code(shop: Installation, dev: Running) -> None:
    shop.publish("guests", {"id": "slow"})
    seen(shop, "slow arrived")
    word(shop, "salut")
    dev.says("worker_started", count=2)
    (shop.ledger / "go").touch()
    seen(shop, "slow salut")
    assert not (shop.ledger / "slow hello").exists()
    wait_until(lambda: "slow" in shop.outcomes(), within_s=WITHIN_S, what="it has ended")
    assert shop.outcomes()["slow"]["status"] == "completed"
    assert shop.json("audit", "verify", "--all")["ok"]


@pytest.mark.parametrize(
    ("broken", "says"),
    [
        pytest.param(f"{APP}\ndef (", "error AM1101: APP 'sagas.py' cannot be imported: sagas.py:", id="no Python"),
        pytest.param(APP + NO_UNDO, "error AM1050: sagas.py:", id="no saga"),
    ],
)
def test_code_that_cannot_be_loaded_is_told_in_a_line_and_the_former_goes_on(
    broken: str, says: str, shop: Installation, dev: Running
) -> None:
    (shop.folder / "sagas.py").write_text(broken)
    dev.says("former_code_goes_on")
    assert [line[: len(says)] for line in dev.text.splitlines() if "error" in line] == [says]
    assert "Traceback" not in dev.text
    greeted(shop, "ann", "hello")
    assert len(dev.events("worker_started")) == 1
    (shop.folder / "sagas.py").write_text(APP + STEP_MORE)
    seen_after_reload(shop, dev)


def seen_after_reload(shop: Installation, dev: Running) -> None:
    dev.says("worker_started", count=2)
    greeted(shop, "ben", "hello")
    seen(shop, "ben served")


ENDLESS = """
import os
import time
from pathlib import Path

(Path(os.environ["LEDGER"]) / "loading").touch()
time.sleep(600)
"""


def test_code_that_never_comes_to_the_end_of_its_import_keeps_nobody_from_mending_it(
    shop: Installation, dev: Running
) -> None:
    (shop.folder / "wording.py").write_text(ENDLESS)
    seen(shop, "loading")
    greeted(shop, "ann", "hello")
    word(shop, "salut")
    dev.says("worker_started", count=2)
    greeted(shop, "ben", "salut")
    (shop.ledger / "loading").unlink()
    (shop.folder / "wording.py").write_text(ENDLESS)
    seen(shop, "loading")
    assert dev.stop() == 0


def test_a_changed_graph_needs_no_new_version_and_open_runs_keep_theirs(shop: Installation, dev: Running) -> None:
    shop.publish("guests", {"id": "slow"})
    seen(shop, "slow arrived")
    (shop.folder / "sagas.py").write_text(APP + STEP_MORE)
    seen_after_reload(shop, dev)
    (shop.ledger / "go").touch()
    wait_until(lambda: "slow" in shop.outcomes(), within_s=WITHIN_S, what="it has ended")
    assert not (shop.ledger / "slow served").exists()


def test_it_waits_for_code_that_can_be_loaded_from_the_start(shop: Installation) -> None:
    (shop.folder / "wording.py").unlink()
    with shop.running("dev", "sagas.py", "--reload") as running:
        running.says("waiting_for_change")
        assert running.text.count("error AM1101: ") == 1
        word(shop, "hello")
        running.says("worker_started")
        greeted(shop, "ann", "hello")
        assert running.stop() == 0


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)], ids=["TERM", "INT"])
def test_a_signal_ends_it_in_order_while_a_handler_runs(
    number: signal.Signals, code: int, shop: Installation, dev: Running
) -> None:
    shop.publish("guests", {"id": "slow"})
    seen(shop, "slow arrived")
    dev.process.send_signal(number)
    assert dev.process.wait(STOPS_WITHIN_S) == code
    assert len(dev.events("worker_stopped")) == 1
    assert "Traceback" not in dev.text


def test_the_worker_ends_with_a_parent_that_is_killed(shop: Installation, dev: Running) -> None:
    dev.kill()
    wait_until(lambda: dev.events("worker_stopped") != [], within_s=WITHIN_S, what="the worker has stopped")
    assert shop.command("worker", "sagas.py", "--until-idle").code == 0


def test_a_second_one_on_the_same_store_is_refused_and_does_not_wait(shop: Installation, dev: Running) -> None:
    second = shop.command("dev", "sagas.py", "--reload")
    assert (second.code, second.error.partition(":")[0]) == (7, "error AM0311")
    assert dev.alive


def test_settings_given_as_flags_reach_the_worker(shop: Installation) -> None:
    with shop.running("dev", "sagas.py", "--reload", "--namespace", "night", "-o", "jsonl") as running:
        running.says("worker_started")
        shop.publish("guests", {"id": "ann"})
        seen(shop, "ann hello")
        wait_until(lambda: shop.outcomes() != {}, within_s=WITHIN_S, what="it has ended")
    assert shop.outcomes()["ann"]["namespace"] == "night"


def test_without_app_it_runs_what_the_settings_name_and_what_they_name_after_a_change(shop: Installation) -> None:
    settings = shop.folder / "amends.toml"
    settings.write_text('sagas = ["sagas.py"]\n')
    more = shop.folder / "more"
    more.mkdir()
    (more / "evening.py").write_text(APP.replace('"welcome"', '"evening"').replace('"guests"', '"late"'))
    with shop.running("dev", "--reload") as running:
        running.says("worker_started", text="welcome v1")
        greeted(shop, "ann", "hello")
        word(shop, "salut")
        running.says("worker_started", count=2)
        greeted(shop, "ben", "salut")

        settings.write_text('sagas = ["sagas.py"\n')
        running.says("former_code_goes_on")
        assert "error AM5002" in running.text
        assert len(running.events("worker_stopped")) == 1, "the former goes on"

        settings.write_text('sagas = ["more/evening.py"]\n')
        running.says("worker_started", text="evening v1")
        (more / "evening.py").write_text((more / "evening.py").read_text().replace("arrived", "came late"))
        running.says("worker_started", count=2, text="evening v1")
        shop.publish("late", {"id": "dan"})
        seen(shop, "dan came late")
        assert running.stop() == 0


def test_without_app_and_without_sagas_in_the_settings_it_says_so(shop: Installation) -> None:
    shop.command("dev", "--reload").refused(2, "AM5006", "no APP is given")


def test_sources_are_what_is_below_the_app_and_not_what_is_installed_there(tmp_path: Path) -> None:
    for name in ("sagas.py", "avro/order.avsc", "more/steps.py", "amends.toml"):
        write(tmp_path / name)
    for name in (
        ".venv/x.py",
        "env/pyvenv.cfg",
        "env/x.py",
        "node_modules/x.py",
        "__pycache__/x.py",
        ".#sagas.py",
        "a.txt",
    ):
        write(tmp_path / name)
    sources = sources_of((str(tmp_path / "sagas.py"),), tmp_path / "amends.toml", tmp_path / "missing.toml")
    before = sources.snapshot()
    names = sorted(str(file.relative_to(tmp_path)) for file in before)
    assert names == ["amends.toml", "avro/order.avsc", "more/steps.py", "sagas.py"]
    write(tmp_path / "new.py")
    (tmp_path / "more" / "steps.py").unlink()
    os.utime(tmp_path / "sagas.py", ns=(1, 1))
    assert [file.name for file in changed(before, sources.snapshot())] == ["steps.py", "new.py", "sagas.py"]


def test_too_many_sources_are_refused(tmp_path: Path) -> None:
    for number in range(FILES_MAX + 1):
        (tmp_path / f"m{number}.py").touch()
    with pytest.raises(UsageError, match="more than 5000 source files below") as refused:
        sources_of((str(tmp_path),)).snapshot()
    assert refused.value.code == "AM5055"


def write(file: Path) -> None:
    file.parent.mkdir(exist_ok=True)
    file.write_text("")
