"""The commands of `tiffin`, each a function of its parsed options that answers the exit code.

What a user can mend is said in a sentence on standard error, with the command that mends it; a traceback is a fault of tiffin.
"""
from __future__ import annotations

import argparse
import asyncio
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, TypeVar

from tiffin.cluster.layout import BadClusterName, Layout, NodeLayout
from tiffin.cluster.state import ClusterState, DamagedState, NewerState, load_state

if TYPE_CHECKING:
    from tiffin.cluster import up

T = TypeVar("T")


class Failure(Exception):
    """The command cannot do it; the message is for the user."""


def run(name: str, options: argparse.Namespace) -> int:
    """Runs the command of that name. Exit code 1 when it fails."""
    try:
        layout = Layout.find(options.name, options.data_dir)
        return _COMMANDS[name](layout, options)
    except (Failure, BadClusterName, NewerState, DamagedState) as error:
        return _fail(str(error))
    except subprocess.CalledProcessError as error:
        return _fail(f"{' '.join(map(str, error.cmd))}: {str(error.stderr or error).strip()}")
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        return 0  # whoever read our output has had enough
    except PermissionError as error:
        return _fail(f"{error.strerror}: {error.filename}; if the cluster is root's: sudo tiffin {name}")
    except OSError as error:
        return _fail(f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}")


def _up(layout: Layout, options: argparse.Namespace) -> int:
    from tiffin.cluster import progress, up
    from tiffin.cluster.images import ImageError
    from tiffin.cluster.kubeconfig import UnreadableKubeconfig
    from tiffin.cluster.readiness import NotReady
    from tiffin.net.pki import PkiError

    begun = time.monotonic()
    if layout.joined_file.exists():
        return _up_again(layout, options) or (_enable(layout, options) if options.enable else 0)
    try:
        state = up.settle(layout, _asked(options))
        up.link_default_place(layout)
        with up.exclusively(layout), progress.show() as shown:
            result = asyncio.run(up.bring_up(layout, state, options.wait, shown))
    except up.Refused as error:
        for problem in error.problems:
            _fail(f"{problem.what}; mend it with:\n    {problem.mend}")
        return 1
    except (up.Busy, NotReady, ImageError, UnreadableKubeconfig, PkiError) as error:
        raise Failure(str(error)) from error
    _welcome(layout, result.state, result.server, result.current, time.monotonic() - begun)
    return _enable(layout, options) if options.enable else 0


def _up_again(layout: Layout, options: argparse.Namespace) -> int:
    """On a machine that joined another one's cluster."""
    from tiffin.cluster import join, joincommands

    membership = join.load(layout)
    assert membership is not None
    try:
        joincommands.bring_back(layout, membership, options.wait)
    except joincommands.CannotDo as error:
        raise Failure(str(error)) from error
    return 0


def _rest(layout: Layout, options: argparse.Namespace) -> int:
    from tiffin.cluster import join, joincommands

    membership = join.load(layout)
    assert membership is not None
    if options.purge:
        raise Failure(f"this machine is {membership.node_name} of the cluster at {membership.server}; to remove everything of it: tiffin leave")
    try:
        joincommands.rest(layout, membership, options.grace)
    except joincommands.CannotDo as error:
        raise Failure(str(error)) from error
    return 0


def _join(layout: Layout, options: argparse.Namespace) -> int:
    from tiffin.cluster import joincommands, up

    try:
        (joincommands.join_cluster if options.command == "join" else joincommands.leave_cluster)(layout, options)
    except up.Refused as error:
        for problem in error.problems:
            _fail(f"{problem.what}; mend it with:\n    {problem.mend}")
        return 1
    except joincommands.CannotDo as error:
        raise Failure(str(error)) from error
    return 0


def _asked(options: argparse.Namespace) -> up.Options:
    """What the command line says of the cluster's settings."""
    from tiffin.cluster import accessfiles, up

    return up.Options(
        options.nodes, options.simulated, options.store, options.port, options.node_monitor_grace_period,
        options.default_not_ready_toleration_seconds, options.default_unreachable_toleration_seconds,
        options.allow_external_ips, options.load_balancer_address, up.parse_listen(options.listen),
        accessfiles.asked(options), options.legacy_apis, options.enable_pod_security_policy,
    )


def _enable(layout: Layout, options: argparse.Namespace) -> int:
    from tiffin.cluster import boot

    _nodes_here(layout)
    if getattr(options, "show", False):
        print(boot.unit(layout), end="")
        return 0
    try:
        print(f"{boot.enable(layout)} brings cluster {layout.name} up at boot")
    except boot.CannotEnable as error:
        raise Failure(str(error)) from error
    return 0


def _disable(layout: Layout, options: argparse.Namespace) -> int:
    from tiffin.cluster import boot

    print(f"cluster {layout.name} {'stays down at boot from now on' if boot.disable(layout) else 'was not brought up at boot'}")
    return 0


