"""What a network reads of a payment's card, merchant and device: shapes and columns, which stand here and nowhere else.

`features/state/tokens.py` fills the arrays from history rows, `models` read them, training fills them again from what
was recorded. Each is as one payment, the query, finds one of its entities, before it is absorbed; float32:

raw (RAW, RAW_COLUMNS)
    one row an event: first the window (the open block and the newest closed ones), newest first; from row WINDOW on the
    known frauds that are not in it, newest first.
sums (SUMS, SUM_COLUMNS)
    one row a summary of older events, newest first.
codes (SUMS, CODE)
    the summaries' codes: the first MEANS components merge by their count-weighted mean, the others by their maximum.

A closed block (BLOCK, STATIC) is what its code is computed from: the static columns of its events, oldest first. The
text of a payment is int64 (GRAMS,): buckets of its n-grams, 0 where there is none.

Logarithms are natural, of 1 + x, over a scale that keeps them near 1; rows that hold nothing are zero.
"""

CARD, MERCHANT, DEVICE = range(3)
SIDES = 3

BLOCK, CLOSED_IN_WINDOW = 16, 2
"""Events of a block, and how many closed blocks are still read event by event."""
WINDOW = (CLOSED_IN_WINDOW + 1) * BLOCK
"""Rows of the window: 47 events at most, for the open block is not full."""
FRAUDS = 16
RING = 64
"""The newest events that are kept one by one, read or not."""
RADIX, LEVELS = 4, 5
"""Summaries a level holds, and levels: one of level `l` covers 16 x 4^l events."""

RAW, SUMS = WINDOW + FRAUDS, LEVELS * RADIX
CODE, MEANS = 32, 16
GRAMS, GRAM_BUCKETS = 24, 1_024

# Columns of an event. Static ones, free of labels:
(
    PRESENT,  # 1 where there is an event
    LOG_AMOUNT,  # log amount in minor units / AMOUNT_SCALE
    HOUR_SIN,  # of the hour of the day
    HOUR_COS,
    WEEK_SIN,  # of the time of the week
    WEEK_COS,
    SINCE_LAST,  # log seconds since the entity's event before / AGE_SCALE
    RATIO,  # log ratio of the amount to the card's median
    MONEY_BACK,
    CARD_PRESENT,  # -1 no, 0 not stated, 1 yes
) = range(10)
MCC, MCC_BITS = 10, 6
"""The first of the columns with a hash of the category code, and how many: bits as -1 and 1, 0 for no code."""
(
    OTHER_LABELS,  # of the counterparty before this event: log labels / LABELS_SCALE
    OTHER_FRAUDS,  # log frauds / LABELS_SCALE
    OTHER_AGE,  # age, an eighth of log2 seconds / 255
    PAIR,  # log payments of the pair / LABELS_SCALE
) = range(16, 20)
STATIC = 20
# As of the query:
(
    AGE,  # log seconds / AGE_SCALE
    MONTHS,  # in units of MONTH, at most MOST_MONTHS
    KNOWN,  # 1 where the verdict is known
    FRAUD,  # 1 where it is fraud
    SILENT,  # 1 where it was given by silence
    LABEL_AGE,  # log seconds since it was given / AGE_SCALE
    SAME_OTHER,  # 1 for the query's counterparty
    AMOUNT_GAP,  # log amount less the query's
    FROM_FRAUDS,  # 1 for a known fraud outside the window
    SAME_MCC,  # 1 for the query's category code
    EVENTS_SINCE,  # log events since then / SINCE_SCALE; 0 outside the window
    SAME_TEXT,  # 1 for the query's text
) = range(STATIC, 32)
RAW_COLUMNS = 32

# Columns of a summary:
(
    SUM_PRESENT,  # 1 where there is one
    SUM_LEVEL,  # level / LEVEL_SCALE
    SUM_COUNT,  # log events / COUNT_SCALE
    SUM_KNOWN,  # log known verdicts on payments of its time / COUNT_SCALE
    SUM_FRAUDS,  # log frauds among them / FRAUDS_SCALE
    SUM_SHARE,  # frauds / known
    SUM_AGE,  # log age of its last event in seconds / AGE_SCALE
    SUM_FIRST,  # of its first event
    SUM_MONTHS,  # age of its last event in units of MONTH, at most MOST_MONTHS
    SUM_HAS_FRAUD,  # 1 where the next two are of a fraud
    SUM_LAST_FRAUD,  # log age of its last fraud / AGE_SCALE
    SUM_FIRST_FRAUD,  # of its first fraud
    SUM_AMOUNT,  # mean log amount / AMOUNT_SCALE
) = range(13)
SUM_EVENTS = 14
"""Log of all events of the entity / COUNT_SCALE."""
SUM_COLUMNS = 16

AGE_SCALE, AMOUNT_SCALE, COUNT_SCALE, FRAUDS_SCALE, LABELS_SCALE = 15.0, 10.0, 10.0, 5.0, 3.0
SINCE_SCALE, LEVEL_SCALE = 8.0, 4.0
MONTH, MOST_MONTHS = 30 * 86_400.0, 12.0
LOG_SCALE, SUM_LOG_SCALE = 1_024, 1_024 // BLOCK
"""Steps in which log amounts are kept: an event's, and those that a summary adds up."""
