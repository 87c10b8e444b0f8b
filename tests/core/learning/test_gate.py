"""The gate: evidence by hand, who is held and for how long, order, release, drop, snapshots."""

import math

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fraud.core.errors import StateError
from fraud.core.labels import Match
from fraud.core.learning.charts import CHARTS, SURE, Chart, evidence, flooding, of_fraud
from fraud.core.learning.gate import PATIENCE, Alarm, Closed, Gate, GateState, HeldChart, Waiting
from fraud.core.learning.journal import MemoryJournal
from fraud.core.pending import Claim, Pending
from fraud.core.records import KnownLabel, Label, LabelSource, Verdict

CHARGEBACK = "source/chargeback"


def label(
    number: int, fraud: bool, *, merchant: str = "", device: str | None = None,
    source: LabelSource = LabelSource.CHARGEBACK, payment: str = "", claims: tuple[Claim, ...] = (),
) -> Match:  # fmt: skip
    """Return the match of a label on a payment at a merchant of its own, unless one is given."""
    verdict, tx_id = Verdict.FRAUD if fraud else Verdict.GENUINE, payment or f"T{number}"
    item = Pending(
        tx_id=tx_id, version=0, card="C", merchant=merchant or f"M{number}", device=device, paid_at=0, base_amount=1,
        unusual=False, deadline=100, vector=b"1234", parts=(("base", 0.0),), claims=claims,
    )  # fmt: skip
    known = KnownLabel(
        tx_id=tx_id, verdict=verdict, source=source, happened_at=number, seen_at=number, card="C",
        merchant=item.merchant, paid_at=0, base_amount=1, device=device,
    )  # fmt: skip
    said = Label(tx_id=tx_id, verdict=verdict, happened_at=number, seen_at=number, source=source)
    return Match(item, said, (known,))


DOUBTING = tuple(chart._replace(wait=0.001, longer=1) for chart in CHARTS)
"""Charts that let labels wait from the first doubt."""


def opened(charts: tuple[Chart, ...] = CHARTS, *, patience: int = PATIENCE) -> Gate:
    """Return a gate in which nothing waits, and to which chargebacks have told genuine payments before."""
    journal = MemoryJournal()
    state = GateState(0, 0, 0, {}, {LabelSource.CHARGEBACK.value: (0, 1_000)})
    journal.put("gate", 0, msgspec.msgpack.encode(state))
    return Gate(journal, charts, patience=patience)


def ids(some: tuple[Waiting, ...]) -> list[str]:
    """Return whose labels came through."""
    return [one.tx_id for one in some]


def charts_of(closed: Closed) -> set[str]:
    """Return the charts that alarmed."""
    return {alarm.chart for alarm in closed.alarms}


def honest(rng: np.random.Generator, count: int, odds: float = 1.0) -> list[tuple[bool, float]]:
    """Return verdicts with the base's probabilities, whose odds are off by a factor."""
    p = rng.beta(0.05, 3, count)
    truth = p * odds / (1 - p + p * odds)
    return list(zip((rng.random(count) < truth).tolist(), p.tolist(), strict=True))


def test_evidence_by_hand() -> None:
    # p = 1/2: flipped 1/2; honest fraud at odds 3 is 3/4, so a fraud is no evidence; honest genuine is 3/4 too
    assert evidence(0.5, 0.2, True) == 0
    assert evidence(0.5, 0.2, False) == pytest.approx(math.log(0.5 / 0.75))
    # p = .9: flipped is .9 * .6 + .2 = .74; genuine at a third of odds 9 is 1/4
    assert evidence(0.9, 0.2, False) == pytest.approx(math.log(0.26 / 0.25))
    # p = .01: flipped .01 * .9 + .05 = .059; fraud at three times odds 1/99 is 3/102
    assert evidence(0.01, 0.05, True) == pytest.approx(math.log(0.059 / (3 / 102)))


@given(st.floats(0, 1), st.sampled_from([0.05, 0.2, 0.4]))
def test_fraud_label_never_lowers(p: float, rho: float) -> None:
    assert evidence(p, rho, True) >= 0
    assert math.isfinite(evidence(p, rho, False))


@given(st.floats(0.001, 0.999), st.sampled_from([0.05, 0.2, 0.4]), st.floats(1 / 3, 3))
def test_genuine_label_is_expected_to_lower_where_the_odds_are_off_by_three_at_most(
    p: float, rho: float, odds: float
) -> None:
    genuine = 1 - p * odds / (1 - p + p * odds)
    # E[likelihood ratio] of the genuine side never exceeds what the flipped model gives it
    flipped = 1 - (p * (1 - 2 * rho) + rho)
    assert genuine * math.exp(evidence(p, rho, False)) <= 3 * flipped + 1e-9


