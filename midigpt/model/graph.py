"""The decoder for CUDA: a step is one captured graph, over memory that stays where it is.

Rows also go some steps by themselves, graph after graph, with the device drawing the tokens.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from typing_extensions import override

from midigpt.model.capture import Launcher
from midigpt.model.decoder import Decoder, check_prompt, check_rewind, check_room, check_tokens
from midigpt.model.graph_attending import LookingBack, Reading
from midigpt.model.pilot import STRIDE, Walked
from midigpt.model.row import CHUNK, Prompt
from midigpt.model.static_cache import LANES, Bank, Lane

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from midigpt.model.graph_network import GraphNetwork
    from midigpt.model.pilot import Course
    from midigpt.model.row import Placed

Turn = tuple[int, int, Bank]
"""One captured step: its bucket, which token of its rows it is, counted from 1, and their bank."""


class GraphDecoder(Decoder):
    """Runs a graph network.

    A step has one shape for each bucket of lengths, whoever takes part: a token for each of
    ``LANES`` rows, looking at the keys of its row, of which the later ones are masked. Which of
    these shapes a token goes through follows from what its row holds, and so do the shapes in
    which a prompt is read. So on CUDA a row's logits depend on other rows only if some kernel gives
    one row of a fixed shape another result for what lies in the others, or for its place among
    them. Kernels that work tile by tile have no reason to, but no library promises that. Neither it
    nor the speed has been tried on a CUDA device yet: ``tests/model/test_graph_cuda.py`` does so
    where there is one. On a CPU, where the same code runs without a capture, it holds in all tests.

    The first step of a bank in a bucket takes longer, for its graph is captured, and so does its
    first walk. Memory is taken in banks of ``LANES`` rows, each of them for the whole context, and
    kept: 4 rows of 2048 tokens of 12 layers of 768 are 312 MB in bf16.

    Args:
        network: the weights, on their device; any number of decoders may use them.
    """

    def __init__(self, network: GraphNetwork) -> None:
        self.vocab_size = network.config.vocab_size
        self.context = network.config.n_positions
        self.precision = network.precision
        self.stride = STRIDE
        self.prompt_tokens = 0
        self.reused_tokens = 0
        self._network = network
        self._launcher = Launcher(network.device)
        self._lanes: list[Lane] = []
        self._rows: dict[int, Lane] = {}

    @override
    @torch.inference_mode()
    def prefill(
        self,
        row: int,
        tokens: Sequence[int],
        hidden: Sequence[tuple[int, int]] = (),
        check: Callable[[], None] | None = None,
    ) -> Tensor:
        check_prompt(tokens, self.vocab_size, self.context)
        prompt = Prompt.of(tokens, hidden)
        self.prompt_tokens += len(prompt.visible)
        lane = self._holding(row, prompt)
        self.reused_tokens += len(lane.held)
        if lane.prompt is None:
            last = torch.empty(0)
            for begin, states in self._pieces(lane.memory, prompt, len(lane.held), check):
                lane.extend(prompt.visible[begin : begin + CHUNK])
                last = states[-1:]
            if not prompt.ends_visible:
                last, _ = self._look_back(lane.memory, prompt)
            lane.finish(prompt, self._network.logits(last)[0].cpu())
        return lane.logits.clone()

    @override
    @torch.inference_mode()
    def attention(self, tokens: Sequence[int], hidden: Sequence[tuple[int, int]] = ()) -> Tensor:
        check_prompt(tokens, self.vocab_size, self.context)
        prompt = Prompt.of(tokens, hidden)
        memory = self._network.memory(1, len(tokens))[:, :, 0]
        for _ in self._pieces(memory, prompt):
            pass
        _, weights = self._look_back(memory, prompt)
        upper = torch.stack(weights[self._network.config.n_layer // 2 :])  # (layers, H, N)
        scores = torch.zeros(len(tokens))
        scores[[position for _, position in prompt.visible]] = upper.mean(dim=1).sum(dim=0).cpu()
        return scores

    @override
    @torch.inference_mode()
    def logits(self, tokens: Sequence[int]) -> Tensor:
        check_prompt(tokens, self.vocab_size, self.context)
        memory = self._network.memory(1, len(tokens))[:, :, 0]
        pieces = self._pieces(memory, Prompt.of(tokens, ()))
        return torch.cat([self._network.logits(states) for _, states in pieces]).cpu()

    @override
    @torch.inference_mode()
    def fork(self, source: int, rows: Sequence[int]) -> None:
        held = self._rows[source]
        for row in rows:
            if row != source:
                self._lane(row).copy(held)

    @override
    @torch.inference_mode()
    def step(self, rows: Sequence[int], tokens: Sequence[int]) -> Tensor:
        pairs = list(zip((self._rows[row] for row in rows), tokens, strict=True))
        check_tokens(tokens, self.vocab_size)
        check_room([lane.length for lane, _ in pairs], rows, self.context)
        turns = _turns([lane for lane, _ in pairs])
        found = self._launcher.host(len(turns), LANES, self.vocab_size)
        where = torch.empty(len(pairs), dtype=torch.int64)
        for number, ((bucket, _, bank), indices) in enumerate(turns):
            moves = {pairs[index][0]: pairs[index][1] for index in indices}
            for index in indices:
                where[index] = number * LANES + pairs[index][0].index
            found[number].copy_(bank.step(bucket, moves), non_blocking=True)
            for lane, token in moves.items():
                lane.extend([(token, lane.length)])
        self._launcher.wait()
        return found.flatten(0, 1)[where]

    @override
    @torch.inference_mode()
    def walk(
        self, rows: Sequence[int], tokens: Sequence[int], courses: Sequence[Course]
    ) -> list[Walked]:
        lanes = [self._rows[row] for row in rows]
        check_tokens(tokens, self.vocab_size)
        check_room([lane.length for lane in lanes], rows, self.context)
        walked: dict[Lane, Walked] = {}
        for (bucket, _, bank), indices in _turns(lanes):
            moves = {lanes[index]: (tokens[index], courses[index]) for index in indices}
            walked |= self._walk(bucket, bank, moves)
        return [walked[lane] for lane in lanes]

    def _walk(
        self, bucket: int, bank: Bank, moves: dict[Lane, tuple[int, Course]]
    ) -> dict[Lane, Walked]:
        """The walks of lanes of one bank, all of which look at as many keys."""
        room = min(
            min(bucket - len(lane.held), self.context - lane.length, STRIDE) for lane in moves
        )
        count = min(room, max(1 + len(course.numbers) for _, course in moves.values()))
        log = self._launcher.host(count, LANES, self.vocab_size + 1)
        log.copy_(bank.walk(bucket, moves, count), non_blocking=True)
        self._launcher.wait()
        walked = {}
        for lane, (token, course) in moves.items():
            own = log[: 1 + len(course.numbers), lane.index]  # (n, V + 1)
            guesses = [int(guess) for guess in own[:-1, -1]]
            lane.extend([(new, lane.length + at) for at, new in enumerate([token, *guesses])])
            walked[lane] = Walked(own[:, :-1], guesses)
        return walked

    @override
    def rewind(self, row: int, length: int) -> None:
        if length == 0:
            lane = self._rows.pop(row, None)
            if lane is not None:
                lane.keep(lane, 0)
            return
        lane = self._rows[row]
        check_rewind(row, lane.length, length)
        lane.rewind(length)

    def _lane(self, row: int) -> Lane:
        """The lane of a row; the first free one if it has none yet."""
        if row not in self._rows:
            used = set(self._rows.values())
            if len(used) == len(self._lanes):
                bank = Bank(self._network, self._launcher)
                self._lanes += [Lane(bank, index) for index in range(LANES)]
            self._rows[row] = next(lane for lane in self._lanes if lane not in used)
        return self._rows[row]

    def _holding(self, row: int, prompt: Prompt) -> Lane:
        """Make ``row`` hold as much of ``prompt`` as any row does, and nothing else.

        If that is all of it, the row has its logits too.
        """
        own = self._lane(row)
        lanes = [own, *self._rows.values()]
        same = next((lane for lane in lanes if lane.prompt == prompt), None)
        if same is not None:
            own.take(same, len(prompt.visible))
            own.finish(prompt, same.logits)
            return own
        best = max(lanes, key=lambda lane: lane.usable(prompt.visible))
        own.take(best, best.usable(prompt.visible))
        return own

    def _pieces(
        self,
        memory: Tensor,
        prompt: Prompt,
        start: int = 0,
        check: Callable[[], None] | None = None,
    ) -> Iterator[tuple[int, Tensor]]:
        """Read ``prompt`` from its visible token ``start`` on.

        Yields:
            Where each piece begins, and its hidden states, (M, D), when ``memory`` holds it.
        """
        for begin in range(start, len(prompt.visible), CHUNK):
            if check is not None:
                check()
            piece = prompt.visible[begin : begin + CHUNK]
            reading = Reading(self._network.config, memory, begin, len(piece))
            yield begin, self._network.hidden(*self._placed(piece), reading)

    def _look_back(self, memory: Tensor, prompt: Prompt) -> tuple[Tensor, list[Tensor]]:
        """The last token of ``prompt``, which ``memory`` holds, once more.

        Returns:
            Its hidden state, (1, D), and per layer what it attends to, (H, N).
        """
        last = [(prompt.tokens[-1], len(prompt.tokens) - 1)]
        looking = LookingBack(self._network.config, memory, len(prompt.visible))
        return self._network.hidden(*self._placed(last), looking), looking.weights

    def _placed(self, tokens: list[Placed]) -> tuple[Tensor, Tensor]:
        """Ids and positions, (M,) each."""
        ids, positions = torch.tensor(tokens, device=self._network.device).unbind(1)
        return ids, positions


def _turns(lanes: list[Lane]) -> list[tuple[Turn, list[int]]]:
    """Which of ``lanes`` move together, by their indices; one that comes again moves later."""
    turns: dict[Turn, list[int]] = defaultdict(list)
    taken = Counter[Lane]()
    for index, lane in enumerate(lanes):
        taken[lane] += 1
        bucket = lane.bank.bucket(len(lane.held) + taken[lane])
        turns[bucket, taken[lane], lane.bank].append(index)
    return sorted(turns.items(), key=lambda turn: turn[0][1])
