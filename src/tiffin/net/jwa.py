"""The signature algorithms of JSON Web Tokens, and keys as JSON Web Keys. `cryptography` is imported with the first key.

A key serves only algorithms of its own type, and symmetric ones are not known at all: neither "none" nor a confusion of a public key
with a shared secret gets through. Sources: RFC 7518 sections 3 and 6, RFC 8037.
"""
from __future__ import annotations

import base64
import binascii
from typing import Any

ALGORITHMS = ("RS256", "RS384", "RS512", "ES256", "ES384", "ES512", "PS256", "PS384", "PS512", "EdDSA")
_CURVES = {"ES256": ("P-256", 32), "ES384": ("P-384", 48), "ES512": ("P-521", 66)}
"""The curve of each algorithm and the bytes of a coordinate of it."""
MIN_RSA_BITS = 2048


class BadKey(ValueError):
    """A JSON Web Key that is none, or of a kind that verifies nothing here."""


def encode(data: bytes) -> str:
    """base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def decode(text: str) -> bytes:
    """The inverse of `encode`; raises ValueError for anything outside the alphabet."""
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError("not base64url") from error


def algorithms_of(key: Any) -> tuple[str, ...]:
    """What a public or private key can sign or verify; the first is what we sign with."""
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

    if isinstance(key, rsa.RSAPublicKey | rsa.RSAPrivateKey):
        return ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
    if isinstance(key, ec.EllipticCurvePublicKey | ec.EllipticCurvePrivateKey):
        return {256: ("ES256",), 384: ("ES384",), 521: ("ES512",)}.get(key.curve.key_size, ())
    return ("EdDSA",) if isinstance(key, ed25519.Ed25519PublicKey | ed25519.Ed25519PrivateKey) else ()


def sign(algorithm: str, key: Any, data: bytes) -> bytes:
    """A signature by a private key of the algorithm's type."""
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

    if algorithm == "EdDSA":
        return bytes(key.sign(data))
    if algorithm in _CURVES:
        size = _CURVES[algorithm][1]
        r, s = decode_dss_signature(key.sign(data, ec.ECDSA(_hash(algorithm))))
        return r.to_bytes(size) + s.to_bytes(size)
    return bytes(key.sign(data, _padding(algorithm), _hash(algorithm)))


def verify(algorithm: str, key: Any, signature: bytes, data: bytes) -> bool:
    """Whether the signature is good, by an algorithm that the key serves."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

    if algorithm not in algorithms_of(key):
        return False
    try:
        if algorithm == "EdDSA":
            key.verify(signature, data)
        elif algorithm in _CURVES:
            size = _CURVES[algorithm][1]
            if len(signature) != 2 * size:
                return False
            der = encode_dss_signature(int.from_bytes(signature[:size]), int.from_bytes(signature[size:]))
            key.verify(der, data, ec.ECDSA(_hash(algorithm)))
        else:
            key.verify(signature, data, _padding(algorithm), _hash(algorithm))
    except InvalidSignature:
        return False
    return True


def _hash(algorithm: str) -> Any:
    from cryptography.hazmat.primitives import hashes

    kinds: dict[str, Any] = {"256": hashes.SHA256, "384": hashes.SHA384, "512": hashes.SHA512}
    return kinds[algorithm[2:]]()


def _padding(algorithm: str) -> Any:
    from cryptography.hazmat.primitives.asymmetric import padding

    if algorithm.startswith("RS"):
        return padding.PKCS1v15()
    return padding.PSS(padding.MGF1(_hash(algorithm)), _hash(algorithm).digest_size)


def jwk_of(key: Any) -> dict[str, str]:
    """The members of a public key's JSON Web Key that are its type and numbers."""
    from cryptography.hazmat.primitives.asymmetric import rsa

    numbers = key.public_numbers()
    if isinstance(key, rsa.RSAPublicKey):
        return {"kty": "RSA", "n": encode(_bytes(numbers.n)), "e": encode(_bytes(numbers.e))}
    curve, size = _CURVES[algorithms_of(key)[0]]
    return {"kty": "EC", "crv": curve, "x": encode(numbers.x.to_bytes(size)), "y": encode(numbers.y.to_bytes(size))}


def _bytes(number: int) -> bytes:
    return number.to_bytes((number.bit_length() + 7) // 8)


def key_from_jwk(jwk: dict[str, Any]) -> Any:
    """The public key of a JSON Web Key. Raises BadKey."""
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

    try:
        if jwk.get("kty") == "RSA":
            key = rsa.RSAPublicNumbers(_number(jwk["e"]), _number(jwk["n"])).public_key()
            if key.key_size < MIN_RSA_BITS:
                raise BadKey(f"an RSA key of {key.key_size} bits is too short")
            return key
        if jwk.get("kty") == "EC":
            curve: Any = {"P-256": ec.SECP256R1, "P-384": ec.SECP384R1, "P-521": ec.SECP521R1}[jwk["crv"]]
            return ec.EllipticCurvePublicNumbers(_number(jwk["x"]), _number(jwk["y"]), curve()).public_key()
        if jwk.get("kty") == "OKP" and jwk.get("crv") == "Ed25519":
            return ed25519.Ed25519PublicKey.from_public_bytes(decode(jwk["x"]))
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise BadKey(f"not a usable key: {error}") from error
    raise BadKey(f"keys of type {jwk.get('kty')!r} are not supported")


def _number(text: str) -> int:
    return int.from_bytes(decode(text))
