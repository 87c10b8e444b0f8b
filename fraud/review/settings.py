"""Settings of the review desk: who has to look at what, and how long things wait or are kept."""

from typing import Annotated

from fraud.core.fields import Duration, Section, positive, setting
from fraud.core.records import DAY, MINUTE, SECOND


class ReviewSection(Section, frozen=True):
    """Cases and verdicts."""

    sample_share: Annotated[
        float,
        setting(
            "Approvals, chosen by a hash, that are put before an analyst too, for honest figures.", "share", ge=0, le=1
        ),
    ] = 0.001
    four_eyes_from: Annotated[
        int,
        setting(
            "Amount from which a verdict's label and action leave only when a second person agrees; 0: never.",
            "minor units of the base currency",
            ge=0,
        ),
    ] = 100_000
    blind_share: Annotated[
        float, setting("Verdicts that a second person gives once more, without seeing the first.", "share", ge=0, le=1)
    ] = 0.05
    blind_lapse: Annotated[
        Duration,
        setting(
            "A verdict of these that nobody has given once more after so long holds by itself: its label leaves, and "
            "it is marked as unreviewed.",
            "duration",
        ),
    ] = Duration(3 * DAY)
    rules_second: Annotated[
        bool, setting("Rules and releases are activated and rolled back only when a second lead agrees.")
    ] = True
    lock: Annotated[
        Duration, setting("A case is kept for whoever works on it for so long; an open page renews it.", "duration")
    ] = Duration(10 * MINUTE)
    undo: Annotated[
        Duration,
        setting("A verdict's label and action leave so long after it, and can be undone until then.", "duration"),
    ] = Duration(10 * SECOND)
    unsure_again: Annotated[Duration, setting("A case called unsure comes back after so long.", "duration")] = Duration(
        DAY
    )
    due_declined: Annotated[
        Duration,
        setting(
            "A declined payment that nobody has looked at is no work any more after so long; for a held one see "
            "policy.hold.delay.",
            "duration",
        ),
    ] = Duration(DAY)
    due_challenged: Annotated[Duration, setting("The same of a challenged one.", "duration")] = Duration(DAY)
    due_sample: Annotated[Duration, setting("The same of an approval in the sample.", "duration")] = Duration(7 * DAY)
    bulk: Annotated[int, setting("Most alerts that an analyst decides at once.", "alerts", ge=1, le=2_000)] = 200
    bulk_lead: Annotated[int, setting("The same of a lead.", "alerts", ge=1, le=2_000)] = 2_000
    export: Annotated[int, setting("Most rows of an exported view.", "rows", ge=1, le=100_000)] = 10_000
    keep_payments: Annotated[
        Duration, setting("Payments are kept for so long, for histories and graphs; alerts are kept.", "duration")
    ] = Duration(30 * DAY)

    def __post_init__(self) -> None:
        """Refuse spans of nothing; an undo of nothing is allowed: verdicts then leave at once."""
        positive(
            self, "lock", "unsure_again", "blind_lapse", "keep_payments", "due_declined", "due_challenged", "due_sample"
        )
