"""A learner's state with bytes changed: it is taken up, begun anew or refused by name, and nothing else is raised."""

from collections.abc import Iterator

import numpy as np
import pytest

from fraud.core.errors import StateError
from fraud.core.learning.journal import packed_rows, unpacked_rows
from models.online.recent import HEAD, MOST, RECENT
from tests.models.online.driven import Site, lived
from tests.models.online.grown import World
from tests.models.online.watching import watched

FLIPS = 20


@pytest.fixture(scope="module")
def site() -> Site:
    """A site that has learned, with something of every kind in its journal."""
    return lived(watched(World(2_500)), range(2_500))


def changed(body: bytes, rng: np.random.Generator) -> Iterator[bytes]:
    """Yield a row cut off, overwritten, and with bits turned round."""
    yield from (b"", body[:-1], body + b"\x00", b"\xff" * len(body), b"\xa1\xe8" + body[2:])
    for _ in range(FLIPS):
        one = bytearray(body)
        one[rng.integers(len(one))] ^= 1 << int(rng.integers(8))
        yield bytes(one)


def test_changed_rows_are_taken_up_or_refused_as_no_state(site: Site) -> None:
    rows, rng = unpacked_rows(site.loop.snapshot()), np.random.default_rng(0)
    assert len(rows) >= 8
    refused = set[str]()
    for kind, some in rows.items():
        (number, body), *rest = some
        for one in changed(body, rng):
            try:
                site.loop.restore(packed_rows({**rows, kind: [(number, one), *rest]}))
                assert site.loop.figures()
                site.loop.held()
            except StateError:
                refused.add(kind)
    assert refused >= {"gate", "learned", "loop", RECENT, "settled", "waiting"}


@pytest.mark.parametrize("leaf", [-1, 60_000])
def test_leaf_that_no_tree_has_is_refused_before_a_compiled_loop_looks_it_up(site: Site, leaf: int) -> None:
    rows = unpacked_rows(site.loop.snapshot())
    (slot, body), *rest = rows[RECENT]
    wrong = body[: HEAD.size] + np.array([leaf], "<i8").astype("<u2").tobytes() + body[HEAD.size + 2 :]
    with pytest.raises(StateError, match="cannot be read"):
        site.loop.restore(packed_rows({**rows, RECENT: [(slot, wrong), *rest]}))


def test_decision_at_a_place_that_there_is_not_is_refused(site: Site) -> None:
    rows = unpacked_rows(site.loop.snapshot())
    beyond = [*rows[RECENT], (MOST, rows[RECENT][0][1])]
    with pytest.raises(StateError, match="cannot be read"):
        site.loop.restore(packed_rows({**rows, RECENT: beyond}))


@pytest.mark.parametrize("name", ["slow.weight", "fast.squares", "mixture"])
def test_what_was_learned_is_no_number_is_refused(site: Site, name: str) -> None:
    refresher = site.loop._refresher
    assert refresher is not None
    arrays = refresher._stack.snapshot()
    arrays[name] = np.full_like(arrays[name], np.nan)
    with pytest.raises(StateError, match="restore what `snapshot` returned"):
        refresher._stack.restore(arrays)
