import json
import logging
import stat
from datetime import datetime, timezone

from midigpt.server import failures
from midigpt.server.failures import FailedRequests
from tests.server.fakes import body


def test_a_failed_request_is_one_line(tmp_path):
    kept = FailedRequests(tmp_path / "failed.jsonl")
    before = datetime.now(timezone.utc)
    kept.record(body(request_id="one"), "every attempt\nwas rejected")
    kept.record(body(request_id="two"), "again")
    one, two = map(json.loads, (tmp_path / "failed.jsonl").read_text().splitlines())
    assert one["detail"] == "every attempt\nwas rejected"
    assert before <= datetime.fromisoformat(one["time"]) <= datetime.now(timezone.utc)
    assert (one["body"]["request_id"], two["body"]["request_id"]) == ("one", "two")
    assert body(**one["body"]) == body(request_id="one")


def test_only_the_owner_may_read_it(tmp_path):
    FailedRequests(tmp_path / "failed").record(body(), "x")
    assert stat.S_IMODE((tmp_path / "failed").stat().st_mode) & 0o077 == 0


def test_the_file_does_not_grow_for_ever(tmp_path, monkeypatch, caplog):
    kept = FailedRequests(tmp_path / "failed")
    kept.record(body(), "x")
    size = (tmp_path / "failed").stat().st_size
    monkeypatch.setattr(failures, "LARGEST", 2 * size)
    kept.record(body(), "y")
    with caplog.at_level(logging.ERROR, "midigpt"):
        kept.record(body(), "z")
    assert (tmp_path / "failed").read_text().count("\n") == 2
    assert len(caplog.messages) == 1
    assert f"may not grow above {2 * size} bytes" in caplog.messages[0]


def test_a_file_that_cannot_be_written_is_one_line_in_the_log(tmp_path, caplog):
    with caplog.at_level(logging.ERROR, "midigpt"):
        FailedRequests(tmp_path / "missing" / "failed").record(body(), "x")
        FailedRequests(tmp_path).record(body(), "x")
    assert len(caplog.messages) == 2
    assert caplog.messages[0].startswith("MIDIGPT_FAILED_REQUESTS_LOG: [Errno 2]")
    assert "Traceback" not in caplog.text


def test_nothing_is_written_unless_asked_for(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MIDIGPT_FAILED_REQUESTS_LOG", raising=False)
    FailedRequests.from_environment().record(body(), "x")
    monkeypatch.setenv("MIDIGPT_FAILED_REQUESTS_LOG", "")
    FailedRequests.from_environment().record(body(), "x")
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setenv("MIDIGPT_FAILED_REQUESTS_LOG", "failed")
    FailedRequests.from_environment().record(body(), "x")
    assert [path.name for path in tmp_path.iterdir()] == ["failed"]
