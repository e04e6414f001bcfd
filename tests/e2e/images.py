"""Test images, assembled from the machine's own static busybox so that nothing is fetched.

    python tests/e2e/images.py DIRECTORY        writes every image as a file `docker load` and `tiffin image load` accept
"""
from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

from tiffin.cluster.oci import Directory, Entry, File, Image, Link, docker_archive

BUSYBOX = Path("/bin/busybox")
HELLO = "kiamol/ch02-hello-kiamol"
SLEEP = "test/sleep"
NUMBERS_API, NUMBERS_WEB = "kiamol/ch03-numbers-api", "kiamol/ch03-numbers-web"

_PAGE = b"""<html>
  <body>
    <h1>
      Hello from Chapter 2!
    </h1>
  </body>
</html>
"""
_RANDOM = b"""#!/bin/sh
echo "Content-Type: text/plain"
echo
echo $(( $(od -An -N1 -tu1 /dev/urandom) % 100 ))
"""
_ASK = b"""#!/bin/sh
echo "Content-Type: text/html"
echo
number=$(timeout 2 wget -qO- "${RNG_API_URL:-http://numbers-api/cgi-bin/rng}") && echo "Here it is: $number" || echo "RNG service unavailable!"
"""
_PASSWD = b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n"
_GROUP = b"root:x:0:\nnogroup:x:65534:\n"


def userland() -> dict[str, Entry]:
    """busybox under all its names, and the few files programs expect."""
    applets = subprocess.run([BUSYBOX, "--list-full"], check=True, capture_output=True, text=True).stdout.split()
    entries: dict[str, Entry] = {f"/{path}": Link("/bin/busybox") for path in applets}
    entries["/bin/busybox"] = File(BUSYBOX.read_bytes(), 0o755)
    entries |= {"/etc/passwd": File(_PASSWD), "/etc/group": File(_GROUP)}
    entries |= {"/tmp": Directory(0o1777), "/root": Directory(0o700), "/var/run": Directory(), "/proc": Directory(), "/sys": Directory()}
    return entries


def hello() -> Image:
    """The web server of the book's second chapter: port 80, its page in nginx' place."""
    page = {"/usr/share/nginx/html/index.html": File(_PAGE)}
    serve = ["httpd", "-f", "-v", "-p", "80", "-h", "/usr/share/nginx/html"]
    return Image(HELLO, _architecture(), [userland(), page], command=serve, environment=_PATH, ports=["80/tcp"])


def numbers_api() -> Image:
    """The API of the book's third chapter: a random number at /cgi-bin/rng."""
    return _served(NUMBERS_API, {"/www/cgi-bin/rng": File(_RANDOM, 0o755)})


def numbers_web() -> Image:
    """The web application that asks it: /cgi-bin/go shows a number, or says that there is none to be had."""
    return _served(NUMBERS_WEB, {"/www/index.html": File(b"<h1>KIAMOL Random Number Generator</h1>\n"), "/www/cgi-bin/go": File(_ASK, 0o755)})


def _served(name: str, pages: dict[str, Entry]) -> Image:
    return Image(name, _architecture(), [userland(), pages], command=["httpd", "-f", "-p", "80", "-h", "/www"], environment=_PATH, ports=["80/tcp"])


def sleep() -> Image:
    """Waits for ever, and ends at once when told."""
    wait = ["sh", "-c", "trap 'exit 0' TERM INT; while :; do sleep 3600 & wait $!; done"]
    return Image(SLEEP, _architecture(), [userland()], command=wait, environment=_PATH)


def write_all(directory: Path) -> dict[str, Path]:
    """Every image by name, with the file it was written to. Raises `FileNotFoundError` when busybox-static is not installed."""
    directory.mkdir(parents=True, exist_ok=True)
    written = {}
    for image in (hello(), sleep(), numbers_api(), numbers_web()):
        written[image.name] = directory / (image.name.replace("/", "-") + ".tar")
        written[image.name].write_bytes(docker_archive(image))
    return written


def _architecture() -> str:
    return {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()]


_PATH = {"PATH": os.pathsep.join(["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"])}


if __name__ == "__main__":
    for name, file in write_all(Path(sys.argv[1])).items():
        print(name, file)
