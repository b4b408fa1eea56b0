"""`amends rehearse` as a user types it, in a folder with her sagas."""

import json
import shutil
from pathlib import Path

import pytest

from tests.e2e.faults.installation import Installation

SAGAS = Path(__file__).parent / "sagas"
SAMPLES = ["wrong_order", "forgotten_field", "never_ran", "verify", "follow_up", "participant"]


NOT_AS_BEFORE = "the run is compensated, and the world is not as it was before"

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
def samples(installation: Installation) -> Installation:
    """The samples in her working folder."""
    for file in SAGAS.glob("*.py"):
        shutil.copy(file, installation.folder / file.name)
    return installation


@pytest.mark.parametrize("name", SAMPLES)
def test_a_broken_saga_ends_with_1_and_the_place_of_what_is_to_be_mended(name: str, samples: Installation) -> None:
    done = samples.command("rehearse", f"{name}_broken.py", "order")
    assert (done.code, done.err) == (1, "")
    assert f"\n{name}_broken.py:" in done.out
    assert "✖ 1 finding, 0 warnings" in done.out


@pytest.mark.parametrize("name", SAMPLES)
def test_a_mended_saga_ends_with_0(name: str, samples: Installation) -> None:
    done = samples.command("rehearse", f"{name}_mended.py", "order")
    assert (done.code, done.err) == (0, ""), done.out
    assert done.out.endswith("✔ in every scenario the world was what it should be\n")


def test_the_report_for_people_is_this(samples: Installation) -> None:
    done = samples.command("rehearse", "forgotten_field_broken.py")
    assert done.out.splitlines() == [
        "order v1: 72 scenarios",
        "  ✖ reserve  1 finding",
        "  ✔ charge   its undo brings the world back: forgotten_field_broken.py:57, in 43 scenarios",
        "",
        f"forgotten_field_broken.py:34: error not_restored: {NOT_AS_BEFORE}",
        "    when every reply of reserve is lost after it acted (and in 47 other scenarios)",
        "    stock.stock.tea.reserved was 0, is 2",
        "",
        "✖ 1 finding, 0 warnings",
    ]


def test_the_report_for_programs_has_these_keys(samples: Installation) -> None:
    found = json.loads(samples.command("rehearse", "forgotten_field_broken.py", "-o", "json").out)
    assert list(found) == ["saga", "version", "ok", "triggers", "scenarios", "steps", "findings"]
    assert [(step["path"], step["verdict"], step["undo"]) for step in found["steps"]] == [
        ("reserve", "findings", "reserve.undo"),
        ("charge", "restores", "charge.undo"),
    ]
    (finding,) = found["findings"]
    assert (finding["kind"], finding["severity"], finding["step"], finding["handler"], finding["file"]) == (
        "not_restored",
        "error",
        "reserve",
        "reserve.undo",
        "forgotten_field_broken.py",
    )
    assert finding["differences"] == [{"path": "stock.stock.tea.reserved", "before": "0", "after": "2"}]


def test_neither_the_store_nor_the_working_folder_is_touched(samples: Installation) -> None:
    before = sorted(each.name for each in samples.folder.iterdir())
    samples.ok("rehearse", "verify_mended.py")
    after = sorted(each.name for each in samples.folder.iterdir())
    assert [name for name in after if name not in {*before, "__pycache__"}] == []


def test_triggers_of_the_command_line_stand_in_the_place_of_the_sandbox_s(samples: Installation) -> None:
    mug = {"request_id": "R-9", "sku": "mug"}
    (samples.folder / "two.jsonl").write_text(f"{json.dumps(mug)}\n{json.dumps({**mug, 'sku': 'tea'})}\n")
    for given, triggers in ((json.dumps(mug), 1), ("two.jsonl", 2)):
        found = json.loads(samples.command("rehearse", "follow_up_mended.py", "--trigger", given, "-o", "json").out)
        assert (found["ok"], found["triggers"]) == (True, triggers)


def test_a_limit_is_a_finding_for_what_was_left_out(samples: Installation) -> None:
    done = samples.command("rehearse", "never_ran_mended.py", "--scenarios", "5")
    assert done.code == 1
    assert "error limit: " in done.out
    assert "scenarios were left out: 5 are the limit" in done.out


def test_a_participant_without_stand_in_is_refused_before_anything_runs(samples: Installation) -> None:
    text = (samples.folder / "wrong_order_mended.py").read_text()
    first, _, rest = text.partition("        SqlStandIn(bookings,")
    (samples.folder / "half.py").write_text(first + rest.partition("\n")[2])
    samples.command("rehearse", "half.py").refused(2, "AM5102", "'bookings'", "no stand-in")


@pytest.mark.parametrize(
    ("arguments", "code", "error", "says"),
    [
        pytest.param(("wrong_order_mended.py", "other"), 6, "AM5101", "there is one for order", id="another saga"),
        pytest.param(("plain.py",), 6, "AM5101", "binds no sandbox", id="no sandbox"),
        pytest.param(("empty.py",), 2, "AM5107", "no trigger", id="no trigger"),
        pytest.param(
            ("follow_up_mended.py", "--trigger", "{}"), 2, "AM5108", "becomes no run", id="a trigger that does not fit"
        ),
        pytest.param(
            ("follow_up_mended.py", "--trigger", "nowhere.json"), 2, "AM5005", "cannot be read", id="no such file"
        ),
        pytest.param(
            ("follow_up_mended.py", "--trigger", "plain.py"), 2, "AM5005", "no JSON object", id="a file that is no JSON"
        ),
        pytest.param(("follow_up_mended.py", "--timeout", "soon"), 2, "AM5005", "--timeout", id="no duration"),
        pytest.param(("nowhere.py",), 2, "AM1100", "no such file", id="no APP"),
    ],
)
def test_what_cannot_be_rehearsed_is_refused(
    arguments: tuple[str, ...], code: int, error: str, says: str, samples: Installation
) -> None:
    text = (samples.folder / "wrong_order_mended.py").read_text()
    (samples.folder / "plain.py").write_text(text.partition("sandbox = ")[0])
    (samples.folder / "empty.py").write_text(text.replace("triggers=[{", "triggers=[] and [{"))
    samples.command("rehearse", *arguments).refused(code, error, says)


def test_a_sandbox_may_stand_in_a_file_of_its_own(samples: Installation) -> None:
    head, _, tail = (samples.folder / "wrong_order_mended.py").read_text().partition("sandbox = ")
    (samples.folder / "sagas.py").write_text(head)
    (samples.folder / "rehearsal.py").write_text(
        f"from sagas import bookings, order, stock\nfrom amends.testing import Sandbox, SqlStandIn\n\nsandbox = {tail}"
    )
    assert samples.command("rehearse", "sagas.py", "order", "--sandbox", "rehearsal.py").code == 0
    assert samples.command("rehearse", "rehearsal.py").code == 0
