"""Hierarchical block attention: streaming equals batch, exports run alike, and no query sees what comes after it."""

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from models import memory
from models.tgn.attention import (
    BlockEncoder,
    HierarchicalAttention,
    History,
    MemoryAttention,
    Queries,
    Stream,
    attend,
    marked,
    merged,
    part_of,
    pushed,
    spans_of,
)

F32 = NDArray[np.float32]
START = 1_600_000_000
CARRIED = np.zeros(memory.STATIC, np.float32)
CARRIED[[0, 1, 7]] = 1
"""The columns that a verdict knows of its payment by itself."""


NET = {"d": 16, "heads": 2, "layers": 2}


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Tests share a machine: small networks are fastest on one thread."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def network(seed: int = 0, **shape: int) -> HierarchicalAttention:
    """Return a network whose outputs depend on every part."""
    torch.manual_seed(seed)
    return HierarchicalAttention(**(NET | shape)).eval()


def events(rng: np.random.Generator, count: int) -> F32:
    """Return static columns (count, 20)."""
    static = rng.standard_normal((count, memory.STATIC), np.float32) / np.float32(2)
    static[:, 0], static[:, 1] = 1, rng.uniform(0.1, 1.2, count)
    return static


@dataclass
class Life:
    """A made-up entity: what happens to it, told to a stream and written down for the batch form."""

    rng: np.random.Generator
    stream: Stream
    static: F32
    lateness: int = 0
    at: list[int] = field(default_factory=list)
    verdicts: list[tuple[int, int, int, int]] = field(default_factory=list)
    queries: list[tuple[int, int, int]] = field(default_factory=list)
    answers: list[F32] = field(default_factory=list)
    labels: dict[int, int] = field(default_factory=dict)
    now: int = START

    def pay(self) -> None:
        """Absorb an event, sometimes in the same second as the last, sometimes late."""
        self.now += (0, 0, 1, 60, 86_400)[self.rng.integers(5)]
        self.at.append(self.now - int(self.rng.integers(0, self.lateness + 1)))
        n = len(self.at)
        self.stream.absorb(0, n - 1, self.at[-1], self.static[n - 1])

    def judge(self) -> None:
        """Give a verdict, or correct one, on any event, more often a new one."""
        n = len(self.at)
        event = n - 1 - int(self.rng.integers(min(n, (8, 80, 400, n)[self.rng.integers(4)])))
        label = (1, 2, 2)[self.rng.integers(3)] | int(self.rng.integers(3)) << 2
        replaced, carried = self.labels.get(event, 0), self.static[event] * CARRIED
        self.stream.learn(0, event, self.at[event], label, self.now, replaced, carried)
        self.labels[event] = label
        self.verdicts.append((event, label, self.now, n))

    def ask(self) -> None:
        """Query the stream, about the event to come."""
        n, now = len(self.at), self.now + int(self.rng.integers(100_000))
        self.queries.append((n, len(self.verdicts), now))
        self.answers.append(self.stream.query(0, now, self.static[n]).copy())

    def history(self) -> History:
        """Return what happened, as the batch form takes it."""
        event, label, given_at, after = np.array(self.verdicts, np.int64).reshape(-1, 4).T
        static = self.static[: len(self.at)]
        return History(np.array(self.at, np.int64), static, event, label, given_at, after, static[event] * CARRIED)

    def asked(self) -> Queries:
        """Return the queries, as the batch form takes them."""
        after, seen, now = np.array(self.queries, np.int64).T
        return Queries(after, seen, now, self.static[after])


def live(net: HierarchicalAttention, seed: int, count: int, verdicts: float, lateness: int = 0, asks: int = 60) -> Life:
    """Return an entity that lived through so many events, with so many verdicts for each, and about 60 queries."""
    rng = np.random.default_rng(seed)
    life = Life(rng, Stream(net), events(rng, count + 1), lateness)
    for _ in range(count):
        life.pay()
        for _ in range(rng.poisson(verdicts)):
            life.judge()
        if rng.random() * count < asks:
            life.ask()
    life.ask()
    return life


def batch(net: HierarchicalAttention, history: History, queries: Queries) -> F32:
    """Return the batch form's answers."""
    with torch.inference_mode():
        answers: F32 = attend(net, history, queries).numpy()
    return answers


@settings(max_examples=20, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    count=st.one_of(st.integers(0, 150), st.integers(150, 500), st.integers(2_000, 2_600)),
    verdicts=st.sampled_from([0.0, 0.1, 1.0]),
    lateness=st.sampled_from([0, 90, 200_000]),
)
def test_streaming_at_random_lengths_with_late_and_corrected_labels_equals_batch(
    seed: int, count: int, verdicts: float, lateness: int
) -> None:
    net = network()
    life = live(net, seed, count, verdicts, lateness)
    assert np.abs(batch(net, life.history(), life.asked()) - life.answers).max() < 1e-5


