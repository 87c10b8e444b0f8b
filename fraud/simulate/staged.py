"""What streams with a known optimum share: payments whose chance of being a fraud is known, as traffic.

In such a stream the generator decides for each payment the chance that it is fraudulent, from what an observer can have
seen by then; the optimum is that chance, or, where the cause is hidden, its mean given everything seen. No model can
rank payments better, so that average precision of the optimum is the ceiling of every model's.
"""

from dataclasses import dataclass, replace

import numpy as np

from fraud.core.errors import DataError
from fraud.core.records import DAY
from fraud.simulate.catalogue import CATEGORIES, CHANNELS, CITIES, ECOM, SHOPPING
from fraud.simulate.payments import Payments
from fraud.simulate.spending import time_of_day
from fraud.simulate.traffic import Ints, Traffic, Words, plain
from fraud.simulate.world import CATEGORY_CHANNEL, CATEGORY_MCC, Floats

CHANCE = 0.0001
"""Chance of any ordinary payment to be a fraud that nothing foretells."""

_CONSONANTS = np.array(list("BDFGKLMNPRSTVZ"))
_VOWELS = np.array(list("AEIOU"))


@dataclass(frozen=True, slots=True)
class Shops:
    """Merchants as columns of shape (merchants,): position of the category in the catalogue, text on a statement."""

    category: Ints
    texts: tuple[str, ...]

    def channel(self, merchant: Ints) -> Ints:
        """Return the channel through which each merchant sells."""
        return CATEGORY_CHANNEL[self.category[merchant]]


def settle(
    payments: Payments, optimum: Floats, shops: Shops, scenarios: tuple[str, ...], start: int, label_days: float
) -> Traffic:
    """Return the payments as traffic in the order of time, one verdict each `label_days` later; `start` in UTC ns.

    Rows of equal time keep their order.
    """
    order = np.argsort(payments.at, kind="stable")
    rows, words = payments.take(order), Words(scenarios, CHANNELS, texts=shops.texts)
    bare = plain(start + rows.at, rows.card, rows.merchant, rows.cents, rows.scenario, words)
    traffic = replace(
        bare,
        device=rows.device,
        channel=rows.channel,
        mcc=CATEGORY_MCC[shops.category[rows.merchant]],
        text=rows.merchant,
        optimum=optimum[order],
    )
    return replace(traffic, known=traffic.verdicts(int(label_days * DAY)))


def happen(rng: np.random.Generator, chance: Floats, scenario: Ints) -> Ints:
    """Draw which payments are frauds: return their scenario, 0 for the genuine ones."""
    return np.where(rng.random(len(chance)) < chance, scenario, 0)


def instants(rng: np.random.Generator, begin: Floats, days: Floats | float, rhythm: int = SHOPPING) -> Ints:
    """Draw ns since the stream's start: a day from `begin` for `days` days (fractions count), an hour by the rhythm."""
    day = np.floor(begin + days * rng.random(len(begin))).astype(np.int64)
    return day * DAY + time_of_day(rng, np.full(len(begin), rhythm))


def brands(rng: np.random.Generator, count: int) -> tuple[str, ...]:
    """Return different invented names of 8 or 9 letters, such as `VOKARELUN`."""
    found: dict[str, None] = {}
    while len(found) < count:
        size = 2 * (count - len(found))
        letters = np.empty((size, 9), dtype="<U1")
        letters[:, 0::2] = _CONSONANTS[rng.integers(0, len(_CONSONANTS), (size, 5))]
        letters[:, 1::2] = _VOWELS[rng.integers(0, len(_VOWELS), (size, 4))]
        letters[rng.random(size) < 0.5, 8] = ""
        found.update(dict.fromkeys("".join(row) for row in letters.tolist()))
    return tuple(found)[:count]


def market(rng: np.random.Generator, category: Ints) -> Shops:
    """Return merchants of the categories, each with an invented name, a noun of its kind and a place."""
    city = rng.integers(0, len(CITIES), len(category)).tolist()
    noun = rng.integers(0, 6, len(category)).tolist()
    texts = []
    for row, (name, kind) in enumerate(zip(brands(rng, len(category)), category.tolist(), strict=True)):
        nouns = CATEGORIES[kind].nouns
        place = "ONLINE" if CATEGORIES[kind].channel == ECOM else CITIES[city[row]]
        texts.append(f"{name} {nouns[noun[row] % len(nouns)]} {place}")
    return Shops(category, tuple(texts))


def popular(rng: np.random.Generator, pool: Ints, count: int) -> Ints:
    """Draw from a pool by Zipf's law, its first member most often."""
    weight = np.cumsum(1.0 / np.arange(1, len(pool) + 1) ** 0.8)
    place = np.searchsorted(weight, weight[-1] * rng.random(count), side="right")
    drawn: Ints = pool[np.minimum(place, len(pool) - 1)]
    return drawn


def own_device(rng: np.random.Generator, card: Ints, channel: Ints) -> Ints:
    """Return the card's own device (of its number) on the internet and for a quarter of other payments, else -1."""
    return np.where((channel == ECOM) | (rng.random(len(card)) < 0.25), card, -1)


def posterior(prior: float, weight: Floats) -> Floats:
    """Return the probability of a cause with this prior, given log-likelihood ratios for it."""
    odds = np.log(prior / (1.0 - prior)) + weight
    chance: Floats = 1.0 / (1.0 + np.exp(-np.clip(odds, -700.0, 700.0)))
    return chance


def refuse_below(stream: str, least: dict[str, tuple[float, float]]) -> None:
    """Raise DataError when a parameter, given as name -> (value, least value), is too small."""
    for name, (value, bound) in least.items():
        if value < bound:
            msg = f"the {stream} stream cannot be made with {name} = {value}: give {bound} or more"
            raise DataError(msg)
