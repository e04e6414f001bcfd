"""The tiffin command.

Argument parsing only, so that `tiffin --help` and every error of usage are instant: each command imports what it needs when it
runs, in `cluster/commands.py`.
"""
from __future__ import annotations

import argparse
import sys
from pathlib import Path

_DESCRIPTION = """\
Kubernetes on this machine, in one command.

  tiffin up                     a cluster with one node, ready for kubectl
  tiffin up --nodes 3           three nodes, each in its own network namespace
  tiffin up --nodes 0 --simulated 5
                                no containers and no root: the API, the controllers and simulated nodes
  tiffin down                   all of it gone; the objects come back with the next `tiffin up`
  tiffin down --purge           gone for good
"""


def main(arguments: list[str] | None = None) -> int:
    """Runs one command and answers the exit code: 0 done, 1 failed, 2 wrong usage."""
    options = _parser().parse_args(arguments)
    from tiffin.cluster import commands

    return commands.run(options.command, options)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="tiffin", description=_DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--version", action="version", version=_version())
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True, title="commands")
    _add_lifecycle(commands)
    _add_questions(commands)
    _add_nodes(commands)
    _add_joining(commands)
    _add_images(commands)
    _add_daemons(commands)
    return parser


def _add_lifecycle(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    up = _command(commands, "up", "start the cluster, or what is missing of it")
    up.add_argument("--nodes", type=_count, metavar="N", help="nodes with real containers (1 at first; needs root unless 0)")
    up.add_argument("--simulated", type=_count, metavar="N", help="simulated nodes beside them (0 at first)")
    up.add_argument("--store", choices=("sqlite", "memory"), help="where objects are kept: sqlite, on disk (at first), or memory, until the server ends")
    up.add_argument("--port", type=int, help="port of the API server on this machine (6443 at first; 0: any free one)")
    up.add_argument("--wait", type=_duration, default=60.0, metavar="TIME", help="how long to wait for nodes to be ready: 60s (default), 2m, 0 for not at all")
    up.add_argument("--listen", metavar="ADDRESS", help="let other machines reach the API server, to join, at this address; none: no longer")
    _add_patience(up)
    _add_exposure(up)
    _add_legacy(up)
    _add_access(up)
    up.add_argument("--enable", action="store_true", help="bring it up by itself at boot from now on, as `tiffin enable` does")
    enable = _command(commands, "enable", "bring the cluster up at boot, by a systemd unit")
    enable.add_argument("--print", action="store_true", dest="show", help="only print the unit")
    _command(commands, "disable", "leave the cluster down at boot")
    down = _command(commands, "down", "stop the cluster and remove everything it made on this machine, but its state")
    down.add_argument("--purge", action="store_true", help="remove the state, too: objects, images, keys, logs")
    down.add_argument("--grace", type=_duration, default=10.0, metavar="TIME", help="what containers get to end by themselves (10s)")


def _add_patience(parser: argparse.ArgumentParser) -> None:
    """How soon the cluster gives up on a silent node; the names are kube-controller-manager's and kube-apiserver's."""
    parser.add_argument("--node-monitor-grace-period", type=_duration, metavar="TIME", help="how long a node may be silent before it is NotReady (50s at first)")
    for what in ("not-ready", "unreachable"):
        text = f"how long pods that say nothing of it stay on a node that is {what.replace('-', ' ')} (300 at first)"
        parser.add_argument(f"--default-{what}-toleration-seconds", type=_count, metavar="SECONDS", help=text)


def _add_exposure(parser: argparse.ArgumentParser) -> None:
    """How Services are reached from outside the cluster."""
    addresses = "where LoadBalancer services open their ports on this machine, separated by commas (127.0.0.1,::1 at first; 0.0.0.0 for the network, too)"
    parser.add_argument("--load-balancer-address", metavar="ADDRESSES", help=addresses)
    allow = "let Services name external IPs, by which traffic to any address can be taken over (refused at first wherever there are real nodes)"
    parser.add_argument("--allow-external-ips", action=argparse.BooleanOptionalAction, help=allow)


def _add_legacy(parser: argparse.ArgumentParser) -> None:
    """What Kubernetes had once."""
    served = "serve the API versions that Kubernetes has retired, too: extensions/v1beta1, apps/v1beta1 and the like (not served at first)"
    parser.add_argument("--legacy-apis", action=argparse.BooleanOptionalAction, help=served)
    enforced = "have PodSecurityPolicies decide which pods may be; takes --legacy-apis (they decide nothing at first)"
    parser.add_argument("--enable-pod-security-policy", action=argparse.BooleanOptionalAction, help=enforced)


def _add_access(parser: argparse.ArgumentParser) -> None:
    """Files about who may come, and what is kept of it; an empty path takes one away."""
    files = {
        "audit-policy-file": "what the audit log notes of which requests (audit.k8s.io/v1 Policy); without it there is no audit log",
        "audit-log-path": "the audit log (audit.log in the data directory at first)",
        "audit-webhook-config-file": "a kubeconfig of who gets the audit log's events, instead of the log unless that has a path",
        "encryption-provider-config": "how objects are encrypted at rest (apiserver.config.k8s.io/v1 EncryptionConfiguration)",
        "admission-control-config-file": "what pods may be where namespaces do not say, and who is exempt (apiserver.config.k8s.io/v1 AdmissionConfiguration)",
        "authentication-config": "whose tokens are trusted beside the cluster's own (apiserver.config.k8s.io/v1 AuthenticationConfiguration)",
    }  # fmt: skip
    for name, text in files.items():
        parser.add_argument(f"--{name}", metavar="FILE", help=text)


def _add_questions(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    _command(commands, "status", "show what runs; exit code 0 only when the cluster is up")
    kubeconfig = _command(commands, "kubeconfig", "print a kubeconfig for the cluster, or merge it into a file")
    kubeconfig.add_argument("--merge", action="store_true", help="merge into $KUBECONFIG or ~/.kube/config, as `tiffin up` does")
    _add_tokens(_command(commands, "token", "print an administrator's bearer token; or, with an action, deal with the tokens by which machines join"))
    logs = _command(commands, "logs", "show the logs of the cluster's own processes")
    logs.add_argument("component", nargs="?", help="such as server, node-1 (its agent), node-1-containerd, simulate; all of them if left out")
    logs.add_argument("-f", "--follow", action="store_true", help="go on with what is added")
    logs.add_argument("--tail", type=_count, metavar="N", help="only the last N lines")
    doctor = _command(commands, "doctor", "say what this machine lacks for tiffin, and the command that mends it")
    doctor.add_argument("--nodes", type=_count, default=1, metavar="N", help="0: for a cluster without containers")
    doctor.add_argument("--port", type=int, help="port the API server is to have")


def _add_tokens(token: argparse.ArgumentParser) -> None:
    actions = token.add_subparsers(dest="action", metavar="ACTION", title="actions")
    create = _action(actions, "create", "make a token by which machines can join")
    join = _action(actions, "join", "make one, and print the whole command for the other machine")
    for command in (create, join):
        command.add_argument("token", nargs="?", help="abcdef.0123456789abcdef; made up if left out")
        command.add_argument("--ttl", type=_duration, default=86400.0, metavar="TIME", help="how long it is good for: 24h (default), 0 for ever")
        command.add_argument("--usages", default="signing,authentication", help="what it is good for (signing,authentication)")
        command.add_argument("--description", default="", help="a word to remember it by")
    _action(actions, "list", "show the tokens there are")
    delete = _action(actions, "delete", "withdraw tokens")
    delete.add_argument("tokens", nargs="+", metavar="TOKEN", help="the token, or the part before its point")


def _add_joining(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    join = _command(commands, "join", "make this machine a node of a cluster on another one")
    join.add_argument("server", help="https://ADDRESS:PORT, as `tiffin token join` prints it over there")
    join.add_argument("--token", required=True, help="the join token")
    join.add_argument("--discovery-token-ca-cert-hash", action="append", metavar="sha256:HEX", help="digest of the key of the cluster's certificate authority")
    skip = "trust whatever holds the token; whoever else holds it could pretend to be the cluster"
    join.add_argument("--discovery-token-unsafe-skip-ca-verification", action="store_true", help=skip)
    join.add_argument("--node-name", metavar="NAME", help="the node's name (this machine's host name)")
    join.add_argument("--node-ip", metavar="ADDRESS", help="the address others reach this machine at (the one on the way to the server)")
    join.add_argument("--wait", type=_duration, default=60.0, metavar="TIME", help="how long to wait for it to be ready: 60s (default), 0 for not at all")
    leave = _command(commands, "leave", "move this machine's pods elsewhere, leave the cluster it joined, and remove everything of it here")
    leave.add_argument("--timeout", type=_duration, default=300.0, metavar="TIME", help="how long pods and disruption budgets get (5m); 0: as long as it takes")
    leave.add_argument("--force", action="store_true", help="leave even if pods do not go in time, or the server does not answer")


def _add_nodes(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    node = commands.add_parser("node", help="add, remove, stop and start nodes", description="Nodes of a cluster that is up.")
    actions = node.add_subparsers(dest="action", metavar="ACTION", required=True, title="actions")
    _command(actions, "ls", "show every node, what runs of it on this machine, and how many pods it has")
    add = _command(actions, "add", "add nodes")
    add.add_argument("--count", type=_count, default=1, metavar="N", help="how many (1)")
    start = _command(actions, "start", "switch a stopped node on")
    for command in (add, start):
        command.add_argument("--wait", type=_duration, default=60.0, metavar="TIME", help="how long to wait for it to be ready: 60s (default), 0 for not at all")
    stop = _command(actions, "stop", "cut a node's power: its agent, containerd and containers die at once, and the cluster has to notice")
    remove = _command(actions, "rm", "move a node's pods elsewhere, then end it and remove everything of it, emptyDir volumes and images too")
    remove.add_argument("--timeout", type=_duration, default=300.0, metavar="TIME", help="how long pods and disruption budgets get (5m); 0: as long as it takes")
    remove.add_argument("--force", action="store_true", help="give up pods without a controller, and end what has not gone in time")
    for command in (start, stop, remove):
        command.add_argument("node", metavar="NAME", help="such as node-2")


def _add_images(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    image = commands.add_parser("image", help="container images of the nodes", description="Container images of the cluster's nodes.")
    actions = image.add_subparsers(dest="action", metavar="ACTION", required=True, title="actions")
    load = _command(actions, "load", "give the images in tar files (docker save or OCI layout) to every node")
    load.add_argument("files", nargs="+", type=Path, metavar="FILE")
    _command(actions, "list", "show every node's images")
    remove = _command(actions, "rm", "remove images from every node")
    pull = _command(actions, "pull", "fetch images from a registry to every node")
    for command in (remove, pull):
        command.add_argument("images", nargs="+", metavar="IMAGE")


def _add_daemons(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """What `tiffin up` starts. Without help texts they do not show in the list of commands."""
    server = _hidden(commands, "server", "Run the control plane in the foreground.")
    server.add_argument("--port", type=int, default=6443)
    server.add_argument("--bind", default="127.0.0.1", help="addresses, separated by commas")
    server.add_argument("--store", choices=("sqlite", "memory"), default="sqlite")
    server.add_argument("--pod-cidr")
    _add_patience(server)
    _add_exposure(server)
    _add_legacy(server)
    _add_access(server)
    server.add_argument("--keep-routes", action="store_true", help="give this host routes to the pods of machines that joined")
    server.add_argument("--bridged-cidr", default="", help="network of the nodes behind this host's bridge")
    server.add_argument("--ready-fd", type=int, default=-1, help="an open pipe that gets the line `ready PORT`")
    agent = _hidden(commands, "agent", "Run one node's agent in the foreground, inside the node's network namespace.")
    agent.add_argument("--node", type=int, required=True, help="the node's number, from 1")
    agent.add_argument("--node-name", default="", help="the node's name, on a machine that joined")
    agent.add_argument("--node-ip", required=True)
    agent.add_argument("--bridged-cidr", default="", help="network of the nodes behind the server's bridge")
    agent.add_argument("--server", required=True, help="URL of the API server")
    agent.add_argument("--pod-cidr", required=True, help="the range of all the cluster's pods")
    agent.add_argument("--lease-seconds", type=_count, default=40, help="how long the node's Lease holds")
    agent.add_argument("--gate-fd", type=int, default=-1, help="an open pipe; the agent begins when its other end is closed")
    simulate = _hidden(commands, "simulate", "Run simulated nodes in the foreground.")
    simulate.add_argument("--nodes", type=_count, required=True)
    simulate.add_argument("--server", required=True, help="URL of the API server")


def _command(commands: argparse._SubParsersAction[argparse.ArgumentParser], name: str, text: str) -> argparse.ArgumentParser:
    """A command that shows in the list, with the options every command has."""
    return _with_cluster(commands.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}."))


def _action(actions: argparse._SubParsersAction[argparse.ArgumentParser], name: str, text: str) -> argparse.ArgumentParser:
    """An action of a command that can do without; which cluster is meant may be said before it, too."""
    parser = actions.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
    parser.add_argument("--name", default=argparse.SUPPRESS, help="the cluster's name (tiffin)")
    parser.add_argument("--data-dir", type=Path, metavar="DIR", default=argparse.SUPPRESS, help="where its state is, if not in the usual place")
    return parser


def _hidden(commands: argparse._SubParsersAction[argparse.ArgumentParser], name: str, text: str) -> argparse.ArgumentParser:
    return _with_cluster(commands.add_parser(name, description=text))


def _with_cluster(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    parser.add_argument("--name", default="tiffin", help="the cluster's name (tiffin); several live side by side")
    parser.add_argument("--data-dir", type=Path, metavar="DIR", help="where its state is, if not in the usual place")
    return parser


def _count(text: str) -> int:
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"{text} is negative")
    return value


def _duration(text: str) -> float:
    from tiffin.cluster.durations import parse_duration

    try:
        return parse_duration(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _version() -> str:
    from tiffin import __version__

    return f"tiffin {__version__}"


if __name__ == "__main__":
    sys.exit(main())
