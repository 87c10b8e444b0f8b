"""From payments to messages: numbers, currencies, and the ways in which real feeds are untidy.

Messages come late and out of order, a producer sends some twice (the same number), and some are corrected (the same
number, a higher version).
"""

from dataclasses import replace

import numpy as np

from fraud.core.records import DAY, HOUR, SECOND
from fraud.simulate.catalogue import CHANNELS, CURRENCIES, MOTO, POS, RATES
from fraud.simulate.payments import Payments
from fraud.simulate.tactics import SCENARIOS
from fraud.simulate.traffic import Ints, Traffic, Words
from fraud.simulate.world import CATEGORY_MCC, Merchants

_OFFLINE = 0.004
_TWICE = 0.003
_CORRECTED = 0.002
_TYPICAL_LAG = 8e7


def deliver(rng: np.random.Generator, payments: Payments, market: Merchants, start: int) -> Traffic:
    """Return the messages of the payments in the order in which they are seen; `start` in UTC ns."""
    # Whole seconds for all: no pattern may be told by the resolution of its times.
    whole = replace(payments, at=payments.at // SECOND * SECOND)
    ordered = whole.take(np.argsort(whole.at, kind="stable"))
    number = np.arange(len(ordered), dtype=np.int64)
    seen = ordered.at + _lag(rng, ordered)
    twice, later = _repeats(rng, ordered)
    fixed, corrected = _corrections(rng, ordered)
    rows = np.concatenate([number, twice, fixed])
    arrives = np.concatenate([seen, seen[twice] + later, seen[fixed] + rng.integers(HOUR, 2 * DAY, len(fixed))])
    cents = np.concatenate([ordered.cents, ordered.cents[twice], corrected])
    version = np.repeat([0, 0, 1], [len(number), len(twice), len(fixed)])
    order = np.argsort(arrives, kind="stable")
    rows = rows[order]
    return _messages(ordered.take(rows), rows, version[order], cents[order], arrives[order], market, start)


def convert(cents: Ints, currency: Ints) -> tuple[Ints, Ints]:
    """Return amounts in minor units of each currency, and what they are worth in cents of the base currency."""
    amount = np.maximum((cents * 1_000_000 + RATES[currency] // 2) // RATES[currency], 1)
    return amount, np.maximum((amount * RATES[currency] + 500_000) // 1_000_000, 1)


def _lag(rng: np.random.Generator, payments: Payments) -> Ints:
    """Draw how long after the payment its message is seen: a tenth of a second; hours for terminals offline."""
    lag = (_TYPICAL_LAG * rng.lognormal(0.0, 0.6, len(payments))).astype(np.int64)
    offline = (rng.random(len(payments)) < _OFFLINE) & (payments.channel == POS)
    return np.where(offline, np.minimum(rng.exponential(3 * HOUR, len(payments)), DAY).astype(np.int64), lag)


def _repeats(rng: np.random.Generator, payments: Payments) -> tuple[Ints, Ints]:
    """Choose the messages that a producer sends twice; return their rows and how much later."""
    rows = np.flatnonzero(rng.random(len(payments)) < _TWICE)
    return rows, rng.integers(SECOND // 2, 60 * SECOND, len(rows))


def _corrections(rng: np.random.Generator, payments: Payments) -> tuple[Ints, Ints]:
    """Choose the payments corrected later, by a tip or a final bill; return their rows and new amounts."""
    able = np.isin(payments.channel, (POS, MOTO)) & (payments.kind == 0)
    rows = np.flatnonzero(able & (rng.random(len(payments)) < _CORRECTED * len(able) / max(able.sum(), 1)))
    return rows, np.ceil(payments.cents[rows] * rng.uniform(1.05, 1.25, len(rows))).astype(np.int64)


def _messages(
    rows: Payments, number: Ints, version: Ints, cents: Ints, arrives: Ints, market: Merchants, start: int
) -> Traffic:
    """Look up what follows from the merchant, and give every column its name."""
    currency = market.currency[rows.merchant]
    amount, base_amount = convert(cents, currency)
    return Traffic(
        number=number,
        version=version,
        kind=rows.kind,
        happened_at=start + rows.at,
        seen_at=start + arrives,
        card=rows.card,
        merchant=rows.merchant,
        device=rows.device,
        amount=amount,
        base_amount=base_amount,
        currency=currency,
        channel=rows.channel,
        mcc=CATEGORY_MCC[market.category[rows.merchant]],
        text=rows.merchant,
        fraud=rows.scenario > 0,
        scenario=rows.scenario,
        words=Words(SCENARIOS, CHANNELS, CURRENCIES, market.texts),
    )
