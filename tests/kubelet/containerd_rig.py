"""A containerd of its own for one test module: own root, state, socket and bridge, and nothing left behind."""
from __future__ import annotations

import asyncio
import os
import secrets
import shutil
import signal
import subprocess
import sys
from pathlib import Path

from tiffin.cluster import cgroups, oci
from tiffin.cluster.pause import pause_program
from tiffin.kubelet import syscalls
from tiffin.kubelet.cri import CriRuntime
from tiffin.kubelet.runtime import RuntimeFault

CONFIG = """
version = 2
root = "{root}/root"
state = "{root}/state"
disabled_plugins = ["io.containerd.internal.v1.restart", "io.containerd.tracing.processor.v1.otlp", "io.containerd.internal.v1.tracing"]
[grpc]
  address = "{root}/containerd.sock"
[debug]
  level = "warn"
[plugins."io.containerd.internal.v1.opt"]
  path = "{root}/opt"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "localhost/tiffin/pause:1"
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
  stats_collect_period = 300
[plugins."io.containerd.grpc.v1.cri".cni]
  bin_dir = "/usr/lib/cni"
  conf_dir = "{root}/cni"
  conf_template = "{root}/cni.template"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
"""
NETWORK = """{{"cniVersion": "0.4.0", "name": "{name}", "plugins": [{{"type": "bridge", "bridge": "{bridge}", "isGateway": true,
"ipam": {{"type": "host-local", "dataDir": "{root}/ipam", "ranges": [[{{"subnet": "{{{{.PodCIDR}}}}"}}]]}}}}]}}"""
IMAGE = "localhost/tiffin/busybox:1"


class Rig:
    """A running containerd."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.tag = secrets.token_hex(3)
        self.bridge, self.cgroup = f"tk{self.tag}", f"tiffin-test-{self.tag}"
        self.pod_cidr = f"10.{200 + secrets.randbelow(40)}.{secrets.randbelow(255)}.0/24"
        self.socket = root / "containerd.sock"

    def start(self) -> None:
        (self.root / "cni").mkdir(parents=True, exist_ok=True)
        (self.root / "config.toml").write_text(CONFIG.format(root=self.root))
        (self.root / "cni.template").write_text(NETWORK.format(name=self.bridge, bridge=self.bridge, root=self.root))
        with open(self.root / "containerd.log", "ab") as log:
            self.process = subprocess.Popen(["containerd", "-c", str(self.root / "config.toml")], stdout=log, stderr=log, start_new_session=True)

    async def ready(self) -> None:
        """Wait for the socket and bring the images in."""
        runtime = CriRuntime(str(self.socket))
        try:
            for _ in range(200):
                try:
                    await runtime.info()
                    break
                except RuntimeFault:
                    await asyncio.sleep(0.05)
        finally:
            await runtime.close()
        for name, data in (("pause", self._pause()), ("busybox", self._busybox())):
            file = self.root / f"{name}.tar"
            file.write_bytes(data)
            command = ["ctr", "--address", str(self.socket), "--namespace", "k8s.io", "images", "import", str(file)]
            await asyncio.to_thread(subprocess.run, command, check=True, capture_output=True)

    @staticmethod
    def _pause() -> bytes:
        layer = {"/pause": oci.File(pause_program("amd64"), 0o755)}
        return oci.docker_archive(oci.Image("localhost/tiffin/pause:1", "amd64", [layer], entrypoint=("/pause",)))

    @staticmethod
    def _busybox() -> bytes:
        program = Path("/usr/bin/busybox").read_bytes()
        names = subprocess.run(["/usr/bin/busybox", "--list"], check=True, capture_output=True, text=True).stdout.split()
        layer: dict[str, oci.Entry] = {"/bin/busybox": oci.File(program, 0o755), "/tmp": oci.Directory(0o1777), "/etc/passwd": oci.File(b"root:x:0:0:root:/:/bin/sh\n")}
        layer |= {f"/bin/{n}": oci.Link("busybox") for n in names if n != "busybox"}
        environment = {"PATH": "/bin:/usr/bin:/sbin:/usr/sbin"}
        return oci.docker_archive(oci.Image(IMAGE, "amd64", [layer], command=("sh",), environment=environment))

    def kill(self) -> None:
        """containerd dies; its shims and containers go on."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    async def stop(self) -> None:
        """Remove every pod, then containerd and all it left."""
        try:
            await self._remove_pods()
        finally:
            self.process.terminate()
            self.process.wait()
            subprocess.run(["ip", "link", "delete", self.bridge], check=False, capture_output=True)
            for mount in syscalls.mounts_beneath(os.path.realpath(self.root)):
                syscalls.unmount(mount.path)
            shutil.rmtree(self.root, ignore_errors=True)
            cgroups.remove(self.cgroup)

    async def _remove_pods(self) -> None:
        runtime = CriRuntime(str(self.socket))
        try:
            for attempt in range(20):
                try:
                    for sandbox in await runtime.sandboxes():
                        await runtime.stop_sandbox(sandbox.id)
                        await runtime.remove_sandbox(sandbox.id)
                    return
                except RuntimeFault:
                    if attempt == 19:
                        raise
                    await asyncio.sleep(0.1)  # what ends by itself meanwhile is in the way only for a moment
        finally:
            await runtime.close()


if __name__ == "__main__":
    rig = Rig(Path(sys.argv[1]))
    rig.start()
    asyncio.run(rig.ready())
    print(rig.socket, rig.pod_cidr, rig.cgroup)
