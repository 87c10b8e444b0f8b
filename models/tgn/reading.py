"""Layers of queries over tokens: what the batch form and the aggregation for PyG are read by.

The network that is served reads in one step (`tgnn.py`); its attention is the same.
"""

import torch
from torch import Tensor, nn

from fraud.core import tokens as tk
from models.tgn.attention import BlockEncoder, MemoryAttention


class Reading(nn.Module):
    """One layer of a query over its memory: attention to tokens, then a feed-forward part."""

    def __init__(self, d: int, heads: int) -> None:
        """Take the width and the number of heads that share it."""
        super().__init__()
        self.before = nn.LayerNorm(d)
        self.memory = MemoryAttention(d, heads)
        self.between = nn.LayerNorm(d)
        self.feed = nn.Sequential(nn.Linear(d, 2 * d), nn.GELU(), nn.Linear(2 * d, d))

    def forward(self, x: Tensor, tokens: Tensor) -> Tensor:
        """Return (B, d) for queries (B, d) and marked tokens (B, T, d + 3)."""
        x = x + self.memory(self.before(x), tokens)
        out: Tensor = x + self.feed(self.between(x))
        return out


def marked(tokens: Tensor, there: Tensor, log_age: Tensor) -> Tensor:
    """Return tokens (B, T, d + 3): log age, absence and presence added to tokens (B, T, d).

    there (B, T, 1), 1 where there is a token, else 0; log_age (B, T, 1), log1p(age in s) / AGE_SCALE.
    """
    return torch.cat([tokens, log_age, 1 - there, there], 2)


class HierarchicalAttention(nn.Module):
    """A block encoder, and one query over one entity's events, summaries and known frauds, in a few layers."""

    def __init__(self, d: int = 64, heads: int = 4, layers: int = 2) -> None:
        """Take the width, the heads that share it, and the number of layers, in blocks and of the query."""
        super().__init__()
        self.encoder = BlockEncoder(d, heads, layers)
        self.query = nn.Linear(tk.STATIC, d)
        self.raw = nn.Sequential(nn.Linear(tk.RAW_COLUMNS, d), nn.GELU())
        self.sums = nn.Sequential(nn.Linear(tk.SUM_COLUMNS + tk.CODE, d), nn.GELU())
        self.layers = nn.ModuleList(Reading(d, heads) for _ in range(layers))
        self.after = nn.LayerNorm(d)

    def forward(self, query: Tensor, raw: Tensor, sums: Tensor, codes: Tensor) -> Tensor:
        """Return (B, d) for queries (B, STATIC) that read raw (B, RAW, ...), sums (B, SUMS, ...) and codes."""
        tokens = torch.cat([self.raw(raw), self.sums(torch.cat([sums, codes], 2))], 1)
        there = torch.cat([raw[:, :, tk.PRESENT], sums[:, :, tk.SUM_PRESENT]], 1)
        log_age = torch.cat([raw[:, :, tk.AGE], sums[:, :, tk.SUM_AGE]], 1)
        tokens = marked(tokens, there.unsqueeze(2), log_age.unsqueeze(2))
        x = self.query(query)
        for layer in self.layers:
            x = layer(x, tokens)
        out: Tensor = self.after(x)
        return out
