"""Whatever stops a request, and whenever: what its client gets, and what is left of it.

Each case has the real engine and the real backend in this process, with a decoder that holds still
at an exact moment. The same over sockets, for the moments that can be met there, is in
``tests/contract/test_scenarios.py`` and, for shutdown, at the end of this file.
"""

import asyncio
import gc
import itertools
import json
import signal
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor

import anyio
import pytest
import torch
import yaml

from midigpt.inference.engine import InferenceEngine
from midigpt.inference.language import Language
from midigpt.model import GPT2Config, GPT2LMHeadModel
from midigpt.model.decoder import PlainDecoder
from midigpt.server.backend import Backend
from midigpt.server.errors import ApiError
from midigpt.server.generation import LoadedModel
from midigpt.server.jobs import Lane, QueueFullError
from midigpt.server.schemas import GenerateInput
from tests.e2e.asking import NOTES, configured, frames, inflight, long, sent, short, until
from tests.e2e.checkpoints import SMALL
from tests.e2e.servers import served
from tests.server import fakes

pytestmark = pytest.mark.anyio

PHASES = ["queued", "prefill", "decoding", "between steps", "finished"]
EVENTS = ["cancel", "disconnect", "deadline", "shutdown"]
REASONS = {
    "cancel": "client",
    "disconnect": "disconnect",
    "deadline": "time_limit",
    "shutdown": "shutdown",
}
LIMIT = 3
DEADLINE_S = 0.3
WORKERS = ThreadPoolExecutor(2)


@pytest.fixture
def anyio_backend():
    return "asyncio"


class StillDecoder(PlainDecoder):
    """Holds still once, at a moment of the first run: until told to go on."""

    def __init__(self, model, moment):
        super().__init__(model)
        self.reached, self.go_on = threading.Event(), threading.Event()
        self.passes = 0
        self._moments = {
            "prefill": lambda prefills, _: prefills == 1,
            "decoding": lambda _, steps: steps == 5,
            "between steps": lambda prefills, _: prefills == 2,
        }
        self._moment = self._moments.get(moment, lambda *_: False)
        self._prefills = self._steps = 0

    def prefill(self, *args, **options):
        self._prefills += 1
        self._hold()
        return super().prefill(*args, **options)

    def step(self, *args):
        self._steps += 1
        self._hold()
        return super().step(*args)

    def _hold(self):
        self.passes += 1
        if not self.reached.is_set() and self._moment(self._prefills, self._steps):
            self.reached.set()
            assert self.go_on.wait(20)


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    language = Language.of(SMALL)
    size = {"n_positions": 512, "n_embd": 16, "n_layer": 1, "n_head": 2}
    model = GPT2LMHeadModel(GPT2Config(vocab_size=len(language.tokenizer.vocabulary), **size))
    return language, model


class Client:
    """One that waits for its answer and may leave."""

    def __init__(self):
        self.gone = asyncio.Event()
        self.messages = []

    async def receive(self):
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message):
        if not self.gone.is_set():
            self.messages.append(message)

    async def ask(self, backend, body):
        """Ask as the service does: make a response, then send it."""
        try:
            response = await backend.generate(GenerateInput.model_validate(body), [], self.receive)
        except ApiError as error:
            response = error.response()
        await response({"type": "http"}, self.receive, self.send)

    @property
    def status(self):
        return self.messages[0]["status"]

    @property
    def text(self):
        return b"".join(message.get("body", b"") for message in self.messages).decode()


class Table:
    """A server without sockets, and a request that it is busy with."""

    def __init__(self, backend, decoder, phase, body, pieces):
        self.backend, self.decoder, self.phase, self._pieces = backend, decoder, phase, pieces
        self.client = Client()
        self._blocker = Client()
        self._body = body
        self._asked = []

    async def reach(self):
        """Bring the request to its phase."""
        if self.phase == "queued":
            self._ask(self._blocker, long(request_id="blocker"))
            await soon(lambda: self.backend.health().inflight == 1)
        mine = self._ask(self.client, self._body)
        if self.phase == "finished":
            await mine
        elif self.phase == "queued":
            await soon(lambda: self.backend.health().inflight == 2)
        else:
            await soon(self.decoder.reached.is_set)

    def _ask(self, client, body):
        self._asked.append(asyncio.ensure_future(client.ask(self.backend, body)))
        return self._asked[-1]

    async def happen(self, event):
        """Let it happen, and only then let the model go on."""
        if event == "cancel":
            self.cancel()
        elif event == "disconnect":
            self.client.gone.set()
        elif event == "shutdown":
            self.backend.jobs.close(grace=0)
        if self.phase in {"prefill", "decoding", "between steps"}:
            job = self.backend.jobs._jobs["mine"]
            await soon(job.stop.is_set)
        self.decoder.go_on.set()

    def cancel(self):
        if self.phase == "finished":
            with pytest.raises(ApiError) as refused:
                self.backend.cancel("mine")
            assert refused.value.status == 404
        else:
            self.backend.cancel("mine")

    async def end(self):
        """Wait until nobody is served any more."""
        await asyncio.wait_for(self._asked[-1], 10)
        self.backend.jobs.cancel("blocker", "client")
        await asyncio.wait_for(asyncio.gather(*self._asked), 10)

    def places(self):
        """How many places the queue has."""
        go_on, lane, jobs = threading.Event(), Lane(), []
        try:
            while True:
                jobs.append(self.backend.jobs.submit(lane, f"x{len(jobs)}", lambda _: go_on.wait()))
        except QueueFullError:
            return len(jobs)
        finally:
            go_on.set()
            for job in jobs:
                job.answer.result(5)

    @property
    def remembered(self):
        return sum(piece() is not None for piece in self._pieces)


