"""Hierarchical block attention over one entity's events in the order they were absorbed.

A history is cut into blocks of 16 events. Attention is full inside a block, which is pooled to one code of 32 numbers;
older blocks merge, four at a time, into ever longer summaries; a query then attends to the newest events one by one,
to the summaries, and to the newest known frauds. So a query reads at most 83 tokens however long the history is.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

BLOCK = 16
"""Events in a block."""
STATIC = 20
"""Numbers of an event that never change: column 0 says that it is there, none depends on a label."""
CODE = 32
"""Numbers of a block's code; merged codes take the count-weighted mean of the first half, the maximum of the second."""
NEVER = -1e9
"""Added to the score of a token that is not there; finite, so that a row without tokens stays a number."""


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
        """Return codes (N, 32) for blocks (N, 16, 20), oldest event first; absent events are rows of zeros.

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

    def forward(self, query: Tensor, tokens: Tensor, mask: Tensor, log_age: Tensor) -> Tensor:
        """Return what each query finds, (B, d).

        query (B, d); tokens (B, T, d); mask (B, T), true where there is a token; log_age (B, T), log1p(age in s) / 15.
        A learned score of "nothing" takes part, so a row without tokens gives the bias of the last layer.
        """
        q = self.q(query).view(-1, self.heads, 1, self.size)
        asked = (q @ self.k).squeeze(2)  # (B, heads, d)
        decay = functional.softplus(self.rate)[:, None] * log_age[:, None, :]  # (B, heads, T)
        score = asked @ tokens.transpose(1, 2) / self.size**0.5 - decay
        score = torch.where(mask[:, None, :], score, NEVER)
        nothing = self.nothing[None, :, None].expand(score.shape[0], -1, 1)
        weight = torch.cat([score, nothing], 2).softmax(2)[:, :, :-1]
        found = (weight @ tokens)[:, :, None, :] @ self.v  # (B, heads, 1, d / heads)
        out: Tensor = self.mix(found.flatten(1))
        return out
