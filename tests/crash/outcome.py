"""What a run left in its topics, beside what was sent: what else `tests.crash.kills.judged` looks at.

Vectors are compared with a replay of the run's own log. What two workers take in at one merchant lies in no log, so
that is done where merchants and devices are told apart by their card's partition, as `mixed` does with two in three.
"""

import zlib
from collections.abc import Iterable, Iterator, Sequence

from fraud.core.records import Answer, Label, LabelSource, Mark, Transaction
from streaming.kafka.output_log import Once, alert_id_in
from streaming.messages import envelope
from tests.parity.live import answered_again, log_of, own_partition, set_apart
from tests.site import Read, Site

NOT_REPEATABLE = {Mark.STORE_DOWN, Mark.RECOVERED}
"""Decided without the state, or again after the first answer had gone: documented to differ."""
SHARED_IN = 3


def mixed(sent: Iterable[Transaction]) -> Iterator[Transaction]:
    """Yield payments; one merchant in three stays that of all cards, the others are told apart by partition."""
    for tx in sent:
        yield tx if zlib.crc32(tx.merchant.encode()) % SHARED_IN == 0 else set_apart(tx)


def outcome(site: Site, read: Read, labels: Sequence[Label], still: int | None = None) -> dict[str, int]:
    """Return what is wrong with a run's output, each 0 when all is well.

    Vectors are compared of what was decided before `still` (ns since the epoch; None: all): a label that is on its way
    while a worker dies changes the state at a time that no log tells.
    """
    return {
        "published_twice": read.raw - len(read.answers),
        "verdicts_differ": verdicts_differ(site, labels),
        "vectors_differ": vectors_differ(site, read.answers, still),
        "alerts_lost": alerts_lost(site, read.answers),
    }


def verdicts_differ(site: Site, labels: Sequence[Label]) -> int:
    """Return of how many payments another verdict was made known, or applied, than was sent."""
    told = {label.tx_id: label.verdict for label in labels}
    known = [envelope.known_in(record.value) for record in site.records(site.topics.known)]
    once = Once(site.topics)
    applied = [envelope.known_in(each.value) for each in site.records(site.topics.applied) if once.accepts(each)]
    given = {(label.tx_id, label.verdict) for label in (*known, *applied) if label.source is not LabelSource.SILENCE}
    return len({tx_id for tx_id, verdict in given if told.get(tx_id, verdict) is not verdict})


def alerts_lost(site: Site, answers: Sequence[Answer]) -> int:
    """Return how many decisions name an alert that was not published."""
    raised = {answer.decision.alert.id for answer in answers if answer.decision.alert and answer.repeat_of is None}
    return len(raised - {alert_id_in(record.value) for record in site.records(site.topics.alerts)})


def vectors_differ(site: Site, answers: Sequence[Answer], still: int | None = None) -> int:
    """Return how many decisions rest on another vector than a replay of their log finds."""
    again = {place_of(answer): answer.vector for answer in answered_again(log_of(site, answers), site.model)}
    differ = 0
    for answer in answers:
        if is_repeatable(answer) and (still is None or answer.decision.seen_at < still):
            found = again.get(place_of(answer))
            assert answer.vector is not None
            differ += found is None or found.values.tobytes() != answer.vector.values.tobytes()
    return differ


def is_repeatable(answer: Answer) -> bool:
    """Tell whether a replay has all that a decision's vector was made of."""
    decision = answer.decision
    alone = decision.merchant.endswith(f"-{own_partition(decision.card)}")
    fresh = answer.vector is not None and answer.repeat_of is None
    return alone and fresh and not NOT_REPEATABLE & set(decision.marks)


def place_of(answer: Answer) -> tuple[int, int]:
    """Return partition and offset of what an answer answers."""
    return answer.position.partition, answer.position.offset
