"""Block attention inside a message passing layer."""

import warnings

import torch
from torch import Tensor

with warnings.catch_warnings():  # PyG compiles by torch.jit on import, which torch deprecates
    warnings.simplefilter("ignore", DeprecationWarning)
    from torch_geometric.nn import MessagePassing  # type: ignore[import-untyped]

    from models.tgn.aggregation import BlockAttentionAggregation
    from models.tgn.reading import marked


class Neighbourhood(MessagePassing):  # type: ignore[misc]
    """A layer that hears its neighbours' features and how old each edge is."""

    def __init__(self, channels: int) -> None:
        super().__init__(aggr=BlockAttentionAggregation(channels, d=16, heads=2))

    def forward(self, x: Tensor, edge_index: Tensor, age: Tensor) -> Tensor:
        out: Tensor = self.propagate(edge_index, x=x, age=age)
        return out

    def message(self, x_j: Tensor, age: Tensor) -> Tensor:
        return torch.cat([age[:, None], x_j], 1)


def neighbourhoods(degrees: list[int]) -> tuple[Tensor, Tensor, Tensor]:
    """Return features of 50 nodes, time-ordered edges to the first nodes, and their ages."""
    torch.manual_seed(7)
    target = torch.repeat_interleave(torch.arange(len(degrees)), torch.tensor(degrees))
    source = torch.randint(0, 50, (len(target),))
    age = torch.cat([torch.rand(degree).sort(descending=True).values for degree in degrees])
    return torch.randn(50, 6), torch.stack([source, target]), age


def test_aggregation_in_a_message_passing_layer_treats_every_node_by_itself() -> None:
    layer = Neighbourhood(6).eval()
    degrees = [0, 1, 16, 47, 48, 150, 700]
    x, edges, age = neighbourhoods(degrees)
    together = layer(x, edges, age)
    assert together.shape == (50, 16)
    assert bool(together.isfinite().all())
    for node, degree in enumerate(degrees):
        mine = edges[1] == node
        alone = layer.aggr_module(
            torch.cat([age[mine, None], x[edges[0, mine]]], 1), torch.zeros(degree).long(), dim_size=1
        )
        torch.testing.assert_close(alone[0], together[node], atol=2e-6, rtol=0)
    torch.testing.assert_close(together[7], together[0])  # nodes without neighbours


def test_aggregation_reads_newest_neighbours_singly_and_older_ones_as_summaries() -> None:
    aggregation = BlockAttentionAggregation(6, d=16, heads=2).eval()
    torch.manual_seed(8)
    x = torch.randn(150, 7)  # 9 closed blocks: 7 older ones, 38 events one by one
    x[:, 0] = torch.rand(150).sort(descending=True).values
    blocks = torch.cat([torch.ones(112, 1), x[:112, 1:]], 1).reshape(7, 16, 7)
    codes = aggregation.encoder(blocks)
    parts = [codes[6:7], codes[5:6], codes[4:5], torch.cat([codes[:4, :16].mean(0), codes[:4, 16:].amax(0)])[None]]
    level = torch.tensor([[0], [0], [0], [0.25]])
    tokens = torch.cat([aggregation.raw(x[112:, 1:]), aggregation.sums(torch.cat([torch.cat(parts), level], 1))])[None]
    age = torch.cat([x[112:, 0], x[[111, 95, 79, 63], 0]])[None]
    wanted = aggregation.ask[None]
    memory = marked(tokens, torch.ones(1, 42, 1), age.unsqueeze(2))
    for layer in aggregation.layers:
        wanted = layer(wanted, memory)
    torch.testing.assert_close(aggregation(x, torch.zeros(150).long()), wanted, atol=2e-6, rtol=0)


def test_aggregation_gives_gradients_to_features_and_weights() -> None:
    layer = Neighbourhood(6)
    x, edges, age = neighbourhoods([3, 90, 400])
    x.requires_grad_()
    layer(x, edges, age)[:3].square().mean().backward()
    assert x.grad is not None
    assert x.grad[torch.unique(edges[0])].abs().sum(1).min() > 0
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in layer.parameters())
