"""What the kernel allows one user, raised as far as several nodes on one machine need it.

All nodes run as root, and inotify's limits count per user: containerd and the agent of a node hold one instance each, and so does
every pod's shim where cgroups are version 2. Distributions start with 128. What was there before is noted in a place that a reboot
empties as it resets the settings, and put back with the last cluster.
"""
from __future__ import annotations

import resource
from pathlib import Path

import orjson

from tiffin.cluster.preflight import Problem

SETTINGS = Path("/proc/sys")
INSTANCES, WATCHES = "fs/inotify/max_user_instances", "fs/inotify/max_user_watches"
PER_NODE = {INSTANCES: 256, WATCHES: 8192}
"""One for each of 110 pods, twice over, and some for the node itself."""
FILES, ENOUGH_FILES = 4096, 1 << 20
"""Open files that a server or an agent may come to need, one for each watch, stream and log; and more than anybody needs."""
_NOTE = "limits.json"


def wanted(nodes: int) -> dict[str, int]:
    """The settings that are too low for so many nodes, with what they have to be."""
    needed = {setting: per_node * (nodes + 1) for setting, per_node in PER_NODE.items()} if nodes else {}
    return {setting: value for setting, value in needed.items() if _read(setting) < value}


def raise_for(nodes: int, run_root: Path) -> list[Problem]:
    """Raises what is too low, and says what it may not; open files of this process and those it starts, too."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    most = ENOUGH_FILES if hard == resource.RLIM_INFINITY else min(hard, ENOUGH_FILES)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    found = [] if most >= FILES else [Problem(f"a process may open only {most} files", f"ulimit -Hn {FILES}")]
    note = run_root / _NOTE
    before = orjson.loads(note.read_bytes()) if note.exists() else {}
    for setting, value in wanted(nodes).items():
        was = _read(setting)
        try:
            (SETTINGS / setting).write_text(f"{value}\n")
        except OSError:
            found.append(Problem(f"{setting.replace('/', '.')} is {was}, which is little for {nodes} nodes", f"sysctl -w {setting.replace('/', '.')}={value}"))
        else:
            before.setdefault(setting, was)
            run_root.mkdir(parents=True, exist_ok=True)
            note.write_bytes(orjson.dumps(before))
    return found


def restore(run_root: Path) -> None:
    """Puts back what was there before the first cluster."""
    note = run_root / _NOTE
    if not note.exists():
        return
    for setting, value in orjson.loads(note.read_bytes()).items():
        (SETTINGS / setting).write_text(f"{value}\n")
    note.unlink()


def _read(setting: str) -> int:
    """As good as endless where the kernel has no such setting."""
    try:
        return int((SETTINGS / setting).read_text())
    except (FileNotFoundError, ValueError):
        return 1 << 62
