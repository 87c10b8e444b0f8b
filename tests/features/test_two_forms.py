"""The live history rows and the streaming attention read the same tokens of one life.

`models/memory.py` is what the contract "streaming equals batch" is proved on (tests/models/test_attention.py);
`features/history.py` is what runs live. The layers keep the two apart, so that only a test can hold them together.
"""

import numpy as np
import pytest
from numpy.typing import NDArray

from features.state import events as ev
from features.state import history as hs
from features.state import layout as at
from features.state import pyramid, tokens
from features.state.blocks import put_code
from fraud.core import tokens as tk
from models import memory
from tests.features.history_oracle import Event
from tests.features.test_history import CARD, START, event_of, read, verdict_of
from tests.histories import Encoding

SECOND = 1_000_000
LIVE_ONLY = [26, 29, 31]
"""Raw tokens compare these with the query's counterparty, category and text; the attention knows none of them."""
RECALLED = [*range(2, 8), *range(16, 20), 30]
"""Of a fraud that the ring let go, the live row knows amount and counterparty only, and no place in the order."""

F32 = NDArray[np.float32]


class Both:
    """One life, told to both forms."""

    def __init__(self) -> None:
        self.row = np.zeros(hs.HISTORY_BYTES, np.uint8)
        self.table = np.zeros(1, memory.ROW)
        self.paid: list[int] = []
        self.verdicts: dict[int, tuple[bool, int]] = {}

    def absorb(self, tx: int, when: int, amount: int) -> None:
        """Take a payment in, and its block's code where it closes one."""
        closed = hs.absorb_event(self.row, event_of(Event(tx, when, amount)), 0)
        static, sequence = np.zeros(tk.STATIC, np.float32), len(self.paid)
        record = hs.record_of(self.row, sequence)
        tokens.read_static(record, tokens.time_before(self.row, sequence), static)
        assert memory.absorb(self.table, 0, tx, when // SECOND, static) == (closed >= 0)
        self.paid.append(when)
        if closed >= 0:
            live, mine = np.empty((2, tk.BLOCK, tk.STATIC), np.float32)
            tokens.read_block(self.row, closed, live)
            memory.newest_block(self.table, 0, mine)
            np.testing.assert_array_equal(live, mine)
            code = Encoding().code(live)
            put_code(self.row, closed, code)
            memory.store_code(self.table, 0, code)

    def judge(self, tx: int, fraud: bool, given: int) -> None:
        """Give a payment a verdict, or correct the one it has."""
        paid, (old, _) = self.paid[tx - 1], self.verdicts.get(tx, (None, 0))
        verdict = verdict_of(tx, paid, fraud, old)
        verdict[at.L_AT] = given
        hs.apply_verdict(self.row, verdict, 0)
        carried = np.zeros(tk.STATIC, np.float32)
        record = np.zeros(ev.RECORD_BYTES, np.uint8)
        ev.guess_record(record, verdict, 0)
        tokens.read_static(record, 0, carried)
        replaced = 0 if old is None else memory.FRAUD if old else memory.GENUINE
        label = memory.FRAUD if fraud else memory.GENUINE
        memory.learn(self.table, 0, tx, paid // SECOND, label, given // SECOND, replaced, carried)
        self.verdicts[tx] = fraud, given

    def read(self, now: int, amount: int) -> tuple[tuple[F32, ...], tuple[F32, ...]]:
        """Return raw tokens, summaries and codes of the live form, then of the attention's."""
        log = int(np.floor(np.log1p(amount) * at.LOG_SCALE + 0.5))
        live = read(self.row, [now, log, CARD, 0, 0])
        query = np.zeros(memory.STATIC, np.float32)
        query[1] = log / at.LOG_SCALE / 10
        raw, sums = np.zeros((64, 32), np.float32), np.zeros((20, 48), np.float32)
        memory.read(self.table, 0, now // SECOND, query, raw, sums)
        return live, (raw, sums[:, : memory.SUM], sums[:, memory.SUM :])


@pytest.mark.parametrize("seed", range(4))
def test_live_rows_and_streaming_attention_read_the_same_tokens(seed: int) -> None:
    rng, both, now = np.random.default_rng(seed), Both(), START
    compared = 0
    for tx in range(1, 1_400):
        now += int(rng.integers(1, 9_000)) * SECOND
        both.absorb(tx, now, int(rng.integers(1, 10**6)))
        for _ in range(rng.poisson(0.4)):
            judged = int(rng.integers(max(1, tx - 500), tx + 1))
            # A verdict that turns again is told once in a while; a repeated one is nothing new to either.
            fraud = bool(rng.random() < 0.3)
            if both.verdicts.get(judged, (None, 0))[0] is not fraud:
                both.judge(judged, fraud, now)
        if rng.random() < 0.1:
            compare(*both.read(now + int(rng.integers(0, 10**6)) * SECOND, int(rng.integers(1, 10**6))))
            compared += 1
    assert compared > 100
    assert pyramid.held(hs.summaries(both.row), 2) > 0


def compare(live: tuple[F32, ...], mine: tuple[F32, ...]) -> None:
    """Hold what both forms have in common against each other."""
    raw, sums, codes = (one.copy() for one in live)
    raw_mine, sums_mine, codes_mine = (one.copy() for one in mine)
    for one in (raw, raw_mine):
        one[:, LIVE_ONLY] = 0
        one[memory.WINDOW :, RECALLED] = 0
    for one in (sums, sums_mine):
        one[:, 10:12] = 0  # the attention's span of frauds never narrows, see `memory.count`
    np.testing.assert_allclose(raw, raw_mine, atol=2e-6, rtol=0)
    np.testing.assert_allclose(sums, sums_mine, atol=2e-4, rtol=0)  # log amounts: 1/64 a block here, 1/256 there
    np.testing.assert_allclose(codes, codes_mine, atol=1e-6, rtol=0)
    assert (raw[memory.WINDOW :, 0] > 0).any() or not (raw_mine[memory.WINDOW :, 0] > 0).any()
