"""How frauds are committed in the rich traffic: one function a tactic, many cases at a time.

A case is one crime with its own time, device numbers and progress: 0 at the beginning of the stream, 1 at its end.
With progress tactics drift: amounts shrink, nights become days, gift cards become ordinary shops.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from fraud.core.records import DAY, HOUR, MINUTE, SECOND
from fraud.simulate.catalogue import ECOM
from fraud.simulate.grouping import during, ranks
from fraud.simulate.payments import Payments, joined, made
from fraud.simulate.spending import amounts
from fraud.simulate.traffic import Ints
from fraud.simulate.world import CATEGORY_CHANNEL, Floats, World

SCENARIOS = (
    *("genuine", "card_testing", "cash_out", "stolen_card", "account_takeover"),
    *("device_ring", "mule_ring", "skimmed", "bust_out"),
)
DEVICES = 4


@dataclass(frozen=True, slots=True)
class Scene:
    """What a tactic can see: the world, and the genuine payments for those that follow them."""

    world: World
    genuine: Payments


@dataclass(frozen=True, slots=True)
class Cases:
    """Cases as columns of shape (cases,): begin (ns since the stream's start), progress, first of 4 device numbers."""

    at: Ints
    progress: Floats
    device: Ints

    def __len__(self) -> int:
        """Return the number of cases."""
        return len(self.at)

    def spread(self, sizes: Ints) -> "Cases":
        """Return each case as many times as `sizes` says."""
        return Cases(np.repeat(self.at, sizes), np.repeat(self.progress, sizes), np.repeat(self.device, sizes))


Make = Callable[[np.random.Generator, Scene, Cases], Payments]


@dataclass(frozen=True, slots=True)
class Tactic:
    """A tactic with its share of fraudulent payments at the stream's beginning and end; `size` is a case's mean."""

    name: str
    begin: float
    end: float
    size: float
    make: Make


def card_testing(rng: np.random.Generator, scene: Scene, cases: Cases) -> Payments:
    """Try 12 to 40 stolen numbers with tiny payments from one device in 25 minutes; use a quarter of them later."""
    sizes = rng.integers(12, 41, len(cases))
    each = cases.spread(sizes)
    card = _anyone(rng, scene, len(each))
    shop = np.repeat(_pick(rng, scene, len(cases), "charity", "digital goods", "streaming"), sizes)
    at = each.at + rng.integers(0, 25 * 60, len(each)) * SECOND
    cents = rng.integers(20, 201, len(each))
    tests = made(at, card, shop, cents, _on(ECOM, at), SCENARIOS.index("card_testing"), each.device)
    good = np.flatnonzero(rng.random(len(each)) < 0.25)
    return joined([tests, _cash_out(rng, scene, each, tests, good)])


def stolen_card(rng: np.random.Generator, scene: Scene, cases: Cases) -> Payments:
    """Spend 3 to 8 times in a few hours, at tills and cash machines, more than the holder would."""
    each, card = _one_card(rng, scene, cases, 3, 9)
    shop = _pick(rng, scene, len(each), "electronics", "jewellery", "clothing", "cash")
    cents = _taken(rng, scene, each, card, shop, 2.5)
    at = each.at + rng.integers(0, 5 * HOUR // SECOND, len(each)) * SECOND
    return made(at, card, shop, cents, _channel(scene, shop), SCENARIOS.index("stolen_card"))


def account_takeover(rng: np.random.Generator, scene: Scene, cases: Cases) -> Payments:
    """Use a holder's account from a device never seen before, 2 to 6 times in a day and a half."""
    each, card = _one_card(rng, scene, cases, 2, 7)
    shop = _fashion(rng, scene, each)
    cents = _taken(rng, scene, each, card, shop, 3.0)
    at = each.at + rng.integers(0, 36 * HOUR // SECOND, len(each)) * SECOND
    scenario = SCENARIOS.index("account_takeover")
    return made(at, card, shop, cents, _on(ECOM, at), scenario, each.device)


def device_ring(rng: np.random.Generator, scene: Scene, cases: Cases) -> Payments:
    """Work through 6 to 14 holders' cards from 2 shared devices within 12 days, in amounts like the holders' own."""
    victims = rng.integers(6, 15, len(cases))
    ring = cases.spread(victims)
    card, begin = _anyone(rng, scene, len(ring)), ring.at + rng.integers(0, 12 * DAY, len(ring))
    payments = rng.integers(1, 4, len(ring))
    each, card = ring.spread(payments), np.repeat(card, payments)
    at = np.repeat(begin, payments) + rng.integers(0, 6 * HOUR, len(each))
    shop = _fashion(rng, scene, each)
    cents = _taken(rng, scene, each, card, shop, 1.2)
    device = each.device + rng.integers(0, 2, len(each))
    return made(at, card, shop, cents, _on(ECOM, at), SCENARIOS.index("device_ring"), device)


def mule_ring(rng: np.random.Generator, scene: Scene, cases: Cases) -> Payments:
    """Pass money through 6 to 12 mules' cards to 2 obscure shops, from 3 devices, for 14 days, below a round limit."""
    sizes = rng.integers(24, 57, len(cases))
    each = cases.spread(sizes)
    ring = np.repeat(np.arange(len(cases)), sizes)
    members = _anyone(rng, scene, 12 * len(cases)).reshape(-1, 12)
    seat = (rng.random(len(each)) * np.repeat(rng.integers(6, 13, len(cases)), sizes)).astype(np.int64)
    shops = _obscure(rng, scene, 2 * len(cases)).reshape(-1, 2)
    shop = shops[ring, rng.integers(0, 2, len(each))]
    at = each.at + rng.integers(0, 14 * DAY, len(each))
    cents = 30_000 - rng.integers(50, 9_000, len(each))
    device = each.device + rng.integers(0, 3, len(each))
    return made(at, members[ring, seat], shop, cents, _on(ECOM, at), SCENARIOS.index("mule_ring"), device)


def skimmed(rng: np.random.Generator, scene: Scene, cases: Cases) -> Payments:
    """Copy the cards that pay at one till during a week; use up to 20 of them 2 to 15 days later elsewhere."""
    market = scene.world.merchants
    till = market.draw(rng, rng.integers(1, len(market.hub), len(cases)))
    rows, case = during(scene.genuine.merchant, scene.genuine.at // DAY, till, cases.at // DAY, 7)
    copied = ranks(case, rng.random(len(case))) < 20
    payments = rng.integers(1, 4, int(copied.sum()))
    row, case = np.repeat(rows[copied], payments), np.repeat(case[copied], payments)
    each = Cases(scene.genuine.at[row], cases.progress[case], cases.device[case])
    card, shop = scene.genuine.card[row], _fashion(rng, scene, each)
    at = each.at + rng.integers(2 * DAY, 15 * DAY, len(each))
    device = each.device + rng.integers(0, DEVICES, len(each))
    cents = _taken(rng, scene, each, card, shop, 1.6)
    return made(at, card, shop, cents, _on(ECOM, at), SCENARIOS.index("skimmed"), device)


def bust_out(rng: np.random.Generator, scene: Scene, cases: Cases) -> Payments:
    """Let a holder of good standing spend all that the card gives within 7 days, and never be seen again."""
    each, card = _one_card(rng, scene, cases, 12, 41)
    shop = _pick(rng, scene, len(each), "electronics", "jewellery", "airline", "cash", "clothing")
    cents = _taken(rng, scene, each, card, shop, 3.0)
    # The square root makes it denser towards the end: the spending accelerates.
    at = each.at + (7 * DAY * np.sqrt(rng.random(len(each)))).astype(np.int64)
    device = np.where(_channel(scene, shop) == ECOM, scene.world.cards.device[card], -1)
    return made(at, card, shop, cents, _channel(scene, shop), SCENARIOS.index("bust_out"), device)


TACTICS = (
    Tactic("card_testing", 0.30, 0.10, 39.0, card_testing),
    Tactic("stolen_card", 0.25, 0.10, 5.5, stolen_card),
    Tactic("account_takeover", 0.10, 0.20, 4.0, account_takeover),
    Tactic("device_ring", 0.05, 0.25, 20.0, device_ring),
    Tactic("mule_ring", 0.05, 0.15, 40.0, mule_ring),
    Tactic("skimmed", 0.15, 0.10, 20.0, skimmed),
    Tactic("bust_out", 0.10, 0.10, 26.0, bust_out),
)


def _cash_out(rng: np.random.Generator, scene: Scene, each: Cases, tests: Payments, good: Ints) -> Payments:
    """Use tested numbers 2 to 48 hours after the test, 1 to 3 times, from another device of the same case."""
    rows = np.repeat(good, rng.integers(1, 4, len(good)))
    used = Cases(tests.at[rows], each.progress[rows], each.device[rows] + 1)
    card, shop = tests.card[rows], _fashion(rng, scene, used)
    at = used.at + rng.integers(2 * HOUR, 48 * HOUR, len(rows))
    cents = _taken(rng, scene, used, card, shop, 3.0)
    return made(at, card, shop, cents, _on(ECOM, at), SCENARIOS.index("cash_out"), used.device)


def _one_card(rng: np.random.Generator, scene: Scene, cases: Cases, low: int, high: int) -> tuple[Cases, Ints]:
    """Return low to high - 1 payments a case, and the one card of each case beside them."""
    sizes = rng.integers(low, high, len(cases))
    return cases.spread(sizes), np.repeat(_anyone(rng, scene, len(cases)), sizes)


def _anyone(rng: np.random.Generator, scene: Scene, count: int) -> Ints:
    """Draw card holders."""
    return rng.integers(0, len(scene.world.cards.home), count)


def _pick(rng: np.random.Generator, scene: Scene, count: int, *categories: str) -> Ints:
    """Draw merchants of the categories."""
    return rng.choice(scene.world.merchants.of(*categories), count)


def _fashion(rng: np.random.Generator, scene: Scene, each: Cases) -> Ints:
    """Draw the internet shops that thieves like: what is easily sold at first, whatever is ordinary later on."""
    liked = _pick(rng, scene, len(each), "gift cards", "airline", "digital goods")
    return np.where(rng.random(len(each)) < each.progress, _pick(rng, scene, len(each), "marketplace"), liked)


def _obscure(rng: np.random.Generator, scene: Scene, count: int) -> Ints:
    """Draw from the less popular half of the marketplace shops."""
    market = scene.world.merchants
    shops = market.of("marketplace", "mail order")
    popular = np.diff(market.ladder)[shops]
    return rng.choice(shops[popular <= np.median(popular)], count)


def _taken(rng: np.random.Generator, scene: Scene, each: Cases, card: Ints, shop: Ints, greed: float) -> Ints:
    """Draw amounts `greed` times what the holder would pay there; half of that at the end of the stream."""
    level = scene.world.cards.level[card] * greed * (1.0 - 0.5 * each.progress)
    return amounts(rng, scene.world.merchants.category[shop], level)


def _channel(scene: Scene, shop: Ints) -> Ints:
    """Return the channel through which each merchant sells."""
    return CATEGORY_CHANNEL[scene.world.merchants.category[shop]]


def _on(channel: int, at: Ints) -> Ints:
    """Return one channel for every row."""
    return np.full(len(at), channel, dtype=np.int64)


def begin(rng: np.random.Generator, tactic: Tactic, payments: float, days: int) -> tuple[Ints, Floats]:
    """Draw the cases of one tactic: begin and progress, for about `payments` fraudulent payments of all tactics.

    The tactic's share moves linearly from `begin` to `end`; nights (0 to 5 o'clock) become other hours.
    """
    mean = (tactic.begin + tactic.end) / 2
    count = rng.poisson(payments * mean / tactic.size)
    early = rng.random(count) < tactic.begin / (tactic.begin + tactic.end)
    root = np.sqrt(rng.random(count))
    progress = np.where(early, 1.0 - root, root)
    night = rng.random(count) < 0.7 * (1.0 - progress)
    hour = np.where(night, rng.integers(0, 5, count), rng.integers(6, 23, count))
    at = (progress * days).astype(np.int64) * DAY + hour * HOUR + rng.integers(0, 60, count) * MINUTE
    return at, progress