@pytest.mark.parametrize("count", [47, 48, 49, 16 * 7 - 1, 16 * 7, 16 * 23 - 1, 16 * 23, 16 * 24])
def test_streaming_at_merge_boundaries_equals_batch(count: int) -> None:
    net = network()
    life = live(net, count, count, 0.5, asks=10)
    assert np.abs(batch(net, life.history(), life.asked()) - life.answers).max() < 1e-5


def test_answers_depend_on_labels_on_old_events_and_on_the_time() -> None:
    net = network()
    life = live(net, 1, 600, 0.5)
    history, queries = life.history(), life.asked()
    last = part_of(queries, slice(-1, None))
    answer = batch(net, history, last)
    flipped = history._replace(label=np.where(history.event < 300, history.label ^ 3, history.label))
    older = history._replace(static=np.where(np.arange(600)[:, None] < 300, history.static * 2, history.static))
    for changed in (flipped, older, history._replace(at=history.at - 10**6)):
        assert np.abs(batch(net, changed, last) - answer).max() > 1e-4


def test_batch_position_sees_nothing_that_comes_after_it() -> None:
    net = network()
    life = live(net, 2, 700, 0.5)
    history, queries = life.history(), life.asked()
    full = batch(net, history, queries)
    for i in (5, 20, 40):
        n, m = int(queries.after[i]), int(queries.seen[i])
        verdicts = (history.event[:m], history.label[:m], history.given[:m], history.after[:m], history.carried[:m])
        past = History(history.at[:n], history.static[:n], *verdicts)
        alone = part_of(queries, slice(i, i + 1))
        np.testing.assert_allclose(batch(net, past, alone)[0], full[i], atol=2e-6)


def test_batch_form_gives_gradients_to_every_weight() -> None:
    net = network()
    life = live(net, 3, 500, 0.5)
    attend(net, life.history(), life.asked()).square().mean().backward()  # type: ignore[no-untyped-call]
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in net.parameters())


def test_correction_of_an_event_in_the_second_of_the_next_block_is_counted_where_it_was() -> None:
    stream = Stream(network(), encode=lambda blocks: np.zeros((1, memory.CODE), np.float32))
    static = events(np.random.default_rng(0), 1)[0]
    for n in range(200):
        stream.absorb(0, n, START, static)
        if n % 8 == 0:
            stream.learn(0, n, START, memory.FRAUD, START, 0, static)
    for n in range(0, 200, 8):
        stream.learn(0, n, START, memory.GENUINE, START, memory.FRAUD, static)
    row = stream.table[0]
    assert row["sums"][:, memory.BAD].sum() == 0
    assert row["sums"][:, memory.KNOWN].max() < 100  # no counter fell below zero
    assert row["frauds"] == 0


def test_labels_leave_codes_as_they_are() -> None:
    plain, judged = live(network(), 4, 900, 0.0), live(network(), 4, 900, 0.0)
    for _ in range(300):
        judged.judge()
    assert np.array_equal(plain.stream.table["codes"], judged.stream.table["codes"])
    assert not np.array_equal(plain.stream.table["sums"], judged.stream.table["sums"])


def test_pyramid_beyond_its_top_level_holds_every_block_once() -> None:
    table, rng = np.zeros(1, memory.ROW), np.random.default_rng(5)
    codes = rng.standard_normal((2_600, memory.CODE), np.float32)
    static, row = events(rng, 1)[0], table[0]
    for block, code in enumerate(codes):
        for i in range(block * 16, block * 16 + 16):
            memory.absorb(table, 0, i, START + i, static)
        memory.store_code(table, 0, code)
        if block % 37 == 0 or block > 2_590:
            check_pyramid(row, codes, pushed(np.array([row["n"]])))
    assert row["sums"][16, memory.COUNT] == 16 * 7 * 256  # 4, and 3 more


def check_pyramid(row: np.void, codes: F32, blocks: NDArray[np.int64]) -> None:
    """Hold a row's summaries to their definition."""
    spans = spans_of(blocks)
    wanted = merged(torch.from_numpy(codes)[None], torch.zeros(1, dtype=torch.int64), torch.from_numpy(spans))[0]
    held = [level * 4 + i for level in range(5) for i in range(row["held"][level] - 1, -1, -1)]
    np.testing.assert_allclose(row["codes"][held], wanted[: len(held)].numpy(), atol=1e-6)
    assert row["sums"][held, memory.COUNT].tolist() == (16 * (spans[0, :, 2] - spans[0, :, 1]))[: len(held)].tolist()
    assert row["sums"][held, memory.COUNT].sum() == 16 * blocks[0]


def test_row_stays_within_twelve_kilobytes() -> None:
    assert memory.ROW.itemsize <= 12_288


