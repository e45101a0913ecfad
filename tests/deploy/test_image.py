"""The image that ``make image-test`` has built: what it says of itself, and that it serves."""

import json
import os
import re
import shutil
import subprocess
from contextlib import contextmanager

import httpx
import psutil
import pytest

from tests.e2e.servers import ROOT, Server, end, free_port, wait_until_ready

pytestmark = pytest.mark.slow

IMAGE = "midigpt:cpu"
ENGINE = os.environ.get("ENGINE")
if ENGINE is None:
    pytest.skip("needs an image: make image-test", allow_module_level=True)


def output(*command):
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def config():
    """The configuration in the image."""
    if ENGINE == "buildah":
        return json.loads(output("buildah", "inspect", "--type", "image", IMAGE))["Docker"][
            "config"
        ]
    return json.loads(output(ENGINE, "image", "inspect", IMAGE))[0]["Config"]


@contextmanager
def started(home, port):
    """A container that listens on this port of the machine; its process."""
    home.mkdir()
    if ENGINE == "buildah":
        container = output("buildah", "from", "--pull-never", IMAGE).strip()
        entry = [*config()["Entrypoint"], "--host", "127.0.0.1", "--port", str(port)]
        command = ["buildah", "run", container, "--", *entry]
        remove = ["buildah", "rm", container]
    else:
        container = f"midigpt-test-{port}"
        publish = f"127.0.0.1:{port}:3000"
        command = [ENGINE, "run", "--rm", "--name", container, "--publish", publish, IMAGE]
        remove = [ENGINE, "rm", "--force", container]
    with (home / "out").open("w") as out, (home / "err").open("w") as err:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=err)
    try:
        yield process
    finally:
        end(process)
        subprocess.run(remove, capture_output=True, check=False)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    home, port = tmp_path_factory.mktemp("image") / "home", free_port()
    with started(home, port) as process:
        url = f"http://127.0.0.1:{port}"
        wait_until_ready(url, process, home)
        yield Server(url, process, home / "out")


def test_what_it_says_of_itself():
    image = config()
    assert image["User"] == "bentoml"
    assert image["Entrypoint"] == ["/home/bentoml/bento/env/docker/entrypoint.sh"]
    assert "3000/tcp" in image["ExposedPorts"]
    assert "/readyz" in image["Healthcheck"]["Test"][-1]
    environ = dict(variable.split("=", 1) for variable in image["Env"])
    assert environ["NVIDIA_VISIBLE_DEVICES"] == "all"
    assert environ["NVIDIA_DRIVER_CAPABILITIES"] == "compute,utility"
    assert environ["BENTOML_DO_NOT_TRACK"] == "True"
    assert "TOKEN" not in "".join(environ)


def test_the_example_of_the_readme(server):
    [example] = re.findall(
        r"^```sh\n(curl .*?)^```$", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL
    )
    example = example.replace("http://localhost:8000", server.url)
    answer = json.loads(output(shutil.which("bash"), "-c", example))
    assert answer["status"] == "completed"
    assert [bool(bar["notes"]) for bar in answer["score"]["tracks"][0]["bars"]] == [True] * 4


def test_its_health_check(server):
    """The command of the image, run outside of it."""
    check = config()["Healthcheck"]["Test"][-1]
    port = server.url.rpartition(":")[2]
    done = subprocess.run(check, shell=True, env={**os.environ, "BENTOML_PORT": port}, check=False)
    assert done.returncode == 0
    gone = {**os.environ, "BENTOML_PORT": str(free_port())}
    done = subprocess.run(check, shell=True, env=gone, capture_output=True, check=False)
    assert done.returncode != 0


def test_there_is_no_cuda_in_it(server):
    assert httpx.get(f"{server.url}/info").json()["device"] == "cpu"


def ask_to_end(process):
    """Send the signal that an engine sends when a container is stopped."""
    if ENGINE == "buildah":
        family = psutil.Process(process.pid).children(recursive=True)
        [first] = [member for member in family if "/app/.venv/bin/bentoml" in member.cmdline()]
        first.terminate()
    else:
        process.terminate()


# the last one, for it ends the server
def test_it_ends_in_good_order(server):
    ask_to_end(server.process)
    assert server.process.wait(30) == 0
