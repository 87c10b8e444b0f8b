"""The served graphs say what the trained module says, row by row, whatever the batch."""

from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as nnf

from fraud.core.errors import ArtifactError
from fraud.core.ports import Tokens
from fraud.core.tokens import AGE, SUM_AGE
from fraud.training.onnx_export import arrays_of
from models.tgn import runtime
from models.tgn.runtime import Network
from models.tgn.tgnn import (
    FIRST_RAMP,
    LAST_RAMP,
    RAMPS,
    Memory,
    NetworkConfig,
    Query,
    Side,
    TemporalGraphNetwork,
    closed_blocks,
    fold_closed,
    read_sides,
)

NAMES = tuple(f"f{place}" for place in range(40))
ROWS = 33


def made(sides: int, *, text: bool) -> TemporalGraphNetwork:
    torch.manual_seed(sides)
    config = NetworkConfig(columns=NAMES[3:23], sides=sides, text=text, width=32, align=text)
    return TemporalGraphNetwork(config).eval()


def given(sides: int, rows: int = ROWS) -> tuple[NDArray[np.float32], Tokens]:
    """Return a matrix with missing values and tokens of histories of every length, none at all among them."""
    rng = np.random.default_rng(5)
    matrix = rng.normal(size=(rows, len(NAMES))).astype(np.float32)
    matrix[rng.random(matrix.shape) < 0.2] = np.nan
    raw = rng.normal(size=(rows, sides, 64, 32)).astype(np.float32)
    sums = rng.normal(size=(rows, sides, 20, 16)).astype(np.float32)
    codes = rng.normal(size=(rows, sides, 20, 32)).astype(np.float32)
    for row in range(rows):
        raw[row, :, rng.integers(0, 48) :] = 0
        sums[row, :, rng.integers(0, 20) :] = 0
    raw[0], sums[0], codes[0] = 0, 0, 0
    raw[..., 0], sums[..., 0] = raw[..., 1] != 0, sums[..., 1] != 0
    return matrix, Tokens(raw, sums, codes, rng.integers(0, 1_024, (rows, 24)))


def by_torch(network: TemporalGraphNetwork, matrix: NDArray[np.float32], tokens: Tokens) -> NDArray[Any]:
    memory = Memory(*(torch.from_numpy(part) for part in (tokens.raw, tokens.sums, tokens.codes)))
    with torch.no_grad():
        columns = torch.from_numpy(np.ascontiguousarray(matrix[:, 3:23]))
        out: NDArray[Any] = network(columns, memory, torch.from_numpy(tokens.text)).numpy()
        return out


@pytest.mark.parametrize(("sides", "text"), [(2, False), (3, True)])
def test_network_served_equals_the_trained_module(sides: int, text: bool) -> None:
    network = made(sides, text=text)
    served, (matrix, tokens) = Network(arrays_of(network, NAMES)), given(sides)
    assert served.sides == sides
    expected = by_torch(network, matrix, tokens)
    assert np.abs(served.last(matrix, tokens) - expected[:, -1]).max() < 1e-5
    assert np.abs(served.near(matrix, tokens).logit - expected[:, 0]).max() < 1e-5
    assert np.ptp(expected) > 1e-3


@pytest.mark.parametrize(("sides", "text"), [(2, False), (3, True)])
@pytest.mark.parametrize("size", [1, 2, 3, 5, 8, 13, 32])
def test_network_gives_a_row_the_same_bits_in_every_batch(sides: int, text: bool, size: int) -> None:
    served, (matrix, tokens) = Network(arrays_of(made(sides, text=text), NAMES)), given(sides)
    whole = served.last(matrix, tokens)
    for begin in range(0, ROWS, size):
        part = slice(begin, begin + size)
        some = Tokens(tokens.raw[part], tokens.sums[part], tokens.codes[part], tokens.text[part])
        assert served.last(matrix[part], some).tobytes() == whole[part].tobytes()


