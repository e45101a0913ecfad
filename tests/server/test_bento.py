"""The Bento: what is in it, what its image would be, and that it serves."""

import re
import shutil
import subprocess
import sys
from importlib.metadata import requires
from pathlib import Path

import bentoml.container
import pytest
import yaml
from bentoml._internal.bento import BentoStore
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from midigpt.server.settings import BUILT_IN
from tests.e2e.asking import short
from tests.e2e.servers import ROOT, environment, served

LOCKS = ROOT / "deploy" / "requirements"
BIN = Path(sys.executable).parent
WITHOUT_CUDA = r"(cuda-|nvidia-(?!ml-py)|triton$)"


def lock(name):
    """The packages of a lock file and their versions."""
    lines = (LOCKS / name).read_text().splitlines()
    pins = [re.fullmatch(r"([a-z0-9-]+)==([0-9a-z.+]+)", line) for line in lines]
    # nothing else, such as where a machine gets them from
    assert all(pins), lines[pins.index(None)]
    return dict(pin.groups() for pin in pins)


@pytest.mark.parametrize("name", ["cuda.txt", "cpu.txt"])
def test_a_lock_holds_what_the_server_needs(name):
    pins = lock(name)
    for need in map(Requirement, requires("midigpt")):
        if need.marker is None or need.marker.evaluate({"extra": "http"}):
            assert need.specifier.contains(pins[canonicalize_name(need.name)])


