"""What operators see of a real server: metrics and the access log."""

import re
import sys

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.e2e.asking import short
from tests.e2e.servers import ROOT, served

pytestmark = pytest.mark.e2e


def series(client):
    """The value of each series, by its name and labels."""
    page = client.get("/metrics")
    assert page.headers["content-type"].startswith("text/plain")
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(page.text)
        for sample in family.samples
    }


def value(client, name, **labels):
    """The sum of the series of a name that have these labels."""
    return sum(
        value
        for (found, *rest), value in series(client).items()
        if found == name and labels.items() <= dict(rest).items()
    )


def test_generations_are_counted(client):
    def tokens():
        return value(client, "midigpt_generated_tokens_total", model="tiny")

    before = tokens()
    completed = {"model": "tiny", "outcome": "completed"}
    generations = value(client, "midigpt_generations_total", **completed)
    waits = value(client, "midigpt_wait_seconds_count", model="tiny")
    speeds = value(client, "midigpt_tokens_per_second_count", model="tiny")
    answer = client.post("/generate", json=short(seed=3)).json()
    assert tokens() - before == answer["timing"]["gen_count"] > 0
    assert value(client, "midigpt_generations_total", **completed) == generations + 1
    assert value(client, "midigpt_wait_seconds_count", model="tiny") == waits + 1
    assert value(client, "midigpt_tokens_per_second_count", model="tiny") == speeds + 1
    assert value(client, "midigpt_prompt_tokens_total", model="tiny") > 0
    assert value(client, "midigpt_queue_running") == 0
    assert value(client, "midigpt_queue_waiting") == 0


def test_refusals_are_counted_by_their_code(client):
    before = value(client, "midigpt_errors_total", code="unknown_model")
    client.get("/info?model=nope")
    client.post("/generate", json=short(model="nope"))
    assert value(client, "midigpt_errors_total", code="unknown_model") == before + 2


def test_whatever_is_asked_for_there_are_few_series(client):
    def ask(number):
        client.get(f"/scan/{number}.php?x={number}")
        client.post(f"/generate/id-{number}/cancel")

    ask("first")
    before = series(client)
    for number in range(500):
        ask(number)
    after = series(client)
    # those of /metrics itself may have come meanwhile
    assert {key for key in after if "/metrics" not in str(key)} <= {
        key for key in before if "/metrics" not in str(key)
    }
    cancels = {"endpoint": "/generate/{request_id}/cancel", "http_response_code": "404"}
    assert value(client, "bentoml_service_request_total", **cancels) >= 501
    assert "id-499" not in str(after)


def test_the_access_log(server, client):
    body = short(request_id="logged-one")
    body["score"]["tracks"][0]["name"] = "private tune"
    client.post("/generate?key=hidden", json=body, headers={"X-Private": "hidden"})
    client.get("/there%0Ais%1bnothing")
    log = server.log.read_text()
    lines = [line for line in log.splitlines() if " access " in line]
    [line] = [line for line in lines if "request_id=logged-one" in line]
    assert re.search(
        r" access method=POST route=/generate status=200 seconds=\d+\.\d{3} received=\d+ sent=\d+"
        r" request_id=logged-one",
        line,
    )
    assert r'route=(none) path="/there\nis\u001bnothing" status=404' in log
    assert "hidden" not in log
    assert "private tune" not in log
    assert "onset_ticks" not in log
    assert "\x1b" not in log


def test_errors_of_clients_leave_no_traceback(server, client):
    for path, body in [("/api/info", {"model": ["private"]}), ("/api/cancel", {})]:
        answer = client.post(path, json=body)
        assert (answer.status_code, answer.json()["code"]) == (400, "malformed")
    assert client.post("/api/info", content=b"private").status_code == 400
    log = server.log.read_text()
    assert "Traceback" not in log
    assert "private" not in log


def test_metrics_where_bentoml_serves(checkpoint, tmp_path):
    command = [sys.executable, "-m", "bentoml", "serve", "--arg", f"ckpt={checkpoint}"]
    with (
        served(tmp_path, command=command, cwd=ROOT) as server,
        httpx.Client(base_url=server.url) as client,
    ):
        client.get("/info")
        requests = {"endpoint": "/info", "service_name": "midigpt", "http_response_code": "200"}
        assert value(client, "bentoml_service_request_total", **requests) == 1
        assert value(client, "midigpt_generations_total") == 0
        assert ("midigpt_queue_running",) in series(client)