def defined(side: Side, query: Tensor, raw: Tensor, sums: Tensor, codes: Tensor) -> Tensor:
    """Return the memory of one side (B, D) step by step, nothing absorbed: raw (B, 64, 32), ..."""
    of, edges = side.attend, torch.linspace(FIRST_RAMP, LAST_RAMP, RAMPS + 1)
    step = (LAST_RAMP - FIRST_RAMP) / RAMPS
    age = torch.cat([raw[..., AGE], sums[..., SUM_AGE]], dim=1)
    climbed = ((age.unsqueeze(-1) - edges[:-1]) / step).clamp(0, 1)
    events = torch.relu(side.event(torch.cat([raw, climbed[:, :64]], dim=-1)))
    older = torch.relu(side.summary(torch.cat([sums, codes, climbed[:, 64:]], dim=-1)))
    token, there = torch.cat([events, older], dim=1), torch.cat([raw[..., 0], sums[..., 0]], dim=1) > 0
    held = torch.relu(side.counted(token)) * there.unsqueeze(-1)
    q = of.q(query).view(-1, of.heads, of.size) * of.size**-0.5
    score = torch.einsum("bhs,hsd,btd->bht", q, of.k, token) - nnf.softplus(of.rate)[:, None] * age.unsqueeze(1)
    score = score.masked_fill(~there.unsqueeze(1), -torch.inf)
    nothing = of.nothing[None, :, None].expand(len(raw), -1, 1)
    weight = torch.cat([score, nothing], dim=2).softmax(2)[..., :-1]
    read = of.mix(torch.einsum("bht,btd,hds->bhs", weight, token, of.v).flatten(1))
    out: Tensor = read + side.counts(torch.log1p(held.sum(dim=1)))
    return out


def test_sides_read_at_once_equal_their_definition() -> None:
    network = made(2, text=False)
    sides = cast("list[Side]", list(network.sides))
    matrix, tokens = given(2)
    raw, sums, codes = (torch.from_numpy(part) for part in (tokens.raw, tokens.sums, tokens.codes))
    with torch.no_grad():
        for side in sides:
            side.attend.nothing.uniform_(-1, 1)
        query = network.query(torch.from_numpy(np.ascontiguousarray(matrix[:, 3:23])))
        found = read_sides(sides, query, raw.abs(), sums.abs(), codes).view(ROWS, 2, -1)
        for place, side in enumerate(sides):
            wanted = defined(side, query, raw[:, place].abs(), sums[:, place].abs(), codes[:, place])
            torch.testing.assert_close(found[:, place], wanted, atol=1e-5, rtol=0)


def test_query_climbs_the_steps_of_what_is_there_and_one_of_its_own_for_what_is_missing() -> None:
    query = Query(3, 4, 8, 0.0).eval()
    query.set_bins(torch.tensor([[-2.0, -1, 0, 1, 2], [0, 10, 10, 20, 1e9], [0, 1e-9, 1, 2, 3]]))
    x = torch.tensor([[0.5, 1e6, float("nan")], [float("nan"), -5, 3], [9, 15, 0]])
    held = torch.nan_to_num(x).unsqueeze(-1)
    steps = ((held - query.lower) * query.scale).clamp(0, 1) * ~x.isnan().unsqueeze(-1)
    with torch.no_grad():
        hidden = nnf.gelu(query.first(torch.cat([steps.flatten(1), x.isnan().float()], dim=1)))
        torch.testing.assert_close(query(x), hidden + query.second(hidden), atol=1e-6, rtol=0)


def test_single_row_gives_its_histories_once_and_other_graphs_get_them_twice() -> None:
    class Graph:
        def __init__(self, axis: str) -> None:
            self.axis = axis

        def get_inputs(self) -> list[SimpleNamespace]:
            return [SimpleNamespace(name="x", shape=["rows", 4]), SimpleNamespace(name="raw", shape=[self.axis, 2])]

    feeds = {"x": np.zeros((1, 4)), "raw": np.zeros((1, 2))}
    for axis, many in (("histories", 1), ("rows", 2)):
        given = runtime.at_least_two(feeds, runtime.by_row(Graph(axis)))
        assert [len(part) for part in given.values()] == [2, many]
    assert runtime.at_least_two({"x": np.zeros((3, 4))}, frozenset("x"))["x"].shape == (3, 4)


