"""The `tiffin server` process: API server, controllers and scheduler in one event loop."""
from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from tiffin.apiserver.authn.serviceaccount import DEFAULT_ISSUER
from tiffin.apiserver.authz.bootstrap import controller_role
from tiffin.apiserver.server import Assembly, Options, state_file
from tiffin.apiserver.user import AUTHENTICATED, MASTERS, User
from tiffin.cluster import loadbalancer, signing
from tiffin.cluster.accessfiles import UnusableFile
from tiffin.cluster.config import ServerConfig
from tiffin.controllers import all_controllers
from tiffin.controllers.config import Config
from tiffin.machinery.object import Object
from tiffin.net.pki import Pki, ensure_pki
from tiffin.net.renewal import keep_renewed
from tiffin.runtime.clock import SystemClock
from tiffin.runtime.controller import Controller
from tiffin.runtime.manager import run_controllers
from tiffin.store.log import Log, MemoryLog, Undecipherable
from tiffin.store.sqlite import SqliteLog
from tiffin.store.store import Store

logger = logging.getLogger(__name__)

NETWORK = User("system:kube-proxy", groups=(AUTHENTICATED,))
SCHEDULER = User("system:kube-scheduler", groups=(AUTHENTICATED,))


def server_hosts(config: ServerConfig) -> list[str]:
    """Every address and name the server's certificate is good for."""
    import ipaddress

    first = str(ipaddress.ip_network(config.service_cidr)[1])
    names = ["kubernetes", "kubernetes.default", "kubernetes.default.svc", f"kubernetes.default.svc.{config.cluster_domain}", "localhost"]
    return [*dict.fromkeys([*config.bind_addresses, "127.0.0.1", first, *names])]


def open_log(config: ServerConfig) -> Log:
    return MemoryLog() if config.store == "memory" else SqliteLog(state_file(config.data_dir))


def token_lines(path: Path) -> Iterator[str]:
    """The administrator's token as a line of a token file."""
    yield f'{path.read_text().strip()},kubernetes-admin,admin,"{MASTERS}"'


def controllers_for(config: ServerConfig, pki: Pki, assembly: Assembly) -> list[Controller]:
    return list(all_controllers(Config(
        root_ca=pki.ca_pem.decode(), sign_token=lambda account, secret: assembly.issuer.legacy(account, secret["metadata"]["name"]),
        cluster_cidr=config.pod_cidr, node_cidr_mask_size=config.node_cidr_mask_size,
        service_cidr=config.service_cidr, api_address=config.advertise_address, api_port=config.port,
        node_monitor_grace=timedelta(seconds=config.node_monitor_grace),
        server_hosts=frozenset((*server_hosts(config), config.advertise_address)), read_request=signing.read_request, sign_certificate=signing.signer(pki),
        certificate_end=signing.certificate_end)))


def controller_roles(controllers: list[Controller]) -> list[Object]:
    return [role for c in controllers for role in controller_role(c.name, c.rules)]


def open_store(config: ServerConfig) -> Store:
    """The objects of the cluster. Raises UnusableFile where they cannot be decrypted."""
    log = config.access.encrypted(open_log(config))
    try:
        return Store(log)
    except Undecipherable as error:
        log.close()
        raise UnusableFile(f"{error} ({config.access.encryption_provider_config or 'none was given'})") from error


async def serve(config: ServerConfig) -> None:
    """Runs the control plane until cancelled."""
    config.data_dir.mkdir(parents=True, exist_ok=True)
    pki = ensure_pki(config.pki_dir, server_hosts(config))
    store = open_store(config)
    options = Options(
        pki, list(token_lines(config.admin_token_file)), f"{config.advertise_address}:{config.port}", config.service_cidr,
        log_requests=config.request_log, auditor=config.access.auditor(config.data_dir), authentication=config.access.authentication(DEFAULT_ISSUER),
        allow_external_ips=config.allow_external_ips, toleration_seconds=(config.not_ready_toleration, config.unreachable_toleration),
        pod_security=config.access.pod_security(), legacy_apis=config.legacy_apis, pod_security_policy=config.pod_security_policy)
    assembly = Assembly(store, options)
    controllers = controllers_for(config, pki, assembly)
    try:
        await assembly.start([*controller_roles(controllers), *controller_role(loadbalancer.NAME, loadbalancer.RULES)])
        port = await assembly.listen(config.bind_addresses, config.port)
        if port != config.port:  # it was any free one, and the Service `kubernetes` names it
            controllers = controllers_for(replace(config, port=port), pki, assembly)
        assembly.is_ready = True
        _announce(config.ready_fd, port)
        logger.info("serving on port %d", port)
        from tiffin.scheduler.run import run_scheduler  # NumPy takes a while to load, and nobody waits for it to be answered

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(run_controllers(assembly.client_for, controllers, SystemClock()), name="controllers")
            if config.load_balancer_addresses:
                balancer = loadbalancer.LoadBalancer(assembly.client_for(loadbalancer.NAME), SystemClock(), config.load_balancer_addresses)
                tasks.create_task(balancer.run(), name="load balancer")
            tasks.create_task(keep_renewed(pki, asyncio.sleep), name="certificates")
            if config.keep_routes:
                from tiffin.cluster.routes import Place, Routes, Site

                site = Site(Place.HOST, "", "", config.bridged_cidr, config.pod_cidr)
                tasks.create_task(Routes(site, assembly.client(NETWORK, "tiffin"), SystemClock()).run(), name="routes")
            tasks.create_task(run_scheduler(assembly.client(SCHEDULER, "kube-scheduler"), SystemClock()), name="scheduler")
    finally:
        await assembly.stop()


def _announce(descriptor: int, port: int) -> None:
    if descriptor >= 0:
        os.write(descriptor, f"ready {port}\n".encode())
        os.close(descriptor)
