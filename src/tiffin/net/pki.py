"""The cluster's certificates and keys: one directory, one authority, ECDSA P-256 throughout but for the key of service-account tokens.

Rules:
* Private keys are files of mode 0600 in a directory of mode 0700, written whole or not at all (temporary file, fsync, rename).
* `ensure_pki` is idempotent: what is there and good is used as it is; a certificate close to its end is renewed, one that
  lacks a host gets it added to those it has. The authority and the service-account key are never replaced: what they have
  signed is out there.
* `index.json` remembers hosts and end of each certificate next to the digest of its file, so that a start with nothing to do
  imports no X.509 code. A file that does not match its digest is read anew.

Sources: RFC 5280; Kubernetes "PKI certificates and requirements", "Certificate Signing Requests".
"""

from __future__ import annotations

import hashlib
import ipaddress
import os
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any

import orjson

from tiffin.net.keyusage import CLIENT, SERVER, key_usage, usage_extensions

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

AUTHORITY_LIFE = timedelta(days=3650)
LEAF_LIFE = timedelta(days=365)
RENEW_BEFORE = timedelta(days=60)
_BACKDATE = timedelta(minutes=5)
"""Clocks of other machines may be a little behind ours."""


class PkiError(Exception):
    """Certificates or keys on disk that cannot be used; the message names the file and what is wrong."""


class InvalidRequest(Exception):
    """A certificate signing request that cannot be read or whose signature is wrong."""


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A certificate and its private key as files."""

    certificate: Path
    key: Path


@dataclass(frozen=True, slots=True)
class Identity:
    """What is certified: subject names, and for servers the hosts (addresses or DNS names)."""

    common_name: str
    organizations: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    usages: tuple[str, ...] = (CLIENT,)


@dataclass(frozen=True)
class Pki:
    """The certificates of one cluster, in `directory`."""

    directory: Path

    @property
    def authority(self) -> KeyPair:
        return KeyPair(self.directory / "ca.crt", self.directory / "ca.key")

    @property
    def server(self) -> KeyPair:
        """The API server's own certificate."""
        return KeyPair(self.directory / "apiserver.crt", self.directory / "apiserver.key")

    @property
    def service_account_key(self) -> Path:
        """The private key that signs service-account tokens, PEM."""
        return self.directory / "sa.key"

    @property
    def ca_pem(self) -> bytes:
        """The authority's certificate, as clients get it."""
        return self.authority.certificate.read_bytes()

    def client(self, file: str, common_name: str, organizations: Sequence[str] = ()) -> KeyPair:
        """A client certificate kept as `<file>.crt` and `<file>.key`; made, renewed or reused."""
        return self._ensure(file, Identity(common_name, tuple(organizations)))

    def serving(self, file: str, common_name: str, hosts: Sequence[str], organizations: Sequence[str] = ()) -> KeyPair:
        """A serving certificate kept as `<file>.crt` and `<file>.key`; hosts it had before stay in it."""
        return self._ensure(file, Identity(common_name, tuple(organizations), tuple(hosts), (SERVER,)))

    def node_client(self, node: str) -> KeyPair:
        """The kubelet's identity `system:node:<node>`."""
        return self.client(f"node-{node}-client", f"system:node:{node}", ("system:nodes",))

    def node_serving(self, node: str, hosts: Sequence[str]) -> KeyPair:
        """What the kubelet of `node` serves its own port with."""
        return self.serving(f"node-{node}-serving", f"system:node:{node}", hosts, ("system:nodes",))

    def renew(self, now: datetime) -> list[str]:
        """Makes anew every certificate of ours that is close to its end, under a new key, for the same names; answers which. Raises PkiError."""
        index = _Index.load(self.directory)
        due = [name for name in index.names() if self._is_due(index, name, now)]
        for name in due:
            pair = KeyPair(self.directory / name, (self.directory / name).with_suffix(".key"))
            known = index.find(pair.certificate)
            assert known is not None
            identity = Identity(known.common_name, known.organizations, known.hosts, (SERVER,) if known.hosts else (CLIENT,))
            index.remember(pair.certificate, self._make(pair, identity))
        return due

    def _is_due(self, index: _Index, name: str, now: datetime) -> bool:
        known = index.find(self.directory / name)
        return known is not None and now + RENEW_BEFORE >= datetime.fromtimestamp(known.end, UTC)

    def sign(self, request: bytes, usages: Sequence[str], life: timedelta = LEAF_LIFE, now: datetime | None = None) -> bytes:
        """A certificate (PEM) for a PKCS #10 request (PEM), with the subject and alternative names it asks for.

        `usages` are those of a CertificateSigningRequest. Whether the request deserves it is the caller's decision; nothing
        else of the request is taken over, and it never makes an authority. Raises InvalidRequest.
        """
        from cryptography import x509

        csr = parse_request(request)
        start = now or datetime.now(UTC)
        builder = _builder(csr.subject, csr.public_key(), start - _BACKDATE, min(start + life, self._authority_end()))
        try:
            names = csr.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
            builder = builder.add_extension(names, critical=not list(csr.subject))
        except x509.ExtensionNotFound:
            pass
        return self._issue(builder, usages)

    def _ensure(self, file: str, identity: Identity) -> KeyPair:
        pair = KeyPair(self.directory / f"{file}.crt", self.directory / f"{file}.key")
        index = _Index.load(self.directory)
        known = index.find(pair.certificate) if pair.key.exists() else None
        if known and known.serves(identity, datetime.now(UTC)):
            return pair
        hosts = dict.fromkeys((*identity.hosts, *(known.hosts if known else ())))
        identity = Identity(identity.common_name, identity.organizations, tuple(hosts), identity.usages)
        index.remember(pair.certificate, self._make(pair, identity))
        return pair

    def _make(self, pair: KeyPair, identity: Identity) -> Known:
        from cryptography import x509
        from cryptography.x509.oid import NameOID

        key = new_key()
        attributes = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, name) for name in identity.organizations]
        subject = x509.Name([*attributes, x509.NameAttribute(NameOID.COMMON_NAME, identity.common_name)])
        now = datetime.now(UTC)
        end = min(now + LEAF_LIFE, self._authority_end())
        builder = _builder(subject, key.public_key(), now - _BACKDATE, end)
        if identity.hosts:
            builder = builder.add_extension(x509.SubjectAlternativeName(list(general_names(identity.hosts))), critical=False)
        pem = self._issue(builder, ("digital signature", "key encipherment", *identity.usages))
        _write(pair.key, private_pem(key), 0o600)
        _write(pair.certificate, pem, 0o644)
        return Known(_digest(pem), identity.hosts, end.timestamp(), identity.common_name, identity.organizations)

    def _issue(self, builder: x509.CertificateBuilder, usages: Iterable[str]) -> bytes:
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes, serialization

        authority, key = self._signer()
        builder = builder.issuer_name(authority.subject).add_extension(x509.BasicConstraints(False, None), critical=True)
        for extension, critical in usage_extensions(set(usages)):
            builder = builder.add_extension(extension, critical=critical)
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key())
        return builder.add_extension(issuer, critical=False).sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    def _signer(self) -> tuple[x509.Certificate, EllipticCurvePrivateKey]:
        from cryptography import x509
        from cryptography.hazmat.primitives import serialization

        try:
            key: Any = serialization.load_pem_private_key(self.authority.key.read_bytes(), password=None)
            return x509.load_pem_x509_certificate(self.authority.certificate.read_bytes()), key
        except (OSError, ValueError) as error:
            raise PkiError(f"the cluster's certificate authority in {self.directory} cannot be used: {error}") from error

    def _authority_end(self) -> datetime:
        return self._signer()[0].not_valid_after_utc


