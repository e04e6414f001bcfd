"""`tiffin join`, `tiffin leave`, and `tiffin up` on a machine that joined."""
from __future__ import annotations

import argparse
import asyncio
import re
import shutil
import socket

from tiffin.cluster import join, up
from tiffin.cluster.images import ImageError
from tiffin.cluster.jointokens import BadToken, split
from tiffin.cluster.layout import Layout
from tiffin.cluster.preflight import Wish, problems
from tiffin.cluster.readiness import NotReady

_DIGEST = re.compile(r"sha256:[0-9a-fA-F]{64}")
_NODE_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")


class CannotDo(Exception):
    """The message is for the user."""


def join_cluster(layout: Layout, options: argparse.Namespace) -> None:
    """Raises `CannotDo` and `up.Refused`."""
    if layout.state_file.exists() or layout.joined_file.exists():
        what = "has joined a cluster" if layout.joined_file.exists() else "runs a cluster of its own"
        raise CannotDo(f"this machine {what} under the name {layout.name}: leave it first, or join under another with --name NAME")
    wish = _wish(options)
    if found := problems(Wish(layout, 0, 1)):
        raise up.Refused(found)
    try:
        with up.exclusively(layout):
            membership = asyncio.run(join.join(layout, wish))
            ready = asyncio.run(join.wait_until_ready(layout, membership, options.wait)) if options.wait else True
    except (join.CannotJoin, NotReady, ImageError, up.Busy) as error:
        if not layout.joined_file.exists() and not isinstance(error, up.Busy):
            shutil.rmtree(layout.data_dir)  # nothing was started, and half the keys are of no use
        raise CannotDo(str(error)) from error
    if not ready:
        raise CannotDo(f"{wish.node_name} has joined, but was not ready within {options.wait:g} s: tiffin logs {wish.node_name}")
    print(f"{wish.node_name} ({wish.node_ip}) has joined the cluster at {wish.server}")


def leave_cluster(layout: Layout, options: argparse.Namespace) -> None:
    """Raises `CannotDo`."""
    membership = join.load(layout)
    if membership is None:
        raise CannotDo("this machine has joined no cluster of that name")
    try:
        with up.exclusively(layout):
            is_forgotten = asyncio.run(join.leave(layout, membership, options.timeout, options.force))
    except (join.CannotJoin, up.Busy) as error:
        raise CannotDo(str(error)) from error
    print(f"{membership.node_name} has left the cluster at {membership.server}, and nothing of it remains here")
    if not is_forgotten:
        print(f"The cluster still knows it; there, give: tiffin node rm {membership.node_name}")


def bring_back(layout: Layout, membership: join.Membership, wait: float) -> None:
    """`tiffin up` on a machine that joined. Raises `CannotDo`."""
    try:
        with up.exclusively(layout):
            asyncio.run(join.bring_up(layout, membership))
            ready = asyncio.run(join.wait_until_ready(layout, membership, wait)) if wait else True
    except (NotReady, ImageError, up.Busy) as error:
        raise CannotDo(str(error)) from error
    if not ready:
        raise CannotDo(f"{membership.node_name} was not ready within {wait:g} s: tiffin logs {membership.node_name}")
    print(f"{membership.node_name} is a node of the cluster at {membership.server}")


def rest(layout: Layout, membership: join.Membership, grace: float) -> None:
    """`tiffin down` on a machine that joined. Raises `CannotDo`."""
    try:
        with up.exclusively(layout):
            asyncio.run(join.rest(layout, membership, grace))
    except up.Busy as error:
        raise CannotDo(str(error)) from error
    print(f"{membership.node_name} is down; it is still a node of the cluster at {membership.server}, and comes back with: tiffin up")


def _wish(options: argparse.Namespace) -> join.Wish:
    server = options.server if "://" in options.server else f"https://{options.server}"
    if not server.startswith("https://"):
        raise CannotDo(f"{options.server} is no https URL")
    try:
        split(options.token)
    except BadToken as error:
        raise CannotDo(str(error)) from error
    digests = tuple(options.discovery_token_ca_cert_hash or ())
    if wrong := [digest for digest in digests if not _DIGEST.fullmatch(digest)]:
        raise CannotDo(f"{wrong[0]!r} is no digest of a key: it takes sha256: and 64 hexadecimal digits")
    if not digests and not options.discovery_token_unsafe_skip_ca_verification:
        raise CannotDo("say which certificate authority the cluster has, with --discovery-token-ca-cert-hash sha256:…, as `tiffin token join` prints it")
    name = options.node_name or socket.gethostname().lower()
    if not _NODE_NAME.fullmatch(name) or len(name) > 253:
        raise CannotDo(f"{name!r} is no node name: it takes lower case letters, digits, '-' and '.'; give another with --node-name NAME")
    try:
        address = options.node_ip or join.own_address(server)
    except join.CannotJoin as error:
        raise CannotDo(str(error)) from error
    return join.Wish(server.rstrip("/"), options.token, digests, name, address)
