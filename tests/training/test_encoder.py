"""The encoder's own fit: it finds what lies in one far block, whatever the lengths of the pasts."""

import numpy as np
import pytest
import torch

from fraud.core import metrics
from fraud.training import encoder as encoding
from models.tgn.attention import BlockEncoder


def pasts(entities: int, rows: int, seed: int) -> tuple[np.ndarray, encoding.BlockSpans]:
    """Return blocks, and rows of entities of which half once had one block with a mark: their rows are frauds."""
    rng = np.random.default_rng(seed)
    many = rng.integers(2, 20, entities)
    first = np.cumsum(many) - many
    blocks = rng.normal(0, 0.5, (int(many.sum()), 16, 20)).astype(np.float32)
    blocks[..., 0] = 1
    marked = rng.random(entities) < 0.5
    for entity in np.flatnonzero(marked):
        place = int(rng.integers(0, 11))
        blocks[first[entity] + rng.integers(0, many[entity]), place : place + 5, 1] = -3
    who = np.repeat(np.arange(entities), rows)
    return blocks, encoding.BlockSpans(np.stack([first[who], many[who]], axis=1), marked[who])


def test_encoder_finds_a_mark_in_one_block_of_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoding, "BLOCKS", 512)
    torch.manual_seed(0)
    blocks, side = pasts(200, 1, 0)
    encoder = BlockEncoder(d=32, heads=2)
    losses = encoding.learn(encoder, blocks, [side], seed=0, steps=80)
    assert np.mean(losses[-10:]) < 0.3 < 0.6 < np.mean(losses[:5])
    unseen, other = pasts(200, 1, 1)
    with torch.no_grad():
        found = encoding.pooled(encoder(torch.from_numpy(unseen)), other.pushed[:, 1]).numpy()
    best = max(abs(metrics.roc_auc(other.fraud, found[:, column]) - 0.5) for column in range(found.shape[1]))
    assert best > 0.4


def test_a_step_takes_each_entity_once_within_its_blocks() -> None:
    _, side = pasts(50, 4, 2)
    rng = np.random.default_rng(0)
    seen = set()
    for _ in range(600):
        rows = encoding.chosen(side, rng, 60)
        assert side.pushed[rows, 1].sum() <= 60
        assert len(np.unique(side.pushed[rows, 0])) == len(rows)
        seen |= set(rows.tolist())
    assert len(seen) == len(side.fraud)
    assert len(encoding.chosen(side, rng, 1)) == 1


@pytest.mark.parametrize("frauds", [0, encoding.LEAST - 1, 200])
def test_too_few_frauds_teach_nothing(frauds: int) -> None:
    blocks, side = pasts(100, 2, 3)
    fraud = np.arange(len(side.fraud)) < frauds
    encoder = BlockEncoder(d=32, heads=2)
    before = encoder.code.weight.detach().clone()
    assert encoding.learn(encoder, blocks, [side._replace(fraud=fraud)], seed=0, steps=3) == []
    assert torch.equal(encoder.code.weight, before)


def test_past_leaves_out_rows_that_have_none() -> None:
    pushed = np.array([[0, 3], [3, 0], [3, 2]])
    made = encoding.with_blocks(pushed, np.array([True, True, False]))
    np.testing.assert_array_equal(made.pushed, [[0, 3], [3, 2]])
    np.testing.assert_array_equal(made.fraud, [True, False])
