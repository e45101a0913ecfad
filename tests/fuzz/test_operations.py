"""Every operation of the document, with what it describes and with what it does not."""

import pytest
import schemathesis
from schemathesis import GenerationMode

from midigpt.server.openapi import document
from tests.fuzz.contract import budget, check_error, check_frames

pytestmark = [pytest.mark.e2e, pytest.mark.usefixtures("stays_healthy")]

# what a schema allows may still be impossible, or fail; in their place are checks of our own
REPLACED = ("positive_data_acceptance", "not_a_server_error")
CHECKS = {name: {"enabled": False} for name in REPLACED}
operations = schemathesis.openapi.from_dict(
    document(), config=schemathesis.Config.from_dict({"checks": CHECKS})
)


def is_an_answer_of_ours(_context, response, case):
    headers = {name: values[0] for name, values in response.headers.items()}
    if case.method == "HEAD":
        assert response.content == b""
    elif response.status_code >= 400:
        check_error(response.status_code, headers, response.content)
    elif headers["content-type"].startswith("text/event-stream"):
        check_frames(response.content.decode())


def is_malformed_only_where_the_schema_says_so(_context, response, case):
    if case.method == "HEAD" or case.meta.generation.mode is not GenerationMode.POSITIVE:
        return
    if response.status_code == 400:
        error = response.json()
        # what no schema can say: which models are loaded, that there are no streams of candidates
        assert error["code"] == "unknown_model" or error["path"] == "stream", error


@operations.parametrize()
@budget(2)
def test_every_operation_keeps_to_the_document(case, server):
    case.call_and_validate(
        base_url=server.url,
        additional_checks=[is_an_answer_of_ours, is_malformed_only_where_the_schema_says_so],
    )
