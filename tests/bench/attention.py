"""Time, peak memory and state of attention over a history, by its length: full, fused, cached, blocks, streaming.

    python -m tests.bench.attention [--lengths 100,300,...] [--rounds N]

One thread, float32, d = 64, 4 heads, 2 layers; every way is measured in turn, round after round, and medians of the
thread's processor time are shown, for the machine is shared (wall time is in the JSON). "anew" encodes the whole
history for one answer, "an event" absorbs one event and answers one query, the encoding of every 16th event's block
included; streaming keeps and reads the history rows that serve. Peak memory is the rise of the resident set in a
process of its own. Naive attention at 10,000 needs 6 GiB.

The batch form ("blocks, anew") is for training and tests, where it loses to fused SDPA below the length that is printed
last. There is no switch to full attention there: it would be another function with other weights, and nothing that is
served encodes a history anew; the streaming form costs the same at every length.
"""

import argparse
import ctypes
import gc
import io
import json
import multiprocessing
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from features.state import events as ev
from features.state.history import HISTORY_BYTES
from features.state.tokens import QUERY_FIELDS
from fraud.core import tokens as tk
from models.tgn.batch import Events, History, Queries, Verdicts, attend
from models.tgn.reading import HierarchicalAttention
from tests.bench.attention_full import Full
from tests.live_rows import SECOND, START, LiveRow, events_of, made

LENGTHS = [100, 300, 1_000, 3_000, 10_000]
EVENTS = 64
"""Events a streaming way is timed over: 4 blocks, so that encoding and pushing take their share."""
STREAMED = 5
"""So many times, for they take a few milliseconds in all."""
NAMES = ("naive", "fused", "fused_last", "blocks", "kv", "stream")
TITLES = {
    "naive": "naive, anew", "fused": "fused SDPA, anew", "fused_last": "fused, last row", "blocks": "blocks, anew",
    "kv": "KV cache, an event", "stream": "streaming, an event",
}  # fmt: skip
ASKED = {
    "blocks_time_of_fused": (True, 0.3), "blocks_peak_minus_fused_mib": (True, 0),
    "stream_faster_than_fused": (False, 5_000), "stream_faster_than_kv": (False, 1),
    "stream_state_less_than_kv": (False, 100),
}  # fmt: skip
"""What is asked for at length 10,000: whether at most or at least, and the figure."""
Way = Callable[[], object]


def served(module: nn.Module, *args: Tensor) -> Callable[..., Any]:
    """Return a module run by ONNX Runtime on one thread."""
    file: Any = io.BytesIO()
    names = [f"input_{i}" for i in range(len(args))]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        axes = {name: {0: "batch"} for name in names}
        torch.onnx.export(module, args, file, dynamo=False, opset_version=17, input_names=names, dynamic_axes=axes)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(file.getvalue(), options)
    return lambda *arrays: session.run(None, dict(zip(names, arrays, strict=True)))[0]


class Stream(NamedTuple):
    """The streaming form as it is served: a live row, and the network over its tokens."""

    row: LiveRow
    answer: Callable[..., Any]

    def query(self, asked: NDArray[np.int64], static: NDArray[np.float32]) -> object:
        """Return what a query finds."""
        return self.answer(static[None], *self.row.read(asked))


def stream_of(net: HierarchicalAttention) -> Stream:
    """Return the streaming form, run by ONNX Runtime."""
    shapes = (tk.RAW, tk.RAW_COLUMNS), (tk.SUMS, tk.SUM_COLUMNS), (tk.SUMS, tk.CODE)
    encode = served(net.encoder, torch.rand(2, tk.BLOCK, tk.STATIC))
    answer = served(net, torch.rand(2, tk.STATIC), *(torch.rand(2, *shape) for shape in shapes))
    return Stream(LiveRow(encode), answer)


def fields_of(n: int) -> NDArray[np.int64]:
    """Return n events an hour apart, and those that a streaming way is timed over."""
    fields, _ = made(np.random.default_rng(n), n + EVENTS)
    fields[:, ev.R_AT] = START + np.arange(n + EVENTS) * 3_600 * SECOND
    return fields