def test_without_cuda_nothing_else_differs():
    cuda, cpu = lock("cuda.txt"), lock("cpu.txt")
    assert cpu.pop("torch") == f"{cuda.pop('torch')}+cpu"
    assert cpu == {name: pin for name, pin in cuda.items() if not re.match(WITHOUT_CUDA, name)}
    assert "nvidia-cudnn-cu13" in cuda


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A BentoML home in which ``make bento`` built a Bento, and put a model before."""
    home = tmp_path_factory.mktemp("bentoml")
    models = [sys.executable, "-m", "midigpt.server.models_cli"]
    model = ROOT / "models" / "starter" / "untrained.safetensors"
    run([*models, "import", "--ckpt", str(model), "--tag", "mine:v1"], home)
    make = ["make", "-o", ".venv/http", f"BIN={BIN}"]
    run([*make, "bento"], home)
    shutil.move(home / "bentos", home / "plain")
    run([*make, "bento", "MODEL=mine:v1"], home)
    return home


def run(command, home):
    env = {**environment(home), "BENTOML_DO_NOT_TRACK": "True"}
    # no index of packages is asked for anything
    env |= {"PIP_NO_INDEX": "1", "UV_OFFLINE": "1"}
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def bento(home):
    return latest(home / "plain")


@pytest.fixture(scope="module")
def packed(home):
    return latest(home / "bentos")


def latest(store):
    """The folder of the only Bento in a store."""
    return store / "midigpt" / (store / "midigpt" / "latest").read_text()


def files_of(folder):
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_only_what_is_needed_is_in_it(bento):
    package = {
        f"midigpt/{name}" for name in files_of(ROOT / "midigpt") if "__pycache__" not in name
    }
    assert files_of(bento / "src") == package | {
        "LICENSE",
        "bentofile.yaml",
        "deploy/requirements/cpu.txt",
        "deploy/requirements/cuda.txt",
        "models/README.md",
        "models/starter/starter.safetensors",
        "service.py",
    }
    assert (bento / "README.md").read_text() == (ROOT / "README.md").read_text()


def test_its_labels(bento, packed):
    def labels(folder):
        return yaml.safe_load((folder / "bento.yaml").read_text())["labels"]

    assert labels(bento) == {"licence": "MIT", "model": BUILT_IN.stem}
    assert labels(packed) == {"licence": "MIT", "model": "mine:v1"}


def test_its_requirements_are_locked(bento):
    lines = (bento / "env/python/requirements.txt").read_text().splitlines()
    own, *ours = lines[::-1]
    assert own == "bentoml==1.4.39"
    assert "\n".join(ours[::-1]).strip() == (LOCKS / "cuda.txt").read_text().strip()


def test_nothing_tells_where_it_was_built(bento):
    told = re.compile(r"--(extra-)?index-url|--find-links|--trusted-host|file://")
    for name in files_of(bento):
        if not name.startswith("src/midigpt/") and not name.endswith(".safetensors"):
            text = (bento / name).read_text()
            assert str(ROOT) not in text, name
            assert name.endswith((".md", "Dockerfile.template")) or not told.search(text), name


# each line of it; where it is built, no engine of containers is needed to say what it would build
CONTAINERFILE = r"""
FROM python:3.11-slim AS packages
ARG TORCH=cuda
ARG TORCH_CPU_WHEELS=https://download.pytorch.org/whl/cpu/torch/
COPY ./src/deploy/requirements/ /requirements/
RUN if [ "$TORCH" = cpu ]; then export PIP_FIND_LINKS="$TORCH_CPU_WHEELS"; fi && python -m venv --without-pip /app/.venv && pip --python /app/.venv/bin/python install --no-cache-dir -r /requirements/$TORCH.txt && rm -r /app/.venv/lib/python*/site-packages/torch/test /app/.venv/lib/python*/site-packages/torch/include
FROM python:3.11-slim
ENV LANG=C.UTF-8
ENV PYTHONUNBUFFERED=1
ARG BENTO_USER=bentoml
ARG BENTO_USER_UID=1034
ARG BENTO_USER_GID=1034
RUN groupadd -g $BENTO_USER_GID -o $BENTO_USER && useradd -m -u $BENTO_USER_UID -g $BENTO_USER_GID -o -r $BENTO_USER
ARG NVIDIA_VISIBLE_DEVICES=all
ENV NVIDIA_VISIBLE_DEVICES=$NVIDIA_VISIBLE_DEVICES
ARG NVIDIA_DRIVER_CAPABILITIES=compute,utility
ENV NVIDIA_DRIVER_CAPABILITIES=$NVIDIA_DRIVER_CAPABILITIES
ARG BENTOML_DO_NOT_TRACK=True
ENV BENTOML_DO_NOT_TRACK=$BENTOML_DO_NOT_TRACK
ARG BENTO_PATH=/home/bentoml/bento
ENV BENTO_PATH=$BENTO_PATH
ENV BENTOML_HOME=/home/bentoml/
ENV BENTOML_HF_CACHE_DIR=/home/bentoml/bento/hf-models
ENV BENTOML_CONTAINERIZED=true
RUN mkdir $BENTO_PATH && chown bentoml:bentoml $BENTO_PATH -R
WORKDIR $BENTO_PATH
COPY --from=packages /app/.venv /app/.venv
ENV VIRTUAL_ENV=/app/.venv
ENV PATH=/app/.venv/bin:$PATH
COPY --chown=bentoml:bentoml . ./
RUN python -m compileall -q src
HEALTHCHECK --interval=10s --timeout=5s --start-period=120s CMD python -c "import urllib.request as r; r.urlopen('http://localhost:${PORT:-${BENTOML_PORT:-3000}}/readyz', timeout=4)"
RUN rm -rf /var/lib/{apt,cache,log}
EXPOSE 3000
EXPOSE 3001
RUN chmod +x /home/bentoml/bento/env/docker/entrypoint.sh
USER bentoml
ENTRYPOINT [ "/home/bentoml/bento/env/docker/entrypoint.sh" ]
"""  # noqa: E501 - a line there is a line here


@pytest.mark.parametrize("buildkit", [True, False])
def test_the_containerfile(home, tmp_path, monkeypatch, buildkit):
    monkeypatch.chdir("/")  # see the Makefile
    path = tmp_path / "Containerfile"
    bentoml.container.get_containerfile(
        "midigpt:latest",
        output_path=str(path),
        enable_buildkit=buildkit,
        _bento_store=BentoStore(home / "plain"),
    )
    lines = re.sub(r" *\\\n *", " ", path.read_text()).splitlines()
    instructions = [line for line in lines if line.strip() and not line.startswith("#")]
    assert instructions == CONTAINERFILE.strip().splitlines()


@pytest.mark.e2e
def test_a_packed_model_is_served_as_the_environment_says(home, packed, tmp_path):
    # by its tag, BentoML would look for a module of that name before, and find this checkout
    command = [sys.executable, "-m", "bentoml", "serve", str(packed)]
    environ = {"BENTOML_HOME": str(home), "MIDIGPT_MAX_QUEUE": "7"}
    with (
        served(tmp_path, command=command, cwd=tmp_path, env=environ) as server,
        server.client() as client,
    ):
        assert client.get("/info").json()["checkpoint"] == "mine:v1"
        assert client.get("/health").headers["x-max-queue"] == "7"
        assert client.post("/generate", json=short()).json()["status"] == "completed"
        assert server.stop() == 0
