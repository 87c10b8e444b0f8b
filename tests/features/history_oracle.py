"""A history by the book: lists of everything, recomputed from the start whenever somebody asks."""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from features.state import history as hs
from features.state import pyramid
from fraud.core import tokens as tk

F32 = np.float32


class Event(NamedTuple):
    """A payment as one side has absorbed it; the time is in microseconds."""

    tx: int
    at: int
    amount: int


class Summary(NamedTuple):
    """What a summary must say; times in seconds."""

    events: int
    known: int
    frauds: int
    first: int
    last: int
    first_fraud: int
    last_fraud: int
    logs: int
    code: bytes


class Oracle:
    """One side's memory: events by order of absorption, verdicts by transaction, blocks as they were when pushed."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.verdicts: dict[int, bool] = {}
        self.paid: dict[int, int] = {}
        self.codes: dict[int, NDArray[np.float32]] = {}
        self.pushed: list[list[Event]] = []

    def append(self, event: Event) -> None:
        self.events.append(event)
        self.paid[event.tx] = event.at
        done = len(self.events) // tk.BLOCK - 2
        if done > len(self.pushed):
            begin = len(self.pushed) * tk.BLOCK
            self.pushed.append(self.events[begin : begin + tk.BLOCK])

    def correct(self, event: Event) -> None:
        """Replace the amount of what the ring holds; what is pushed stays as it was."""
        for place in range(len(self.events) - 1, max(len(self.events) - tk.RING, 0) - 1, -1):
            if self.events[place].tx == event.tx:
                self.events[place] = event
                return

    def window(self) -> list[Event]:
        """Return the events that are read raw, newest first."""
        return self.events[len(self.pushed) * tk.BLOCK :][::-1]

    def frauds(self) -> list[int]:
        """Return the newest known frauds, newest first."""
        known = [(self.paid[tx], np.uint64(tx & (2**64 - 1)), tx) for tx, fraud in self.verdicts.items() if fraud]
        return [tx for _, _, tx in sorted(known, reverse=True)[: tk.FRAUDS]]

    def groups(self) -> list[list[int]]:
        """Return the blocks of each summary, oldest first, level by level as the pyramid merges them."""
        levels: list[list[list[int]]] = [[] for _ in range(tk.LEVELS)]

        def push(level: int, blocks: list[int]) -> None:
            if len(levels[level]) == tk.RADIX:
                merged = [block for group in levels[level] for block in group]
                levels[level] = []
                if level + 1 < tk.LEVELS:
                    push(level + 1, merged)
                else:
                    levels[level].append(merged)
            levels[level].append(blocks)

        for block in range(len(self.pushed)):
            push(0, [block])
        return [group for level in reversed(levels) for group in level]

    def summaries(self) -> list[Summary]:
        """Return every summary, oldest first."""
        groups, lasts, firsts, now = self.groups(), [], [], 0
        for block in self.pushed:
            firsts.append(now := max(now, block[0].at // 10**6))
            lasts.append(now := max(now, *(event.at // 10**6 for event in block)))
        ends = [lasts[group[-1]] for group in groups]
        found = []
        for place, group in enumerate(groups):
            inside = [tx for tx in self.outside() if self.covering(tx, ends) == place]
            frauds = [self.paid[tx] // 10**6 for tx in inside if self.verdicts[tx]]
            logs = sum(block_logs(self.pushed[block]) for block in group)
            span = min(frauds, default=0), max(frauds, default=0)
            code = self.code(group).tobytes()
            events = tk.BLOCK * len(group)
            found.append(Summary(events, len(inside), len(frauds), firsts[group[0]], ends[place], *span, logs, code))
        return found

    def outside(self) -> list[int]:
        """Return the transactions with a verdict that are no longer read raw."""
        raw = {event.tx for event in self.window()}
        return [tx for tx in self.verdicts if tx not in raw]

    def covering(self, tx: int, ends: list[int]) -> int:
        """Return the summary whose time holds a payment."""
        paid = self.paid[tx] // 10**6
        return next((place for place, end in enumerate(ends) if paid <= end), len(ends) - 1)

    def code(self, group: list[int]) -> NDArray[np.float32]:
        """Return the code of some blocks: fours of fours, mean and maximum."""
        if len(group) == 1:
            return self.codes.get(group[0], np.zeros(tk.CODE, F32))
        parts = halves(group)
        weights = [len(part) for part in parts]
        codes = [self.code(part).astype(np.float64) for part in parts]
        means = sum(weight * code for weight, code in zip(weights, codes, strict=True)) / sum(weights)
        return np.where(np.arange(tk.CODE) < tk.MEANS, means, np.max(codes, axis=0)).astype(F32)


def halves(group: list[int]) -> list[list[int]]:
    """Return the four parts that a merged group was made of; only the top level's are of unequal size."""
    quarter = len(group) // 4
    return [group[place * quarter : (place + 1) * quarter] for place in range(4)]


def block_logs(block: list[Event]) -> int:
    """Return a block's sum of log amounts in steps of 1/64."""
    fixed = [math.floor(math.log(1.0 + event.amount) * 1_024 + 0.5) for event in block]
    return (sum(fixed) + 8) // 16


def summaries_in(row: NDArray[np.uint8]) -> list[Summary]:
    """Return what a row's pyramid holds, oldest first."""
    words = row[hs.PYRAMID_AT :].view(np.uint32).reshape(tk.LEVELS, tk.RADIX, pyramid.SUMMARY_WORDS)
    cells = [words[level, slot] for level in range(tk.LEVELS - 1, -1, -1) for slot in range(tk.RADIX)]
    return [
        Summary._make([*(int(counter) for counter in cell[:8]), cell[8:].tobytes()])
        for cell in cells
        if cell[pyramid.S_COUNT]
    ]
