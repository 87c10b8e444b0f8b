"""What holds of payments by the labels that are known of them."""

from collections.abc import Iterable
from typing import NamedTuple

from sqlalchemy import Connection

from fraud.review.bulk import one_of
from fraud.review.words import Known


class Standing(NamedTuple):
    """What holds of a payment: a verdict, and who has given it (`words.Known`, `words.Teller`)."""

    verdict: int
    source: int


def standing(connection: Connection, tx_ids: Iterable[str]) -> dict[str, Standing]:
    """Return what holds, by payment: of its labels the last one in order of the label book's log."""
    condition, value = one_of("tx_id", connection, tx_ids, "text")
    rows = connection.exec_driver_sql(
        "SELECT tx_id, verdict, source FROM label_trace "  # noqa: S608, our own columns
        f"WHERE known_offset IS NOT NULL AND {condition} ORDER BY known_offset",
        (value,),
    )
    last = {tx_id: Standing(verdict, source) for tx_id, verdict, source in rows}
    return {tx_id: known for tx_id, known in last.items() if known.verdict != Known.WITHDRAWN}
