"""`amends check` and `amends graph`: definitions held to every rule, and drawn."""

import shutil
from pathlib import Path
from xml.etree.ElementTree import fromstring

import pytest

from tests.e2e.cli.conftest import REFUNDS, saga_id
from tests.e2e.faults.installation import Installation

pytestmark = pytest.mark.timeout(240)

BAD = """\
from pydantic import BaseModel
from amends import Context, Saga, Topic


class Order(BaseModel):
    id: str

orders = Saga("orders", version=1, trigger=Topic("orders", Order, idempotency_key="number"))

@orders.action
async def pay(ctx: Context, trigger: Order) -> None: ...
"""
FOUND = ["code", "severity", "message", "hint", "file", "line", "column", "saga"]


def test_a_good_app_keeps_every_rule(installation: Installation) -> None:
    assert installation.ok("check", REFUNDS) == f"✔ {REFUNDS}: every rule is kept\n"
    assert installation.json("check", REFUNDS) == []


def test_each_finding_has_place_code_and_hint(installation: Installation) -> None:
    (installation.folder / "bad.py").write_text(BAD)
    done = installation.command("check", "bad.py")
    *findings, end = done.out.splitlines()
    assert (done.code, end) == (1, "✖ 2 errors, 1 warning")
    assert [line.partition(" ")[0] for line in findings] == ["bad.py:8:10:", "bad.py:11:11:", "bad.py:11:11:"]
    assert all(": error AM" in line or ": warning AM" in line for line in findings)
    assert all("; " in line for line in findings), "each says what to do"


def test_findings_are_the_same_as_json(installation: Installation) -> None:
    (installation.folder / "bad.py").write_text(BAD)
    done = installation.command("check", "bad.py", "-o", "jsonl")
    assert done.code == 1
    assert done.out.count("\n") == 3
    assert all(f'"{key}":' in line for line in done.out.splitlines() for key in FOUND)


def test_an_app_may_stand_in_the_settings(installation: Installation) -> None:
    (installation.folder / "amends.toml").write_text(f'sagas = ["{REFUNDS}"]\n')
    assert installation.ok("check").startswith("✔")


def test_a_module_is_found_from_the_working_folder(installation: Installation) -> None:
    (installation.folder / "shop").mkdir()
    shutil.copy(REFUNDS, installation.folder / "shop" / "sagas.py")
    assert installation.ok("check", "shop.sagas").startswith("✔")
    assert installation.ok("check", "shop").startswith("✔")


CLASS_C = """
from pydantic import BaseModel

from amends import Saga, Topic


class Order(BaseModel):
    id: str


calls = Saga("calls", trigger=Topic("orders", Order, idempotency_key="id"))


@calls.action(irreversible=True)
async def call(trigger: Order) -> None: ...
"""


@pytest.mark.parametrize("where", [("--store",), ("--store", "sqlite:///.amends/amends.db")], ids=" ".join)
def test_open_runs_without_a_fitting_handler_are_listed(played: Installation, where: tuple[str, ...]) -> None:
    app = Path(REFUNDS).read_text(encoding="utf-8")
    narrower = app.replace("    order_id: str\n", "    order_id: str\n    reason: str\n")
    (played.folder / "narrower.py").write_text(narrower)
    assert played.ok("check", REFUNDS, *where).startswith("✔")
    assert played.ok("check", "narrower.py").startswith("✔"), "nobody asked for the store"
    done = played.command("check", "narrower.py", *where)
    assert done.code == 1
    assert f"error AM3002: open run {saga_id(played, 'R-3')} of v3 lacks " in done.out
    played.command("worker", "narrower.py", "--until-idle").refused(2, "AM3002")
    assert played.command("worker", "narrower.py", "--until-idle", "--allow-missing").code == 0


def test_a_graph_shows_order_undos_and_the_pivot(installation: Installation) -> None:
    drawn = installation.ok("graph", REFUNDS, "refund")
    assert drawn.splitlines()[0] == "refund v3 · starts on billing.refund-requested · deadline 1h"
    assert "notify is the pivot" in drawn
    mermaid = installation.ok("graph", REFUNDS, "refund", "--format", "mermaid")
    assert mermaid.startswith("flowchart TD\n")
    assert mermaid.count("↩ undo of ") == 2
    assert "-.->|then|" in mermaid
    assert "; then ↩ reverse_charge\n" in drawn
    picture = fromstring(installation.ok("graph", REFUNDS, "refund", "--format", "svg"))
    titles = [each.text or "" for each in picture.iter("{http://www.w3.org/2000/svg}title")]
    assert titles[0] == "Saga refund v3"
    assert sum("pivot" in title for title in titles) == 1
    assert sum(title.startswith("undo of ") for title in titles) == 2
    installation.command("graph", REFUNDS, "--format", "png").refused(2, "AM5005", "write text, mermaid or svg")
    assert [step["path"] for step in installation.json("graph", REFUNDS, "refund")["steps"]] == [
        "reverse_charge",
        "restock",
        "notify",
        "result",
    ]


def test_the_only_saga_of_an_app_needs_no_name(installation: Installation) -> None:
    drawn = installation.ok("graph", REFUNDS, "refund")
    assert installation.ok("graph", REFUNDS) == drawn
    (installation.folder / "amends.toml").write_text(f'sagas = ["{REFUNDS}"]\n')
    assert installation.ok("graph") == drawn


def test_of_several_sagas_one_has_to_be_named(installation: Installation) -> None:
    other = Path(REFUNDS).read_text(encoding="utf-8").replace('"refund"', '"return"')
    (installation.folder / "apps").mkdir()
    (installation.folder / "apps" / "returns.py").write_text(other)
    shutil.copy(REFUNDS, installation.folder / "apps")
    installation.command("graph", "apps").refused(
        2, "AM5005", "APP 'apps' has more than one saga; name one: refund, return"
    )
    assert installation.ok("graph", "apps", "return").startswith("return v3")
    installation.command("graph", "apps", "return@x").refused(2, "AM5005", "the version is no number")


def test_a_graph_says_what_class_c_means(installation: Installation) -> None:
    (installation.folder / "sagas.py").write_text(CLASS_C)
    assert installation.ok("graph", "sagas.py").splitlines()[-2:] == [
        "  ◆ call is the pivot: once it is done, nothing is undone.",
        "  Class C: nothing can settle a lost reply of call, so a person is asked.",
    ]
