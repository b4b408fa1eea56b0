"""`Topic(schemas=…)` names writer schemas beside the module."""

import json
from pathlib import Path

import pytest

from amends.coordinator.definition.loading import check_app, load_app

SAGAS = """\
from pydantic import BaseModel

from amends import Saga, Topic


class Order(BaseModel):
    request_id: str


shop = Saga("shop", trigger=Topic("orders", Order, idempotency_key="request_id", schemas="avro/*.avsc"))


@shop.read
def price(trigger: Order) -> int:
    return 5
"""
OLD_ORDER = {"type": "record", "name": "OldOrder", "fields": [{"name": "request_id", "type": "string"}]}


@pytest.fixture(autouse=True)
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "avro").mkdir()
    (tmp_path / "sagas.py").write_text(SAGAS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))


def test_the_files_that_the_pattern_matches_are_read_when_the_saga_closes(tmp_path: Path) -> None:
    text = json.dumps(OLD_ORDER)
    (tmp_path / "avro" / "old.avsc").write_text(text)
    (saga,) = load_app("sagas.py").sagas
    assert saga.writer_schemas == {"avro/old.avsc": text}


@pytest.mark.parametrize("text", ["{", '{"type": "recrod"}', ""])
def test_a_listed_file_that_is_no_schema_is_a_finding(tmp_path: Path, text: str) -> None:
    (tmp_path / "avro" / "broken.avsc").write_text(text)
    (found,) = check_app("sagas.py")
    assert found.code == "AM1074"
    assert found.message.startswith("avro/broken.avsc is no Avro schema: ")
