"""Bytes to records, for what comes in; a message that cannot be used becomes a reject, never an exception.

A reject's code is the part at fault: `size` (over the limit), `json` (no JSON object), `future` (happened long after
it was seen), `pan` (a card number that is not taken), or the name of the field (`id`, `card`, `amount`, `currency`,
`happened_at`, ...). Its reason names the field, the value, what was expected and the repair. Card numbers are exchanged
for tokens here, before anything is kept or said of a message.
"""

from collections import Counter
from collections.abc import Callable
from typing import Any

import msgspec

from fraud.core.attributes.declaration import NOTHING, Declaration
from fraud.core.card_numbers import KEYLESS, CardNumbers
from fraud.core.errors import CardNumberError
from fraud.core.records import MINUTE, Arrival, KnownLabel, Label, Position, Reject, Transaction
from streaming.messages.bounds import LONGEST, Headers, carried
from streaming.messages.faults import (
    AMOUNT,
    CURRENCY,
    EXPECTED,
    FUTURE,
    HAPPENED_AT,
    SIZE,
    UNKNOWN_FIELD,
    BadMessage,
    content_of,
    fault_of,
    need_printable,
    shown,
)
from streaming.messages.letters import refused
from streaming.messages.money import Rates
from streaming.messages.schema import LabelMessage, TransactionMessage
from streaming.messages.times import OLDEST, from_text, to_text


class Limits(msgspec.Struct, frozen=True):
    """What a message may be: bytes, and how far ahead of `seen_at` (ns) a sender's clock may run."""

    size: int = LONGEST
    ahead: int = 5 * MINUTE


class Codec:
    """Decode what comes in; of headers an arrival has those that travel on.

    `unknown_fields` counts fields that were not known and went to `attrs`.

    `cards` says what becomes of card numbers. `wrong` counts, by name, values of the own columns `declared` that are of
    another type and so count as missing.
    """

    def __init__(
        self,
        rates: Rates | None = None,
        limits: Limits | None = None,
        cards: CardNumbers = KEYLESS,
        declared: Declaration = NOTHING,
    ) -> None:
        """Prepare a decoder per topic."""
        self._declared, self.wrong = declared, Counter[str]()
        self._rates = rates or Rates()
        self.cards = cards
        self._limits = limits or Limits()
        self._transactions = msgspec.json.Decoder(TransactionMessage)
        self._labels = msgspec.json.Decoder(LabelMessage)
        self.unknown_fields = 0

    def transaction(self, message: bytes, position: Position, seen_at: int, headers: Headers = ()) -> Arrival | Reject:
        """Return a message of topic `transactions` as an arrival, or the reject that says why not."""
        return self._decode(self._transaction, message, position, seen_at, headers)

    def label(self, message: bytes, position: Position, seen_at: int, headers: Headers = ()) -> Arrival | Reject:
        """Return a message of topic `labels` as an arrival, or the reject that says why not."""
        return self._decode(self._label, message, position, seen_at, headers)

    def _decode(
        self,
        read: Callable[[bytes, int], Transaction | Label],
        message: bytes,
        position: Position,
        seen_at: int,
        headers: Headers,
    ) -> Arrival | Reject:
        try:
            if len(message) > self._limits.size:
                raise BadMessage(SIZE, f"the message has {len(message)} bytes, expected at most {self._limits.size}")
            return Arrival(read(message, seen_at), position, carried(headers))
        except (BadMessage, CardNumberError) as error:
            return refused(error, message, position, headers, seen_at, self.cards)

    def known(self, label: KnownLabel) -> KnownLabel:
        """Return a known label under the name that its card has now; raise CardNumberError where a number is refused.

        The label book names cards as their decisions did, which may have been under an earlier key.
        """
        card = self.cards.card(label.card)
        return label if card == label.card else msgspec.structs.replace(label, card=card)

    def _transaction(self, message: bytes, seen_at: int) -> Transaction:
        try:
            sent, attrs = self._transactions.decode(message), None
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            sent, attrs = self._second_look(message, error, TransactionMessage)
        for name, value in (("id", sent.id), ("card", sent.card), ("merchant", sent.merchant), ("device", sent.device)):
            need_printable(name, value)
        attrs = self.cards.attrs({**(sent.attrs or {}), **attrs} if attrs else sent.attrs)
        if attrs and self._declared:
            self.wrong.update(self._declared.wrong(attrs))
        currency = sent.currency or self._rates.base
        happened_at = time_in(sent.happened_at, seen_at, self._limits.ahead)
        return Transaction(
            id=sent.id,
            card=self.cards.card(sent.card),
            merchant=sent.merchant,
            amount=sent.amount,
            base_amount=self._base(sent.amount, currency),
            happened_at=happened_at,
            seen_at=seen_at,
            version=sent.version,
            kind=sent.kind,
            device=sent.device,
            currency=currency,
            channel=sent.channel,
            mcc=sent.mcc,
            text=self.cards.text(sent.text),
            attrs=attrs,
        )

    def _label(self, message: bytes, seen_at: int) -> Label:
        try:
            sent = self._labels.decode(message)
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            sent, _ = self._second_look(message, error, LabelMessage)
        need_printable("tx_id", sent.tx_id)
        return Label(
            tx_id=sent.tx_id,
            verdict=sent.verdict,
            happened_at=time_in(sent.happened_at, seen_at, self._limits.ahead),
            seen_at=seen_at,
            source=sent.source,
            version=sent.version,
        )

    def _second_look(self, message: bytes, error: Exception, kind: type[Any]) -> tuple[Any, dict[str, Any] | None]:
        """Return the message less the fields that are not known, and those; raise BadMessage for any other fault."""
        content = content_of(message)
        if not str(error).startswith(UNKNOWN_FIELD):
            raise fault_of(content, error) from error
        known = {name: content.pop(name) for name in kind.__struct_fields__ if name in content}
        self.unknown_fields += len(content)
        try:
            return msgspec.convert(known, kind), content
        except (msgspec.MsgspecError, ValueError) as other:
            raise fault_of(known, other) from other

    def _base(self, amount: int, currency: str) -> int:
        try:
            base = self._rates.to_base(amount, currency)
        except KeyError:
            known = ", ".join(self._rates.known())
            reason = f"currency is {shown(currency)}: expected one of {known}; add its rate, or send the base currency"
            raise BadMessage(CURRENCY, reason) from None
        if base > self._rates.most:
            raise BadMessage(
                AMOUNT,
                f"amount is {amount} {currency}, {base} in the base currency: expected at most {self._rates.most}",
            )
        return base


def time_in(sent: int | str, seen_at: int, ahead: int) -> int:
    """Return when something happened, ns UTC; raise BadMessage for no time, or one over `ahead` ns after `seen_at`."""
    expected, repair = EXPECTED[HAPPENED_AT]
    try:
        ns = sent if isinstance(sent, int) else from_text(sent)
    except ValueError:
        raise BadMessage(HAPPENED_AT, f"happened_at is {shown(sent)}: expected {expected}; {repair}") from None
    if ns < OLDEST:
        reason = f"happened_at is {shown(sent)}, before 2000: expected {expected}; is it in another unit?"
        raise BadMessage(HAPPENED_AT, reason)
    if ns > seen_at + ahead:
        late = (ns - seen_at) / 1e9
        reason = f"happened_at is {shown(sent)}, {late:.0f} s after it was seen ({to_text(seen_at)})"
        raise BadMessage(FUTURE, f"{reason}: expected at most {ahead / 1e9:.0f} s; set the sender's clock")
    return ns
