"""What is known by now of alerts and verdicts, as conditions on an alert's payment."""

from sqlalchemy import ColumnElement, and_, case, or_

from fraud.review.tables import alert, payment, verdict
from fraud.review.words import Finding, Known, Teller

OF_ALERT = and_(
    payment.c.tx_id == alert.c.tx_id, payment.c.version == alert.c.version, payment.c.happened_at == alert.c.happened_at
)
"""Joins an alert with its payment, where that is kept; by its time PostgreSQL knows in which part that lies."""


def is_fraud() -> ColumnElement[bool]:
    """Return whether an alert beside its payment is known to be a fraud; null where nothing is known.

    What labels say of the payment counts, else what the desk has said of the alert.
    """
    told = payment.c.verdict.in_([int(Known.FRAUD), int(Known.GENUINE)])
    final = alert.c.verdict.in_([int(Finding.FRAUD), int(Finding.GENUINE)])
    return case((told, payment.c.verdict == int(Known.FRAUD)), (final, alert.c.verdict == int(Finding.FRAUD)))


def contradicted() -> ColumnElement[bool]:
    """Return whether a chargeback says otherwise than a verdict beside its payment."""
    other = or_(
        and_(verdict.c.verdict == int(Finding.FRAUD), payment.c.verdict == int(Known.GENUINE)),
        and_(verdict.c.verdict == int(Finding.GENUINE), payment.c.verdict == int(Known.FRAUD)),
    )
    return and_(payment.c.verdict_source == int(Teller.CHARGEBACK), other)
