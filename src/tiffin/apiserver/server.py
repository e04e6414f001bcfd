"""Putting the API server together: store, registry, verbs, identity, and the listening sockets."""
from __future__ import annotations

import asyncio
import logging
import ssl
import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import orjson

from tiffin.api.kind import Kind, builtin_kinds
from tiffin.apiserver.admission.plugins import default_admission
from tiffin.apiserver.admission.podsecurity.plugin import PRIVILEGED_BY_DEFAULT, PodSecurityConfiguration
from tiffin.apiserver.admission.resourcequota import QUOTAS
from tiffin.apiserver.admission.tolerations import DefaultTolerationSeconds
from tiffin.apiserver.aggregation.aggregator import Aggregator
from tiffin.apiserver.aggregation.frontproxy import FrontProxy, publish
from tiffin.apiserver.allocation import SERVICES, ServiceAllocator
from tiffin.apiserver.authn.authenticator import Authenticator
from tiffin.apiserver.authn.serviceaccount import ServiceAccountTokens, TokenIssuer
from tiffin.apiserver.authn.tokens import NOBODY_ELSE, Authentication, BootstrapTokens, StaticTokens, TokenAuthenticator
from tiffin.apiserver.authz.authorizer import Authorizer
from tiffin.apiserver.bootstrap import bootstrap
from tiffin.apiserver.crd import SERVER, CustomResources
from tiffin.apiserver.flowcontrol.keeping import Keeper
from tiffin.apiserver.handler import ApiServer
from tiffin.apiserver.local import LocalClient
from tiffin.apiserver.nodes import NodeDirectory
from tiffin.apiserver.paths import Issuer, Paths
from tiffin.apiserver.podverbs import BUDGETS, PODS, PodVerbs
from tiffin.apiserver.proxying import Proxying
from tiffin.apiserver.reads import Reads
from tiffin.apiserver.registry import Registry
from tiffin.apiserver.render import respond
from tiffin.apiserver.resources import Resources
from tiffin.apiserver.reviews import Reviews, TokenRequests
from tiffin.apiserver.scale import ScaleHandler
from tiffin.apiserver.servicedial import ServiceDialer
from tiffin.apiserver.stored import StoreReader
from tiffin.apiserver.streaming import Streaming
from tiffin.apiserver.tokenrequests import token_handler
from tiffin.apiserver.user import AUTHENTICATED, MASTERS, User, service_account_groups, service_account_name
from tiffin.apiserver.watch import Watches
from tiffin.apiserver.webhooks.client import WebhookClient
from tiffin.apiserver.writes import Writes, new_uid, random_suffix
from tiffin.machinery import errors
from tiffin.machinery.errors import ApiError
from tiffin.machinery.object import Object, key_of
from tiffin.net import jws
from tiffin.net.http import Response
from tiffin.net.pki import Pki
from tiffin.net.renewal import keep_loaded
from tiffin.net.server import Server, plain_refusal
from tiffin.net.tlsclient import client_context
from tiffin.store.store import Mismatch, Store, Write

if TYPE_CHECKING:
    from tiffin.apiserver.audit.auditor import Auditor

logger = logging.getLogger(__name__)
MANAGER = User("system:kube-controller-manager", groups=(MASTERS, AUTHENTICATED))


@dataclass(frozen=True, slots=True)
class Options:
    """What one API server is told."""

    pki: Pki
    tokens: Iterable[str]
    """Lines `token,user,uid,"groups"`: the static bearer tokens."""
    address: str
    """`host:port` under which clients reach the server."""
    service_cidr: str
    service_account_issuer: str = "https://kubernetes.default.svc.cluster.local"
    log_requests: bool = False
    allow_external_ips: bool = False
    """Whether Services may have external IPs; see DenyServiceExternalIPs."""
    toleration_seconds: tuple[int, int] = (300, 300)
    """How long pods that say nothing of it stay on a node that is not ready, and on one that is unreachable."""
    pod_security: PodSecurityConfiguration = PRIVILEGED_BY_DEFAULT
    """What counts where namespaces have no labels of the Pod Security Standards, and who is exempt."""
    auditor: Auditor | None = None
    """Notes requests; None for no audit log."""
    authentication: Authentication = NOBODY_ELSE
    """Issuers of tokens beside this server, and where anonymous requests are welcome."""
    legacy_apis: bool = False
    """Whether the versions that Kubernetes has retired are served beside the current ones."""
    pod_security_policy: bool = False
    """Whether PodSecurityPolicies, which are among them, decide on pods."""


