"""A cluster that comes back by itself after the machine restarts: a systemd unit that gives `tiffin up` at boot.

The unit is an errand, not a supervisor: `up` starts what is missing and ends, and what it started belongs to nobody but itself. Root's
clusters get a unit of the system, others' one of the user, which systemd starts at boot when the user may linger.
"""
from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from pathlib import Path

from tiffin.cluster.layout import Layout
from tiffin.cluster.process import tiffin_command
from tiffin.cluster.state import write_atomically

RUNNING = Path("/run/systemd/system")
"""There only when systemd is the machine's init."""

_UNIT = """\
# Written by `tiffin enable`; `tiffin disable` removes it.
[Unit]
Description=Kubernetes cluster {name} (tiffin)
Wants=network-online.target
After=network-online.target

[Service]
Type=oneshot
RemainAfterExit=yes
Environment={environment}
ExecStart={up}
ExecStop={down}
KillMode=process
TimeoutStartSec=300
LimitNOFILE=1048576
TasksMax=infinity

[Install]
WantedBy={target}
"""


class CannotEnable(Exception):
    """The message is for the user."""


def unit_name(layout: Layout) -> str:
    return f"{layout.context}.service"


def unit_file(layout: Layout) -> Path:
    """Where systemd looks for it."""
    if os.geteuid() == 0:
        return Path("/etc/systemd/system") / unit_name(layout)
    base = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(base) / "systemd/user" / unit_name(layout)


def unit(layout: Layout) -> str:
    """The unit's text. The kubeconfig it keeps is that of the user who enabled it."""
    arguments = ["--name", layout.name, "--data-dir", str(layout.data_dir)]
    kept = {name: os.environ[name] for name in ("HOME", "KUBECONFIG", "PATH") if os.environ.get(name)}
    return _UNIT.format(
        name=layout.name,
        environment=" ".join(f'"{name}={_escaped(value)}"' for name, value in kept.items()),
        up=_line(tiffin_command("up", *arguments)),
        down=_line(tiffin_command("down", *arguments)),
        target="multi-user.target" if os.geteuid() == 0 else "default.target",
    )


def enable(layout: Layout) -> Path:
    """Writes the unit and enables it; answers its file. Raises `CannotEnable`."""
    if not RUNNING.is_dir() or not shutil.which("systemctl"):
        command = shlex.join(tiffin_command("up", "--name", layout.name, "--data-dir", str(layout.data_dir)))
        raise CannotEnable(f"systemd does not run this machine; have whatever does give this at boot:\n    {command}")
    file = unit_file(layout)
    file.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(file, unit(layout).encode())
    _systemctl("daemon-reload")
    _systemctl("enable", unit_name(layout))
    return file


def disable(layout: Layout) -> bool:
    """Removes the unit; answers whether there was one."""
    file = unit_file(layout)
    if not file.exists():
        return False
    if RUNNING.is_dir() and shutil.which("systemctl"):
        _systemctl("disable", unit_name(layout))
    file.unlink()
    return True


def _systemctl(*arguments: str) -> None:
    mode = [] if os.geteuid() == 0 else ["--user"]
    subprocess.run(["systemctl", *mode, *arguments], check=True, capture_output=True, text=True)


def _line(command: list[str]) -> str:
    """A command line as systemd.service(5) quotes it."""
    return " ".join(f'"{_escaped(word)}"' if set(word) & set(' \t"\'\\$%;') else word for word in command)


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("$", "$$").replace("%", "%%")
