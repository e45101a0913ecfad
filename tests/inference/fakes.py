"""A decoder without a network."""

import torch


class FakeDecoder:
    """Its logits are random numbers that depend on nothing but the row's tokens."""

    def __init__(self, vocab_size, context=2048):
        self.vocab_size = vocab_size
        self.context = context
        self.precision = "fp32"
        self.lookahead = 0
        self.stride = 0
        self.threads = 0
        self.prompt_tokens = 0
        self.reused_tokens = 0
        self.rows = {}
        self.prefills = []
        self.forks = []
        self.steps = []

    def prefill(self, row, tokens, hidden=(), check=None):
        if check is not None:
            check()
        self.rows[row] = list(tokens)
        self.prefills.append((row, tuple(tokens), tuple(hidden)))
        return self.logits(row)

    def fork(self, source, rows):
        for row in rows:
            self.rows[row] = list(self.rows[source])
        self.forks.append((source, list(rows)))

    def step(self, rows, tokens):
        self.steps.append(list(zip(rows, tokens, strict=True)))
        return torch.stack([self.append(row, token) for row, token in self.steps[-1]])

    def append(self, row, token):
        self.rows[row].append(token)
        return self.logits(row)

    def rewind(self, row, length):
        if length == 0:
            self.rows.pop(row, None)
        else:
            del self.rows[row][length:]

    def logits(self, row):
        seed = hash(tuple(self.rows[row])) % 2**31
        return torch.randn(self.vocab_size, generator=torch.Generator().manual_seed(seed))