def ensure_authority(directory: Path, name: str) -> Pki:
    """Another authority beside the cluster's own, in a directory of its own, under another name."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    pki = Pki(directory)
    if not pki.authority.key.exists():
        _make_authority(pki.authority, name)
    return pki


def ensure_pki(directory: Path | str, hosts: Sequence[str]) -> Pki:
    """The cluster's certificates, made where they are missing. `hosts` are the addresses and names the API server answers to."""
    path = Path(directory)
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    pki = Pki(path)
    if pki.authority.certificate.exists() != pki.authority.key.exists():
        raise PkiError(f"{path} holds only one of ca.crt and ca.key; put the other back or remove both")
    account_key = None if pki.service_account_key.exists() else Thread(target=_make_account_key, args=(pki.service_account_key,))
    if account_key:
        account_key.start()
    if not pki.authority.key.exists():
        _make_authority(pki.authority)
    pki.serving("apiserver", "kube-apiserver", hosts)
    if account_key:
        account_key.join()
        if not pki.service_account_key.exists():
            raise PkiError(f"the key {pki.service_account_key} could not be written")
    return pki


def _make_account_key(path: Path) -> None:
    """RSA, as everybody who verifies service-account tokens expects. It takes 50 ms, so others are made meanwhile."""
    from cryptography.hazmat.primitives.asymmetric import rsa

    _write(path, private_pem(rsa.generate_private_key(65537, 2048)), 0o600)


def parse_request(pem: bytes) -> x509.CertificateSigningRequest:
    """A PKCS #10 request from PEM, its own signature checked. Raises InvalidRequest."""
    from cryptography import x509

    try:
        csr = x509.load_pem_x509_csr(pem)
    except ValueError as error:
        raise InvalidRequest("PEM block type must be CERTIFICATE REQUEST") from error
    if not csr.is_signature_valid:
        raise InvalidRequest("the signature of the certificate request is not valid")
    return csr


