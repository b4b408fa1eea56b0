"""Keys as text, signatures, and what a signed head is."""

import base64
import json
import subprocess
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from amends.schemas.canonical import encode
from amends.schemas.signed_head import Head, SignedHead, read, sign
from amends.schemas.signing import NoKey, PrivateKey, PublicKey
from amends.schemas.undecodable import Undecodable

KEY = PrivateKey.new()
HEAD = Head(store="s", shard=0, position=7, head="ab", at="2026-11-22T03:47:26.672327Z", key_id=KEY.public.key_id)
SIGNED = sign(HEAD, KEY)


def test_the_same_head_under_the_same_key_is_the_same_bytes() -> None:
    again = PrivateKey.read(KEY.pem.decode())
    assert encode(sign(HEAD, again)) == encode(SIGNED)


def test_a_public_key_reads_back_from_its_line_and_from_pem() -> None:
    pem = KEY.public._key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    assert PublicKey.read(f" {KEY.public.text}\n").key_id == PublicKey.read(pem).key_id == KEY.public.key_id


def test_openssl_verifies_what_we_sign_and_we_read_its_keys(tmp_path: Path) -> None:
    def openssl(*arguments: str) -> str:
        ran = subprocess.run(
            ["openssl", *arguments], cwd=tmp_path, capture_output=True, text=True, check=True, timeout=20
        )
        return ran.stdout

    openssl("genpkey", "-algorithm", "ed25519", "-out", "key.pem")
    openssl("pkey", "-in", "key.pem", "-pubout", "-out", "public.pem")
    key = PrivateKey.read((tmp_path / "key.pem").read_text())
    assert PublicKey.read((tmp_path / "public.pem").read_text()).key_id == key.public.key_id
    signed = sign(msgspec.structs.replace(HEAD, key_id=key.public.key_id), key)
    (tmp_path / "signed").write_bytes(signed.signed)
    (tmp_path / "signature").write_bytes(base64.b64decode(signed.signature))
    verified = openssl(
        "pkeyutl", "-verify", "-pubin", "-inkey", "public.pem", "-rawin", "-in", "signed", "-sigfile", "signature"
    )
    assert "Successfully" in verified


def test_what_is_signed_is_the_canonical_json_of_all_other_members() -> None:
    members = json.loads(encode(SIGNED))
    del members["signature"]
    canonical = json.dumps(members, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    assert canonical == SIGNED.signed
    assert KEY.public.verifies(SIGNED.signature, canonical)


@pytest.mark.parametrize("name", ["store", "shard", "position", "head", "at"])
def test_no_member_can_be_changed(name: str) -> None:
    value = getattr(SIGNED, name)
    changed = msgspec.structs.replace(SIGNED, **{name: value + 1 if isinstance(value, int) else value + "0"})
    assert SIGNED.is_by(KEY.public)
    assert not changed.is_by(KEY.public)


@pytest.mark.parametrize(
    "signature", ["", "!", "AAAA", SIGNED.signature[:-4]], ids=["empty", "no base64", "short", "cut"]
)
def test_what_is_no_signature_verifies_nothing(signature: str) -> None:
    assert not msgspec.structs.replace(SIGNED, signature=signature).is_by(KEY.public)


RSA = generate_private_key(65537, 2048)
RSA_PRIVATE = RSA.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
RSA_PUBLIC = RSA.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


@pytest.mark.parametrize(
    ("text", "why"),
    [
        pytest.param("", "PEM", id="nothing"),
        pytest.param("hunter2", "PEM", id="a password"),
        pytest.param(KEY.public.text, "PEM", id="a public key"),
        pytest.param(RSA_PRIVATE, "another kind", id="an RSA key"),
        pytest.param(KEY.pem.decode()[:60], "PEM", id="half a key"),
    ],
)
def test_what_is_no_private_key_is_refused_without_being_shown(text: str, why: str) -> None:
    with pytest.raises(NoKey, match=why) as refused:
        PrivateKey.read(text)
    assert not text or text not in str(refused.value)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        pytest.param("ed25519:AAAA", "32 bytes", id="too short"),
        pytest.param("ed25519:-", "32 bytes", id="no base64"),
        pytest.param(KEY.pem.decode(), "neither", id="a private key"),
        pytest.param(RSA_PUBLIC, "another kind", id="an RSA key"),
    ],
)
def test_what_is_no_public_key_is_refused(text: str, why: str) -> None:
    with pytest.raises(NoKey, match=why):
        PublicKey.read(text)


def test_a_key_shows_nothing_of_itself() -> None:
    assert KEY.pem.decode().splitlines()[1] not in repr(KEY)


WHOLE: dict[str, Any] = json.loads(encode(SIGNED))


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(None, id="null"),
        pytest.param([], id="a list"),
        pytest.param({}, id="nothing in it"),
        pytest.param({**WHOLE, "more": 1}, id="a member too many"),
        pytest.param({name: value for name, value in WHOLE.items() if name != "head"}, id="a member too few"),
        pytest.param({**WHOLE, "position": "7"}, id="a number as text"),
        pytest.param({**WHOLE, "position": 0}, id="before the first entry"),
        pytest.param({**WHOLE, "shard": -1}, id="no shard"),
        pytest.param({**WHOLE, "format": 2}, id="another format"),
    ],
)
def test_what_is_no_signed_head_is_refused(value: object) -> None:
    with pytest.raises(Undecodable):
        read(value)


def test_a_signed_head_reads_back_as_it_was() -> None:
    found = read(WHOLE)
    assert isinstance(found, SignedHead)
    assert found == SIGNED