def history_of(events: Events, n: int) -> History:
    """Return the first n events with a verdict on every 20th, 400 events late."""
    event = np.arange(0, max(n - 400, 0), 20)
    known, none = event + 400, np.zeros(len(event), np.bool_)
    verdicts = Verdicts(event, event % 100 == 0, none, events.at[known], known, events.static[event])
    return History(Events._make(part[:n] for part in events), verdicts)


class Subject:
    """All ways at one length."""

    def __init__(self, full: Full, net: HierarchicalAttention, stream: Stream, n: int) -> None:
        self.full, self.net, self.stream, self.n = full, net, stream, n
        self.fields = fields_of(n)
        self.events = events_of(self.fields)
        self.history = history_of(self.events, n)
        self.static = torch.from_numpy(self.events.static)
        self.asked = np.zeros(QUERY_FIELDS, np.int64)

    def fill(self) -> None:
        """Bring the cache and the stream to the length."""
        self.full.fill(self.static[: self.n])
        self.stream.row.row[:] = 0
        for event in self.fields[: self.n]:
            self.stream.row.absorb(event)
        self.kept = self.stream.row.row.copy()

    def naive(self) -> object:
        return self.full.encode(self.static[: self.n], "naive")

    def fused(self) -> object:
        return self.full.encode(self.static[: self.n], "fused")

    def fused_last(self) -> object:
        return self.full.encode(self.static[: self.n], "fused_last")

    def blocks(self) -> object:
        one = np.array([self.n])
        seen = np.array([len(self.history.verdicts.event)])
        new = Events._make(part[self.n : self.n + 1] for part in self.events)
        query = Queries(one, seen, new.at, new.log, new.other, new.mcc, new.text, new.static)
        return attend(self.net, self.history, query)

    def kv(self) -> object:
        return [self.full.step(self.static[self.n + i], self.n + i) for i in range(EVENTS)]

    def stream_(self) -> object:
        stream, answers = self.stream, []
        for i in range(self.n, self.n + EVENTS):
            self.asked[:] = [int(part[i]) for part in self.events[1:6]]
            answers.append(stream.query(self.asked, self.events.static[i]))
            stream.row.absorb(self.fields[i])
        return answers

    def way(self, name: str) -> Way:
        """Return a way to be timed."""
        if name == "stream":
            self.stream.row.row[:] = self.kept
            return self.stream_
        way: Way = getattr(self, name)
        return way


