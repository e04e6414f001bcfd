"""JSON Web Signatures in the compact form, by a key that is identified by `kid`.

The algorithm is fixed by the key, never taken from the token: RS256 for RSA keys, which new clusters have, ES256 for keys on P-256. Any
other header is refused, so neither "none" nor a confusion with HMAC gets through. Sources: RFC 7515, RFC 7518; `kid` is the SHA-256 of
the public key's DER, as kube-apiserver makes it. `cryptography` is imported when the first key is loaded.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from tiffin.net import jwa
from tiffin.net.jwa import encode

_LONGEST = 16384
"""Longer tokens are refused unread; a bound service-account token has some 1,200 bytes."""


class InvalidToken(Exception):
    """The text is not a token that one of our keys has signed; the message says why and holds nothing of the token."""


def decode(text: str) -> bytes:
    """The bytes of base64url text; raises InvalidToken for anything outside the alphabet."""
    try:
        return jwa.decode(text)
    except ValueError as error:
        raise InvalidToken("not base64url") from error


class PublicKey:
    """A verification key, from PEM."""

    def __init__(self, pem: bytes) -> None:
        from cryptography.hazmat.primitives import serialization

        key = serialization.load_pem_public_key(pem)
        self._key: Any = key
        self.algorithm = jwa.algorithms_of(key)[0]
        der = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        self.kid = encode(hashlib.sha256(der).digest())

    def verify(self, signature: bytes, signed: bytes) -> bool:
        return jwa.verify(self.algorithm, self._key, signature, signed)

    def jwk(self) -> dict[str, str]:
        """The key as a JSON Web Key."""
        return {"use": "sig", "kid": self.kid, "alg": self.algorithm} | jwa.jwk_of(self._key)


class PrivateKey:
    """A signing key, from PEM."""

    def __init__(self, pem: bytes) -> None:
        from cryptography.hazmat.primitives import serialization

        # our own key: to prove its primes again would take 40 ms of every start
        self._key: Any = serialization.load_pem_private_key(pem, password=None, unsafe_skip_rsa_key_validation=True)
        public = self._key.public_key()
        self.public = PublicKey(public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo))

    def sign(self, claims: Mapping[str, Any]) -> str:
        """A compact token with these claims."""
        header = encode(orjson.dumps({"alg": self.public.algorithm, "kid": self.public.kid}))
        signed = f"{header}.{encode(orjson.dumps(claims))}"
        return f"{signed}.{encode(jwa.sign(self.public.algorithm, self._key, signed.encode()))}"


def unverified_claims(token: str) -> dict[str, Any]:
    """The claims of a token whose signature nobody has looked at; only fit for choosing who should verify it."""
    parts = token.split(".")
    if len(parts) != 3 or len(token) > _LONGEST:
        raise InvalidToken("not a token of three parts")
    return decode_object(parts[1])


def verify(token: str, keys: Iterable[PublicKey]) -> dict[str, Any]:
    """The claims of a token signed by one of `keys`. Times and audiences are left to the caller. Raises InvalidToken."""
    parts = token.split(".")
    if len(parts) != 3 or len(token) > _LONGEST:
        raise InvalidToken("not a token of three parts")
    header = decode_object(parts[0])
    key = next((key for key in keys if key.kid == header.get("kid")), None)
    if key is not None and (header.get("alg") != key.algorithm or "crit" in header):
        raise InvalidToken("unexpected signature algorithm")
    if key is None or not key.verify(decode(parts[2]), f"{parts[0]}.{parts[1]}".encode()):
        raise InvalidToken("signature is invalid")
    return decode_object(parts[1])


def decode_object(part: str) -> dict[str, Any]:
    """Header or claims from base64url; raises InvalidToken."""
    try:
        value = orjson.loads(decode(part))
    except orjson.JSONDecodeError as error:
        raise InvalidToken("not JSON") from error
    if not isinstance(value, dict):
        raise InvalidToken("not a JSON object")
    return value
