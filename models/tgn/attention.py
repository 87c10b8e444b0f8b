"""The pieces of hierarchical block attention that the network is made of: block encoder and memory attention.

A history is cut into blocks of 16 events. Attention is full inside a block, which is pooled to one code of 32 numbers;
older blocks merge, four at a time, into ever longer summaries; a query then attends to the newest events one by one,
to the summaries, and to the newest known frauds. So a query reads at most 83 tokens however long the history is.

What is kept of a history and read of it: `features/state/history.py`. The same for all positions at once, with
gradients: `batch.py`. For the layers of PyG: `aggregation.py`.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from fraud.core.tokens import BLOCK, CODE, STATIC

NEVER = -1e9
"""The score of a token that is not there; finite, so that a row without tokens stays a number."""
MARKS = 3
"""Columns that attention adds to tokens: log age, 1 where there is none, 1 where there is one."""


class SelfAttention(nn.Module):
    """One pre-norm layer of full self-attention inside blocks, with its feed-forward part."""

    def __init__(self, d: int, heads: int) -> None:
        """Take the width and the number of heads that share it."""
        super().__init__()
        self.heads = heads
        self.before = nn.LayerNorm(d)
        self.qkv = nn.Linear(d, 3 * d)
        self.mix = nn.Linear(d, d)
        self.between = nn.LayerNorm(d)
        self.feed = nn.Sequential(nn.Linear(d, 2 * d), nn.GELU(), nn.Linear(2 * d, d))

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        """Return (N, 16, d) for tokens (N, 16, d); `bias`, (N, 1, 1, 16), is added to the scores."""
        n, length, d = x.shape
        split = self.qkv(self.before(x)).reshape(n, length, 3, self.heads, d // self.heads)
        q, k, v = split.permute(2, 0, 3, 1, 4).unbind(0)  # each (N, heads, 16, d / heads)
        seen = functional.scaled_dot_product_attention(q, k, v, attn_mask=bias)
        x = x + self.mix(seen.transpose(1, 2).reshape(n, length, d))
        out: Tensor = x + self.feed(self.between(x))
        return out


class BlockEncoder(nn.Module):
    """Turn blocks of 16 events into codes: token MLP, self-attention inside the block, learned-query pooling."""

    def __init__(self, d: int = 64, heads: int = 4, layers: int = 1, static: int = STATIC, code: int = CODE) -> None:
        """Take the inner width, the heads that share it, and the number of self-attention layers."""
        super().__init__()
        self.token = nn.Sequential(nn.Linear(static, d), nn.GELU(), nn.Linear(d, d))
        self.place = nn.Parameter(torch.randn(BLOCK, d) * 0.02)
        self.layers = nn.ModuleList(SelfAttention(d, heads) for _ in range(layers))
        self.ask = nn.Linear(d, heads)
        self.code = nn.Linear(heads * d, code)

    def forward(self, blocks: Tensor) -> Tensor:
        """Return codes (N, CODE) for blocks (N, BLOCK, STATIC), oldest event first; absent events are rows of zeros.

        Codes lie in -1..1, so the maximum over 10,000 events stays in the range that short histories train.
        """
        absent = (1 - blocks[:, :, 0]) * NEVER  # (N, 16)
        x = self.token(blocks) + self.place
        for layer in self.layers:
            x = layer(x, absent[:, None, None, :])
        weight = (self.ask(x) + absent[:, :, None]).softmax(1)  # (N, 16, heads): one learned query a head
        pooled = weight.transpose(1, 2) @ x  # (N, heads, d)
        return torch.tanh(self.code(pooled.flatten(1)))


class MemoryAttention(nn.Module):
    """Let one query a row attend to that row's tokens, older ones with less weight.

    Keys and values are absorbed into the query: with one query, scores are `(W_k^T q) . token` and the result is
    `W_v (weights . tokens)`, so no token is ever projected: 2 x heads x d products a token in place of 2 x d x d.
    Age, absence and the score of "nothing" are absorbed too, as three more columns of the tokens (marks), for on one
    row an operation costs more than its arithmetic.
    """

    def __init__(self, d: int = 64, heads: int = 4) -> None:
        """Take the width of query and tokens, and the number of heads that share it."""
        super().__init__()
        self.heads, self.size = heads, d // heads
        self.q = nn.Linear(d, d)
        self.k = nn.Parameter(torch.randn(heads, d // heads, d) / d**0.5)
        self.v = nn.Parameter(torch.randn(heads, d, d // heads) / d**0.5)
        self.mix = nn.Linear(d, d)
        self.rate = nn.Parameter(torch.linspace(-2.0, 3.0, heads))
        self.nothing = nn.Parameter(torch.zeros(heads))

    def forward(self, query: Tensor, tokens: Tensor) -> Tensor:
        """Return what each query finds, (B, d), for queries (B, d) and marked tokens (B, T, d + 3)."""
        asked = functional.linear(query, *self.asking()).view(-1, self.heads, self.heads * self.size + MARKS)
        found = looked_up(asked, tokens).flatten(1)
        return found @ self.telling() + self.mix.bias

    def asking(self) -> tuple[Tensor, Tensor]:
        """Return weight and bias of the map from a query to what it asks of a marked token, (heads (d + 3), d).

        The score of "nothing" is taken off all others: its own is then 0.
        """
        heads, size, d = self.k.shape
        scaled = self.q.weight.view(heads, size, d) * size**-0.5
        weight = self.k.transpose(1, 2) @ scaled  # (heads, d, d)
        bias = (self.q.bias.view(heads, 1, size) * size**-0.5 @ self.k).squeeze(1)  # (heads, d)
        marks = torch.stack([-functional.softplus(self.rate), self.rate.new_full((heads,), NEVER), -self.nothing], 1)
        return padded(weight).view(-1, d), torch.cat([bias, marks], 1).view(-1)

    def telling(self) -> Tensor:
        """Return the map from what the heads found in marked tokens to the answer, (heads (d + 3), d)."""
        heads, d, size = self.v.shape
        weight = self.v @ self.mix.weight.transpose(0, 1).reshape(heads, size, d)
        return padded(weight).view(-1, d)


def padded(weight: Tensor) -> Tensor:
    """Return weights (heads, d, d) as (heads, d + 3, d): the marks take no part."""
    return torch.cat([weight, weight.new_zeros(len(weight), MARKS, weight.shape[2])], 1)


def looked_up(asked: Tensor, tokens: Tensor) -> Tensor:
    """Return what is found (..., heads, D) by what is asked, (..., heads, D), in marked tokens (..., T, D).

    "Nothing" takes part with a score of 0, so a row without tokens finds zeros.
    """
    score = functional.pad(asked @ tokens.transpose(-1, -2), (0, 1))
    return score.softmax(-1)[..., :-1] @ tokens
