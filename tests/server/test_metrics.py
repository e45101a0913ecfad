import os
import subprocess
import sys

import pytest
from prometheus_client.parser import text_string_to_metric_families

from midigpt.server.metrics import Metrics


@pytest.fixture
def metrics():
    return Metrics(["yellow", "prism"])


def samples(text):
    """The value of each series, by its name and its labels in alphabetical order."""
    families = text_string_to_metric_families(text)
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in families
        for sample in family.samples
    }


def shown(metrics):
    page = metrics.page()
    assert page.headers["content-type"].startswith("text/plain; version=")
    return samples(page.body.decode())


def test_a_generation(metrics):
    metrics.waited("yellow", 0.3)
    metrics.generated("yellow", "completed", tokens=200, seconds=2.0, prompt=90, reused=60)
    found = shown(metrics)
    assert found["midigpt_generations_total", "yellow", "completed", ""] == 1
    assert found["midigpt_generated_tokens_total", "yellow"] == 200
    assert found["midigpt_prompt_tokens_total", "yellow"] == 90
    assert found["midigpt_prompt_tokens_reused_total", "yellow"] == 60
    assert found["midigpt_generation_seconds_sum", "yellow"] == 2
    assert found["midigpt_tokens_per_second_sum", "yellow"] == 100
    assert found["midigpt_wait_seconds_sum", "yellow"] == 0.3
    assert found["midigpt_wait_seconds_bucket", "0.25", "yellow"] == 0
    assert found["midigpt_wait_seconds_bucket", "0.5", "yellow"] == 1


def test_generations_that_did_not_complete(metrics):
    metrics.generated("prism", "failed", seconds=1.0)
    metrics.generated("prism", "cancelled", reason="time_limit", tokens=10, seconds=1.0)
    metrics.generated("prism", "cancelled", reason="client")
    found = shown(metrics)
    assert found["midigpt_generations_total", "prism", "failed", ""] == 1
    assert found["midigpt_generations_total", "prism", "cancelled", "time_limit"] == 1
    assert found["midigpt_generations_total", "prism", "cancelled", "client"] == 1
    assert found["midigpt_generated_tokens_total", "prism"] == 10
    # those that generated nothing tell nothing about speed, those that never ran nothing about time
    assert found["midigpt_tokens_per_second_count", "prism"] == 1
    assert found["midigpt_generation_seconds_count", "prism"] == 2


def test_the_queue_and_refusals(metrics):
    metrics.queue(waiting=3, running=1)
    metrics.queue(waiting=2, running=1)
    metrics.rejected("busy")
    found = shown(metrics)
    assert (found["midigpt_queue_waiting",], found["midigpt_queue_running",]) == (2, 1)
    assert found["midigpt_errors_total", "busy"] == 1


def test_requests(metrics):
    metrics.requests.began("/generate")
    service = ("", "", "not available")
    assert shown(metrics)[("bentoml_service_request_in_progress", "/generate", *service)] == 1
    metrics.requests.ended("/generate", 200, 0.2)
    found = shown(metrics)
    assert found[("bentoml_service_request_in_progress", "/generate", *service)] == 0
    answered = ("/generate", "200", *service)
    assert found[("bentoml_service_request_total", *answered)] == 1
    assert found[("bentoml_service_request_duration_seconds_sum", *answered)] == 0.2


def test_what_did_not_happen_yet_is_zero(metrics):
    found = shown(metrics)
    assert found["midigpt_generations_total", "prism", "cancelled", "shutdown"] == 0
    assert found["midigpt_errors_total", "inference_failed"] == 0
    assert not any(name.endswith("_created") for name, *_ in found)


def test_two_in_one_process_do_not_mix():
    one, other = Metrics(["yellow"]), Metrics(["yellow"])
    one.rejected("busy")
    assert shown(other)["midigpt_errors_total", "busy"] == 0


WORKER = """
import sys
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
from midigpt.server.metrics import Metrics
metrics = Metrics(["yellow"])
metrics.queue(waiting=3, running=1)
metrics.generated("yellow", "completed", tokens=7)
registry = CollectorRegistry()
MultiProcessCollector(registry)
print(generate_latest(registry).decode())
print("# own page")
print(metrics.page().body.decode())
"""


def test_the_multiprocess_mode_of_bentoml(tmp_path):
    """Each process's page is its own; the files of all, put together, are their sum."""
    for _ in range(2):
        environment = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
        output = subprocess.run(
            [sys.executable, "-c", WORKER],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
    together, own = map(samples, output.split("# own page\n"))
    assert any(path.name.startswith("gauge_livesum") for path in tmp_path.iterdir())
    assert together["midigpt_queue_waiting",] == 6
    assert together["midigpt_generated_tokens_total", "yellow"] == 14
    assert own["midigpt_queue_waiting",] == 3
    assert own["midigpt_generated_tokens_total", "yellow"] == 7
