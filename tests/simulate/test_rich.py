"""Each thing that the rich traffic claims to have is there, and looks as it should."""

import numpy as np
import pytest
from msgspec.structs import replace

from fraud.core.records import DAY, HOUR, MINUTE, SECOND, Kind, LabelSource
from fraud.simulate import Traffic
from fraud.simulate.catalogue import CATEGORIES, CHANNELS, ECOM, RATES
from fraud.simulate.rich import Rich, generate
from fraud.simulate.spending import spend
from fraud.simulate.tactics import SCENARIOS, TACTICS
from fraud.simulate.traffic import KINDS, SOURCES, Bools, Ints
from fraud.simulate.verdicts import Knowledge
from fraud.simulate.world import World, build

RICH = Rich(cards=2_000, days=60, fraud_share=0.02, seed=1)


@pytest.fixture(scope="module")
def traffic() -> Traffic:
    """Return some 250,000 messages."""
    return generate(RICH)


@pytest.fixture(scope="module")
def payments(traffic: Traffic) -> Ints:
    """Return the rows of first messages of payments."""
    return traffic.first_messages()


@pytest.fixture(scope="module")
def world() -> World:
    """Return the world that the traffic lives in."""
    places = np.random.default_rng(RICH.seed).spawn(5)[0]
    return build(places, RICH.cards, RICH.cards // 5, RICH.days, RICH.rate)


def _of(traffic: Traffic, rows: Ints, scenario: str) -> Ints:
    chosen: Ints = rows[traffic.scenario[rows] == SCENARIOS.index(scenario)]
    return chosen


def _genuine(traffic: Traffic, rows: Ints) -> Ints:
    return _of(traffic, rows, "genuine")


def test_scenarios_all_are_committed_in_about_the_share_asked_for(traffic: Traffic, payments: Ints) -> None:
    assert set(np.unique(traffic.scenario[payments])) == set(range(len(SCENARIOS)))
    assert traffic.fraud[payments].mean() == pytest.approx(RICH.fraud_share, rel=0.2)
    assert sum(tactic.begin for tactic in TACTICS) == pytest.approx(1.0)
    assert sum(tactic.end for tactic in TACTICS) == pytest.approx(1.0)


def test_hubs_few_merchants_take_most_payments(traffic: Traffic) -> None:
    count = np.sort(np.bincount(traffic.merchant))[::-1]
    assert count[: len(count) // 20].sum() > 0.5 * len(traffic)
    rank = np.arange(10, 200)
    slope = np.polyfit(np.log(rank), np.log(count[rank]), 1)[0]
    assert -2.5 < slope < -0.7


def test_merchants_text_and_category_code_belong_to_the_merchant(traffic: Traffic) -> None:
    for column in (traffic.mcc, traffic.text, traffic.currency):
        assert len(np.unique(traffic.merchant * 10_000 + column)) == len(np.unique(traffic.merchant))
    assert set(np.unique(traffic.mcc)) == {kind.mcc for kind in CATEGORIES}
    assert len(set(traffic.words.texts)) == len(traffic.words.texts)
    assert all(text == text.upper() and len(text.split()) >= 3 for text in traffic.words.texts)


def test_channels_all_are_used_and_the_till_most(traffic: Traffic) -> None:
    count = np.bincount(traffic.channel, minlength=len(CHANNELS))
    assert (count > 0.01 * len(traffic)).all()
    assert count.argmax() == CHANNELS.index("pos")


def test_devices_internet_always_has_one_and_households_share(traffic: Traffic, payments: Ints) -> None:
    genuine = _genuine(traffic, payments)
    assert (traffic.device[genuine][traffic.channel[genuine] == ECOM] >= 0).all()
    assert (traffic.device[traffic.channel == CHANNELS.index("atm")] == -1).all()
    users = _distinct(traffic.device[genuine], traffic.card[genuine], traffic.device[genuine] >= 0)
    assert 0.05 < (users[users > 0] == 2).mean() < 0.25
    owned = _distinct(traffic.card[genuine], traffic.device[genuine], traffic.device[genuine] >= 0)
    assert 0 < (owned == 2).mean() < 0.3


def _distinct(of: Ints, what: Ints, where: Bools) -> Ints:
    """Return, by entity, the number of distinct values beside it."""
    pairs = np.unique(of[where] * 10**7 + what[where])
    count: Ints = np.bincount(pairs // 10**7)
    return count


def test_rhythm_days_and_weeks_are_seen(traffic: Traffic, payments: Ints) -> None:
    at = traffic.happened_at[_genuine(traffic, payments)]
    hours = np.bincount(at % DAY // HOUR, minlength=24)
    assert hours[:5].sum() < 0.15 * hours[10:15].sum()
    weekdays = np.bincount((at // DAY + 3) % 7, minlength=7)
    assert weekdays.argmax() == 5
    assert weekdays.argmin() == 6


def test_travel_some_cards_pay_in_other_cities_for_days(traffic: Traffic, payments: Ints, world: World) -> None:
    genuine = _genuine(traffic, payments)
    place = world.merchants.place[traffic.merchant[genuine]]
    away = (place > 0) & (place != world.cards.home[traffic.card[genuine]])
    assert 0.01 < away.mean() < 0.12
    day = (traffic.happened_at[genuine] - RICH.start) // DAY
    travellers = np.unique(traffic.card[genuine][away])
    assert 0.2 < len(travellers) / RICH.cards < 0.8
    visit = np.unique((traffic.card[genuine] * 100 + day)[away])
    today = traffic.card[genuine] * 100 + day
    amid = np.isin(today - 1, visit) & np.isin(today + 1, visit) & (place > 0)
    assert amid.sum() > 1_000
    assert away[amid].mean() > 0.97


def test_new_merchants_have_no_genuine_payment_before_they_open(traffic: Traffic, payments: Ints, world: World) -> None:
    opens = world.merchants.opens
    assert (opens > 0).sum() > 10
    day = (traffic.happened_at[payments] - RICH.start) // DAY
    assert (opens[traffic.merchant[payments]] <= day).all()
    assert np.isin(np.flatnonzero(opens > 0), traffic.merchant[payments]).sum() > 10


def test_currencies_base_amount_follows_the_rates(traffic: Traffic) -> None:
    assert len(np.unique(traffic.currency)) >= 4
    worth = (traffic.amount * RATES[traffic.currency] + 500_000) // 1_000_000
    assert (traffic.base_amount == np.maximum(worth, 1)).all()
    assert (traffic.amount > 0).all()


def test_refunds_and_reversals_give_back_no_more_than_was_paid(traffic: Traffic, payments: Ints) -> None:
    most: dict[tuple[int, int], int] = {}
    for row in payments.tolist():
        pair = (int(traffic.card[row]), int(traffic.merchant[row]))
        most[pair] = max(most.get(pair, 0), int(traffic.amount[row]))
    for kind, share in ((Kind.REFUND, 0.012), (Kind.REVERSAL, 0.005)):
        rows = np.flatnonzero(traffic.kind == KINDS.index(kind))
        assert len(rows) == pytest.approx(share * len(payments), rel=0.4)
        assert all(
            traffic.amount[row] <= most[int(traffic.card[row]), int(traffic.merchant[row])] for row in rows.tolist()
        )
        assert not traffic.fraud[rows].any()


def test_card_testing_one_device_tries_many_cards_with_tiny_amounts(traffic: Traffic, payments: Ints) -> None:
    rows = _of(traffic, payments, "card_testing")
    assert (traffic.base_amount[rows] <= 201).all()
    assert (traffic.channel[rows] == ECOM).all()
    for device in np.unique(traffic.device[rows]):
        burst = rows[traffic.device[rows] == device]
        assert len(np.unique(traffic.merchant[burst])) == 1
        assert np.ptp(traffic.happened_at[burst]) <= 25 * MINUTE
        assert len(np.unique(traffic.card[burst])) >= 9 or len(burst) < 12


def test_cash_out_follows_a_test_of_the_same_card(traffic: Traffic, payments: Ints) -> None:
    tests, rows = _of(traffic, payments, "card_testing"), _of(traffic, payments, "cash_out")
    assert len(rows) > 20
    for row in rows.tolist():
        before = traffic.happened_at[row] - traffic.happened_at[tests[traffic.card[tests] == traffic.card[row]]]
        assert ((before > 2 * HOUR - MINUTE) & (before <= 48 * HOUR)).any()


def test_account_takeover_device_is_new_to_everyone(traffic: Traffic, payments: Ints) -> None:
    rows = _of(traffic, payments, "account_takeover")
    other = payments[traffic.scenario[payments] != SCENARIOS.index("account_takeover")]
    assert not np.isin(traffic.device[rows], traffic.device[other]).any()
    assert (_distinct(traffic.device[rows], traffic.card[rows], rows >= 0) <= 1).all()


@pytest.mark.parametrize(("scenario", "cards"), [("device_ring", 3), ("mule_ring", 5)])
def test_rings_several_cards_meet_on_a_device(scenario: str, cards: int, traffic: Traffic, payments: Ints) -> None:
    rows = _of(traffic, payments, scenario)
    users = _distinct(traffic.device[rows], traffic.card[rows], rows >= 0)
    assert np.median(users[users > 0]) >= cards


def test_mule_ring_pays_into_two_obscure_shops_below_the_limit(traffic: Traffic, payments: Ints) -> None:
    rows = _of(traffic, payments, "mule_ring")
    shops = _distinct(traffic.device[rows], traffic.merchant[rows], rows >= 0)
    assert shops.max() <= 2
    assert (traffic.base_amount[rows] < 30_050).all()
    assert (traffic.base_amount[rows] > 20_000).all()


def test_skimmed_cards_paid_at_a_common_till_before(traffic: Traffic, payments: Ints, world: World) -> None:
    rows, genuine = _of(traffic, payments, "skimmed"), _genuine(traffic, payments)
    case = (traffic.device[rows] - world.strangers) // 4
    shared = 0
    for number in np.unique(case):
        cards = np.unique(traffic.card[rows[case == number]])
        visits = genuine[np.isin(traffic.card[genuine], cards)]
        most = _distinct(traffic.merchant[visits], traffic.card[visits], visits >= 0).max()
        shared += int(most == len(cards))
    assert shared >= 0.95 * len(np.unique(case))


def test_bust_out_card_spends_much_and_is_never_seen_again(traffic: Traffic, payments: Ints) -> None:
    rows = _of(traffic, payments, "bust_out")
    for card in np.unique(traffic.card[rows]):
        mine = payments[traffic.card[payments] == card]
        last = traffic.happened_at[rows[traffic.card[rows] == card]].max()
        assert traffic.happened_at[mine].max() == last
    usual = traffic.base_amount[_genuine(traffic, payments)]
    assert np.median(traffic.base_amount[rows]) > 5 * np.median(usual)


def test_drift_tactics_change_from_beginning_to_end(traffic: Traffic, payments: Ints) -> None:
    frauds = payments[traffic.fraud[payments]]
    early = traffic.happened_at[frauds] < RICH.start + 20 * DAY
    late = traffic.happened_at[frauds] > RICH.start + 40 * DAY
    for scenario, grows in (("card_testing", False), ("device_ring", True)):
        mine = traffic.scenario[frauds] == SCENARIOS.index(scenario)
        assert bool(mine[late].mean() > mine[early].mean()) is grows
    hour = traffic.happened_at[frauds] % DAY // HOUR
    assert (hour[early] < 5).mean() > 1.5 * (hour[late] < 5).mean()


def test_feed_late_messages_are_out_of_order(traffic: Traffic) -> None:
    first = traffic.version == 0
    lag = (traffic.seen_at - traffic.happened_at)[first]
    assert (lag > 0).all()
    assert np.median(lag) < 200_000_000
    assert 0.001 < (lag > HOUR).mean() < 0.01
    assert (np.diff(traffic.happened_at) < 0).sum() > 100


def test_feed_times_are_whole_seconds_for_every_scenario(traffic: Traffic) -> None:
    assert (traffic.happened_at % SECOND == 0).all()
    assert (traffic.seen_at % SECOND != 0).any()


def test_feed_repeats_are_equal_in_all_but_when_they_are_seen(traffic: Traffic) -> None:
    key = traffic.number * 2 + traffic.version
    distinct, first, count = np.unique(key, return_index=True, return_counts=True)
    twice = np.flatnonzero(count == 2)
    assert count.max() == 2
    assert 0.002 < len(twice) / len(distinct) < 0.004
    again = {k: row for row, k in enumerate(key.tolist())}
    for place in twice[:200].tolist():
        original = traffic.transaction(int(first[place]))
        repeat = traffic.transaction(again[int(distinct[place])])
        assert repeat.seen_at > original.seen_at
        assert replace(repeat, seen_at=original.seen_at) == original


def test_feed_corrections_raise_the_amount_under_the_same_id(traffic: Traffic) -> None:
    corrected = np.flatnonzero(traffic.version == 1)
    assert len(corrected) > 100
    numbers, first = np.unique(traffic.number, return_index=True)
    before = first[np.searchsorted(numbers, traffic.number[corrected])]
    assert (traffic.version[before] == 0).all()
    assert (traffic.amount[corrected] > traffic.amount[before]).all()
    assert (traffic.seen_at[corrected] > traffic.seen_at[before]).all()
    assert (traffic.card[corrected] == traffic.card[before]).all()


def test_labels_come_in_minutes_in_weeks_or_never(traffic: Traffic, payments: Ints) -> None:
    verdicts = traffic.verdicts()
    seen = dict(zip(traffic.number[payments].tolist(), traffic.seen_at[payments].tolist(), strict=True))
    delay = verdicts.happened_at - np.array([seen[number] for number in verdicts.number.tolist()])
    analyst = verdicts.source == SOURCES.index(LabelSource.ANALYST)
    assert MINUTE < np.median(delay[analyst]) < HOUR
    assert 14 * DAY < np.median(delay[~analyst]) < 28 * DAY
    never = set(traffic.number[payments[traffic.fraud[payments]]].tolist()) - set(verdicts.number.tolist())
    assert 0.02 < len(never) / traffic.fraud[payments].sum() < 0.1


def test_labels_mistaken_analysts_are_corrected_by_a_chargeback(traffic: Traffic) -> None:
    verdicts = traffic.verdicts()
    second = np.flatnonzero(verdicts.version == 1)
    assert len(second) > 10
    assert verdicts.fraud[second].all()
    for label in second.tolist():
        earlier = np.flatnonzero((verdicts.number == verdicts.number[label]) & (verdicts.version == 0))
        assert len(earlier) == 1
        assert not verdicts.fraud[earlier[0]]
        assert verdicts.happened_at[earlier[0]] < verdicts.happened_at[label]


def test_labels_last_verdict_is_the_truth(traffic: Traffic) -> None:
    verdicts = traffic.verdicts()
    truth = {int(tx_id[1:]) for tx_id in traffic.truth()}
    last = dict(zip(verdicts.number.tolist(), verdicts.fraud.tolist(), strict=True))
    assert all((number in truth) is fraud for number, fraud in last.items())
    assert not all(last.values())


def test_chargeback_days_move_the_chargebacks() -> None:
    quick = generate(Rich(cards=200, days=20, fraud_share=0.1, chargeback_days=3.0)).verdicts()
    slow = generate(Rich(cards=200, days=20, fraud_share=0.1, chargeback_days=Knowledge().days)).verdicts()
    assert quick.happened_at.mean() < slow.happened_at.mean()


def test_spend_payments_of_a_card_follow_its_rate(world: World) -> None:
    made = spend(np.random.default_rng(0), world, days=56, weekday=0)
    count = np.bincount(made.card, minlength=RICH.cards)
    assert count.sum() / RICH.cards / 56 == pytest.approx(world.cards.rate.mean(), rel=0.03)
    assert np.corrcoef(count, world.cards.rate)[0, 1] > 0.95