def test_network_codes_are_those_of_the_module_and_of_each_block_alone() -> None:
    network = made(2, text=False)
    served = Network(arrays_of(network, NAMES))
    blocks = np.random.default_rng(2).normal(size=(7, 16, 20)).astype(np.float32)
    blocks[..., 0] = 1
    codes = served.encode(blocks)
    with torch.no_grad():
        assert np.abs(codes - network.encode(torch.from_numpy(blocks)).numpy()).max() < 1e-5
    assert codes[3].tobytes() == served.encode(blocks[3:4])[0].tobytes()


def test_network_encoder_version_changes_with_its_weights_only() -> None:
    network = made(2, text=False)
    first = Network(arrays_of(network, NAMES)).encoder
    with torch.no_grad():
        network.exit_near.last.bias.add_(1)
    assert Network(arrays_of(network, NAMES)).encoder == first
    with torch.no_grad():
        network.encoder.code.bias.add_(1)
    assert Network(arrays_of(network, NAMES)).encoder != first


@pytest.mark.parametrize("damage", ["missing", "broken"])
def test_network_of_damaged_graphs_is_refused_by_name(damage: str) -> None:
    arrays = arrays_of(made(2, text=False), NAMES)
    if damage == "missing":
        del arrays[runtime.NEAR]
    else:
        arrays[runtime.NEAR] = np.asarray(arrays[runtime.NEAR])[:100]
    with pytest.raises(ArtifactError, match=runtime.NEAR):
        Network(arrays)


def test_ablated_network_reads_nothing_of_what_is_switched_off() -> None:
    matrix, tokens = given(2)
    base = NetworkConfig(columns=NAMES[3:23], width=32)
    for switch, part in (("merchant", (slice(None), 1)), ("card", (slice(None), 0))):
        off = TemporalGraphNetwork(NetworkConfig(**{**as_dict(base), switch: False})).eval()
        before = by_torch(off, matrix, tokens)
        changed = Tokens(tokens.raw.copy(), tokens.sums, tokens.codes, tokens.text)
        changed.raw[part] += 1
        assert np.array_equal(by_torch(off, matrix, changed), before)


def as_dict(config: NetworkConfig) -> dict[str, Any]:
    return {name: getattr(config, name) for name in config.__struct_fields__}


def test_folding_closed_blocks_takes_them_out_of_the_window_and_gives_them_as_summaries() -> None:
    network = made(2, text=False)
    raw = torch.zeros(3, 2, 64, 32)
    for row, events in enumerate((40, 20, 7)):  # two closed blocks, one, none
        raw[row, :, :events, 0] = 1
        raw[row, :, :events, 20] = torch.linspace(0.2, 0.9, events)
    raw[0, 0, 10, 22:24] = 1
    memory = Memory(raw, torch.zeros(3, 2, 20, 16), torch.zeros(3, 2, 20, 32))
    assert closed_blocks(raw)[1].sum(dim=-1).tolist() == [[2, 2], [1, 1], [0, 0]]
    fold = torch.tensor([[True, False], [True, True], [True, True]])
    folded = fold_closed(memory, network.encoder, fold)
    assert folded.raw[..., 0].sum(dim=-1).tolist() == [[8, 40], [4, 4], [7, 7]]
    assert folded.sums[..., 0].sum(dim=-1).tolist() == [[2, 0], [1, 1], [0, 0]]
    # The known fraud at place 10 is in the newest closed block (8 open events before it).
    assert folded.sums[0, 0, 0, 9] == 1
    assert folded.sums[0, 0, 1, 9] == 0
    assert folded.codes[0, 0, 0].abs().sum() > 0
    assert folded.codes[2].abs().sum() == 0
