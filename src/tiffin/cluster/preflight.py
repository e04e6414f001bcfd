"""What a cluster needs from the machine, checked before anything is changed.

A check answers the problem in one sentence and the command that mends it, or nothing. `tiffin doctor` shows all of them, `tiffin
up` refuses to start with any. Checks change nothing and take milliseconds.
"""
from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tiffin.cluster import cgroups, cni
from tiffin.cluster.layout import Layout
from tiffin.cluster.state import DamagedState, NewerState, load_state

_PACKAGES = {"containerd": "containerd", "ctr": "containerd", "nft": "nftables", "iptables": "iptables"}
_NODE_SPACE, _SERVER_SPACE = 500 << 20, 50 << 20


@dataclass(frozen=True)
class Problem:
    """What is wrong and the shell command that mends it."""

    what: str
    mend: str


@dataclass(frozen=True)
class Wish:
    """What the cluster is to be; only what checks look at."""

    layout: Layout
    port: int
    nodes: int
    port_is_ours: bool = False
    """The server of this cluster is running, so that it holds the port."""


Check = tuple[str, Callable[[Wish], Problem | None]]


def problems(wish: Wish) -> list[Problem]:
    """Everything that is in the way."""
    return [problem for _, problem in examine(wish) if problem]


def examine(wish: Wish) -> Iterator[tuple[str, Problem | None]]:
    """Every check that matters to the wish, by its title, with what it found."""
    for title, check in [*_GENERAL, *(_FOR_NODES if wish.nodes else ())]:
        yield title, check(wish)


def free_port() -> int:
    """A port that nobody has at this moment."""
    with socket.socket() as probe:
        probe.bind(("0.0.0.0", 0))
        return int(probe.getsockname()[1])


def advice(wish: Wish) -> Iterator[tuple[str, Problem | None]]:
    """What does not keep a cluster from coming up, but takes something from it."""
    if wish.nodes and os.geteuid() == 0 and shutil.which("iptables"):
        yield "firewall", _firewall()


def _firewall() -> Problem | None:
    """Docker, for one, has the host drop what it forwards for others; what our own table accepts, another may still drop."""
    result = subprocess.run(["iptables", "-S", "FORWARD"], capture_output=True, text=True, check=False)
    rules = result.stdout.splitlines()
    wanted = [f"-A FORWARD -{direction} tiffin-+ -j ACCEPT" for direction in "io"]
    if "-P FORWARD DROP" not in rules or all(rule in rules for rule in wanted):
        return None
    mend = " && ".join(f"iptables {rule.replace('-A', '-I', 1)}" for rule in wanted)
    return Problem("the host drops forwarded packets, so pods reach each other but nothing outside", mend)


def _root(wish: Wish) -> Problem | None:
    if os.geteuid() == 0:
        return None
    return Problem("real nodes need root, for network namespaces and containers", f"sudo {_up(wish)}    # or without containers: {_up(wish)} --nodes 0 --simulated 1")


def _programs(wish: Wish) -> Problem | None:
    path = f"{os.environ.get('PATH', '')}:/usr/local/sbin:/usr/sbin:/sbin"
    missing = {program: package for program, package in _PACKAGES.items() if not shutil.which(program, path=path)}
    if not any(shutil.which(runtime, path=path) for runtime in ("runc", "crun")):
        missing["runc"] = "runc"
    if cni.plugin_dir() is None:
        missing["CNI plugins"] = "containernetworking-plugins"
    if not missing:
        return None
    packages = " ".join(dict.fromkeys(missing.values()))
    return Problem(f"not installed: {', '.join(missing)}", f"{_sudo()}apt-get install -y {packages}")


def _overlay(wish: Wish) -> Problem | None:
    if "\toverlay\n" in Path("/proc/filesystems").read_text() or _modprobe("overlay"):
        return None
    return Problem("the kernel has no overlay file system", f"{_sudo()}modprobe overlay")


def _nftables(wish: Wish) -> Problem | None:
    if os.geteuid() != 0 or not shutil.which("nft"):
        return None  # said by other checks
    result = subprocess.run(["nft", "list", "tables"], capture_output=True, text=True, check=False)
    if result.returncode == 0:
        return None
    return Problem(f"the kernel does not let nft work: {result.stderr.strip()}", f"{_sudo()}modprobe nf_tables")


