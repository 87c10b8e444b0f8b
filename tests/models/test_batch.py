"""Streaming equals batch: the rows that serve, read as they are served, against the batch form of the same history."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from features.state import events as ev
from features.state import history as hs
from features.state import pyramid
from fraud.core import tokens as tk
from models.tgn.attention import BlockEncoder
from models.tgn.batch import Events, History, Queries, Tokens, Verdicts, attend, blocks_of, known_of, read
from models.tgn.reading import HierarchicalAttention
from models.tgn.spans import merged, pushed, spans_of
from models.tgn.tgnn import NetworkConfig, Side, TemporalGraphNetwork, read_sides
from tests.live_rows import CODES, DAY, OTHERS, SECOND, START, TEXTS, Encode, LiveRow, events_of, made, verdict_of

F32 = NDArray[np.float32]
I64 = NDArray[np.int64]

NET = {"d": 16, "heads": 2, "layers": 2}
CARRIED = [tk.PRESENT, tk.LOG_AMOUNT, tk.HOUR_SIN, tk.HOUR_COS, tk.WEEK_SIN, tk.WEEK_COS]
"""The static columns that a verdict knows of its payment by itself, beside whether its amount was unusual."""
UNUSUAL = 208 / 256
SILENCE = 2


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


def encoding(encoder: BlockEncoder) -> Encode:
    """Return an encoder as the live row takes it."""

    def encode(blocks: F32) -> F32:
        with torch.inference_mode():
            codes: F32 = encoder(torch.from_numpy(blocks)).numpy()
        return codes

    return encode


@dataclass
class Life:
    """A made-up entity: what happens to it, told to the live row and written down for the batch form."""

    rng: np.random.Generator
    row: LiveRow
    fields: I64
    seen: I64
    share: float
    """How many of the verdicts are fraud."""
    absorbed: int = 0
    verdicts: list[tuple[int, bool, bool, int, int, bool]] = field(default_factory=list)
    queries: list[tuple[int, ...]] = field(default_factory=list)
    found: list[tuple[F32, ...]] = field(default_factory=list)
    known: dict[int, bool] = field(default_factory=dict)

    @property
    def now(self) -> int:
        """Return the time of the newest event."""
        return int(self.seen[self.absorbed - 1]) if self.absorbed else START

    def pay(self) -> None:
        """Absorb the next event."""
        self.row.absorb(self.fields[self.absorbed])
        self.absorbed += 1

    def judge(self) -> None:
        """Give a verdict on any event, more often a new one, or turn one that was given."""
        n, rng = self.absorbed, self.rng
        event = n - 1 - int(rng.integers(min(n, (8, 80, 400, n)[rng.integers(4)])))
        fraud = bool(rng.random() < self.share)
        if self.known and rng.random() < 0.3:
            event = list(self.known)[-1 - int(rng.integers(min(len(self.known), 100)))]
            fraud = not self.known[event]
        self.tell(event, fraud, int(rng.integers(3)), unusual=bool(rng.integers(2)))

    def tell(self, event: int, fraud: bool, source: int, *, unusual: bool) -> None:
        """Give a verdict on an event."""
        self.row.apply(verdict_of(self.fields[event], self.now, fraud, self.known.get(event), source, unusual))
        self.known[event] = fraud
        self.verdicts.append((event, fraud, source == SILENCE, self.now, self.absorbed, unusual))

    def ask(self) -> None:
        """Query the row."""
        now, rng = self.now + int(self.rng.integers(DAY)), self.rng
        other, mcc, text = (int(rng.choice(some)) for some in (OTHERS, CODES, TEXTS))
        asked = now, int(rng.integers(4_000, 14_000)), other, mcc, text
        self.queries.append((self.absorbed, len(self.verdicts), *asked))
        self.found.append(tuple(part[0].copy() for part in self.row.read(np.array(asked))))

    def history(self) -> History:
        """Return what happened, as the batch form takes it."""
        events = events_of(self.fields[: self.absorbed])
        event, fraud, silent, given_at, after, unusual = np.array(self.verdicts, np.int64).reshape(-1, 6).T
        carried = np.zeros((len(event), tk.STATIC), np.float32)
        carried[:, CARRIED] = events.static[event][:, CARRIED]
        carried[:, tk.RATIO] = unusual * UNUSUAL
        return History(events, Verdicts(event, fraud > 0, silent > 0, given_at, after, carried))

    def asked(self) -> Queries:
        """Return the queries, as the batch form takes them."""
        after, seen, at, log, other, mcc, text = np.array(self.queries, np.int64).T
        static = np.random.default_rng(0).standard_normal((len(after), tk.STATIC), np.float32)
        return Queries(after, seen, at, log, other, mcc, text, static)


def live(encoder: BlockEncoder, seed: int, count: int, verdicts: float, lateness: int = 0, asks: int = 60) -> Life:
    """Return an entity that lived through so many events, with so many verdicts for each, and about 60 queries."""
    rng = np.random.default_rng(seed)
    life = Life(rng, LiveRow(encoding(encoder)), *made(rng, count, lateness), share=float(rng.choice([0.05, 0.6])))
    for _ in range(count):
        life.pay()
        for _ in range(rng.poisson(verdicts)):
            life.judge()
        if rng.random() * count < asks:
            life.ask()
    life.ask()
    return life


def served(life: Life) -> Tokens:
    """Return the tokens that the live row gave to the queries."""
    return Tokens(*(torch.from_numpy(np.stack(parts)) for parts in zip(*life.found, strict=True)))


def batched(encoder: BlockEncoder, history: History, queries: Queries) -> Tokens:
    """Return the tokens that the batch form gives to them."""
    with torch.inference_mode():
        parts = [tokens for _, tokens in read(encoder, history, queries)]
        return Tokens(*(torch.cat(part) for part in zip(*parts, strict=True)))


def answers(net: HierarchicalAttention, history: History, queries: Queries) -> F32:
    """Return the batch form's answers."""
    with torch.inference_mode():
        found: F32 = attend(net, history, queries).numpy()
    return found


