"""Which payment is meant, where a sender has given one id to two.

A payment is the same one when card, merchant, amount, currency and kind are: so a retry is told from a reuse of its id.
The first payment under an id is known by that id, any other one by a name of its own, to state, label book and console
alike. Versions are no part of it: a correction carries the id of what it corrects.
"""

import hashlib

import msgspec

from fraud.core.records import Answer, Decision, Transaction

LONGEST_NAME = 256
"""What an id may have in messages, so that a label can name a payment by its own name too."""
DIGEST_BYTES = 8
SEPARATOR = "\x1f"
"""What no id has in it: nobody can send a payment that lies where the answer to another one does."""


def is_same_payment(one: Transaction | Decision, other: Transaction | Decision) -> bool:
    """Tell whether two records under one id and version are of one payment.

    Releases before amounts were kept as sent wrote no currency; what they decided is compared by its base amount.
    """
    if (one.card, one.merchant, one.kind) != (other.card, other.merchant, other.kind):
        return False
    if one.currency and other.currency:
        return (one.amount, one.currency) == (other.amount, other.currency)
    return one.base_amount == other.base_amount


def own_name(payment: Transaction | Decision) -> str:
    """Return the name of a payment whose id is another one's: that id, and a digest of what tells them apart."""
    tx_id = payment.id if isinstance(payment, Transaction) else payment.tx_id
    told = tx_id, payment.card, payment.merchant, str(payment.amount), payment.currency, payment.kind
    digest = hashlib.blake2b(SEPARATOR.join(told).encode(), digest_size=DIGEST_BYTES).hexdigest()
    return f"{tx_id[: LONGEST_NAME - len(digest) - 1]}~{digest}"


def by_own_name(answer: Answer) -> Answer:
    """Return an answer of rules alone, which could not know that its payment's id is another one's, as one that does.

    It is published as it was; what is kept says where it lies.
    """
    decision = msgspec.structs.replace(answer.decision, known_as=own_name(answer.decision))
    return msgspec.structs.replace(answer, decision=decision)


def name_of(decision: Decision) -> str:
    """Return what the payment of a decision is known by: its id, or a name of its own."""
    return decision.known_as or decision.tx_id


def answer_name(decision: Decision) -> str:
    """Return what the first answer of a decision lies under: the id as sent, or what is its own beside that."""
    return own_answer_name(decision.tx_id, decision.known_as) if decision.known_as else decision.tx_id


def own_answer_name(tx_id: str, name: str) -> str:
    """Return what the answer to a payment by a name of its own lies under."""
    return f"{tx_id}{SEPARATOR}{name}"