def subject(name: x509.Name) -> tuple[str, tuple[str, ...]]:
    """Common name and organizations of a distinguished name: user and groups of a client certificate."""
    from cryptography.x509.oid import NameOID

    common = [str(a.value) for a in name.get_attributes_for_oid(NameOID.COMMON_NAME)]
    organizations = tuple(str(a.value) for a in name.get_attributes_for_oid(NameOID.ORGANIZATION_NAME))
    return (common[-1] if common else ""), organizations


@dataclass(frozen=True, slots=True)
class Known:
    """What the index says of one certificate file."""

    digest: str
    hosts: tuple[str, ...]
    end: float
    common_name: str
    organizations: tuple[str, ...]

    def serves(self, identity: Identity, now: datetime) -> bool:
        """It is for this identity, has all its hosts, and is not about to end."""
        same = (self.common_name, self.organizations) == (identity.common_name, identity.organizations)
        return same and set(identity.hosts) <= set(self.hosts) and now + RENEW_BEFORE < datetime.fromtimestamp(self.end, UTC)


class _Index:
    """The file index.json. Losing it costs only reading the certificates again."""

    def __init__(self, path: Path, entries: dict[str, Any]) -> None:
        self._path, self._entries = path, entries

    @classmethod
    def load(cls, directory: Path) -> _Index:
        path = directory / "index.json"
        try:
            entries = orjson.loads(path.read_bytes())
        except (FileNotFoundError, orjson.JSONDecodeError):
            entries = {}
        return cls(path, entries if isinstance(entries, dict) else {})

    def names(self) -> list[str]:
        """The names of the certificate files."""
        return list(self._entries)

    def find(self, certificate: Path) -> Known | None:
        """What is known of the certificate as it is on disk; None where there is none."""
        try:
            pem = certificate.read_bytes()
        except FileNotFoundError:
            return None
        entry = self._entries.get(certificate.name)
        if entry and entry.get("digest") == _digest(pem):
            return Known(entry["digest"], tuple(entry["hosts"]), entry["end"], entry["commonName"], tuple(entry["organizations"]))
        known = _read(certificate, pem)
        self.remember(certificate, known)
        return known

    def remember(self, certificate: Path, known: Known) -> None:
        entry = {"digest": known.digest, "hosts": known.hosts, "end": known.end}
        self._entries[certificate.name] = entry | {"commonName": known.common_name, "organizations": known.organizations}
        _write(self._path, orjson.dumps(self._entries, option=orjson.OPT_INDENT_2), 0o600)


def _read(path: Path, pem: bytes) -> Known:
    from cryptography import x509

    try:
        certificate = x509.load_pem_x509_certificate(pem)
    except ValueError as error:
        raise PkiError(f"{path} is not a certificate: {error}") from error
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        hosts = tuple(str(name.value) for name in names)
    except x509.ExtensionNotFound:
        hosts = ()
    return Known(_digest(pem), hosts, certificate.not_valid_after_utc.timestamp(), *subject(certificate.subject))


def _make_authority(pair: KeyPair, common_name: str = "kubernetes") -> None:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.x509.oid import NameOID

    key = new_key()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    now = datetime.now(UTC)
    builder = _builder(name, key.public_key(), now - _BACKDATE, now + AUTHORITY_LIFE).issuer_name(name)
    builder = builder.add_extension(x509.BasicConstraints(True, None), critical=True)
    builder = builder.add_extension(key_usage({"digital signature", "key encipherment", "cert sign"}), critical=True)
    builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(common_name)]), critical=False)
    certificate = builder.sign(key, hashes.SHA256())
    _write(pair.key, private_pem(key), 0o600)
    _write(pair.certificate, certificate.public_bytes(serialization.Encoding.PEM), 0o644)


def _builder(name: x509.Name, public_key: Any, start: datetime, end: datetime) -> x509.CertificateBuilder:
    from cryptography import x509

    builder = x509.CertificateBuilder().subject_name(name).public_key(public_key).serial_number(x509.random_serial_number())
    builder = builder.not_valid_before(start).not_valid_after(end)
    return builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)


def general_names(hosts: Iterable[str]) -> Iterable[x509.GeneralName]:
    """Hosts as alternative names: addresses as such, all else as DNS names."""
    from cryptography import x509

    for host in hosts:
        try:
            yield x509.IPAddress(ipaddress.ip_address(host))
        except ValueError:
            yield x509.DNSName(host)


def new_key() -> EllipticCurvePrivateKey:
    """A key of the kind used throughout."""
    from cryptography.hazmat.primitives.asymmetric import ec

    return ec.generate_private_key(ec.SECP256R1())


def private_pem(key: EllipticCurvePrivateKey | RSAPrivateKey) -> bytes:
    """The key as PKCS #8 in PEM, not encrypted."""
    from cryptography.hazmat.primitives import serialization

    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _write(path: Path, data: bytes, mode: int) -> None:
    """Replaces the file whole; at no time is there a file with part of the content or with a wider mode."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(file.fileno(), mode)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