def timed(subject: Subject, name: str) -> tuple[float, float]:
    """Return wall and processor time of one result, ms."""
    repeats = {"stream": STREAMED, "kv": 1, "naive": 1}.get(name, max(1, 2_000 // subject.n))
    wall, own = time.perf_counter_ns(), time.thread_time_ns()
    for _ in range(repeats):
        subject.way(name)()
    share = repeats * (EVENTS if name in ("kv", "stream") else 1) * 1e6
    return (time.perf_counter_ns() - wall) / share, (time.thread_time_ns() - own) / share


def resident(field: str) -> int:
    """Return a size of this process by the kernel's name for it, KiB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field))


def rise(way: Way, out: Any) -> None:
    """Send by how many MiB the resident set rises above what it is, at its peak."""
    gc.collect()
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")  # forgets the peak so far
    before = resident("VmRSS")
    way()
    out.send((resident("VmHWM") - before) / 1024)


def peak(way: Way) -> float:
    """Return the peak of memory of a way, MiB, in a forked process."""
    here, there = multiprocessing.get_context("fork").Pipe()
    child = multiprocessing.get_context("fork").Process(target=rise, args=(way, there))
    child.start()
    value = float(here.recv())
    child.join()
    return value


def measured(subject: Subject, rounds: int) -> list[dict[str, Any]]:
    """Return a line a way at one length."""
    subject.fill()
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in NAMES}
    for number in range(rounds + 1):
        for name in NAMES:
            if name != "naive" or subject.n < 5_000 or number < 3:
                times[name].append(timed(subject, name))
    state = {"kv": 2 * 2 * 64 * 4 * subject.n, "stream": HISTORY_BYTES}
    lines = []
    for name in NAMES:
        wall, own = np.median(times[name][1:], axis=0)
        lines.append({
            "length": subject.n, "way": name, "ms": float(wall), "cpu_ms": float(own),
            "peak_mib": round(peak(subject.way(name)), 2), "state": state.get(name, 4 * tk.STATIC * subject.n),
        })  # fmt: skip
    return lines


def check(subject: Subject) -> None:
    """Hold the ways to each other before they are timed."""
    subject.fill()
    three = [subject.full.encode(subject.static[: subject.n], how) for how in ("naive", "fused", "fused_last")]
    torch.testing.assert_close(three[0], three[1], atol=1e-5, rtol=0)
    torch.testing.assert_close(three[0], three[2], atol=1e-5, rtol=0)
    subject.full.fill(subject.static[: subject.n - 1])
    step = subject.full.step(subject.static[subject.n - 1], subject.n - 1)
    torch.testing.assert_close(step, three[0], atol=1e-5, rtol=0)


def show(lines: list[dict[str, Any]]) -> None:
    """Print a length's table: times, and each of them against fused SDPA."""
    fused = next(line for line in lines if line["way"] == "fused")
    for line in lines:
        print(
            f"{line['length']:>8,} {TITLES[line['way']]:>20} {line['cpu_ms']:>12.4f}"
            f" {line['cpu_ms'] / fused['cpu_ms']:>12.5f} {fused['cpu_ms'] / line['cpu_ms']:>10,.1f}"
            f" {line['peak_mib']:>10,.1f} {line['state']:>12,}",
            flush=True,
        )


def targets(lines: list[dict[str, Any]]) -> dict[str, float]:
    """Return the figures that are asked for at the longest length."""
    by = {line["way"]: line for line in lines}
    ms = {name: line["cpu_ms"] for name, line in by.items()}
    return {
        "blocks_time_of_fused": ms["blocks"] / ms["fused"],
        "blocks_time_of_fused_last": ms["blocks"] / ms["fused_last"],
        "blocks_peak_minus_fused_mib": by["blocks"]["peak_mib"] - by["fused"]["peak_mib"],
        "stream_faster_than_fused": ms["fused"] / ms["stream"],
        "stream_faster_than_kv": ms["kv"] / ms["stream"],
        "stream_state_less_than_kv": by["kv"]["state"] / by["stream"]["state"],
    }


def crossing(lines: list[dict[str, Any]]) -> float:
    """Return the length from which on blocks are faster than fused SDPA, interpolated; 0 if at all, inf if at none."""
    ms = {name: [line["cpu_ms"] for line in lines if line["way"] == name] for name in ("blocks", "fused")}
    lengths = np.log(sorted({line["length"] for line in lines}))
    ahead = np.log(ms["blocks"]) - np.log(ms["fused"])  # falls as histories get longer
    if (ahead > 0).all():
        return float("inf")
    return 0.0 if (ahead <= 0).all() else float(np.exp(np.interp(0, -ahead, lengths)))


def judge(found: dict[str, float]) -> None:
    """Print the figures at the longest length beside what is asked for at 10,000."""
    for name, figure in found.items():
        if name not in ASKED:
            print(f"{name:>30} {figure:>10,.3f}")
            continue
        most, limit = ASKED[name]
        met = figure <= limit if most else figure >= limit
        print(f"{name:>30} {figure:>10,.3f}  at {'most' if most else 'least'} {limit:,g}: {'met' if met else 'MISSED'}")


def arguments() -> argparse.Namespace:
    """Return the command's options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lengths", type=lambda text: [int(part) for part in text.split(",")], default=LENGTHS)
    parser.add_argument("--rounds", type=int, default=7)
    return parser.parse_args()


@torch.inference_mode()
def main() -> None:
    """Measure every length and print the table."""
    given = arguments()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    full, net = Full().eval(), HierarchicalAttention().eval()
    stream = stream_of(net)
    check(Subject(full, net, stream, 300))
    head = (
        ("length", 8),
        ("way", 20),
        ("cpu ms", 12),
        ("of fused", 12),
        ("x faster", 10),
        ("peak MiB", 10),
        ("state", 12),
    )
    print(" ".join(f"{name:>{width}}" for name, width in head))
    lines = []
    for n in given.lengths:
        last = measured(Subject(full, net, stream, n), given.rounds)
        show(last)
        lines += last
    judge(targets(last))
    print(f"blocks are faster than fused SDPA from length {crossing(lines):,.0f} on")
    print(json.dumps({"threads": 1, "lines": lines, "at_longest": targets(last), "crossing": crossing(lines)}))


if __name__ == "__main__":
    main()
