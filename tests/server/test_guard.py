import pytest
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Mount, Route
from starlette.testclient import TestClient

from midigpt.server.guard import Guard, allowed_origins, api_key
from midigpt.server.preflight import StartError

PAGE = "https://music.example"


async def welcome(_request):
    return JSONResponse("in", headers={"X-Request-Id": "mine"})


def client(*, base="http://127.0.0.1:8000", **options):
    paths = ["/", "/docs", "/openapi.json", "/health", "/livez", "/readyz", "/healthz"]
    routes = [Route(path, welcome) for path in [*paths, "/info", "/metrics", "/schema.json"]]
    routes.append(Route("/generate", welcome, methods=["POST"]))
    routes.append(Mount("/static_content", routes=[Route("/a.css", welcome)]))
    return TestClient(Guard(Starlette(routes=routes), **options), base_url=base)


def status(web, path="/generate", method="POST", **headers):
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return web.request(method, path, headers=names).status_code


def test_programs_are_let_in():
    assert status(client()) == 200
    assert status(client(), "/info", "GET") == 200
    assert status(client(base="http://music.example")) == 200


@pytest.mark.parametrize(
    "origin",
    [
        PAGE,
        "null",
        "file://",
        "chrome-extension://abc",
        "https://127.0.0.1:8000",
        "http://127.0.0.1:8001",
        "http://127.0.0.1",
        "http://localhost:8000",
        "http://127.0.0.1.music.example:8000",
        "http://[half",
        "http://127.0.0.1:port",
        "",
    ],
)
@pytest.mark.parametrize(
    ("path", "method"), [("/generate", "POST"), ("/info", "GET"), ("/generate", "OPTIONS")]
)
def test_foreign_pages_are_refused(origin, path, method):
    answer = client().request(method, path, headers={"Origin": origin})
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden_origin")
    assert "--cors-origin" in answer.json()["detail"]
    assert origin in answer.json()["detail"]
    assert "access-control-allow-origin" not in answer.headers


def test_little_of_the_origin_is_repeated():
    answer = client().post("/generate", headers={"Origin": "http://" + "x" * 5000})
    assert len(answer.json()["detail"]) < 250


@pytest.mark.parametrize(
    "base",
    [
        "http://127.0.0.1:8000",
        "http://localhost:8000",
        "http://[::1]:8000",
        "http://192.168.1.5",
        "http://studio:8000",
        "http://studio.local",
        "https://studio.lan",
        "http://app.localhost:3000",
    ],
)
def test_the_servers_own_pages_are_let_in(base):
    assert status(client(base=base), origin=base) == 200


def test_a_default_port_may_be_named():
    assert status(client(base="http://studio"), host="studio:80", origin="http://studio") == 200
    assert status(client(base="http://studio"), host="studio:81", origin="http://studio") == 403


@pytest.mark.parametrize("base", ["http://music.example:8000", "http://localhost.music.example"])
def test_a_stranger_who_makes_his_name_point_here_is_refused(base):
    assert status(client(base=base), origin=base) == 403


def test_sites_that_are_allowed():
    web = client(origins=[PAGE])
    answer = web.post("/generate", headers={"Origin": PAGE})
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == PAGE
    exposed = set(answer.headers["access-control-expose-headers"].split(", "))
    assert exposed == {"X-Request-Id", "Retry-After", "X-Inflight", "X-Max-Queue"}
    assert status(web, origin="http://127.0.0.1:8000") == 200
    assert status(web, origin="https://other.example") == 403
    assert "access-control-allow-origin" not in web.get("/info").headers


def test_every_site_can_be_allowed():
    answer = client(origins=["*"]).post("/generate", headers={"Origin": "null"})
    assert answer.headers["access-control-allow-origin"] == "*"


def preflight(web, origin=PAGE, **headers):
    asked = {
        "Origin": origin,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization, content-type",
    }
    return web.options("/generate", headers={**asked, **headers})


def test_preflights():
    private = {"Access-Control-Request-Private-Network": "true"}
    answer = preflight(client(origins=[PAGE], token="k"), **private)
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == PAGE
    assert "POST" in answer.headers["access-control-allow-methods"]
    assert "Authorization" in answer.headers["access-control-allow-headers"]
    assert answer.headers["access-control-allow-private-network"] == "true"
    assert preflight(client(origins=[PAGE]), origin="https://other.example").status_code == 403


def test_a_key():
    web = client(token="s3cret")
    answer = web.post("/generate")
    assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized")
    assert answer.headers["www-authenticate"] == "Bearer"
    assert status(web, authorization="Bearer s3cret") == 200
    assert status(web, authorization="bearer  s3cret ") == 200
    assert status(web, authorization="Bearer s3cret", origin=PAGE) == 200


@pytest.mark.parametrize(
    "wrong", ["", "s3cret", "Bearer", "Bearer S3cret", "Bearer s3cret2", "Basic s3cret", "Bearer é"]
)
def test_wrong_keys(wrong):
    web = client(token="s3cret")
    headers = {"Authorization": wrong.encode("latin-1")}
    assert web.post("/generate", headers=headers).status_code == 401


def test_keys_of_other_alphabets():
    headers = {"Authorization": "Bearer ключ".encode()}
    assert client(token="ключ").post("/generate", headers=headers).status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/docs",
        "/openapi.json",
        "/static_content/a.css",
        "/health",
        "/health/",
        "/livez",
        "/readyz",
        "/healthz",
    ],
)
def test_probes_and_the_documentation_need_no_key(path):
    assert status(client(token="k"), path, "GET") == 200


@pytest.mark.parametrize(
    "path", ["/info", "/metrics", "/schema.json", "/health/x", "/static_content", "/docs%0A"]
)
def test_everything_else_does(path):
    assert status(client(token="k"), path, "GET") == 401


def test_the_browser_may_read_what_a_refusal_says():
    answer = client(token="k", origins=[PAGE]).post("/generate", headers={"Origin": PAGE})
    assert answer.status_code == 401
    assert answer.headers["access-control-allow-origin"] == PAGE


def test_options_need_no_key():
    assert status(client(token="k"), method="OPTIONS") == 405


def test_the_key_comes_from_the_environment(monkeypatch):
    monkeypatch.delenv("MIDIGPT_API_KEY", raising=False)
    assert api_key() == ""
    monkeypatch.setenv("MIDIGPT_API_KEY", " s3cret\n")
    assert api_key() == "s3cret"


def test_lists_of_origins():
    assert allowed_origins("") == ()
    assert allowed_origins(" https://Music.example/, http://localhost:3000,null,*") == (
        "https://music.example",
        "http://localhost:3000",
        "null",
        "*",
    )
    assert allowed_origins("tauri://localhost,http://[::1]:80") == (
        "tauri://localhost",
        "http://[::1]:80",
    )


@pytest.mark.parametrize(
    "wrong", ["music.example", "https://a/b", "https://", "https://a:b", "https://u@a", "//a"]
)
def test_what_is_no_origin(wrong):
    with pytest.raises(StartError, match=r"^--cors-origin .*: must be like https://"):
        allowed_origins(f"http://fine, {wrong}")
