"""Hub resolution against a small hub of our own; huggingface_hub itself is the real one."""

import hashlib
import json
import logging
import os
import socket
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from huggingface_hub import close_session, constants

from midigpt.errors import CheckpointError
from midigpt.model import hub

REPO = "some-lab/some-model"


class FakeHub(ThreadingHTTPServer):
    """Serves the files of one repository, or refuses to."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files = {}
        self.commit = "1" * 40
        self.refusal = None  # (status, X-Error-Code) of every answer
        self.gated = False  # listed, but no file is handed out
        self.authorization = []
        self.requests = 0

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        hub = self.server
        hub.requests += 1
        hub.authorization.append(self.headers.get("Authorization"))
        if hub.refusal:
            self.answer(hub.refusal[0], b"", {"X-Error-Code": hub.refusal[1]})
        elif self.path == f"/api/models/{REPO}":
            self.answer(200, self.listing(), {"Content-Type": "application/json"})
        elif hub.gated:
            self.answer(403, b"", {"X-Error-Code": "GatedRepo"})
        elif self.path.startswith(f"/{REPO}/resolve/"):
            self.file(self.path.rpartition("/")[2])
        else:
            self.answer(404, b"", {"X-Error-Code": "RepoNotFound"})

    do_HEAD = do_GET  # noqa: N815 - the name that http.server looks for

    def listing(self):
        siblings = [{"rfilename": name} for name in self.server.files]
        return json.dumps({"id": REPO, "sha": self.server.commit, "siblings": siblings}).encode()

    def file(self, name):
        data = self.server.files[name]
        etag = f'"{hashlib.sha256(data).hexdigest()}"'
        self.answer(200, data, {"ETag": etag, "X-Repo-Commit": self.server.commit})

    def answer(self, status, body, headers):
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module", autouse=True)
def _one_http_session():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NO_PROXY", "127.0.0.1")
        yield
    close_session()


@pytest.fixture
def fake_hub(tmp_path, monkeypatch):
    with FakeHub() as server:
        threading.Thread(target=server.serve_forever, args=[0.01], daemon=True).start()
        monkeypatch.setattr(constants, "ENDPOINT", server.url)
        monkeypatch.setattr(
            constants,
            "HUGGINGFACE_CO_URL_TEMPLATE",
            server.url + "/{repo_id}/resolve/{revision}/{filename}",
        )
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
        monkeypatch.delenv("HF_TOKEN", raising=False)
        yield server
        server.shutdown()


def resolve(name, **options):
    return hub.resolve(name, repo=REPO, **options)


def publish(server, *names):
    server.files = {name: f"weights of {name}".encode() for name in names}


NAMES = [
    "yellow-step7.safetensors",
    "yellow-step30.safetensors",
    "yellow_medium-step9.safetensors",
    "yellow_medium-final.safetensors",
    "yellow_medium.pt",
    "yellow_medium.safetensors",
    "folder/yellow.safetensors",
    "yellow.txt",
    "yellowish.safetensors",
]


@pytest.mark.parametrize(
    ("name", "published", "expected"),
    [
        ("yellow", ["yellow.safetensors", "yellow.pt", *NAMES], "yellow.safetensors"),
        ("yellow", ["yellow.pt", "yellow-final.safetensors", *NAMES], "yellow.pt"),
        ("yellow", ["yellow-final.safetensors", *NAMES], "yellow-final.safetensors"),
        ("yellow", NAMES, "yellow-step30.safetensors"),
        ("yellow", NAMES[2:], "yellow_medium.safetensors"),
        ("yellow", NAMES[2:5], "yellow_medium.pt"),
        ("yellow", NAMES[2:4], "yellow_medium-final.safetensors"),
        ("yellow", NAMES[2:3], "yellow_medium-step9.safetensors"),
        ("yellow_medium", NAMES[2:4], "yellow_medium-final.safetensors"),
        ("yellow_medium.pt", NAMES, "yellow_medium.pt"),
    ],
)
def test_the_best_match_is_downloaded(fake_hub, name, published, expected):
    publish(fake_hub, *published)
    path = resolve(name)
    assert path.name == expected
    assert path.read_text() == f"weights of {expected}"


@pytest.mark.parametrize("name", ["yellow", "Yellow", "yellow.safetensors", "yellow_medium"])
def test_a_name_that_matches_nothing(fake_hub, name):
    publish(fake_hub, *NAMES[6:])
    with pytest.raises(CheckpointError, match=f"{REPO}/{name}: the repository has no checkpoint"):
        resolve(name)


def test_a_repository_id_names_its_file(fake_hub):
    publish(fake_hub, *NAMES)
    assert hub.resolve(REPO, filename="yellow_medium.pt").name == "yellow_medium.pt"
    assert resolve("yellow", filename="yellow_medium.pt").name == "yellow_medium.pt"
    with pytest.raises(CheckpointError, match="name the file in it as well"):
        hub.resolve(REPO)
    with pytest.raises(CheckpointError, match="has no checkpoint of that name"):
        hub.resolve(REPO, filename="green.pt")


@pytest.mark.parametrize(
    ("name", "filename"),
    [
        ("", None),
        ("yel*", None),
        ("..", None),
        ("yel\\low", None),
        ("yel low", None),
        (REPO, "../yellow.pt"),
        (REPO, "/yellow.pt"),
        (REPO, "yellow.txt"),
        (REPO, "config.json"),
        (REPO, "folder"),
        ("a/b/c", "yellow.pt"),
        ("../b", "yellow.pt"),
        ("a/b--c", "yellow.pt"),
    ],
)
def test_names_that_cannot_be(fake_hub, name, filename):
    publish(fake_hub, *NAMES)
    with pytest.raises(
        CheckpointError, match=r" is no (checkpoint name|checkpoint file|repository)"
    ):
        resolve(name, filename=filename)
    assert fake_hub.requests == 0


def test_the_token_is_sent_and_not_told(fake_hub, caplog):
    caplog.set_level(logging.DEBUG)
    publish(fake_hub, "yellow.pt")
    resolve("yellow", token="hf_secret")
    assert set(fake_hub.authorization) == {"Bearer hf_secret"}
    fake_hub.refusal = (401, "GatedRepo")
    resolve("yellow", token="hf_secret")
    with pytest.raises(CheckpointError) as caught:
        resolve("green", token="hf_secret")
    assert "hf_secret" not in caplog.text + str(caught.value)


def offline(monkeypatch, _server):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)


def unreachable(monkeypatch, _server):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{unused.getsockname()[1]}")


def silent(monkeypatch, _server):
    listener = socket.create_server(("127.0.0.1", 0))
    monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{listener.getsockname()[1]}")
    monkeypatch.setattr(constants, "HF_HUB_ETAG_TIMEOUT", 0.2)
    return listener


def unauthorized(_monkeypatch, server):
    server.refusal = (401, "")


def gated(_monkeypatch, server):
    server.gated = True


def overloaded(_monkeypatch, server):
    server.refusal = (503, "")


def login_page(_monkeypatch, server):
    server.refusal = (200, "")


TROUBLES = [
    (offline, "the hub at .* cannot be reached .OfflineModeIsEnabled"),
    (unreachable, "the hub at .* cannot be reached .ConnectError"),
    (silent, "the hub at .* cannot be reached .*Timeout"),
    (unauthorized, "access refused: .* is private or gated, or does not exist; log in with"),
    (gated, "is gated: accept its licence at http.*/some-lab/some-model, then log in with"),
    (overloaded, "the hub at .* cannot be reached"),
    (login_page, "the hub at .* cannot be reached"),
]


@pytest.mark.parametrize("trouble", [trouble for trouble, _ in TROUBLES if trouble != gated])
def test_trouble_leads_to_the_cached_copy(fake_hub, monkeypatch, caplog, trouble):
    publish(fake_hub, "yellow.pt", "yellow_medium.pt")
    path = resolve("yellow")
    kept_open = trouble(monkeypatch, fake_hub)
    begin = time.monotonic()
    assert resolve("yellow") == path
    assert time.monotonic() - begin < 3
    assert f"Could not download {REPO}/yellow" in caplog.text
    assert str(path) in caplog.text
    if kept_open:
        kept_open.close()


def test_what_was_open_once_is_still_in_the_cache(fake_hub, monkeypatch):
    publish(fake_hub, "yellow.pt")
    path = resolve("yellow")
    gated(monkeypatch, fake_hub)
    assert resolve("yellow") == path


@pytest.mark.parametrize(("trouble", "text"), TROUBLES)
def test_trouble_without_a_cached_copy(fake_hub, monkeypatch, trouble, text):
    publish(fake_hub, "yellow.pt", "yellow_medium.pt")
    resolve("yellow_medium")
    kept_open = trouble(monkeypatch, fake_hub)
    with pytest.raises(CheckpointError, match=f"^{REPO}/yellow.pt: .*{text}") as caught:
        resolve("yellow.pt")
    assert "\n" not in str(caught.value)
    if kept_open:
        kept_open.close()


@pytest.mark.parametrize("refusal", [(404, "RepoNotFound"), (404, ""), (404, "RevisionNotFound")])
def test_what_the_hub_no_longer_has_is_not_taken_from_the_cache(fake_hub, refusal):
    publish(fake_hub, "yellow.pt")
    resolve("yellow")
    fake_hub.refusal = refusal
    with pytest.raises(CheckpointError, match="there is no such repository or file"):
        resolve("yellow")


def test_a_checkpoint_withdrawn_from_the_repository_is_not_taken_from_the_cache(fake_hub):
    publish(fake_hub, "yellow.pt", "green.pt")
    resolve("yellow")
    publish(fake_hub, "green.pt")
    with pytest.raises(CheckpointError, match="has no checkpoint of that name"):
        resolve("yellow")


def test_of_cached_copies_the_one_of_main_is_taken(fake_hub, monkeypatch):
    publish(fake_hub, "yellow-final.safetensors")
    first = resolve("yellow")
    fake_hub.commit = "2" * 40
    publish(fake_hub, "yellow-step5.safetensors")
    second = resolve("yellow")
    os.utime(first.parent, (time.time() + 60,) * 2)
    offline(monkeypatch, fake_hub)
    assert resolve("yellow") == second
    (second.parents[2] / "refs" / "main").unlink()
    assert resolve("yellow") == first


def test_a_cache_that_cannot_be_written(fake_hub, tmp_path):
    (tmp_path / "hub").write_text("a file where the cache should be")
    publish(fake_hub, "yellow.pt")
    with pytest.raises(CheckpointError, match="yellow: the cache cannot be used: "):
        resolve("yellow")


def test_the_usual_environment_variables_count(fake_hub, tmp_path):
    publish(fake_hub, "yellow.pt")
    path = resolve("yellow")
    program = f"from midigpt.model import hub; print(hub.resolve('yellow', repo={REPO!r}))"
    variables = {"HF_HUB_OFFLINE": "1", "HF_HUB_CACHE": str(tmp_path / "hub")}
    command = [sys.executable, "-c", program]
    done = subprocess.run(
        command, env=os.environ | variables, capture_output=True, text=True, check=True
    )
    assert done.stdout == f"{path}\n"
