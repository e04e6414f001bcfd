"""How pods of a node are connected, as CNI configuration.

A bridge `cni0` in the node's namespace, addresses from the node's own pod range by host-local, host ports by portmap. The range is
not known when the node starts: the API server assigns it, the agent passes it to the runtime (CRI UpdateRuntimeConfig), and the
runtime writes the configuration from this template. So a node has a network exactly when it has a range.
"""
from __future__ import annotations

import os
from pathlib import Path

import orjson

from tiffin.cluster.layout import NodeLayout
from tiffin.cluster.state import write_atomically

PLUGINS = ("bridge", "host-local", "loopback", "portmap")
_PLACES = (Path("/usr/lib/cni"), Path("/opt/cni/bin"), Path("/usr/libexec/cni"))
#: Where the CNI library remembers what each sandbox was given; containerd offers no way to move it.
_RESULTS = Path("/var/lib/cni/results")


def plugin_dir() -> Path | None:
    """The first of the customary directories that holds every plugin tiffin uses."""
    return next((place for place in _PLACES if all((place / plugin).exists() for plugin in PLUGINS)), None)


def template_file(node: NodeLayout) -> Path:
    return node.cni_dir / "template"


def configuration_dir(node: NodeLayout) -> Path:
    """Beside the pods themselves: a reboot takes both, and a range assigned anew is never mixed with an old one."""
    return node.run_dir / "cni"


def write_template(node: NodeLayout, mtu: int) -> None:
    """The Go template that the runtime completes with the node's pod range."""
    node.cni_dir.mkdir(parents=True, exist_ok=True)
    configuration_dir(node).mkdir(parents=True, exist_ok=True)
    bridge = {
        "type": "bridge",
        "bridge": "cni0",
        "isGateway": True,
        "hairpinMode": True,
        "mtu": mtu,
        "ipam": {
            "type": "host-local",
            "dataDir": str(node.run_dir / "ipam"),
            "ranges": [[{"subnet": "{{.PodCIDR}}"}]],
            "routes": [{"dst": "0.0.0.0/0"}],
        },
    }
    # Masquerading is the host's work, for all nodes at once; portmap needs only its own for a pod that calls its own host port.
    ports = {"type": "portmap", "capabilities": {"portMappings": True}, "snat": True}
    network = {"cniVersion": "0.4.0", "name": node.netns, "plugins": [bridge, ports]}
    write_atomically(template_file(node), orjson.dumps(network, option=orjson.OPT_INDENT_2))


def forget(node: NodeLayout) -> None:
    """Removes what the CNI library remembers of this node's sandboxes, once none of them exists."""
    ours = os.fsencode(f"{node.run_dir}/")
    for result in _RESULTS.glob("*"):
        if result.name.startswith(f"{node.netns}-") or ours in result.read_bytes():
            result.unlink(missing_ok=True)
    for directory in (_RESULTS, _RESULTS.parent):
        try:
            directory.rmdir()
        except OSError:  # others' results are there, or there never were any
            return