class Assembly:
    """A whole API server over one store. `start` makes it usable, `listen` opens its ports."""

    def __init__(self, store: Store, options: Options) -> None:
        self.store, self.options = store, options
        self.reader = StoreReader(store)
        self.registry = Registry(served_kinds(options.legacy_apis))
        self.authorizer = Authorizer(self.reader)
        self.is_ready = False
        self.auditor = options.auditor
        key = jws.PrivateKey(options.pki.service_account_key.read_bytes())
        self.issuer = TokenIssuer(key, options.service_account_issuer)
        account_tokens = ServiceAccountTokens(self.reader, [key.public], time.time, options.service_account_issuer)
        audiences = [options.service_account_issuer]
        tokens: list[TokenAuthenticator] = [StaticTokens(options.tokens), account_tokens, BootstrapTokens(self.reader, time.time)]
        trusted = options.authentication
        self.authenticator = Authenticator([*tokens, *trusted.issuers], audiences, time.time, trusted.anonymous, trusted.anonymous_paths)
        self.webhooks = WebhookClient(ServiceDialer(self.reader).resolve)
        self.resources = self._resources()
        client = self.client(SERVER, "kube-apiserver")
        self.front_proxy = FrontProxy(options.pki)
        self.aggregator = Aggregator(store, self.reader, self.registry, client, self.front_proxy.trust)
        paths = Paths(
            self.registry, self.aggregator, options.address, Issuer(lambda: self.issuer.discovery(f"https://{options.address}"), self.issuer.jwks),
            lambda: self.is_ready)
        self.api = ApiServer(self.resources, paths, self.aggregator, self.authenticator, self.authorizer.authorize, self.auditor, options.log_requests)
        self.http = Server(self.api.handle, refusal=refusal)
        self._tasks: list[asyncio.Task[None]] = []

    def _resources(self) -> Resources:
        tolerations = DefaultTolerationSeconds(*self.options.toleration_seconds)
        admission = default_admission(
            self.reader, self.authorizer, self.registry, self.webhooks, self._charge, random_suffix, tolerations=tolerations,
            allow_external_ips=self.options.allow_external_ips, pod_security=self.options.pod_security,
            pod_security_policy=self.options.legacy_apis and self.options.pod_security_policy)
        writes = Writes(self.store, admission, {SERVICES: ServiceAllocator(self.store, self.options.service_cidr, new_uid)})
        resources = Resources(self.registry, Reads(self.store), writes, Watches(self.store))
        self._install_handlers(resources, writes)
        self.custom = CustomResources(self.registry, writes, self.store, self.webhooks)
        return resources

    def _install_handlers(self, resources: Resources, writes: Writes) -> None:
        if self.options.legacy_apis:
            from tiffin.apiserver.rollback import Rollback

            resources.subresources["rollback"] = Rollback(writes).handle
        pods, budgets = self.registry.lookup(*PODS), self.registry.lookup(*BUDGETS)
        assert pods is not None and budgets is not None
        pod_verbs = PodVerbs(writes, pods, budgets)
        nodes = NodeDirectory(self.reader, self._kubelet_tls)
        tokens = TokenRequests(self.reader, self.issuer, (self.options.service_account_issuer,))
        resources.virtual |= {"bindings": pod_verbs.bindings, **Reviews(self.authenticator, self.authorizer).handlers()}
        resources.subresources |= {
            "scale": ScaleHandler(writes).handle, "binding": pod_verbs.binding, "eviction": pod_verbs.eviction,
            "token": token_handler(tokens, writes.admission), "proxy": Proxying(self.reader, nodes).proxy,
            **Streaming(self.reader, self.authorizer.authorize, nodes).handlers()}

    async def _charge(self, new: Object, old: Object) -> bool:
        """Stores a charged quota if nobody else has changed it meanwhile."""
        new = orjson.loads(orjson.dumps(new))
        try:
            await self.store.commit(Write(QUOTAS.group_resource, key_of(new), new, int(old["metadata"]["resourceVersion"])))
        except Mismatch:
            return False
        return True

    def _kubelet_tls(self) -> ssl.SSLContext:
        """How this server proves itself to nodes. What it may there, `tiffin:kubelet-api-admin` says: nobody's certificate opens more."""
        pair = self.options.pki.client("apiserver-kubelet-client", "kube-apiserver-kubelet-client")
        tls = client_context(self.options.pki.ca_pem.decode(), pair.certificate.read_text(), pair.key.read_text())
        self._tasks.append(asyncio.create_task(keep_loaded(tls, [(pair.certificate, pair.key)], asyncio.sleep), name="its certificate for nodes"))
        return tls

    def client(self, user: User, agent: str) -> LocalClient:
        """An in-process client acting as `user`."""
        client = LocalClient(self.resources, self.authorizer.authorize, user, agent)
        if self.auditor is None:
            return client
        from tiffin.apiserver.audit.local import AuditedClient

        return AuditedClient(client, self.auditor, agent)

    def client_for(self, name: str) -> LocalClient:
        """The client of a service account in kube-system; "" is the controller manager itself."""
        if not name:
            return self.client(MANAGER, "kube-controller-manager")
        groups = (*service_account_groups("kube-system"), AUTHENTICATED)
        return self.client(User(service_account_name("kube-system", name), groups=groups), "kube-controller-manager")

    async def start(self, extra: Iterable[Object] = ()) -> None:
        """Writes what a cluster begins with and serves the stored custom kinds."""
        fresh = self.store.revision == 0
        await bootstrap(self.store, self.reader, self.registry, extra, datetime.now(UTC))
        if fresh:
            self.store.index.compacted = self.store.revision  # nobody has seen anything older
        self.custom.load()
        keeper = Keeper(self.api.flows, self.store, self.reader, self.client(SERVER, "api-priority-and-fairness-config-consumer-v1"))
        keeper.load()
        self.aggregator.load()
        self._tasks = [
            asyncio.create_task(self._publish_front_proxy(), name="front proxy"),
            asyncio.create_task(self.aggregator.run(), name="api services"),
            asyncio.create_task(keeper.run(), name="priority and fairness"),
            asyncio.create_task(self.resources.watches.send_bookmarks(), name="bookmarks"),
            asyncio.create_task(self.custom.run(), name="custom resources")]

    async def _publish_front_proxy(self) -> None:
        """Tells aggregated servers whom to believe. Keys are made in a thread: nobody waits for them to be answered."""
        data = await asyncio.to_thread(self.front_proxy.configuration)
        try:
            await publish(self.client(SERVER, "kube-apiserver"), data)
        except ApiError as error:
            logger.warning("the configuration of aggregated servers: %s", error)

    async def listen(self, addresses: Iterable[str], port: int) -> int:
        """Listens on every address; gives the port."""
        tls = server_context(self.options.pki)
        server = self.options.pki.server
        self._tasks.append(asyncio.create_task(keep_loaded(tls, [(server.certificate, server.key)], asyncio.sleep), name="its certificate"))
        for address in addresses:
            port = await self.http.start(address, port, tls)
        return port

    async def stop(self) -> None:
        """Ends watches and connections, then closes the store."""
        self.is_ready = False
        await self.http.stop()
        self.webhooks.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.aggregator.stop()
        await self.store.close()
        if self.auditor is not None:
            await self.auditor.close()


def served_kinds(legacy: bool) -> Iterable[Kind]:
    """The built-in kinds; with retired ones and retired versions where they are asked for."""
    if not legacy:
        return builtin_kinds()
    from tiffin.api.legacy.load import with_legacy

    return with_legacy(builtin_kinds())


def refusal(status: int, reason: str) -> Response:
    """The answer to what cannot become a request: a Status where Kubernetes reads the body itself, else the plain text of its HTTP server."""
    return respond(errors.too_large(reason).status(), status=status) if status == 413 else plain_refusal(status, reason)


def server_context(pki: Pki) -> ssl.SSLContext:
    """TLS for the server's ports; client certificates are verified when they are sent, and not demanded."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(pki.server.certificate, pki.server.key)
    context.load_verify_locations(pki.authority.certificate)
    context.verify_mode = ssl.CERT_OPTIONAL
    context.set_alpn_protocols(["http/1.1", "h2"])
    return context


def state_file(directory: Path) -> Path:
    """Where the embedded store keeps a cluster."""
    return directory / "state.db"
