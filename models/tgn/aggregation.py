"""Hierarchical block attention as a PyG aggregation, so that any MessagePassing layer can use it."""

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch_geometric.nn.aggr import Aggregation  # type: ignore[import-untyped]

from fraud.core.tokens import BLOCK, CLOSED_IN_WINDOW, CODE, LEVEL_SCALE, WINDOW
from models.tgn.attention import BlockEncoder
from models.tgn.reading import Reading, marked
from models.tgn.spans import merged, pushed, spans_of


class BlockAttentionAggregation(Aggregation):  # type: ignore[misc]
    """Block attention as a PyG aggregation of time-ordered neighbourhoods, for any MessagePassing layer.

    Messages are (edges, 1 + channels): column 0 is log1p(age in s) / AGE_SCALE as of the node's own time, which no code
    depends on. Edges are sorted by node, and within a node from oldest to newest. The query is learned.
    """

    def __init__(self, channels: int, d: int = 64, heads: int = 4, layers: int = 1) -> None:
        """Take the channels of a message beside its age, then width, heads and layers as for the network."""
        super().__init__()
        self.encoder = BlockEncoder(d, heads, layers, static=1 + channels)
        self.raw = nn.Sequential(nn.Linear(channels, d), nn.GELU())
        self.sums = nn.Sequential(nn.Linear(CODE + 1, d), nn.GELU())
        self.ask = nn.Parameter(torch.randn(d) / d**0.5)
        self.layers = nn.ModuleList(Reading(d, heads) for _ in range(layers))

    def forward(
        self,
        x: Tensor,
        index: Tensor | None = None,
        ptr: Tensor | None = None,
        dim_size: int | None = None,
        dim: int = -2,
        max_num_elements: int | None = None,
    ) -> Tensor:
        """Return (nodes, d); a node without neighbours gets the answer of an empty memory."""
        dense, mask = self.to_dense_batch(x, index, ptr, dim_size, dim, max_num_elements=max_num_elements)
        spare = -dense.shape[1] % BLOCK + BLOCK * (dense.shape[1] == 0)
        dense, mask = functional.pad(dense, (0, 0, 0, spare)), functional.pad(mask, (0, spare))
        tokens = [self.newest(dense, mask), self.older(dense, mask)]  # each: tokens, mask, log age
        seen, there, log_age = (torch.cat(part, 1) for part in zip(*tokens, strict=True))
        memory = marked(seen, there.to(seen.dtype).unsqueeze(2), log_age.unsqueeze(2))
        out = self.ask.expand(len(dense), -1)
        for layer in self.layers:
            out = layer(out, memory)
        return out

    def newest(self, dense: Tensor, mask: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the newest 32..47 neighbours of each node (nodes, WINDOW, d), which are there, and their log ages."""
        count = mask.sum(1, keepdim=True)
        place = count - 1 - torch.arange(WINDOW, device=dense.device)
        shown = place >= (count // BLOCK - CLOSED_IN_WINDOW).clamp(min=0) * BLOCK
        seen = dense.gather(1, place.clamp(min=0)[:, :, None].expand(-1, -1, dense.shape[2]))
        return self.raw(seen[:, :, 1:]), shown, seen[:, :, 0]

    def older(self, dense: Tensor, mask: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the summaries of all older neighbours (nodes, SUMS, d), which are there, and their log ages."""
        nodes = len(dense)
        events = torch.cat([mask[:, :, None].to(dense.dtype), dense[:, :, 1:]], 2)
        codes = self.encoder(events.reshape(-1, BLOCK, events.shape[2])).view(nodes, -1, CODE)
        spans = torch.from_numpy(spans_of(pushed(mask.sum(1).cpu().numpy()))).to(dense.device)
        row = torch.arange(nodes, device=dense.device)
        age = dense[row[:, None], (spans[:, :, 2] * BLOCK - 1).clamp(min=0), 0]
        code = merged(codes, row, spans)
        known = torch.cat([code, spans[:, :, :1].to(code.dtype) / LEVEL_SCALE], 2)
        return self.sums(known), spans[:, :, 0] >= 0, age
