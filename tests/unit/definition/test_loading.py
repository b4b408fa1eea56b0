"""An APP is a file, a folder or a module; what is wrong with it is told by the user's own line."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from amends.coordinator.definition.findings import DefinitionError
from amends.coordinator.definition.loading import check_app, load_app
from amends.coordinator.errors import NotFound, UsageError

MODELS = """\
from pydantic import BaseModel


class Order(BaseModel):
    request_id: str
"""

SAGAS = """\
from {models} import Order
from amends import Saga, Topic

shop = Saga("shop", version={version}, trigger=Topic("orders", Order, idempotency_key="request_id"))
again = shop


@shop.read
def price(trigger: Order) -> int:
    return 5
"""

Write = Callable[..., None]


@pytest.fixture(autouse=True)
def own_imports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Each test imports for itself: path and modules are as before when it ends."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(**files: str) -> None:
        for name, text in files.items():
            path = tmp_path / f"{name.replace('__in__', '/')}.py"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    return write


def names(app: str) -> list[tuple[str, int]]:
    return [(saga.name, saga.version) for saga in load_app(app).sagas]


def test_a_file_imports_what_stands_beside_it(write: Write) -> None:
    write(app__in__shop_models=MODELS, app__in__shop_sagas=SAGAS.format(models="shop_models", version=3))
    assert names("app/shop_sagas.py") == [("shop", 3)]
    assert names("./app/shop_sagas.py") == [("shop", 3)]


def test_a_folder_is_all_its_files(write: Write) -> None:
    write(
        many__in__many_models=MODELS,
        many__in__one=SAGAS.format(models="many_models", version=1),
        many__in__two=SAGAS.format(models="many_models", version=2),
    )
    assert names("many") == [("shop", 1), ("shop", 2)]
    assert [saga.version for saga in load_app("many").current] == [2]


def test_a_module_is_found_from_the_working_folder(write: Write) -> None:
    write(store__in__models=MODELS, store__in__sagas=SAGAS.format(models="store.models", version=1))
    assert names("store.sagas") == [("shop", 1)]


def test_a_file_of_a_package_is_imported_under_its_packages_name(write: Write) -> None:
    write(pack__in____init__="", pack__in__models=MODELS)
    write(pack__in__sagas=SAGAS.format(models=".models", version=1))
    assert names("pack/sagas.py") == [("shop", 1)]
    assert "pack.sagas" in sys.modules


def test_a_package_counts_what_its_own_file_binds(write: Write) -> None:
    write(whole__in__models=MODELS, whole__in__inner=SAGAS.format(models="whole.models", version=1))
    write(whole__in____init__="from whole.inner import shop\n")
    assert names("whole") == [("shop", 1)]


def test_two_apps_may_have_files_of_one_name(write: Write) -> None:
    write(one__in__twin=SAGAS.format(models="twin_models", version=1), one__in__twin_models=MODELS)
    write(two__in__twin=SAGAS.format(models="twin_models", version=2))
    assert names("one/twin.py") == [("shop", 1)]
    assert names("two/twin.py") == [("shop", 2)]


def test_a_file_that_changed_is_read_anew(write: Write) -> None:
    write(new_models=MODELS, changing=SAGAS.format(models="new_models", version=1))
    assert names("changing.py") == [("shop", 1)]
    write(changing=SAGAS.format(models="new_models", version=12))
    assert names("changing.py") == [("shop", 12)]


def test_a_users_schemas_py_is_left_to_the_user(write: Write) -> None:
    write(schemas=MODELS, uses_schemas=SAGAS.format(models="schemas", version=1))
    assert names("uses_schemas.py") == [("shop", 1)]


def test_the_build_is_a_digest_of_the_apps_own_files(write: Write) -> None:
    write(b_models=MODELS, b_sagas=SAGAS.format(models="b_models", version=1))
    first = load_app("b_sagas.py").build
    assert load_app("b_sagas.py").build == first
    write(b_models=MODELS + "\n\nlater = 1\n")
    assert load_app("b_sagas.py").build != first
    assert len(first) == 16


def test_a_saga_is_found_by_name_and_version(write: Write) -> None:
    write(
        f_models=MODELS,
        f_one=SAGAS.format(models="f_models", version=1),
        f_two=SAGAS.format(models="f_models", version=2),
    )
    write(found="from f_one import shop as one\nfrom f_two import shop as two\n")
    app = load_app("found.py")
    assert app.by("shop").version == 2
    assert app.by("shop", 1).version == 1
    with pytest.raises(NotFound, match="did you mean 'shop'"):
        app.by("shpo")
    with pytest.raises(NotFound, match="there is v1, v2"):
        app.by("shop", 7)


@pytest.mark.parametrize(
    ("source", "says"),
    [
        pytest.param("import amends\n\nx = undefined\n", "broken.py:3:5: NameError: name 'undefined'", id="a name"),
        pytest.param("def f(:\n    pass\n", "broken.py:1:7: SyntaxError: invalid syntax", id="syntax"),
        pytest.param(
            "x = 1\nimport no_such_library\n", "broken.py:2:1: ModuleNotFoundError: No module named", id="a library"
        ),
        pytest.param("import sys\nsys.exit(3)\n", "broken.py:2:1: SystemExit: 3", id="an exit"),
        pytest.param(
            "import json\n\njson.loads('{')\n", "broken.py:3:1: JSONDecodeError: Expecting", id="inside a library"
        ),
        pytest.param(
            "from amends import Saga\n\nSaga('x')\n",
            "broken.py:3:1: TypeError: Saga.__init__()",
            id="a missing argument",
        ),
        pytest.param(
            "from amends import Sega\n", "broken.py:1:1: ImportError: cannot import name 'Sega'", id="a wrong name"
        ),
    ],
)
def test_an_error_in_the_app_is_told_by_the_users_own_line(write: Write, source: str, says: str) -> None:
    write(broken=source)
    with pytest.raises(UsageError) as caught:
        load_app("broken.py")
    assert caught.value.code == "AM1101"
    assert says in str(caught.value)


@pytest.mark.parametrize("app", ["nothing.py", "no/such", "no.such.module", "nomodule"])
def test_an_app_that_is_not_there_is_not_found(app: str) -> None:
    with pytest.raises(UsageError) as caught:
        load_app(app)
    assert caught.value.code == "AM1100"


def test_a_folder_without_python_files_is_no_app(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError) as caught:
        load_app("empty")
    assert caught.value.code == "AM1100"


def test_loading_refuses_what_checking_lists(write: Write) -> None:
    write(
        w_models=MODELS, wrong=SAGAS.format(models="w_models", version=1).replace("trigger: Order)", "tigger: Order)")
    )
    (found,) = check_app("wrong.py")
    assert (found.code, found.file, found.line, found.column) == ("AM1032", "wrong.py", 9, 11)
    with pytest.raises(DefinitionError) as caught:
        load_app("wrong.py")
    assert caught.value.findings == (found,)
    assert caught.value.exit_code == 2
    assert "call it trigger" in caught.value.line()


def test_an_error_raised_while_importing_is_a_finding_of_check(write: Write) -> None:
    write(r_models=MODELS, raising=SAGAS.format(models="r_models", version=0))
    (found,) = check_app("raising.py")
    assert (found.code, found.severity, found.file, found.line) == ("AM1006", "error", "raising.py", 4)


def test_checking_lists_the_findings_of_all_sagas(write: Write) -> None:
    source = SAGAS.format(models="all_models", version=1).replace("trigger: Order)", "trigger: int)")
    write(all_models=MODELS, a_one=source, a_two=source.replace('"shop"', '"other"'))
    write(every="from a_one import shop as one\nfrom a_two import shop as two\n")
    assert [(each.saga, each.code, each.file) for each in check_app("every.py")] == [
        ("shop", "AM1031", "a_one.py"),
        ("other", "AM1031", "a_two.py"),
    ]
