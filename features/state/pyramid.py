"""Summaries of ever more events, level by level: a level that is full gives its 4, merged to one, to the next.

A summary is 8 counters (S_* below) and a code, as u32 words; level by level, oldest first. The last level merges in
place. Codes are opaque: components 0-15 merge by their count-weighted mean, 16-31 by their maximum. They speak of
events only; what is known of labels is counted beside them. A summary's counters hold the verdicts known on payments
of its time: after the last second of the summary before it, up to its own (the oldest takes all that is older, the
newest all that is younger). So a verdict, its correction and a merge meet in the same place, whatever was pushed
between.
"""

import numpy as np

from fraud.common.compiled import Floats, Words, compiled, signed
from fraud.core.tokens import CODE, LEVELS, MEANS, RADIX

# Times in seconds; logs are sums of log amounts in steps of 1/64; 0 is no fraud.
S_COUNT, S_KNOWN, S_FRAUDS, S_FIRST, S_LAST, S_FIRST_FRAUD, S_LAST_FRAUD, S_LOGS = range(8)
COUNTERS = 8
SUMMARY_WORDS = COUNTERS + CODE
PYRAMID_BYTES = LEVELS * RADIX * SUMMARY_WORDS * 4
U32_MAX = 4_294_967_295


@compiled
def held(words: Words, level: int) -> int:
    """Return how many summaries a level holds."""
    count = 0
    for slot in range(RADIX):
        count += words[(level * RADIX + slot) * SUMMARY_WORDS + S_COUNT] > 0
    return count


@compiled
def place_of(words: Words, paid: int) -> int:
    """Return the first word of the summary that covers a payment's second, -1 while there is none.

    It is the oldest whose last second is not before it, otherwise the newest.
    """
    newest = -1
    for level in range(LEVELS - 1, -1, -1):
        for slot in range(RADIX):
            begin = (level * RADIX + slot) * SUMMARY_WORDS
            if words[begin + S_COUNT] == 0:
                continue
            newest = begin
            if signed(words[begin + S_LAST]) >= paid:
                return begin
    return newest


@compiled
def count_verdict(words: Words, paid: int, known: int, frauds: int) -> None:
    """Add a verdict to the summary that covers its payment; negative numbers take a replaced one out."""
    begin = place_of(words, paid)
    if begin < 0:
        return
    words[begin + S_KNOWN] = max(signed(words[begin + S_KNOWN]) + known, 0)
    words[begin + S_FRAUDS] = max(signed(words[begin + S_FRAUDS]) + frauds, 0)
    if frauds > 0:
        first = signed(words[begin + S_FIRST_FRAUD])
        words[begin + S_FIRST_FRAUD] = min(first, paid) if first else paid
        words[begin + S_LAST_FRAUD] = max(signed(words[begin + S_LAST_FRAUD]), paid)
    elif words[begin + S_FRAUDS] == 0:
        words[begin + S_FIRST_FRAUD], words[begin + S_LAST_FRAUD] = 0, 0


@compiled
def newest_second(words: Words) -> int:
    """Return the last second that the pyramid covers, 0 while it is empty."""
    for level in range(LEVELS):
        for slot in range(RADIX - 1, -1, -1):
            begin = (level * RADIX + slot) * SUMMARY_WORDS
            if words[begin + S_COUNT]:
                return signed(words[begin + S_LAST])
    return 0


@compiled
def insert_summary(words: Words, summary: Words) -> None:
    """Append a summary to the lowest level, making room level by level."""
    top = 0
    while top < LEVELS - 1 and held(words, top) == RADIX:
        top += 1
    if held(words, top) == RADIX:
        merged = merge(words, top)
        clear_level(words, top)
        append_summary(words, top, merged)
    for level in range(top - 1, -1, -1):
        merged = merge(words, level)
        clear_level(words, level)
        append_summary(words, level + 1, merged)
    append_summary(words, 0, summary)


@compiled
def append_summary(words: Words, level: int, summary: Words) -> None:
    """Put a summary behind those of a level that has room."""
    begin = (level * RADIX + held(words, level)) * SUMMARY_WORDS
    words[begin : begin + SUMMARY_WORDS] = summary


@compiled
def clear_level(words: Words, level: int) -> None:
    """Empty a level."""
    words[level * RADIX * SUMMARY_WORDS : (level + 1) * RADIX * SUMMARY_WORDS] = 0


@compiled
def merge(words: Words, level: int) -> Words:
    """Return the 4 summaries of a full level as one."""
    merged = np.zeros(SUMMARY_WORDS, np.uint32)
    parts = words[level * RADIX * SUMMARY_WORDS : (level + 1) * RADIX * SUMMARY_WORDS].reshape(RADIX, SUMMARY_WORDS)
    count, known, frauds, logs, first_fraud, last_fraud = 0, 0, 0, 0, 0, 0
    for slot in range(RADIX):
        part = parts[slot]
        count += signed(part[S_COUNT])
        known += signed(part[S_KNOWN])
        frauds += signed(part[S_FRAUDS])
        logs += signed(part[S_LOGS])
        early = signed(part[S_FIRST_FRAUD])
        if early:
            first_fraud = min(first_fraud, early) if first_fraud else early
        last_fraud = max(last_fraud, signed(part[S_LAST_FRAUD]))
    merged[S_COUNT], merged[S_KNOWN], merged[S_FRAUDS] = min(count, U32_MAX), known, frauds
    merged[S_FIRST], merged[S_LAST] = parts[0, S_FIRST], parts[RADIX - 1, S_LAST]
    merged[S_FIRST_FRAUD], merged[S_LAST_FRAUD], merged[S_LOGS] = first_fraud, last_fraud, min(logs, U32_MAX)
    merge_codes(parts, count, merged[COUNTERS:].view(np.float32))
    return merged


@compiled
def merge_codes(parts: Words, count: int, merged: Floats) -> None:
    """Merge the codes of 4 summaries: count-weighted mean (in double) of the first half, maximum of the second."""
    for component in range(CODE):
        total, most = 0.0, -np.inf
        for slot in range(RADIX):
            value = float(parts[slot, COUNTERS + component : COUNTERS + component + 1].view(np.float32)[0])
            total += signed(parts[slot, S_COUNT]) * value
            most = max(most, value)
        merged[component] = total / count if component < MEANS else most
