"""The SVG picture: valid XML whatever the names, bounded, readable without seeing it, without color, at night."""

import re
from xml.etree.ElementTree import Element, fromstring

import pytest
from msgspec.structs import replace

from amends.coordinator.definition.drawing_svg import as_svg
from amends.coordinator.definition.expression import Compare, Reference, Value
from amends.coordinator.definition.form import DefinitionForm
from amends.coordinator.definition.loading import load_app
from amends.coordinator.definition.svg_style import STYLE
from tests.docs.pages import DOCS, ROOT
from tests.simulation.definitions import action, pivot, read, result, saga
from tests.unit.definition.shop import shop
from tests.unit.definition.test_layout import STEPS_MAX, random_graph

SVG = "{http://www.w3.org/2000/svg}"
NASTY = "<&\"'>]]>\x00\x1b\ud800\ufffe\u202e漢字"


def drawn(form: DefinitionForm) -> Element:
    return fromstring(as_svg(form))


def words(picture: Element) -> list[str]:
    return ["".join(each.itertext()) for each in picture.iter(f"{SVG}text")]


def titles(picture: Element, kind: str) -> list[str]:
    """The titles of the boxes of a kind, which a screen reader says and a pointer shows."""
    found = []
    for group in picture.iter(f"{SVG}g"):
        title = group.find(f"{SVG}title")
        if title is not None and kind in group.get("class", "").split():
            assert group.get("role") == "img"
            found.append(title.text or "")
    return found


def test_each_step_and_each_undo_has_a_box_that_says_what_it_is() -> None:
    picture = drawn(shop().close().form)
    assert titles(picture, "step") == [
        "assess: read, 3 attempts, timeout 30s",
        "charge: action at payments after assess, when assess == 'good', verified, lookup, 3 attempts, timeout 30s",
        "mail: action after charge, pivot, irreversible, class C, 1 attempt, timeout 30s",
        "receipt: result after charge, mail, 3 attempts, timeout 30s",
    ]
    assert titles(picture, "undo") == ["undo of charge, verified by read-back"]
    assert titles(picture, "trigger") == ["orders, trigger · Order"]


def test_the_description_says_all_of_it_in_order() -> None:
    picture = drawn(shop().close().form)
    said = picture.find(f"{SVG}desc")
    assert said is not None
    assert said.text is not None
    lines = said.text.splitlines()
    assert lines[0] == "Saga shop v2 starts on orders; deadline 1h · once mail is done, nothing is undone."
    assert [line.partition(":")[0] for line in lines[1:-1]] == ["assess", "charge", "mail", "receipt"]
    assert lines[2].endswith("; undo of charge, verified by read-back.")
    assert lines[-1] == "Undos run in reverse order, one at a time."
    ids = {each.get("id") for each in picture.iter()}
    assert picture.get("aria-labelledby") in ids
    assert picture.get("aria-describedby") in ids


def test_pivot_and_irreversible_steps_differ_in_shape_and_say_so() -> None:
    form = saga(action("a", ()), action("b", ("a",)), pivot("c", ("b",)))
    plain, pivotal = [
        [shape.tag for shape in group if shape.tag in {f"{SVG}rect", f"{SVG}path"}]
        for group in drawn(form).iter(f"{SVG}g")
        if "step" in group.get("class", "").split()
    ][1:]
    assert (plain, pivotal) == ([f"{SVG}rect"], [f"{SVG}path"] * 2)
    assert any("pivot · irreversible" in line for line in words(drawn(form)))


def test_undo_lines_are_dashed_and_lead_upwards() -> None:
    form = saga(action("a", ()), action("b", ("a",)))
    (line,) = [
        each
        for each in drawn(form).iter(f"{SVG}path")
        if each.get("class") == "undo" and "h34" not in each.get("d", "")
    ]
    straight = re.fullmatch(r"M\d+ (\d+)(?:V\d+)*V(\d+)", line.get("d", ""))
    assert straight is not None
    start, end = map(int, straight.groups())
    assert start < end, "it is drawn from the upper undo to the lower one, with its head at the upper"
    (head,) = [
        each
        for each in drawn(form).iter(f"{SVG}path")
        if each.get("class") == "undo head" and not each.get("d", "").endswith("v8Z")
    ]
    assert head.get("d", "").endswith(f" {start}l-4 9h8Z")


