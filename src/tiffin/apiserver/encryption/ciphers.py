"""The ciphers of an EncryptionConfiguration, in the form in which kube-apiserver writes to etcd.

`k8s:enc:<cipher>:v1:<key name>:` goes before what the cipher made: for aescbc an initialisation vector and PKCS #7 padded blocks, for
aesgcm and secretbox a nonce and an authenticated text. Sources: NIST SP 800-38A and D; NaCl crypto_secretbox.
"""
from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, NamedTuple

PREFIX = b"k8s:enc:"


class WrongKey(Exception):
    """The data was not made with this key, or has been tampered with."""


class Cipher(NamedTuple):
    """One key of one kind. Both functions take the data and the place it is for."""

    prefix: bytes
    encrypt: Callable[[bytes, bytes], bytes]
    decrypt: Callable[[bytes, bytes], bytes]
    authenticated: bool = True
    """Whether a wrong key is always noticed; without, one in 256 is not, and what comes out is garbage."""


def aescbc(name: str, key: bytes) -> Cipher:
    from cryptography.hazmat.primitives.ciphers import Cipher as Blocks
    from cryptography.hazmat.primitives.ciphers import algorithms, modes
    from cryptography.hazmat.primitives.padding import PKCS7

    def encrypt(data: bytes, place: bytes) -> bytes:
        start, padder = os.urandom(16), PKCS7(128).padder()
        encryptor = Blocks(algorithms.AES(key), modes.CBC(start)).encryptor()
        return start + encryptor.update(padder.update(data) + padder.finalize()) + encryptor.finalize()

    def decrypt(data: bytes, place: bytes) -> bytes:
        decryptor, unpadder = Blocks(algorithms.AES(key), modes.CBC(data[:16])).decryptor(), PKCS7(128).unpadder()
        try:
            return unpadder.update(decryptor.update(data[16:]) + decryptor.finalize()) + unpadder.finalize()
        except ValueError as error:
            raise WrongKey from error

    return Cipher(_prefix("aescbc", name), encrypt, decrypt, authenticated=False)


def aesgcm(name: str, key: bytes) -> Cipher:
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    sealing = AESGCM(key)

    def encrypt(data: bytes, place: bytes) -> bytes:
        nonce = os.urandom(12)
        return nonce + sealing.encrypt(nonce, data, place)

    def decrypt(data: bytes, place: bytes) -> bytes:
        try:
            return sealing.decrypt(data[:12], data[12:], place)
        except (InvalidTag, ValueError) as error:
            raise WrongKey from error

    return Cipher(_prefix("aesgcm", name), encrypt, decrypt)


def secretbox(name: str, key: bytes) -> Cipher:
    """Needs PyNaCl; raises ImportError without."""
    from nacl.exceptions import CryptoError
    from nacl.secret import SecretBox

    box: Any = SecretBox(key)

    def encrypt(data: bytes, place: bytes) -> bytes:
        return bytes(box.encrypt(data))

    def decrypt(data: bytes, place: bytes) -> bytes:
        try:
            return bytes(box.decrypt(data))
        except (CryptoError, ValueError) as error:
            raise WrongKey from error

    return Cipher(_prefix("secretbox", name), encrypt, decrypt)


def _prefix(kind: str, name: str) -> bytes:
    return PREFIX + f"{kind}:v1:{name}:".encode()
