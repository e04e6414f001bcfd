"""The file of an EncryptionConfiguration: which resources are encrypted, with which keys.

The first provider of a resource seals, all of them open. `identity` is no encryption: first, it decrypts at the next start; anywhere, it
lets plain data be read. What cannot be opened keeps the server from starting, with a message that names the object and no key.
Source: apiserver.config.k8s.io/v1 EncryptionConfiguration. The provider `kms` is not supported.
"""
from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import orjson

from tiffin.apiserver.encryption.ciphers import PREFIX, Cipher, WrongKey, aescbc, aesgcm, secretbox
from tiffin.machinery.yamlcodec import parse_yaml
from tiffin.store.log import Record, Undecipherable

IDENTITY = Cipher(b"", lambda data, place: data, lambda data, place: data)
_KINDS: dict[str, tuple[Callable[[str, bytes], Cipher], tuple[int, ...]]] = {
    "aescbc": (aescbc, (16, 24, 32)), "aesgcm": (aesgcm, (16, 24, 32)), "secretbox": (secretbox, (32,))}


class ConfigurationError(ValueError):
    """A configuration file that cannot be used; the message names the place in it, and never a key."""


class Encryption:
    """The ciphers of each resource."""

    def __init__(self, document: Any) -> None:
        if not isinstance(document, dict) or (document.get("apiVersion"), document.get("kind")) != (
                "apiserver.config.k8s.io/v1", "EncryptionConfiguration"):
            raise ConfigurationError("is no EncryptionConfiguration of apiserver.config.k8s.io/v1")
        entries = document.get("resources")
        if not isinstance(entries, list) or not entries:
            raise ConfigurationError("resources: Required value: at least one resource config is required")
        self._entries = [_entry(entry, f"resources[{number}]") for number, entry in enumerate(entries)]
        self._chosen: dict[str, tuple[Cipher, ...]] = {}

    @classmethod
    def load(cls, path: Path) -> Encryption:
        """Raises ConfigurationError."""
        try:
            document, problems = parse_yaml(path.read_bytes())
            if problems:
                raise ConfigurationError(str(problems[0]))
            return cls(document)
        except (OSError, ValueError) as error:
            raise ConfigurationError(f"encryption provider config {path}: {error}") from error

    def seal(self, record: Record, data: bytes) -> bytes:
        """The data as it is to lie on disk."""
        ciphers = self._of(record.resource)
        return ciphers[0].prefix + ciphers[0].encrypt(data, _place(record)) if ciphers else data

    def open(self, record: Record, data: bytes) -> tuple[bytes, bool]:
        """The plain data, and whether it lies there in another form than `seal` gives. Raises Undecipherable."""
        ciphers = self._of(record.resource)
        if not data.startswith(PREFIX):
            if ciphers and IDENTITY not in ciphers:
                raise Undecipherable(f"{_name(record)} is not encrypted, and its resource has no provider `identity` to read it with")
            return data, bool(ciphers) and ciphers[0] is not IDENTITY
        found = False
        for number, cipher in enumerate(ciphers):
            if cipher.prefix and data.startswith(cipher.prefix):
                found = True
                try:
                    plain = cipher.decrypt(data[len(cipher.prefix):], _place(record))
                except WrongKey:
                    continue
                if cipher.authenticated or _is_object(plain):
                    return plain, number > 0
        how = b":".join(data.split(b":", 5)[2:5:2]).decode(errors="replace")
        why = "but not with the key that the configuration gives for it" if found else "for which the configuration has no such provider and key"
        raise Undecipherable(f"{_name(record)} is encrypted as {how}, {why}")

    def _of(self, resource: str) -> tuple[Cipher, ...]:
        chosen = self._chosen.get(resource)
        if chosen is None:
            chosen = self._chosen[resource] = next((ciphers for names, ciphers in self._entries if _covers(names, resource)), ())
        return chosen


def _entry(entry: Any, where: str) -> tuple[Sequence[str], tuple[Cipher, ...]]:
    names, providers = (entry.get("resources"), entry.get("providers")) if isinstance(entry, dict) else (None, None)
    if not isinstance(names, list) or not names:
        raise ConfigurationError(f"{where}.resources: Required value: at least one resource is required")
    if not isinstance(providers, list) or not providers:
        raise ConfigurationError(f"{where}.providers: Required value: at least one provider is required")
    for name in names:
        if not isinstance(name, str) or name == "*" or not name:
            raise ConfigurationError(f'{where}.resources: Invalid value: "{name}": use *.<group> for a group, *. for the core group, *.* for everything')
    ciphers = [cipher for number, provider in enumerate(providers) for cipher in _ciphers(provider, f"{where}.providers[{number}]")]
    return [name.lower() for name in names], tuple(ciphers)


def _ciphers(provider: Any, where: str) -> list[Cipher]:
    if not isinstance(provider, dict) or len(provider) != 1:
        raise ConfigurationError(f"{where}: Invalid value: more than one provider specified in a single element, should split into different list elements")
    (kind, settings), = provider.items()
    if kind == "identity":
        return [IDENTITY]
    if kind == "kms":
        raise ConfigurationError(f"{where}.kms: Forbidden: key management services are not supported; use secretbox, aesgcm or aescbc")
    if kind not in _KINDS:
        raise ConfigurationError(f'{where}: unknown field "{kind}"')
    keys = settings.get("keys") if isinstance(settings, dict) else None
    if not isinstance(keys, list) or not keys:
        raise ConfigurationError(f"{where}.{kind}.keys: Required value: at least one key is required")
    return [_cipher(kind, key, f"{where}.{kind}.keys[{number}]") for number, key in enumerate(keys)]


def _cipher(kind: str, key: Any, where: str) -> Cipher:
    make, lengths = _KINDS[kind]
    name, secret = (key.get("name"), key.get("secret")) if isinstance(key, dict) else (None, None)
    if not isinstance(name, str) or not name or ":" in name:
        raise ConfigurationError(f"{where}.name: Required value: a key needs a name, without colons")
    try:
        raw = base64.b64decode(secret or "", validate=True)
    except (binascii.Error, TypeError, ValueError):
        raise ConfigurationError(f"{where}.secret: Invalid value: must be base64 encoded") from None
    if len(raw) not in lengths:
        raise ConfigurationError(f"{where}.secret: Invalid value: expected a key of {' or '.join(map(str, lengths))} bytes, not {len(raw)}")
    try:
        return make(name, raw)
    except ImportError as error:
        raise ConfigurationError(f"{where}: secretbox needs the package PyNaCl: pip install 'tiffin[secretbox]'") from error


def _covers(names: Sequence[str], resource: str) -> bool:
    """`resource` is the store's name, such as secrets or deployments.apps."""
    group = resource.partition(".")[2]
    return resource in names or f"*.{group}" in names or "*.*" in names


def _is_object(data: bytes) -> bool:
    try:
        return isinstance(orjson.loads(data), dict)
    except orjson.JSONDecodeError:
        return False


def _place(record: Record) -> bytes:
    return "/".join(("/registry", record.resource, record.namespace, record.name)).encode()


def _name(record: Record) -> str:
    return f"{record.resource} {record.namespace}/{record.name}" if record.namespace else f"{record.resource} {record.name}"