def check_equal(net: HierarchicalAttention, life: Life) -> None:
    """Hold what the live row gave to the batch form, as tightly as float32 allows.

    Both forms compute numbers of events and summaries in double and round once: the last of 24 bits may differ where
    two libraries round a logarithm differently. A code, within -1..1, is rounded at each of its merges in the live row,
    once in the batch form, and the encoder adds in another order for 1 block than for 32: a few units of 2^-24.
    Answers, normalised to about 1, add up those differences over 84 tokens and two layers.
    """
    live, batch = served(life), batched(net.encoder, life.history(), life.asked())
    for mine, theirs in ((live.raw, batch.raw), (live.sums, batch.sums)):
        np.testing.assert_allclose(mine, theirs, rtol=2**-23, atol=1e-12)
    np.testing.assert_allclose(live.codes, batch.codes, rtol=0, atol=5e-7)
    with torch.inference_mode():
        found = net(torch.from_numpy(life.asked().static), *live)
    np.testing.assert_allclose(found, answers(net, life.history(), life.asked()), rtol=0, atol=2e-6)


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
    check_equal(net, live(net.encoder, seed, count, verdicts, lateness))


@pytest.mark.parametrize("count", [47, 48, 49, 16 * 7 - 1, 16 * 7, 16 * 23 - 1, 16 * 23, 16 * 24])
def test_streaming_at_merge_boundaries_equals_batch(count: int) -> None:
    net = network()
    check_equal(net, live(net.encoder, count, count, 0.5, asks=10))


def test_streaming_that_holds_every_column_and_ended_spans_of_frauds_equals_batch() -> None:
    net = network()
    life = live(net.encoder, 11, 2_400, 1.0, 90)
    check_equal(net, life)
    found = served(life)
    assert found.raw.abs().amax((0, 1)).min() > 0
    named = found.sums.abs().amax((0, 1)) > 0
    assert named.nonzero().flatten().tolist() == [*range(tk.SUM_AMOUNT + 1), tk.SUM_EVENTS]
    assert found.codes.abs().amax((0, 1)).min() > 0
    # Known frauds that the ring had let go, and spans of frauds that ended when the last of them was corrected.
    assert bool(((found.raw[..., tk.FROM_FRAUDS] > 0) & (found.raw[..., tk.PAIR] == 0)).any())
    history = life.history()
    known = known_of(history, blocks_of(history.events))
    assert (known.counted & (known.cleared < len(known.cleared))).sum() > 5


def test_network_that_serves_finds_the_same_in_live_rows_and_in_the_batch_form() -> None:
    torch.manual_seed(1)
    net = TemporalGraphNetwork(NetworkConfig(columns=("amount",), width=32)).eval()
    life = live(net.encoder, 12, 1_500, 0.5, 90)
    forms = served(life), batched(net.encoder, life.history(), life.asked())
    with torch.inference_mode():
        query = torch.randn(len(life.queries), 32)
        sides = [side for side in net.sides if isinstance(side, Side)][:1]
        live_, batch = (read_sides(sides, query, *(part.unsqueeze(1) for part in form)) for form in forms)
    np.testing.assert_allclose(live_, batch, rtol=0, atol=2e-6)
    assert live_.std(0).min() > 1e-3


