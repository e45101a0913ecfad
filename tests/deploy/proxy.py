"""nginx as ``deploy/nginx`` sets it up, in front of servers that tests started."""

import re
import shutil
import subprocess
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.e2e.asking import until
from tests.e2e.servers import ROOT, Server, free_port, is_free

# where Debian has it, which is not in everybody's PATH
NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
FOLDER = ROOT / "deploy" / "nginx"
needs_nginx = pytest.mark.skipif(NGINX is None, reason="nginx is missing: apt-get install nginx")


def configure(folder: Path, urls):
    """Write the configuration with the port of this test and these servers; the port."""
    port = free_port()
    main = (FOLDER / "nginx.conf").read_text()
    assert main.count("listen 8000;") == 1
    main = main.replace("listen 8000;", f"listen 127.0.0.1:{port};")
    (folder / "nginx.conf").write_text(main)
    servers = (FOLDER / "servers.conf").read_text()
    lines = "".join(f"    server {url.removeprefix('http://')} max_fails=0;\n" for url in urls)
    servers, count = re.subn(r"( +server \S+ max_fails=0;\n)+", lines, servers)
    assert count == 1
    (folder / "servers.conf").write_text(servers)
    return port


@contextmanager
def proxied(folder: Path, urls):
    """One address for several servers, for the length of a block; its log is what nginx told."""
    folder.mkdir()
    port = configure(folder, urls)
    command = [NGINX, "-e", "stderr", "-p", str(folder), "-c", str(folder / "nginx.conf")]
    with (folder / "out").open("w") as out, (folder / "err").open("w") as err:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=err)
    try:
        url = f"http://127.0.0.1:{port}"
        _wait(url, process, folder)
        yield Server(url, process, folder / "out")
    finally:
        process.terminate()
        process.wait(10)


def _wait(url, process, folder):
    port = int(url.rpartition(":")[2])
    until(lambda: process.poll() is not None or not is_free(port))
    assert process.poll() is None, (folder / "err").read_text()


def tried(log: Path, id_):
    """The servers that were asked for what a request wants, in order."""
    until(lambda: id_ in told(log))  # which comes a moment after the answer
    return told(log)[id_][0]


def told(log: Path):
    """What the log says of each request that a server was asked for: by its id, the servers that
    were tried and the status that each answered with, in order."""
    entry = r"\" \d+ [\d.]+ (\S+) ([\d.:, ]+?) ([\d, -]+)$"
    found = re.findall(entry, log.read_text(), re.MULTILINE)
    return {id_: (servers.split(", "), statuses.split(", ")) for id_, servers, statuses in found}