def test_whatever_a_name_holds_the_document_is_xml() -> None:
    condition = Compare(left=Reference(step=None, field=NASTY), how="==", right=Value(value=NASTY))
    form = saga(replace(action("a", (), when=condition), dependency=NASTY))
    picture = drawn(replace(form, name=NASTY, trigger=replace(form.trigger, topic=NASTY)))
    assert picture.tag == f"{SVG}svg"
    assert any("漢字" in line for line in words(picture))


def test_nothing_in_it_runs_or_comes_from_elsewhere() -> None:
    text = as_svg(shop().close().form)
    for word in ("<script", "javascript:", "@import", "url(", "href", "<foreignObject", "onload"):
        assert word not in text
    assert re.findall(r"https?://[^\"]+", text) == ["http://www.w3.org/2000/svg"]


def test_its_colors_change_with_the_paper_and_its_rules_are_its_own() -> None:
    style = drawn(shop().close().form).find(f"{SVG}style")
    assert style is not None
    assert style.text is not None
    assert "@media (prefers-color-scheme: dark)" in style.text
    rules = re.findall(r"^([^@}\n][^{]*)\{", style.text, re.MULTILINE)
    assert rules
    assert all(part.strip().startswith(".amends-saga ") for rule in rules for part in rule.split(","))


@pytest.mark.parametrize(
    "form",
    [
        pytest.param(saga(*[action(f"s{n}", ()) for n in range(STEPS_MAX)]), id="all beside each other"),
        pytest.param(
            saga(*[action(f"s{n}", tuple(f"s{m}" for m in range(n))) for n in range(STEPS_MAX)]), id="one by one"
        ),
        pytest.param(
            saga(
                *[action(f"a{n}", ()) for n in range(STEPS_MAX // 2)],
                *[action(f"b{n}", tuple(f"a{m}" for m in range(STEPS_MAX // 2))) for n in range(STEPS_MAX // 2)],
            ),
            id="half waits for the other half",
        ),
        pytest.param(
            saga(*[action(f"g{n // 2}/s{n}", (f"g{(n - 1) // 2}/s{n - 1}",) if n else ()) for n in range(STEPS_MAX)]),
            id="a saga called for every two",
        ),
        pytest.param(random_graph(9), id="at random"),
    ],
)
def test_the_picture_of_the_longest_saga_is_bounded(form: DefinitionForm) -> None:
    text = as_svg(form)
    assert len(text) < 1_000_000
    fromstring(text)


def test_the_same_definition_is_drawn_the_same() -> None:
    form = random_graph(3)
    assert as_svg(form) == as_svg(form)


def test_steps_that_change_nothing_have_round_corners() -> None:
    picture = drawn(saga(read("a", ()), result()))
    assert [
        rect.get("rx")
        for group in picture.iter(f"{SVG}g")
        if "reads" in group.get("class", "").split()
        for rect in group.iter(f"{SVG}rect")
    ] == ["16", "16"]


def test_the_picture_in_the_docs_is_what_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SHOP_ORDERS_TOPIC", raising=False)
    form = load_app(str(ROOT / "examples/shop/sagas.py")).by("order").form
    assert (DOCS / "pictures/order.svg").read_text(encoding="utf-8") == as_svg(form)


def luminance(color: str) -> float:
    """Relative luminance (WCAG 2.2)."""
    parts = [int(color[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def color_of(style: str, selector: str, member: str) -> str:
    """The last rule for the selector that says it."""
    pattern = rf"^\.amends-saga {re.escape(selector)} \{{[^}}]*\b{member}: (#\w+)"
    *_, found = re.findall(pattern, style, re.MULTILINE)
    return str(found)


@pytest.mark.parametrize("paper", ["light", "dark"])
def test_words_stand_out_from_their_boxes_and_lines_from_the_paper(paper: str) -> None:
    light, dark = STYLE.split("@media (prefers-color-scheme: dark)")
    style = light if paper == "light" else light + dark
    words, quiet, ground = (color_of(style, each, "fill") for each in ("text", "text.quiet", ".paper"))
    boxes = (".trigger rect", ".acts rect", ".reads rect", ".pivot path", ".undo path")
    assert min(contrast(words, color_of(style, box, "fill")) for box in boxes) >= 7
    assert contrast(quiet, ground) >= 4.5
    lines = (*boxes, ".frame rect", "path.order", "path.undo", "path.beside")
    assert min(contrast(color_of(style, line, "stroke"), ground) for line in lines) >= 3