def _bridge(wish: Wish) -> Problem | None:
    if Path("/proc/sys/net/bridge").exists() or _modprobe("br_netfilter"):
        return None
    return Problem("the kernel shows packets between pods of one node to nobody, so network policies cannot keep them apart", f"{_sudo()}modprobe br_netfilter")


def _cgroup(wish: Wish) -> Problem | None:
    needed = {"cpu", "memory", "pids"}
    if cgroups.is_unified():
        found = set((cgroups.ROOT / "cgroup.controllers").read_text().split())
    else:
        found = {name for place in cgroups.hierarchies() for name in place.name.split(",")}
    if needed <= found:
        return None
    what = f"the cgroup controllers {', '.join(sorted(needed - found))} are not available under {cgroups.ROOT}"
    return Problem(what, f"{_sudo()}mount -t cgroup2 none {cgroups.ROOT}    # or boot with cgroup_enable=memory")


def _port(wish: Wish) -> Problem | None:
    if wish.port_is_ours or wish.port == 0:
        return None
    if not 0 < wish.port < 65536:
        return Problem(f"{wish.port} is no port number", f"{_up(wish)} --port 6443")
    if _is_free(wish.port):
        return None
    free = next(port for port in range(wish.port + 1, wish.port + 1000) if _is_free(port))
    return Problem(f"port {wish.port} is taken{_holder(wish.port)}", f"{_up(wish)} --port {free}")


def _space(wish: Wish) -> Problem | None:
    place = next(parent for parent in (wish.layout.data_dir, *wish.layout.data_dir.parents) if parent.exists())
    figures = os.statvfs(place)
    free, needed = figures.f_bavail * figures.f_frsize, _NODE_SPACE if wish.nodes else _SERVER_SPACE
    if free >= needed and (figures.f_files == 0 or figures.f_favail > 1000):
        return None
    what = f"the disk that holds {place} is full: {free >> 20} MB are free and {needed >> 20} MB are needed"
    return Problem(what, f"df -h {place}    # make room, or: {_up(wish)} --data-dir DIRECTORY")


def _data_dir(wish: Wish) -> Problem | None:
    data_dir = wish.layout.data_dir
    place = next(parent for parent in (data_dir, *data_dir.parents) if parent.exists())
    if place.is_dir() and os.access(place, os.W_OK | os.X_OK):
        return None
    return Problem(f"{place} is not a directory this user may write to", f"{_up(wish)} --data-dir DIRECTORY")


def _state(wish: Wish) -> Problem | None:
    try:
        load_state(wish.layout.state_file)
    except NewerState as error:
        return Problem(str(error), f"pip install --upgrade tiffin    # or throw the cluster away: tiffin down --purge --name {wish.layout.name}")
    except (DamagedState, PermissionError) as error:
        return Problem(str(error), f"tiffin down --purge --name {wish.layout.name}")
    return None


_GENERAL: list[Check] = [("data directory", _data_dir), ("state", _state), ("port", _port), ("disk space", _space)]
_FOR_NODES: list[Check] = [("root", _root), ("programs", _programs), ("overlay file system", _overlay), ("nftables", _nftables), ("bridge filter", _bridge), ("cgroups", _cgroup)]


def _up(wish: Wish) -> str:
    return "tiffin up" if wish.layout.name == "tiffin" else f"tiffin up --name {wish.layout.name}"


def _sudo() -> str:
    return "" if os.geteuid() == 0 else "sudo "


def _modprobe(module: str) -> bool:
    if os.geteuid() != 0 or not shutil.which("modprobe"):
        return False
    return subprocess.run(["modprobe", module], capture_output=True, check=False).returncode == 0


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("0.0.0.0", port))
        except PermissionError:
            return True  # a port below 1024: whether we may have it is said when the server starts
        except OSError:
            return False
    return True


def _holder(port: int) -> str:
    """` by NAME (pid N)`, as far as this user may know."""
    inodes = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for fields in (line.split() for line in Path(table).read_text().splitlines()[1:]):
            if fields[3] == "0A" and int(fields[1].rpartition(":")[2], 16) == port:
                inodes.add(f"socket:[{fields[9]}]")
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if any(os.readlink(handle) in inodes for handle in (process / "fd").iterdir()):
                return f" by {(process / 'comm').read_text().strip()} (pid {process.name})"
        except OSError:
            continue
    return ""
