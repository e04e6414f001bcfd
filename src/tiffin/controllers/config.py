"""What controllers are told when they are made: the cluster's ranges, certificates and times. Defaults are kube-controller-manager's."""
from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from tiffin.controllers.certificates import ReadRequest, Unreadable, nothing_read
from tiffin.machinery.object import Object


def no_tokens(account: Object, secret: Object) -> str:
    """For clusters whose server signs no legacy tokens: such secrets stay without one."""
    return ""


def signs_nothing(pem: bytes, usages: Sequence[str], life: timedelta) -> bytes:
    """For clusters whose server has no certificate authority to sign with."""
    raise Unreadable("this server signs no certificate requests")


def ends_never(pem: bytes) -> datetime:
    """For the same."""
    return datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True)
class Config:
    """Parameters of the controllers. `sign_token(service_account, secret)` gives the token of a service account token Secret."""

    root_ca: str = ""
    """PEM of the authority behind the API server's certificate, for `kube-root-ca.crt`."""
    sign_token: Callable[[Object, Object], str] = no_tokens
    read_request: ReadRequest = nothing_read
    sign_certificate: Callable[[bytes, Sequence[str], timedelta], bytes] = signs_nothing
    """The certificate (PEM) for a request (PEM), usages as in a CertificateSigningRequest, and how long it is good for."""
    server_hosts: frozenset[str] = frozenset()
    """The names and addresses of the API server's own certificate."""
    certificate_end: Callable[[bytes], datetime] = ends_never
    """When a certificate (PEM) ends."""
    service_cidr: str = ""
    """The range of Services, for the objects that tell of it; without one there are none."""
    api_address: str = ""
    """Where nodes and pods reach the API server, for the Service `kubernetes`."""
    api_port: int = 6443
    cluster_cidr: str = "10.244.0.0/16"
    node_cidr_mask_size: int = 24
    node_monitor_grace: timedelta = timedelta(seconds=50)
    """How long a node may be silent before it counts as unknown."""
    node_startup_grace: timedelta = timedelta(seconds=60)
    """The same for a node that never reported."""
    terminated_pod_threshold: int = 12500
    """How many finished pods are kept."""
