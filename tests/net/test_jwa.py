"""Signature algorithms and keys: what one key signs no other key, and no other algorithm, verifies."""
from __future__ import annotations

from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from tiffin.net import jwa, jws

RSA = rsa.generate_private_key(65537, 2048)
KEYS: dict[str, Any] = {
    **dict.fromkeys(("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"), RSA), "ES256": ec.generate_private_key(ec.SECP256R1()),
    "ES384": ec.generate_private_key(ec.SECP384R1()), "ES512": ec.generate_private_key(ec.SECP521R1()),
    "EdDSA": ed25519.Ed25519PrivateKey.generate()}  # fmt: skip


def pem(key: Any) -> bytes:
    return key.private_bytes(  # type: ignore[no-any-return]
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())


@pytest.mark.parametrize("algorithm", jwa.ALGORITHMS)
def test_a_signature_is_good_for_its_key_algorithm_and_text(algorithm: str) -> None:
    key = KEYS[algorithm]
    public, signature = key.public_key(), jwa.sign(algorithm, key, b"text")
    assert jwa.verify(algorithm, public, signature, b"text")
    assert not jwa.verify(algorithm, public, signature, b"other")
    assert not jwa.verify(algorithm, public, signature[:-1], b"text")
    for other in jwa.ALGORITHMS:
        if other != algorithm:
            assert not jwa.verify(other, public, signature, b"text")
    for wrong in ("none", "HS256", "", "RS1"):
        assert not jwa.verify(wrong, public, signature, b"text")


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "ES384", "ES512"])
def test_a_key_comes_back_from_its_jwk(algorithm: str) -> None:
    key = KEYS[algorithm]
    again = jwa.key_from_jwk(jwa.jwk_of(key.public_key()))
    assert jwa.verify(algorithm, again, jwa.sign(algorithm, key, b"x"), b"x")


@pytest.mark.parametrize(
    "jwk",
    [{}, {"kty": "oct", "k": "AAAA"}, {"kty": "RSA"}, {"kty": "RSA", "n": "AQAB", "e": "AQAB"}, {"kty": "EC", "crv": "P-1", "x": "", "y": ""},
     {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"}, {"kty": "OKP", "crv": "X25519", "x": "AA"}, {"kty": "RSA", "n": 1, "e": 2}],
)  # fmt: skip
def test_what_is_no_key_is_refused(jwk: dict[str, Any]) -> None:
    with pytest.raises(jwa.BadKey):
        jwa.key_from_jwk(jwk)


@pytest.mark.parametrize("algorithm", ["RS256", "ES256"])
def test_tokens_are_signed_by_the_algorithm_of_the_key(algorithm: str) -> None:
    key, other = jws.PrivateKey(pem(KEYS[algorithm])), jws.PrivateKey(pem(KEYS["ES256" if algorithm == "RS256" else "RS256"]))
    token = key.sign({"sub": "x"})
    assert jws.verify(token, [other.public, key.public]) == {"sub": "x"}
    assert key.public.jwk()["alg"] == algorithm
    with pytest.raises(jws.InvalidToken):
        jws.verify(token, [other.public])
    header = jwa.encode(b'{"alg":"none","kid":"%b"}' % key.public.kid.encode())
    for forged in (f"{header}.{token.split('.')[1]}.", f"{header}.{token.split('.')[1]}.{token.split('.')[2]}"):
        with pytest.raises(jws.InvalidToken, match="unexpected signature algorithm"):
            jws.verify(forged, [key.public])
