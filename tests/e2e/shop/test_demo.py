"""The demo as a person meets it: started as a process, read as text, its data folder looked at afterwards."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from amends.coordinator.cli.output import cells
from amends.examples.shop import reconcile
from tests.e2e.shop.playing import FOLDER, Played, change, left_running, play, playing, select

pytestmark = [
    pytest.mark.timeout(240),
    pytest.mark.skipif(sys.platform != "linux", reason="what runs is read from /proc, which Linux alone has"),
]
MAKEFILE = Path(__file__).parents[3] / "Makefile"
SCENES = 10
DEAD_LETTERS = [
    ("A-1011", "undecodable"),
    ("A-1006", "conflict"),
    ("A-1017", "invalid at lines"),
    ("A-1024", "invalid at lines.0.quantity"),
    ("A-1027", "no_key"),
    ("A-1031", "undecodable"),
    ("A-1032", "invalid at currency"),
]
COMPENSATED = {
    "A-1003": ("charge refused", "reserve"),
    "A-1007": ("notify refused", "charge, reserve"),
    "A-1012": ("charge refused", "reserve"),
    "A-1026": ("charge refused", "reserve"),
    "A-1031": ("notify refused", "charge, reserve"),
}


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Played:
    """Give one demo to all tests that only read."""
    return play(tmp_path_factory.mktemp("demo"))


def test_it_ends_with_0_because_the_books_balance(played: Played) -> None:
    assert (played.code, played.complained) == (0, "")
    assert played.has("The books balance.")
    assert re.findall(r"^\d+(?=\. )", played.said, re.MULTILINE) == [str(n + 1) for n in range(SCENES)]


def test_no_line_is_cut_off_at_100_columns_and_none_has_color(played: Played) -> None:
    assert [line for line in played.said.splitlines() if cells(line) > 100 or line != line.rstrip()] == []
    assert re.findall(r"[\x00-\x09\x0b-\x1f\x7f]", played.said) == []


def test_a_worker_is_killed_in_the_middle_and_no_payment_is_taken_twice(played: Played) -> None:
    assert played.has("kill -9, while A-1028 had just been charged and the answer was on its way.")
    assert played.has("25 payments for 25 orders, never twice for the same")
    payments = played.shop / "payments.db"
    taken = select(payments, "SELECT order_id, count(*) FROM payments GROUP BY order_id")
    assert [order for order, times in taken if times != 1] == []
    assert len(taken) == 26  # one more than said: the redriven order comes later
    log = [json.loads(line) for line in (played.data / "worker.log").read_text().splitlines() if line[:1] == "{"]
    resumed = [line["runs"] for line in log if line["event"] == "runs_resuming"]
    assert resumed[0] > 0  # The second worker found what the first had left open.


def test_each_record_is_accounted_for(played: Played) -> None:
    assert played.has("40 records: 30 runs, 3 duplicates and 7 dead letters.")
    for order, reason in DEAD_LETTERS:
        assert played.has("dead letter", order, reason), order
    for order in ("A-1001", "A-1004", "A-1018"):
        assert played.has("duplicate", order, "counted, and nothing else")
    assert len(re.findall(r"^ +A-\d{4} +[✔↩‖] (?:completed|compensated|parked) ", played.said, re.MULTILINE)) == 30


@pytest.mark.parametrize("order", sorted(COMPENSATED))
def test_a_refused_order_is_undone_in_reverse_and_each_undo_read_back(played: Played, order: str) -> None:
    why, undone = COMPENSATED[order]
    line, below = re.findall(rf"^ +{order} +↩ compensated (.*)\n(.*)$", played.said, re.MULTILINE)[0]
    assert why in line
    assert below.strip() == f"undone: {', then '.join(f'{step} (read back)' for step in undone.split(', '))}"


def test_a_run_parks_while_its_undo_is_down_and_ends_after_a_decision(played: Played) -> None:
    assert played.has("A-1019", "‖ parked", "notify refused")
    assert played.has("left in the world: reserve and charge")
    assert played.has("$ amends parked resolve order/R-57134 --step charge --retry --as shopkeeper")
    assert played.has("resolved", "shopkeeper decided for charge: try it again")
    assert played.has("order v1 · order A-1019 · ↩ compensated")


def test_the_dead_letter_in_francs_is_redriven_and_completes_under_the_second_version(played: Played) -> None:
    assert played.has('+    currency: Literal["EUR", "CHF"]')
    assert played.has("$ amends dead-letters redrive 7")
    assert played.has("order v2 · order A-1032 · ✔ completed")


def test_of_two_orders_under_one_request_id_the_first_wins(played: Played) -> None:
    query = "SELECT amount_cents FROM payments WHERE order_id = 'A-1006'"
    assert select(played.shop / "payments.db", query) == [(8_280,)]


def test_the_commands_it_names_work_when_copied(played: Played) -> None:
    named = re.findall(r"^   (amends .*--data \.amends-demo) +# ", played.said, re.MULTILINE)
    assert [command.split()[1] for command in named] == ["runs", "runs", "replay", "triggers", "dead-letters", "audit"]
    path = f"{Path(sys.executable).parent}:/usr/bin:/bin"
    for command in named:
        done = subprocess.run(
            command, shell=True, cwd=played.cwd, env={"PATH": path}, capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stderr) == (0, ""), command
        assert done.stdout, command


def test_it_leaves_its_data_and_no_process(played: Played) -> None:
    assert left_running(played.cwd) == []
    assert [path.name for path in played.cwd.iterdir()] == [FOLDER]
    assert played.data.stat().st_mode & 0o077 == 0
    names = {path.name for path in played.data.iterdir()}
    assert {"amends.db", "amends.toml", "sagas.py", "outcomes.jsonl", "worker.log", "shop"} <= names
    assert {"payments.db", "inventory.db", "mail.db"} <= {path.name for path in played.shop.iterdir()}


@pytest.mark.parametrize(
    ("database", "statement"),
    [
        pytest.param("payments", "UPDATE movements SET amount_cents = amount_cents + 1 WHERE n = 1", id="money moved"),
        pytest.param("payments", "DELETE FROM payments WHERE order_id = 'A-1001'", id="a payment that is gone"),
        pytest.param("inventory", "UPDATE stock SET on_hand = on_hand - 1 WHERE sku = 'MUG-BLUE'", id="a mug stolen"),
        pytest.param("mail", "DELETE FROM messages WHERE subject LIKE '%A-1001 is confirmed'", id="a mail lost"),
    ],
)
def test_the_books_no_longer_balance_when_one_row_is_changed(
    played: Played, tmp_path: Path, database: str, statement: str
) -> None:
    shop = shutil.copytree(played.shop, tmp_path / "shop")
    program = [sys.executable, str(reconcile.__file__), "--data", str(shop)]
    reported = ["--outcomes", str(played.data / "outcomes.jsonl")]
    assert subprocess.run([*program, *reported], check=False, capture_output=True).returncode == 0
    change(shop / f"{database}.db", statement)
    changed = subprocess.run([*program, *reported], check=False, capture_output=True, text=True)
    assert changed.returncode == 1
    assert "The books do not balance" in changed.stdout


def test_it_ends_with_1_when_a_row_is_changed_while_it_plays(tmp_path: Path) -> None:
    with playing(tmp_path) as demo:
        demo.until("4. Another worker goes on")
        inventory = tmp_path / FOLDER / "shop" / "inventory.db"
        change(inventory, "UPDATE stock SET on_hand = on_hand + 1 WHERE sku = 'MUG-BLUE'")
        ended = demo.end()
    assert (ended.code, ended.complained) == (1, "")
    assert ended.has("✖ what left the stock is what was sold")
    assert ended.has("The books do not balance: see ✖")
    assert left_running(tmp_path) == []


def test_make_demo_hands_the_servers_over() -> None:
    given = ["KAFKA=broker:9092", "DATABASE=postgresql://amends:secret@server/db"]
    done = subprocess.run(
        ["make", "-n", "-f", str(MAKEFILE), "demo", *given],
        cwd=MAKEFILE.parent, capture_output=True, text=True, check=True,
    )  # fmt: skip
    last = done.stdout.splitlines()[-1]
    assert "AMENDS_BUS=kafka://broker:9092" in last
    assert "AMENDS_STORE='postgresql://amends:secret@server/db'" in last
    assert last.endswith("amends demo shop")
