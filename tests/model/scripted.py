"""The network once more, in the form in which old exports stored it: as a TorchScript program."""

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812


class Conv(nn.Module):
    def __init__(self, n_in, n_out):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(n_in, n_out))
        self.bias = nn.Parameter(torch.empty(n_out))

    def forward(self, x):
        return x @ self.weight + self.bias


class Attn(nn.Module):
    """Knows its heads by an attribute."""

    def __init__(self, width, heads):
        super().__init__()
        self.n_head = heads
        self.c_attn = Conv(width, 3 * width)
        self.c_proj = Conv(width, width)

    def forward(self, x):
        rows, new, width = x.shape
        q, k, v = self.c_attn(x).chunk(3, dim=2)
        q = q.view(rows, new, self.n_head, width // self.n_head).transpose(1, 2)
        k = k.view(rows, new, self.n_head, width // self.n_head).transpose(1, 2)
        v = v.view(rows, new, self.n_head, width // self.n_head).transpose(1, 2)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.c_proj(y.transpose(1, 2).reshape(rows, new, width))


class ConstantAttn(Attn):
    """Knows its heads by a constant."""

    __constants__ = ("n_head",)


class MLP(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.c_fc = Conv(width, 4 * width)
        self.c_proj = Conv(4 * width, width)

    def forward(self, x):
        return self.c_proj(F.gelu(self.c_fc(x), approximate="tanh"))


class Block(nn.Module):
    def __init__(self, width, attention):
        super().__init__()
        self.ln_1 = nn.LayerNorm(width)
        self.attn = attention
        self.ln_2 = nn.LayerNorm(width)
        self.mlp = MLP(width)

    def forward(self, x):
        x = x + self.attn(self.ln_1(x))
        return x + self.mlp(self.ln_2(x))


class Body(nn.Module):
    def __init__(self, config, attention):
        super().__init__()
        self.wte = nn.Embedding(config.vocab_size, config.n_embd)
        self.wpe = nn.Embedding(config.n_positions, config.n_embd)
        self.h = nn.ModuleList(
            Block(config.n_embd, attention(config.n_embd, config.n_head))
            for _ in range(config.n_layer)
        )
        self.ln_f = nn.LayerNorm(config.n_embd)

    def forward(self, ids):
        x = self.wte(ids) + self.wpe(torch.arange(ids.shape[1]))
        for block in self.h:
            x = block(x)
        return self.ln_f(x)


class Network(nn.Module):
    def __init__(self, config, attention=Attn):
        super().__init__()
        self.transformer = Body(config, attention)
        self.lm_head = nn.Linear(config.n_embd, config.vocab_size, bias=False)

    def forward(self, ids):
        return self.lm_head(self.transformer(ids))