def test_label_is_held_until_its_period_ends() -> None:
    gate = opened()
    gate.take(label(1, False), 0.001, period=4)
    assert gate.close(3).released == ()
    assert ids(gate.close(4).released) == ["T1"]


def test_label_of_a_closed_period_is_refused() -> None:
    gate = opened()
    gate.close(4)
    with pytest.raises(ValueError, match="T1 came in period 4, which is closed; expected 5"):
        gate.take(label(1, False), 0.001, period=4)


def test_honest_labels_go_through_in_order() -> None:
    gate, said = opened(), honest(np.random.default_rng(1), 20_000)
    out: list[str] = []
    for number, (fraud, p) in enumerate(said):
        gate.take(label(number, fraud), p, period=number // 500)
        if number % 500 == 499:
            closed = gate.close(number // 500)
            assert closed.alarms == ()
            out += [one.tx_id for one in closed.released]
    out += ids(gate.close(100 + PATIENCE).released)
    assert sorted(out) == sorted(f"T{number}" for number in range(20_000))
    assert out == [f"T{number}" for number in range(20_000)]


@pytest.mark.parametrize("odds", [0.4, 2.5])
def test_honest_labels_of_a_base_that_is_off_raise_no_alarm(odds: float) -> None:
    gate = opened()
    for number, (fraud, p) in enumerate(honest(np.random.default_rng(2), 40_000, odds)):
        gate.take(label(number, fraud), p, period=number)
        assert gate.close(number).alarms == ()


def test_flipped_labels_raise_an_alarm_and_none_goes_through() -> None:
    gate, rng = opened(), np.random.default_rng(3)
    said = [(fraud != (rng.random() < 0.3), p) for fraud, p in honest(rng, 2_000)]
    through: list[Waiting] = []
    alarmed = -1
    for number, (fraud, p) in enumerate(said):
        gate.take(label(number, fraud), p, period=number)
        closed = gate.close(number)
        through += closed.released
        if CHARGEBACK in charts_of(closed):
            alarmed = closed.alarms[0].number
    assert 0 < alarmed < 100
    assert len(through) < alarmed
    assert gate.held()[CHARGEBACK].count > 1_800


def of_one_tactic(charts: tuple[Chart, ...], *, lies: bool) -> tuple[int, set[str]]:
    """Return how many labels came through, and who alarmed, where a source tells genuine of one tactic's frauds.

    Half of the frauds are of that tactic, and the base is sure of half of all; a day's labels come in one period.
    """
    gate, rng, through = opened(charts), np.random.default_rng(6), 0
    alarms = set[str]()
    for number in range(600):
        p = float(rng.choice([0.35, 0.6, 0.85, 0.93, 0.97, 0.99]))
        fraud = bool(rng.random() < p)
        lie = lies and fraud and rng.random() < 0.5
        gate.take(label(number, fraud and not lie, source=LabelSource.ANALYST), p, period=number // 100)
        if number % 100 == 99:
            closed = gate.close(number // 100)
            alarms |= charts_of(closed)
            through += len(closed.released)
    return through, alarms


def test_source_that_tells_genuine_of_one_tactic_is_held_by_what_the_base_is_sure_of() -> None:
    through, alarms = of_one_tactic(CHARTS, lies=True)
    assert alarms == {"source-sure/analyst"}
    assert through < 100
    # without that chart nothing is: middling payments lower the others as much as lies raise them
    assert of_one_tactic(CHARTS[:-1], lies=True)[1] == set()
    assert of_one_tactic(CHARTS, lies=False) == (600, set())


def test_doubt_of_what_the_base_is_sure_of_lasts_longer() -> None:
    gate = opened(CHARTS[-1:], patience=2)
    for number in range(3):
        gate.take(label(number, False, source=LabelSource.ANALYST), 0.97, period=0)
    assert gate.close(0) == Closed((), ())
    assert all(gate.close(period).released == () for period in range(1, 48))
    assert ids(gate.close(48).released) == ["T0", "T1", "T2"]


def test_lies_about_one_merchant_hold_that_merchant_alone() -> None:
    gate, through = opened(DOUBTING, patience=1_000), list[Waiting]()
    for number in range(60):
        gate.take(label(2 * number, False, merchant="liar"), 0.97, period=number)
        gate.take(label(2 * number + 1, False, source=LabelSource.ANALYST), 0.001, period=number)
        through += gate.close(number).released
    assert "merchant/liar" in gate.held()
    assert not any(one.before.merchant == "liar" for one in through)
    assert len(through) == 60


def test_label_waits_while_a_chart_is_above_zero_and_no_longer_than_patience() -> None:
    gate = opened(DOUBTING, patience=3)
    gate.take(label(0, True), 0.001, period=0)
    assert gate.close(0).released == ()
    assert gate.close(2).released == ()
    assert ids(gate.close(3).released) == ["T0"]


def test_doubt_outlasts_periods_in_which_nobody_looked() -> None:
    gate = opened(DOUBTING)
    gate.take(label(1, False), 0.9, period=1)
    assert gate.close(1).released == ()
    gate.move(100 * PATIENCE)
    assert gate.close(gate.period).released == ()
    for _ in range(PATIENCE - 2):
        assert gate.close(gate.period).released == ()
    assert ids(gate.close(gate.period).released) == ["T1"]


def test_what_is_held_is_reckoned_when_it_changes_alone() -> None:
    gate, number = opened(), 0
    while not gate.held():
        gate.take(label(number, False), 0.95, period=number)
        gate.close(number)
        number += 1
    held = gate.held()
    assert gate.held() is held
    gate.close(number)
    assert gate.held() is held
    gate.take(label(number, False), 0.95, period=number + 1)
    gate.close(number + 1)
    chart = next(iter(held))
    assert gate.held()[chart].count == held[chart].count + 1
    gate.release(chart)
    assert chart not in gate.held()


def test_chart_back_at_zero_lets_through() -> None:
    gate = opened(DOUBTING)
    gate.take(label(0, True), 0.01, period=0)
    assert gate.close(0).released == ()
    for number in range(1, 40):
        gate.take(label(number, False), 0.001, period=1)
    assert len(gate.close(1).released) == 40


def test_decision_without_a_base_passes_and_is_counted() -> None:
    gate = opened()
    alarmed(gate)
    gate.take(label(99, True), None, period=1)
    assert ids(gate.close(1).released) == ["T99"]
    assert gate.unjudged == 1


def alarmed(gate: Gate, merchant: str = "") -> None:
    """Raise an alarm of chargebacks with ten of them."""
    for number in range(10):
        gate.take(label(number, True, merchant=merchant), 0.0001, period=0)
    assert CHARGEBACK in charts_of(gate.close(0))


def test_alarm_ends_by_release_alone() -> None:
    gate = opened(patience=2)
    alarmed(gate)
    for number in range(100, 400):
        gate.take(label(number, False), 0.001, period=number)
        assert gate.close(number).released == ()
    assert gate.held() == {CHARGEBACK: HeldChart(310, 0, ("T0", "T1", "T2"))}
    released = [one.tx_id for one in gate.release(CHARGEBACK)]
    assert released == [f"T{number}" for number in [*range(10), *range(100, 400)]]
    assert gate.held() == {}


def test_drop_throws_away_what_the_alarm_held_and_no_more() -> None:
    gate = opened()
    alarmed(gate)
    gate.take(label(50, False, source=LabelSource.ANALYST), 0.001, period=1)
    assert ids(gate.close(1).released) == ["T50"]
    taken, passed = gate.drop(CHARGEBACK)
    assert [one.before.tx_id for one in taken] == [f"T{number}" for number in range(10)]
    assert {one.labels for one in taken} == {1}
    assert passed == ()
    assert gate.close(2).released == ()
    assert not gate.holds("T0")


def test_items_that_wait_carry_nothing_that_only_a_learner_reads() -> None:
    gate = opened()
    gate.take(label(1, False), 0.001, period=0)
    (passed,) = gate.close(0).released
    assert (passed.before.vector, passed.before.parts, passed.base) == (b"", (), 0.001)


def test_what_comes_behind_a_held_label_of_its_payment_is_held() -> None:
    gate = opened()
    alarmed(gate)
    behind = label(50, False, source=LabelSource.ANALYST, payment="T3")
    moved = msgspec.structs.replace(behind, label=None)
    for number, match in enumerate((behind, moved, label(51, False, source=LabelSource.ANALYST))):
        gate.take(match, 0.001, period=number + 1)
        gate.close(number + 1)
    assert gate.holds("T3")
    assert not gate.holds("T51")
    assert gate.held()[CHARGEBACK].count == 10
    order = [one.number for one in gate.release(CHARGEBACK) if one.tx_id == "T3"]
    assert order == [3, 10, 11]


def test_what_waits_keeps_what_comes_behind_it_in_order() -> None:
    gate = opened(DOUBTING)
    for number in range(4):  # doubted, and not alarmed
        gate.take(label(number, True), 0.01, period=0)
    gate.take(label(9, False, source=LabelSource.ANALYST, payment="T2"), 0.001, period=0)
    assert gate.close(0).released == ()
    for number in range(10, 300):
        gate.take(label(number, False), 0.001, period=1)
    assert [one.number for one in gate.close(1).released][:5] == [0, 1, 2, 3, 4]


def test_drop_names_what_each_source_said_before_and_voids_what_is_told_behind() -> None:
    gate = opened()
    alarmed(gate)
    gate.take(label(50, False, source=LabelSource.ANALYST, payment="T3"), 0.001, period=1)
    gate.close(1)
    taken, passed = gate.drop(CHARGEBACK)
    (one,) = (each for each in taken if each.before.tx_id == "T3")
    assert list(one.said) == [LabelSource.CHARGEBACK]
    assert one.said[LabelSource.CHARGEBACK] == one.before
    assert [(each.tx_id, each.known) for each in passed] == [("T3", ())]


def test_word_that_is_taken_back_counts_as_its_opposite() -> None:
    fraud = Claim(LabelSource.CHARGEBACK, Verdict.FRAUD, 0, 0)
    sums = []
    for claims, verdict in (((), Verdict.GENUINE), ((fraud,), Verdict.WITHDRAWN), ((), Verdict.WITHDRAWN)):
        match = label(0, False, claims=claims)
        assert match.label is not None
        said = msgspec.structs.replace(match.label, verdict=verdict)
        gate = opened()
        gate.take(msgspec.structs.replace(match, label=said), 0.97, period=0)
        gate.close(0)
        sums.append({name: one.sum for name, one in gate._state.standing.items()})
    assert sums[0] == sums[1]
    assert sums[0]
    assert sums[2] == {}


def test_label_held_by_two_alarms_needs_both_released() -> None:
    gate = opened(patience=1_000)
    for number in range(60):
        gate.take(label(number, False, merchant="liar", device="liar"), 0.97, period=0)
    assert {"merchant/liar", "device/liar"} <= charts_of(gate.close(0))
    held = [name for name in gate.held() if name.startswith("source")]
    for name in (*held, "merchant/liar"):
        assert gate.release(name) == ()
    assert len(gate.release("device/liar")) == 60


def test_release_of_a_chart_without_alarm_is_refused() -> None:
    gate = opened()
    alarmed(gate)
    with pytest.raises(ValueError, match=r"chart 'source/analyst' has no alarm.*source/chargeback"):
        gate.release("source/analyst")


@given(st.lists(st.tuples(st.booleans(), st.floats(0, 1), st.integers(0, 3), st.integers(0, 2)), max_size=60))
def test_restored_gate_goes_on_as_if_nothing_had_been(said: list[tuple[bool, float, int, int]]) -> None:
    one, other = opened(patience=2), opened(patience=2)
    period = 0
    for number, (fraud, p, merchant, later) in enumerate(said):
        period += later
        for gate in (one, other):
            gate.take(label(number, fraud, merchant=f"M{merchant}"), p, period)
        if later:
            assert one.close(period) == other.close(period)
            period += 1
        journal = MemoryJournal()
        journal.restore(other._journal.snapshot())
        other = Gate(journal, patience=2)
    assert one._journal.snapshot() == other._journal.snapshot()
    assert one.held() == other.held()


def test_gate_that_was_killed_goes_on_with_what_it_holds() -> None:
    gate = opened()
    journal = gate._journal
    alarmed(gate)
    gate.take(label(50, False), 0.001, period=1)
    other = Gate(journal)
    assert other.held() == gate.held()
    assert other.close(1) == gate.close(1)
    assert ids(other.release(CHARGEBACK)) == [f"T{number}" for number in [*range(10), 50]]


@pytest.mark.parametrize("kind", ["gate", "waiting"])
def test_foreign_state_is_refused(kind: str) -> None:
    journal = MemoryJournal()
    journal.put(kind, 0, b"\xc1")
    with pytest.raises(StateError, match="the gate's state cannot be read"):
        Gate(journal)


def test_label_that_is_lost_from_the_journal_is_told() -> None:
    gate = opened()
    journal = gate._journal
    alarmed(gate)
    journal.remove("waiting", 4)
    with pytest.raises(StateError, match="label number 4 is held and not in the journal"):
        gate.release(CHARGEBACK)


def frauds_alone(rng: np.random.Generator, count: int, false: float) -> tuple[list[float], tuple[float, ...]]:
    """Return p of frauds that a source tells, a share of them false, and what says so of a band of p."""
    p = rng.beta(0.05, 3, 400_000)
    true, genuine = p[rng.random(len(p)) < p], p[rng.random(len(p)) >= p]
    lies = rng.random(count) < false
    return np.where(lies, genuine[:count], true[:count]).tolist(), flooding(p[:10_000])


@pytest.mark.parametrize(("false", "expected"), [(0.0, False), (0.3, True)])
def test_source_that_tells_frauds_alone_is_judged_by_where_they_lie(false: float, expected: bool) -> None:
    told, spread = frauds_alone(np.random.default_rng(4), 3_000, false)
    gate, alarms = Gate(MemoryJournal()), list[Alarm]()
    for number, p in enumerate(told):
        gate.take(label(number, True), p, period=number)
        alarms += gate.close(number, spread).alarms
    assert bool(alarms) == expected
    if expected:
        assert {alarm.chart for alarm in alarms} == {CHARGEBACK}
        assert alarms[0].number < 300


def test_source_that_tells_frauds_alone_is_not_judged_without_recent_decisions() -> None:
    assert flooding(np.full(10, 0.1)) == ()
    gate = Gate(MemoryJournal())
    for number in range(100):
        gate.take(label(number, True), 0.0001, period=number)
        assert gate.close(number).alarms == ()


def silent(told_share: float, *, eased: bool = True) -> set[str]:
    """Return the charts that alarm over payments which look bad, of which a share is told, and the rest is silence."""
    gate, rng, alarmed = opened(), np.random.default_rng(6), set[str]()
    for number in range(2_000):
        told = rng.random() < told_share
        if not told:
            said = label(number, False, source=LabelSource.SILENCE, merchant="M", device="D")
            gate.take(said, 0.97, period=number)
        alarmed |= charts_of(gate.close(number, told=[0.97] if told and eased else ()))
    return alarmed


def test_silence_on_frauds_that_are_never_told_raises_no_alarm_and_none_told_any_more_does() -> None:
    assert silent(0.9) == set()
    assert silent(0.9, eased=False) == {"source-strong/silence"}
    assert "source-strong/silence" in silent(0.0)


def test_fraud_by_hand() -> None:
    # p = .97 is taken as .95: flipped .95 * .6 + .2 = .77; at three times odds 19 a fraud is 57/58
    assert of_fraud(0.97, 0.2, SURE) == pytest.approx(math.log(0.77 * 58 / 57))
    assert evidence(0.97, 0.2, True, SURE) == 0


def test_flooding_by_hand() -> None:
    # nine of ten payments at .0005, one at .5: the base expects 1 % of frauds in the lowest band, here 3 %
    found = flooding(np.array([0.0005] * 9_000 + [0.5] * 1_000))
    low = 9_000 * (3 * 0.0005 / 0.9995) / (1 + 3 * 0.0005 / 0.9995) / (4.5 + 500)
    assert found[0] == pytest.approx(math.log(0.8 + 0.2 * (8_995.5 / 9_495.5) / low))
    assert found[4] == pytest.approx(math.log(0.8 + 0.2 * (500 / 9_495.5) / (750 / 504.5)))


def test_flooding_stands_payments_of_which_the_base_is_certain() -> None:
    found = flooding(np.array([0.0005] * 9_000 + [0.5] * 999 + [1.0]))
    assert found == pytest.approx(flooding(np.array([0.0005] * 9_000 + [0.5] * 999 + [0.999999])), abs=1e-3)


def test_constants_are_those_that_were_measured() -> None:
    assert [(c.name, c.rho, c.alarm, c.wait, c.least, c.most) for c in CHARTS] == [
        ("source", 0.05, 20, 3, 0, 0.99), ("source-strong", 0.2, 20, 3, 0.3, 0.95),
        ("merchant", 0.4, 8, 2, 0.3, 0.95), ("device", 0.4, 8, 2, 0.3, 0.95), ("source-sure", 0.4, 10, 2, 0.8, 0.95),
    ]  # fmt: skip
