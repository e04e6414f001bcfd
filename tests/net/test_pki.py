"""Certificates: idempotent, renewed, widened, private; and signing requests."""

from __future__ import annotations

import ssl
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tiffin.net import pki as module
from tiffin.net.pki import InvalidRequest, PkiError, ensure_pki, parse_request, subject


def load(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def names(certificate: x509.Certificate) -> set[str]:
    return {str(n.value) for n in certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value}


def test_everything_is_made_once_and_private(tmp_path: Path) -> None:
    pki = ensure_pki(tmp_path / "pki", ["127.0.0.1", "::1", "kubernetes.default.svc"])
    before = {f.name: f.read_bytes() for f in pki.directory.iterdir()}
    assert names(load(pki.server.certificate)) == {"127.0.0.1", "::1", "kubernetes.default.svc"}
    assert {f.name for f in pki.directory.iterdir() if f.suffix == ".key"} == {"ca.key", "apiserver.key", "sa.key"}
    assert all(stat.S_IMODE(f.stat().st_mode) == 0o600 for f in pki.directory.glob("*.key"))
    ensure_pki(tmp_path / "pki", ["127.0.0.1"])
    assert {f.name: f.read_bytes() for f in pki.directory.iterdir()} == before


def test_a_new_host_is_added_and_old_ones_stay(tmp_path: Path) -> None:
    ensure_pki(tmp_path, ["127.0.0.1"])
    authority = (tmp_path / "ca.crt").read_bytes()
    pki = ensure_pki(tmp_path, ["10.0.0.7"])
    assert names(load(pki.server.certificate)) == {"127.0.0.1", "10.0.0.7"}
    assert pki.ca_pem == authority


def test_the_index_may_be_lost_or_wrong(tmp_path: Path) -> None:
    pki = ensure_pki(tmp_path, ["127.0.0.1", "a.example"])
    certificate = pki.server.certificate.read_bytes()
    (tmp_path / "index.json").write_text("{broken")
    ensure_pki(tmp_path, ["a.example"])
    assert pki.server.certificate.read_bytes() == certificate


def test_a_certificate_near_its_end_is_renewed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LEAF_LIFE", timedelta(days=30))
    pki = ensure_pki(tmp_path, ["127.0.0.1"])
    first = load(pki.server.certificate)
    monkeypatch.undo()
    ensure_pki(tmp_path, ["127.0.0.1"])
    assert load(pki.server.certificate).not_valid_after_utc > first.not_valid_after_utc
    assert load(pki.server.certificate).serial_number != first.serial_number


def test_half_an_authority_is_an_error_not_a_new_cluster(tmp_path: Path) -> None:
    ensure_pki(tmp_path, ["127.0.0.1"])
    (tmp_path / "ca.key").unlink()
    with pytest.raises(PkiError, match="only one of"):
        ensure_pki(tmp_path, ["127.0.0.1"])


def test_tls_accepts_server_and_client(tmp_path: Path) -> None:
    pki = ensure_pki(tmp_path, ["127.0.0.1"])
    client = pki.client("admin", "kubernetes-admin", ["system:masters"])
    server_side, client_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context(cafile=str(pki.authority.certificate))
    server_side.load_cert_chain(pki.server.certificate, pki.server.key)
    server_side.load_verify_locations(pki.authority.certificate)
    server_side.verify_mode = ssl.CERT_OPTIONAL
    client_side.load_cert_chain(client.certificate, client.key)
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    a = client_side.wrap_bio(to_client, to_server, server_hostname="127.0.0.1")
    b = server_side.wrap_bio(to_server, to_client, server_side=True)
    pending = [a, b]
    while pending:
        for side in list(pending):
            try:
                side.do_handshake()
                pending.remove(side)
            except ssl.SSLWantReadError:
                pass
    der = b.getpeercert(binary_form=True)
    assert der and subject(x509.load_der_x509_certificate(der).subject) == ("kubernetes-admin", ("system:masters",))


def request(common_name: str, *organizations: str, hosts: tuple[str, ...] = ()) -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    parts = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, o) for o in organizations]
    builder = x509.CertificateSigningRequestBuilder().subject_name(
        x509.Name([*parts, x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    )
    builder = builder.add_extension(x509.BasicConstraints(True, None), critical=True)
    if hosts:
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(h) for h in hosts]), critical=False)
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def test_a_signed_request_is_a_leaf_with_the_usages_asked(tmp_path: Path) -> None:
    pki = ensure_pki(tmp_path, ["127.0.0.1"])
    now = datetime.now(UTC).replace(microsecond=0)
    pem = pki.sign(request("system:node:a", "system:nodes", hosts=("a",)), ["digital signature", "server auth"], timedelta(hours=1), now)
    certificate = x509.load_pem_x509_certificate(pem)
    certificate.verify_directly_issued_by(load(pki.authority.certificate))
    assert certificate.not_valid_after_utc == now + timedelta(hours=1)
    assert names(certificate) == {"a"}
    assert not certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    extended = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert [u._name for u in extended] == ["serverAuth"]


def test_what_is_no_request_is_refused() -> None:
    with pytest.raises(InvalidRequest):
        parse_request(b"-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n")