def _down(layout: Layout, options: argparse.Namespace) -> int:
    from tiffin.cluster import down, up

    if layout.joined_file.exists():
        return _rest(layout, options)
    with up.exclusively(layout) if layout.data_dir.is_dir() else nullcontext():
        asyncio.run(down.take_down(layout, options.grace))
        if options.purge:
            down.purge(layout)
    print(f"cluster {layout.name} is down{' and its state removed' if options.purge else ''}")
    return 0


def _status(layout: Layout, options: argparse.Namespace) -> int:
    from tiffin.cluster import join, status

    membership = join.load(layout)
    report = asyncio.run(status.examine_joined(layout, membership) if membership else status.examine(layout, _state(layout)))
    status.show(report)
    return 0 if report.is_up else 1


def _kubeconfig(layout: Layout, options: argparse.Namespace) -> int:
    from tiffin.cluster import credentials, kubeconfig

    state = _state(layout)
    config = kubeconfig.document(layout.context, f"https://127.0.0.1:{state.port}", *credentials.admin(layout).admin)
    if not options.merge:
        print(kubeconfig.dump(config), end="")
        return 0
    file = kubeconfig.default_file()
    try:
        kubeconfig.merge(file, config)
    except kubeconfig.UnreadableKubeconfig as error:
        raise Failure(str(error)) from error
    print(f"context {layout.context} is in {file}")
    return 0


def _token(layout: Layout, options: argparse.Namespace) -> int:
    state = _state(layout)
    if options.action is None:
        print(layout.admin_token_file.read_text().strip())
        return 0
    from tiffin.cluster import invitation

    try:
        invitation.act(layout, state, options)
    except invitation.CannotInvite as error:
        raise Failure(str(error)) from error
    return 0


def _logs(layout: Layout, options: argparse.Namespace) -> int:
    from tiffin.cluster import logs

    _nodes_here(layout)
    known = logs.components(layout.log_dir)
    if options.component and options.component not in known:
        raise Failure(f"there is no log of {options.component}; there are logs of: {', '.join(known) or 'nothing'}")
    chosen = [layout.log_dir / f"{name}.log" for name in ([options.component] if options.component else known)]
    width = max((len(file.stem) for file in chosen), default=0)

    def write(component: str, line: str) -> None:
        print(line if options.component else f"{component:{width}} | {line}", flush=options.follow)

    for file in chosen:
        for line in logs.lines(file, options.tail):
            write(file.stem, line)
    if options.follow:
        with logs.Follower(chosen) as follower:
            while True:
                for file, line in follower.new_lines():
                    write(file.stem, line)
    return 0


def _node(layout: Layout, options: argparse.Namespace) -> int:
    from tiffin.cluster import daemons, nodecommands, up

    state = _state(layout)
    if daemons.server(layout).pid() is None:
        raise Failure(f"cluster {layout.name} is not up; start it with: tiffin up{_named(layout)}")
    if options.action == "ls":
        nodecommands.show(layout, state)
        return 0
    try:
        with up.exclusively(layout):
            nodecommands.ACTIONS[options.action](layout, state, options)
    except (up.Busy, nodecommands.CannotDo) as error:
        raise Failure(str(error)) from error
    return 0


def _image(layout: Layout, options: argparse.Namespace) -> int:
    from tiffin.cluster import daemons, images

    nodes = _nodes_here(layout)
    if not nodes:
        raise Failure(f"cluster {layout.name} has no nodes with containers; add one with: tiffin up --nodes 1{_named(layout)}")
    if resting := [node.name for node in nodes if daemons.runtime(node).pid() is None]:
        raise Failure(f"containerd of {', '.join(resting)} does not run; start it with: tiffin up{_named(layout)}")
    try:
        _IMAGE_ACTIONS[options.action](nodes, options)
    except images.ImageError as error:
        raise Failure(str(error)) from error
    return 0


def _image_load(nodes: Sequence[NodeLayout], options: argparse.Namespace) -> None:
    from tiffin.cluster import images

    for name in asyncio.run(images.load(nodes, options.files)):
        print(name)


def _image_list(nodes: Sequence[NodeLayout], options: argparse.Namespace) -> None:
    from tiffin.cluster import images, tables

    rows = asyncio.run(images.rows(nodes))
    tables.show(("NODE", "IMAGE", "ID", "SIZE"), [(row.node, row.name, row.id, f"{row.size / 1e6:.1f} MB") for row in rows])


def _image_remove(nodes: Sequence[NodeLayout], options: argparse.Namespace) -> None:
    from tiffin.cluster import images

    asyncio.run(images.remove(nodes, options.images))


def _image_pull(nodes: Sequence[NodeLayout], options: argparse.Namespace) -> None:
    from tiffin.cluster import images

    asyncio.run(images.pull(nodes, options.images))


