"""JSON Web Signatures in the one form tiffin uses: compact, ES256, a key identified by `kid`.

The algorithm is fixed by the key, never taken from the token: any header but ES256 with a known `kid` is refused, so neither
"none" nor a confusion with HMAC gets through. Sources: RFC 7515, RFC 7518 section 3.4, RFC 7638 is not used: `kid` is the
SHA-256 of the public key's DER, as kube-apiserver makes it. `cryptography` is imported when the first key is loaded.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

import orjson

_COORDINATE = 32
"""Bytes of one P-256 coordinate, and of each half of a signature."""

_LONGEST = 16384
"""Longer tokens are refused unread; a bound service-account token has some 1,200 bytes."""


class InvalidToken(Exception):
    """The text is not a token that one of our keys has signed; the message says why and holds nothing of the token."""


def encode(data: bytes) -> str:
    """base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def decode(text: str) -> bytes:
    """The inverse of `encode`; raises InvalidToken for anything outside the alphabet."""
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidToken("not base64url") from error


class PublicKey:
    """An ES256 verification key, from PEM."""

    def __init__(self, pem: bytes) -> None:
        from cryptography.hazmat.primitives import serialization

        key = serialization.load_pem_public_key(pem)
        self._key: Any = key
        der = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        self.kid = encode(hashlib.sha256(der).digest())

    def verify(self, signature: bytes, signed: bytes) -> bool:
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import ec
        from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

        if len(signature) != 2 * _COORDINATE:
            return False
        der = encode_dss_signature(int.from_bytes(signature[:_COORDINATE]), int.from_bytes(signature[_COORDINATE:]))
        try:
            self._key.verify(der, signed, ec.ECDSA(hashes.SHA256()))
        except InvalidSignature:
            return False
        return True

    def jwk(self) -> dict[str, str]:
        """The key as a JSON Web Key."""
        numbers = self._key.public_numbers()
        point = {name: encode(value.to_bytes(_COORDINATE)) for name, value in (("x", numbers.x), ("y", numbers.y))}
        return {"use": "sig", "kty": "EC", "kid": self.kid, "crv": "P-256", "alg": "ES256"} | point


class PrivateKey:
    """An ES256 signing key, from PEM."""

    def __init__(self, pem: bytes) -> None:
        from cryptography.hazmat.primitives import serialization

        self._key: Any = serialization.load_pem_private_key(pem, password=None)
        public = self._key.public_key()
        self.public = PublicKey(public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo))

    def sign(self, claims: Mapping[str, Any]) -> str:
        """A compact token with these claims."""
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import ec
        from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

        header = encode(orjson.dumps({"alg": "ES256", "kid": self.public.kid}))
        signed = f"{header}.{encode(orjson.dumps(claims))}"
        r, s = decode_dss_signature(self._key.sign(signed.encode(), ec.ECDSA(hashes.SHA256())))
        return f"{signed}.{encode(r.to_bytes(_COORDINATE) + s.to_bytes(_COORDINATE))}"


def unverified_claims(token: str) -> dict[str, Any]:
    """The claims of a token whose signature nobody has looked at; only fit for choosing who should verify it."""
    parts = token.split(".")
    if len(parts) != 3 or len(token) > _LONGEST:
        raise InvalidToken("not a token of three parts")
    return _object(parts[1])


def verify(token: str, keys: Iterable[PublicKey]) -> dict[str, Any]:
    """The claims of a token signed by one of `keys`. Times and audiences are left to the caller. Raises InvalidToken."""
    parts = token.split(".")
    if len(parts) != 3 or len(token) > _LONGEST:
        raise InvalidToken("not a token of three parts")
    header = _object(parts[0])
    if header.get("alg") != "ES256" or "crit" in header:
        raise InvalidToken("unexpected signature algorithm")
    key = next((key for key in keys if key.kid == header.get("kid")), None)
    if key is None or not key.verify(decode(parts[2]), f"{parts[0]}.{parts[1]}".encode()):
        raise InvalidToken("signature is invalid")
    return _object(parts[1])


def _object(part: str) -> dict[str, Any]:
    try:
        value = orjson.loads(decode(part))
    except orjson.JSONDecodeError as error:
        raise InvalidToken("not JSON") from error
    if not isinstance(value, dict):
        raise InvalidToken("not a JSON object")
    return value
