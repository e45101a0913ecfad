"""A server with a key and allowed sites, and one without, as clients and pages find them."""

from contextlib import closing

import bentoml
import psutil
import pytest

from tests.e2e.asking import short
from tests.e2e.servers import served

pytestmark = pytest.mark.e2e

KEY = "s3cret-key"
PAGE = "https://music.example"


@pytest.fixture(scope="module")
def locked(checkpoint, tmp_path_factory):
    flags = ["--ckpt", str(checkpoint), "--cors-origin", PAGE]
    home = tmp_path_factory.mktemp("locked")
    with served(home, *flags, env={"MIDIGPT_API_KEY": KEY}) as server:
        yield server


@pytest.fixture
def stranger(locked):
    with locked.client() as client:
        yield client


@pytest.fixture
def friend(stranger):
    stranger.headers["Authorization"] = f"Bearer {KEY}"
    return stranger


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/generate"),
        ("POST", "/generate_stream"),
        ("POST", "/generate/x/cancel"),
        ("POST", "/api/info"),
        ("GET", "/info"),
        ("GET", "/models"),
        ("GET", "/metrics"),
        ("GET", "/schema.json"),
        ("GET", "/nowhere"),
    ],
)
def test_strangers_are_asked_for_the_key(stranger, method, path):
    answer = stranger.request(method, path, headers={"Content-Type": "text/plain"})
    assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized")
    assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/docs",
        "/openapi.json",
        "/static_content/swagger-ui.css",
        "/health",
        "/livez",
        "/readyz",
        "/healthz",
    ],
)
def test_but_not_at_the_door(stranger, path):
    assert stranger.get(path).status_code == 200


def test_holders_of_the_key_are_let_in(friend):
    assert friend.post("/generate", json=short()).json()["status"] == "completed"
    assert friend.get("/metrics").status_code == 200


def test_generated_clients_bring_the_key(locked):
    with closing(bentoml.SyncHTTPClient(locked.url, token=KEY)) as client:
        assert client.info()["model"] == "tiny"
        client._temp_dir.cleanup()


def test_pages_that_are_allowed_read_everything(friend):
    friend.headers["Origin"] = PAGE
    for body, status in [(short(), 200), (short(stream=True), 200), ({}, 400)]:
        answer = friend.post("/generate", json=body)
        assert answer.status_code == status
        assert answer.headers["access-control-allow-origin"] == PAGE
        assert "X-Request-Id" in answer.headers["access-control-expose-headers"]
    asked = {"Access-Control-Request-Method": "POST"}
    assert friend.options("/generate", headers=asked).status_code == 200


def test_the_key_is_not_to_be_seen(locked, stranger):
    stranger.get("/info", headers={"Authorization": "Bearer another-secret"})
    processes = [psutil.Process(locked.process.pid)]
    processes += processes[0].children(recursive=True)
    assert KEY not in str([process.cmdline() for process in processes])
    log = locked.log.read_text()
    assert "code=unauthorized" in log
    assert KEY not in log
    assert "another-secret" not in log


def test_foreign_pages_cannot_use_a_server_without_a_key(server, client):
    def status(host, origin):
        headers = {"Origin": origin, "Host": host}
        return client.post("/generate", json=short(stream=True), headers=headers).status_code

    own = server.url.removeprefix("http://")
    assert status(own, server.url) == 200
    assert status(own, PAGE) == 403
    assert status(own, "null") == 403
    # his name was made to point here
    assert status("music.example", "http://music.example") == 403
    assert client.get("/info", headers={"Origin": PAGE}).json()["code"] == "forbidden_origin"
    assert client.post("/generate", json=short()).status_code == 200