def test_fraud_ring_keeps_the_newest_and_drops_corrected_ones() -> None:
    stream = Stream(network(), encode=lambda blocks: np.zeros((1, memory.CODE), np.float32))
    static = events(np.random.default_rng(0), 1)[0]
    for n in range(30):
        stream.absorb(0, n, START + n, static)
    for n in np.random.default_rng(1).permutation(30).tolist():
        stream.learn(0, n, START + n, memory.FRAUD, START, 0, static)
    stream.learn(0, 20, START + 20, memory.GENUINE, START, memory.FRAUD, static)
    row = stream.table[0]
    assert row["fraud_tx"][: row["frauds"]].tolist() == [n for n in range(14, 30) if n != 20]


@pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::torch.jit.TracerWarning", "ignore:Constant folding:UserWarning"
)
@pytest.mark.parametrize("part", ["encoder", "memory", "network"])
def test_exported_part_in_onnx_runtime_at_any_batch_equals_torch(part: str) -> None:
    torch.manual_seed(6)
    module, shapes = PARTS[part]()
    module.eval()
    names = [f"input_{i}" for i in range(len(shapes))]
    session = exported(module, inputs(shapes, 2), names)
    for size in (1, 3, 32):
        args = inputs(shapes, size)
        with torch.inference_mode():
            wanted = module(*args).numpy()
        got = session.run(None, dict(zip(names, [arg.numpy() for arg in args], strict=True)))[0]
        np.testing.assert_allclose(got, wanted, atol=2e-6)


class Marking(nn.Module):
    """Attention to tokens that are marked on the way."""

    def __init__(self) -> None:
        super().__init__()
        self.memory = MemoryAttention()

    def forward(self, query: Tensor, tokens: Tensor, mask: Tensor, log_age: Tensor) -> Tensor:
        out: Tensor = self.memory(query, marked(tokens, mask[:, 0, :, None].float(), log_age[:, 0, :, None]))
        return out


def projected(of: MemoryAttention, query: Tensor, tokens: Tensor, mask: Tensor, log_age: Tensor) -> Tensor:
    """Return the answer (B, d) by the definition: keys and values of every token, nothing absorbed."""
    many, heads, size = len(query), of.heads, of.size
    q = of.q(query).view(many, heads, 1, size)
    keys = torch.einsum("btd,hsd->bhts", tokens, of.k)
    values = torch.einsum("btd,hds->bhts", tokens, of.v)
    decay = functional.softplus(of.rate)[:, None] * log_age[:, None]
    score = (q @ keys.transpose(2, 3))[:, :, 0] * size**-0.5 - decay
    score = score.masked_fill(~mask[:, None], -torch.inf)
    nothing = of.nothing[None, :, None].expand(many, -1, 1)
    weight = torch.cat([score, nothing], 2).softmax(2)[:, :, :-1]
    out: Tensor = of.mix((weight[:, :, None] @ values).flatten(1))
    return out


def test_absorbed_attention_equals_that_of_projected_tokens() -> None:
    torch.manual_seed(9)
    attention = MemoryAttention(16, 2)
    with torch.no_grad():
        attention.nothing.uniform_(-1, 1)
        query, tokens, mask = torch.randn(5, 16), torch.randn(5, 12, 16), torch.rand(5, 12) > 0.4
        mask[0], log_age = False, torch.rand(5, 12)
        found = attention(query, marked(tokens, mask[..., None].float(), log_age[..., None]))
        torch.testing.assert_close(found, projected(attention, query, tokens, mask, log_age), atol=1e-6, rtol=0)
    assert torch.equal(found[0], attention.mix.bias)


Shapes = list[tuple[int, ...] | None]
"""Of one row of each input; None stands for a mask of 84 tokens."""
PARTS: dict[str, Callable[[], tuple[nn.Module, Shapes]]] = {
    "encoder": lambda: (BlockEncoder(), [(16, 20)]),
    "memory": lambda: (Marking(), [(64,), (84, 64), None, (1, 84)]),
    "network": lambda: (HierarchicalAttention(), [(20,), (64, 32), (20, 48)]),
}


def inputs(shapes: Shapes, size: int) -> tuple[Tensor, ...]:
    """Return random inputs; column 0, presence, is 0 or 1, and one row has nothing at all."""
    made = [torch.rand(size, 1, 84) > 0.5 if shape is None else torch.rand(size, *shape) for shape in shapes]
    for one in made:
        if one.dim() == 3 and one.is_floating_point():
            one[:, :, 0] = one[:, :, 0].round()
            one[-1] = 0
    return tuple(made)


def exported(module: nn.Module, args: tuple[Tensor, ...], names: list[str]) -> onnxruntime.InferenceSession:
    """Return a module in ONNX Runtime, its batch free."""
    file: Any = io.BytesIO()  # which the exporter takes, whatever its types say
    axes = {name: {0: "batch"} for name in [*names, "out"]}
    torch.onnx.export(
        module, args, file, dynamo=False, opset_version=17, input_names=names, output_names=["out"], dynamic_axes=axes
    )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(file.getvalue(), options)