def _doctor(layout: Layout, options: argparse.Namespace) -> int:
    from tiffin.cluster import daemons
    from tiffin.cluster.preflight import Wish, advice, examine

    try:
        state = load_state(layout.state_file)
    except (NewerState, DamagedState):
        state = None  # one of the checks says so
    ours = daemons.server(layout).pid() is not None
    port = options.port or (state.port if state else 6443)
    healthy = True
    wish = Wish(layout, port, options.nodes, port_is_ours=ours and state is not None and port == state.port)
    for title, problem in (*examine(wish), *advice(wish)):
        print(f"{'ok     ' if problem is None else 'LACKING'} {title}" + (f": {problem.what}\n        mend it with: {problem.mend}" if problem else ""))
        healthy = healthy and problem is None
    return 0 if healthy else 1


def _server(layout: Layout, options: argparse.Namespace) -> int:
    from tiffin.cluster import accessfiles, entry
    from tiffin.cluster.config import LOAD_BALANCER_ADDRESSES, NODE_MONITOR_GRACE, POD_CIDR, TOLERATION_SECONDS, ServerConfig

    config = ServerConfig(
        data_dir=layout.data_dir,
        port=options.port,
        bind_addresses=tuple(options.bind.split(",")),
        store=options.store,
        cluster_name=layout.name,
        pod_cidr=options.pod_cidr or POD_CIDR,
        node_monitor_grace=options.node_monitor_grace_period or NODE_MONITOR_GRACE,
        not_ready_toleration=_or(options.default_not_ready_toleration_seconds, TOLERATION_SECONDS),
        unreachable_toleration=_or(options.default_unreachable_toleration_seconds, TOLERATION_SECONDS),
        allow_external_ips=bool(options.allow_external_ips),
        legacy_apis=bool(options.legacy_apis),
        pod_security_policy=bool(options.enable_pod_security_policy),
        load_balancer_addresses=tuple(filter(None, (LOAD_BALANCER_ADDRESSES if options.load_balancer_address is None else options.load_balancer_address).split(","))),
        keep_routes=options.keep_routes,
        bridged_cidr=options.bridged_cidr,
        access=accessfiles.given(options),
        ready_fd=options.ready_fd,
    )
    return entry.server(config)


def _agent(layout: Layout, options: argparse.Namespace) -> int:
    from tiffin.cluster import entry

    return entry.agent(layout, options)


def _simulate(layout: Layout, options: argparse.Namespace) -> int:
    from tiffin.cluster import entry

    return entry.simulator(layout, options.nodes, options.server)


def _nodes_here(layout: Layout) -> list[NodeLayout]:
    """The cluster's nodes on this machine; on one that joined it is the machine itself."""
    if layout.joined_file.exists():
        from tiffin.cluster import join

        membership = join.load(layout)
        return [membership.node(layout)] if membership else []
    state = _state(layout)
    return [layout.node(index) for index in state.running]


def _state(layout: Layout) -> ClusterState:
    state = load_state(layout.state_file)
    if state is None:
        named = "" if layout.name == "tiffin" else f" --name {layout.name}"
        raise Failure(f"there is no cluster {layout.name}; make it with: tiffin up{named}")
    return state


def _welcome(layout: Layout, state: ClusterState, server: str, is_current: bool, seconds: float) -> None:
    real = len(state.running)
    counts = [(real, "node"), (state.simulated, "simulated node")]
    nodes = ", ".join(f"{count} {what}{'s' if count != 1 else ''}" for count, what in counts if count) or "no nodes"
    print(f"\nCluster {layout.name} is up at {server} with {nodes} ({seconds:.1f} s).\n\nNext:")
    kubectl = "kubectl" if is_current else f"kubectl --context {layout.context}"
    if not is_current:
        print(f"    kubectl config use-context {layout.context}     # the current context was left as it is")
    print(f"    {kubectl} get nodes")
    hint = f"     # from a registry, or given before with: tiffin image load FILE{_named(layout)}" if real else ""
    print(f"    {kubectl} create deployment web --image=IMAGE{hint}")
    print(f"    {kubectl} get pods --watch")


def _or(value: T | None, default: T) -> T:
    return default if value is None else value


def _named(layout: Layout) -> str:
    return "" if layout.name == "tiffin" else f" --name {layout.name}"


def _fail(message: str) -> int:
    print(f"tiffin: {message}", file=sys.stderr)
    return 1


_IMAGE_ACTIONS = {"load": _image_load, "list": _image_list, "rm": _image_remove, "pull": _image_pull}

_COMMANDS: dict[str, Callable[[Layout, argparse.Namespace], int]] = {
    "up": _up,
    "down": _down,
    "status": _status,
    "kubeconfig": _kubeconfig,
    "token": _token,
    "logs": _logs,
    "enable": _enable,
    "disable": _disable,
    "node": _node,
    "join": _join,
    "leave": _join,
    "image": _image,
    "doctor": _doctor,
    "server": _server,
    "agent": _agent,
    "simulate": _simulate,
}
