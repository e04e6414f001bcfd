"""What a cluster does so that other machines can join it: it tells where it is and what it is like, and hands out tokens."""
from __future__ import annotations

import argparse
import asyncio
import shlex
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from tiffin.client.client import Client
from tiffin.cluster import discovery, jointokens
from tiffin.cluster.config import CLUSTER_DNS, CLUSTER_DOMAIN, SERVICE_CIDR
from tiffin.cluster.daemons import lease_seconds
from tiffin.cluster.jointokens import BadToken, JoinToken
from tiffin.cluster.layout import Layout
from tiffin.cluster.nodes_ready import admin_client
from tiffin.cluster.state import ClusterState
from tiffin.cluster.tables import show
from tiffin.machinery.errors import ApiError
from tiffin.machinery.timestamps import format_time

T = TypeVar("T")


class CannotInvite(Exception):
    """The message is for the user."""


def facts(state: ClusterState) -> discovery.Facts:
    """What a node that joins is told."""
    return discovery.Facts(
        server=f"https://{state.listen[0]}:{state.port}", pods=state.pod_cidr, services=SERVICE_CIDR, dns=CLUSTER_DNS, domain=CLUSTER_DOMAIN,
        node_network=state.node_network, lease_seconds=lease_seconds(state),
    )


async def open_to_others(layout: Layout, state: ClusterState) -> None:
    """Publishes what a machine must know to join."""
    from tiffin.net.pki import Pki

    client = admin_client(layout, state.port)
    try:
        await discovery.publish(client, facts(state), Pki(layout.pki_dir).ca_pem)
    finally:
        client.close()


def join_command(layout: Layout, state: ClusterState, token: JoinToken) -> str:
    """The whole command for the other machine."""
    from tiffin.net.certrequest import key_digest
    from tiffin.net.pki import Pki

    digest = key_digest(Pki(layout.pki_dir).ca_pem)
    return shlex.join(["tiffin", "join", f"https://{state.listen[0]}:{state.port}", "--token", token.text, "--discovery-token-ca-cert-hash", digest])


def act(layout: Layout, state: ClusterState, options: argparse.Namespace) -> None:
    """`tiffin token ACTION`. Raises `CannotInvite`."""
    try:
        _ACTIONS[options.action](layout, state, options)
    except BadToken as error:
        raise CannotInvite(str(error)) from error
    except (OSError, ApiError) as error:
        raise CannotInvite(f"the API server does not answer as it should: {error}") from error


def _create(layout: Layout, state: ClusterState, options: argparse.Namespace) -> None:
    print(_made(layout, state, options).text)


def _join(layout: Layout, state: ClusterState, options: argparse.Namespace) -> None:
    if not state.listen:
        raise CannotInvite("the API server listens to this machine only; let others reach it with: tiffin up --listen ADDRESS")
    print(join_command(layout, state, _made(layout, state, options)))


def _made(layout: Layout, state: ClusterState, options: argparse.Namespace) -> JoinToken:
    usages = [usage.strip() for usage in options.usages.split(",")]
    if unknown := [usage for usage in usages if usage not in jointokens.USAGES]:
        raise BadToken(f"{unknown[0]!r} is no usage of a token: there are {', '.join(jointokens.USAGES)}")
    ttl = timedelta(seconds=options.ttl) if options.ttl else None
    token = jointokens.new_token(ttl, usages, options.description, options.token or "")
    _with_client(layout, state, lambda client: jointokens.create(client, token))
    return token


def _list(layout: Layout, state: ClusterState, options: argparse.Namespace) -> None:
    now = datetime.now(UTC)
    rows = []
    for token in _with_client(layout, state, jointokens.tokens):
        end = "never" if token.expires is None else "expired" if token.expires <= now else format_time(token.expires)
        rows.append((token.text, end, ",".join(token.usages), token.description or "<none>", token.groups))
    show(("TOKEN", "EXPIRES", "USAGES", "DESCRIPTION", "EXTRA GROUPS"), rows)


def _delete(layout: Layout, state: ClusterState, options: argparse.Namespace) -> None:
    for token in options.tokens:
        _with_client(layout, state, lambda client, token=token: jointokens.delete(client, token))  # type: ignore[misc]
        print(f"token {token.partition('.')[0]} is withdrawn")


def _with_client(layout: Layout, state: ClusterState, action: Callable[[Client], Awaitable[T]]) -> T:
    async def run() -> T:
        client = admin_client(layout, state.port)
        try:
            return await action(client)
        finally:
            client.close()

    return asyncio.run(run())


_ACTIONS: dict[str, Callable[[Layout, ClusterState, argparse.Namespace], None]] = {"create": _create, "join": _join, "list": _list, "delete": _delete}
