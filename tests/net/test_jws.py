"""Tokens: what is signed verifies, everything else is refused."""

from __future__ import annotations

import hashlib
import hmac

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiffin.net.jws import InvalidToken, PrivateKey, PublicKey, decode, encode, unverified_claims, verify
from tiffin.net.pki import new_key, private_pem

KEY, OTHER = PrivateKey(private_pem(new_key())), PrivateKey(private_pem(new_key()))


def public_pem(key: PrivateKey) -> bytes:
    from cryptography.hazmat.primitives import serialization

    return key._key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


@given(st.dictionaries(st.text(max_size=8), st.integers(-(2**50), 2**50) | st.text(max_size=20), max_size=5))
def test_round_trip(claims: dict[str, object]) -> None:
    token = KEY.sign(claims)
    assert verify(token, [OTHER.public, KEY.public]) == claims
    assert unverified_claims(token) == claims


@given(st.data())
def test_any_changed_character_is_refused(data: st.DataObject) -> None:
    token = KEY.sign({"sub": "someone"})
    at = data.draw(st.integers(0, len(token) - 1))
    other = data.draw(st.sampled_from("ABCabc012-_."))
    forged = token[:at] + other + token[at + 1 :]
    try:
        decoded_same = [decode(p) for p in forged.split(".")] == [decode(p) for p in token.split(".")]
    except InvalidToken:
        decoded_same = False
    if not decoded_same or forged.rpartition(".")[0] != token.rpartition(".")[0]:
        with pytest.raises(InvalidToken):
            verify(forged, [KEY.public])


def forged(header: dict[str, object], signature: bytes) -> str:
    return f"{encode(orjson.dumps(header))}.{encode(b'{}')}.{encode(signature)}"


def hmac_token() -> str:
    head = f"{encode(orjson.dumps({'alg': 'HS256', 'kid': KEY.public.kid}))}.{encode(b'{}')}"
    return f"{head}.{encode(hmac.digest(public_pem(KEY), head.encode(), hashlib.sha256))}"


FORGERIES = [
    "",
    "a.b",
    "a.b.c",
    "....",
    forged({"alg": "none"}, b""),
    forged({"alg": "ES256", "kid": KEY.public.kid}, b""),
    forged({"alg": "ES256", "kid": KEY.public.kid}, bytes(64)),
    forged({"alg": "ES256", "kid": KEY.public.kid, "crit": ["x"]}, bytes(64)),
    hmac_token(),
    OTHER.sign({}),
    "x" * 20000 + ".y.z",
]


@pytest.mark.parametrize("token", FORGERIES, ids=map(str, range(len(FORGERIES))))
def test_forgeries(token: str) -> None:
    with pytest.raises(InvalidToken):
        verify(token, [KEY.public])


def test_the_key_is_published() -> None:
    jwk = KEY.public.jwk()
    assert (jwk["kty"], jwk["alg"], jwk["kid"]) == ("EC", "ES256", PublicKey(public_pem(KEY)).kid)
    assert len(decode(jwk["x"])) == len(decode(jwk["y"])) == 32
