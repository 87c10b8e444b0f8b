"""Full causal attention of the same width and depth, as the benchmark's baseline: naive, fused, and with a cache."""

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from fraud.core.tokens import STATIC


class Layer(nn.Module):
    """One pre-norm layer; its feed-forward part is that of the hierarchical network."""

    def __init__(self, d: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.before, self.between = nn.LayerNorm(d), nn.LayerNorm(d)
        self.qkv, self.mix = nn.Linear(d, 3 * d), nn.Linear(d, d)
        self.feed = nn.Sequential(nn.Linear(d, 2 * d), nn.GELU(), nn.Linear(2 * d, d))

    def split(self, x: Tensor) -> list[Tensor]:
        """Return queries, keys and values, each (heads, n, d / heads)."""
        return list(self.qkv(self.before(x)).unflatten(1, (3, self.heads, -1)).permute(1, 2, 0, 3).unbind(0))

    def finish(self, x: Tensor, seen: Tensor) -> Tensor:
        """Return (n, d) from what attention found, (heads, n, d / heads)."""
        x = x + self.mix(seen.transpose(0, 1).flatten(1))
        out: Tensor = x + self.feed(self.between(x))
        return out

    def naive(self, x: Tensor) -> Tensor:
        """Return (n, d) by scores that exist as a whole."""
        q, k, v = self.split(x)
        score = q @ k.transpose(1, 2) / q.shape[2] ** 0.5
        later = torch.ones(len(x), len(x), dtype=torch.bool).triu(1)
        return self.finish(x, score.masked_fill(later, -1e9).softmax(2) @ v)

    def fused(self, x: Tensor) -> Tensor:
        """Return (n, d) by the fused kernel."""
        q, k, v = (part[None] for part in self.split(x))
        return self.finish(x, functional.scaled_dot_product_attention(q, k, v, is_causal=True)[0])

    def fused_last(self, x: Tensor) -> Tensor:
        """Return (1, d): the last event's result alone, over all keys."""
        q, k, v = (part[None] for part in self.split(x))
        return self.finish(x[-1:], functional.scaled_dot_product_attention(q[:, :, -1:], k, v)[0])


class Full(nn.Module):
    """Full causal attention over a whole history (n, 20)."""

    def __init__(self, d: int = 64, heads: int = 4, layers: int = 2, longest: int = 10_064) -> None:
        super().__init__()
        self.token = nn.Linear(STATIC, d)
        self.layers = nn.ModuleList(Layer(d, heads) for _ in range(layers))
        self.keys = torch.zeros(layers, heads, longest, d // heads)
        self.values = torch.zeros(layers, heads, longest, d // heads)

    def stack(self) -> list[Layer]:
        """Return the layers as what they are."""
        return cast("list[Layer]", list(self.layers))

    def encode(self, static: Tensor, how: str) -> Tensor:
        """Return what the last event finds, (d,), encoding all anew: `naive`, `fused`, or `fused_last`.

        The last of these leaves out what the last layer computes for earlier events, which nobody asked for.
        """
        x = self.token(static)
        for i, layer in enumerate(self.stack()):
            last = i == len(self.layers) - 1
            x = getattr(layer, how if last or how == "naive" else "fused")(x)
        out: Tensor = x[-1]
        return out

    def fill(self, static: Tensor) -> None:
        """Put the keys and values of a history into the cache."""
        x = self.token(static)
        for i, layer in enumerate(self.stack()):
            _, self.keys[i, :, : len(x)], self.values[i, :, : len(x)] = layer.split(x)
            x = layer.fused(x)

    def step(self, static: Tensor, n: int) -> Tensor:
        """Return what one more event (20,) finds, (d,), n events being cached; it is cached too."""
        x = self.token(static[None])
        for i, layer in enumerate(self.stack()):
            q, self.keys[i, :, n : n + 1], self.values[i, :, n : n + 1] = layer.split(x)
            k, v = self.keys[i, :, : n + 1], self.values[i, :, : n + 1]
            x = layer.finish(x, functional.scaled_dot_product_attention(q[None], k[None], v[None])[0])
        out: Tensor = x[0]
        return out