async def soon(condition):
    with anyio.fail_after(10):
        while not condition():
            await asyncio.sleep(0.005)


@pytest.fixture
async def table(network, phase, event, stream):
    language, model = network
    decoder = StillDecoder(model, phase)
    loaded = LoadedModel(InferenceEngine(language, decoder), fakes.info())
    accepted, pieces = loaded.piece, []

    def piece(*args):
        piece = accepted(*args)
        pieces.append(weakref.ref(piece.session))
        return piece

    object.__setattr__(loaded, "piece", piece)
    limits = {"max_generation_seconds": DEADLINE_S} if event == "deadline" else {}
    deployed = fakes.deployed(max_queue=LIMIT, **limits)
    backend = Backend(deployed, lambda _: loaded, WORKERS, fakes.books())
    await backend.start()
    body = short(request_id="mine", stream=stream)
    gc.disable()  # what is forgotten is forgotten without its help
    yield Table(backend, decoder, phase, body, pieces)
    gc.enable()
    decoder.go_on.set()


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "streamed"])
@pytest.mark.parametrize("event", EVENTS)
@pytest.mark.parametrize("phase", PHASES)
async def test_whatever_stops_it_and_whenever(table, phase, event, stream, caplog):
    await table.reach()
    passes = table.decoder.passes
    await table.happen(event)
    await table.end()
    check_what_the_client_got(table.client, phase, event, stream=stream)
    if phase in {"prefill", "decoding", "between steps"}:
        assert table.decoder.passes <= passes + 1
    await soon(lambda: table.backend.health().inflight == 0)
    await soon(lambda: table.remembered == 0)
    again = Client()
    await again.ask(table.backend, short(request_id="mine"))
    if event == "shutdown":
        assert (again.status, json.loads(again.text)["code"]) == (503, "shutting_down")
    else:
        assert json.loads(again.text)["status"] == "completed"
        assert table.places() == LIMIT
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


REJECTED = {
    "score": {"tracks": [{"bars": [{"notes": NOTES}] * 4}]},
    "request": {
        "tracks": [{"id": 0, "bars": [1], "controls": {"remix": {"amount": 0.01}}}],
        "config": {"seed": 7, "max_attempts": 2, "novelty_threshold": 0.01},
    },
}


@pytest.mark.parametrize(
    ("phase", "event", "stream"), [("no moment", "none", False)], ids=["nothing stops it"]
)
@pytest.mark.parametrize("candidates", [1, 3])
@pytest.mark.parametrize("body", [short(), REJECTED], ids=["good", "failing"])
async def test_nothing_is_left_of_results_and_failures(table, body, candidates):
    client = Client()
    await client.ask(table.backend, configured(body, num_candidates=candidates))
    assert client.status == (500 if body is REJECTED and candidates == 1 else 200)
    await soon(lambda: table.remembered == 0)


def check_what_the_client_got(client, phase, event, *, stream):
    if event == "disconnect" and phase != "finished":
        assert '"response"' not in client.text
        return
    assert client.status == 200
    answer = json.loads(client.text) if not stream else frames(client.text)[-1]
    ran = phase == "finished" or (phase, event) == ("queued", "deadline")
    if stream:
        assert answer["type"] == ("done" if ran else "cancelled")
        answer = answer["response"]
        assert client.messages[-1] == {
            "type": "http.response.body",
            "body": b"",
            "more_body": False,
        }
    # a deadline does not count the time in the queue
    assert answer["status"] == ("completed" if ran else "cancelled")
    assert answer.get("cancel_reason") == (None if ran else REASONS[event])
    assert (answer["score"] is None) == (phase in {"queued", "prefill"} and not ran)


@pytest.mark.e2e
def test_shutdown_over_sockets(checkpoint, tmp_path):
    """All that run or wait are answered; who has not asked to the end is not waited for."""
    models = [{"id": name, "ckpt": str(checkpoint)} for name in ("plain", "streamed")]
    (tmp_path / "models.yaml").write_text(yaml.safe_dump({"models": models}))
    with (
        served(tmp_path, "--config", str(tmp_path / "models.yaml")) as server,
        server.client() as client,
        sent(server.url, b"{", length=1000),
        ThreadPoolExecutor(4) as threads,
    ):
        answers = {}
        for place, model in itertools.product(("first", "second"), ("plain", "streamed")):
            body = long(model=model, stream=model == "streamed")
            answers[place, model] = threads.submit(client.post, "/generate", json=body)
            until(lambda: inflight(client) == len(answers))
        server.process.send_signal(signal.SIGTERM)
        for (place, model), answer in answers.items():
            text = answer.result(30).text
            got = json.loads(text) if model == "plain" else frames(text)[-1]["response"]
            assert (got["status"], got["cancel_reason"]) == ("cancelled", "shutdown")
            assert (got["score"] is None) == (place == "second")
        assert server.process.wait(15) == 0