def test_answers_depend_on_labels_on_old_events_and_on_the_time() -> None:
    net = network()
    life = live(net.encoder, 1, 600, 0.5)
    (events, verdicts), last = life.history(), life.asked().part(slice(-1, None))
    answer = answers(net, History(events, verdicts), last)
    flipped = verdicts._replace(fraud=verdicts.fraud ^ (verdicts.event < 300))
    older = events._replace(static=np.where(np.arange(600)[:, None] < 300, events.static * 2, events.static))
    earlier = events._replace(at=events.at - 10**12)
    for changed in (History(events, flipped), History(older, verdicts), History(earlier, verdicts)):
        assert np.abs(answers(net, changed, last) - answer).max() > 1e-4


def test_batch_position_sees_nothing_that_comes_after_it() -> None:
    net = network()
    life = live(net.encoder, 2, 700, 0.5)
    (events, verdicts), queries = life.history(), life.asked()
    full = answers(net, History(events, verdicts), queries)
    for i in (5, 20, 40):
        n, m = int(queries.after[i]), int(queries.seen[i])
        past = History(Events._make(part[:n] for part in events), Verdicts._make(part[:m] for part in verdicts))
        alone = queries.part(slice(i, i + 1))
        np.testing.assert_allclose(answers(net, past, alone)[0], full[i], atol=2e-6)


def test_batch_form_gives_gradients_to_every_weight() -> None:
    net = network()
    life = live(net.encoder, 3, 500, 0.5)
    attend(net, life.history(), life.asked()).square().mean().backward()  # type: ignore[no-untyped-call]
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in net.parameters())


def test_labels_leave_codes_as_they_are() -> None:
    encoder = network().encoder
    plain, judged = (live(encoder, 4, 900, 0.0) for _ in range(2))
    for _ in range(300):
        judged.judge()
    query = np.array([judged.now, 8_000, OTHERS[0], 0, 0])
    (_, sums, codes), (_, others, same) = (
        tuple(part.copy() for part in one.row.read(query)) for one in (plain, judged)
    )
    assert np.array_equal(codes, same)
    assert not np.array_equal(sums, others)


def test_pyramid_beyond_its_top_level_holds_every_block_once() -> None:
    rng = np.random.default_rng(5)
    codes = rng.standard_normal((2_600, tk.CODE), np.float32)
    numbers = iter(range(len(codes)))
    row, event = LiveRow(lambda _: codes[[next(numbers)]]), np.zeros(ev.EVENT_FIELDS, np.int64)
    for block in range(len(codes)):
        for i in range(block * tk.BLOCK, (block + 1) * tk.BLOCK):
            event[[ev.R_TX, ev.R_AT]] = i, (i + 1) * SECOND
            row.absorb(event)
        if block % 37 == 0 or block > 2_590:
            check_pyramid(row.row, codes)
    words = hs.summaries(row.row)
    top = (tk.LEVELS - 1) * tk.RADIX * pyramid.SUMMARY_WORDS
    assert words[top + pyramid.S_COUNT] == 16 * 7 * 256  # 4, and 3 more


def check_pyramid(row: NDArray[np.uint8], codes: F32) -> None:
    """Hold a row's summaries to their definition."""
    blocks = pushed(np.array([hs.events_of(row)]))
    spans = spans_of(blocks)
    wanted = merged(torch.from_numpy(codes)[None], torch.zeros(1, dtype=torch.int64), torch.from_numpy(spans))[0]
    cells = hs.summaries(row).reshape(tk.LEVELS, tk.RADIX, pyramid.SUMMARY_WORDS)[:, ::-1].reshape(tk.SUMS, -1)
    held = cells[cells[:, pyramid.S_COUNT] > 0]
    counts = held[:, pyramid.S_COUNT].tolist()
    np.testing.assert_allclose(held[:, pyramid.COUNTERS :].view(np.float32), wanted[: len(held)].numpy(), atol=1e-6)
    assert counts == (tk.BLOCK * (spans[0, :, 2] - spans[0, :, 1]))[: len(held)].tolist()
    assert sum(counts) == tk.BLOCK * blocks[0]
