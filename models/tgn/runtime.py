"""The temporal graph network as it is served: ONNX Runtime on one thread, three graphs, nothing of torch.

`near` reads the event and the memories of card and merchant (exit 1), `far` adds the device's to what `near` has made
(exit 2), `encode` turns a closed block into its code. All three are exported from the module that was trained, and a
test holds them to it.
"""

import hashlib
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fraud.core.errors import ArtifactError
from fraud.core.ports import Matrix, Tokens
from fraud.core.tokens import CODE
from models.boosting.codes import codes_in
from models.registry import Arrays

F32 = NDArray[np.float32]
NEAR, FAR, ENCODE = "onnx_near", "onnx_far", "onnx_encode"
COLUMNS = "query_columns"
ROWS, HISTORIES = "rows", "histories"
"""What a graph calls the first axis of its inputs: as many rows as the batch, or one for all of them."""


class Near(NamedTuple):
    """What exit 1 gives: log-odds, float32 (rows,), and the latents that exit 2 reads on, (rows, latents, width)."""

    logit: F32
    latents: F32


class Network:
    """The network's graphs, ready to run. A row's numbers do not depend, in any bit, on the other rows of its batch.

    One row is run as two: for a single one the runtime multiplies by another routine, which adds in another order. What
    is read of its histories is given once for both, where only products of many tokens depend on it.
    """

    def __init__(self, arrays: Arrays) -> None:
        """Load the graphs of an artifact; raise ArtifactError when one is missing or damaged."""
        self._near, self._encode = session(arrays, NEAR), session(arrays, ENCODE)
        self._far = session(arrays, FAR) if FAR in arrays else None
        self._near_rows = by_row(self._near)
        self._far_rows = frozenset[str]() if self._far is None else by_row(self._far)
        self._columns: NDArray[np.int64] = np.asarray(arrays[COLUMNS], dtype=np.int64)
        self._codes = codes_in(arrays)
        self._asks_text = any(given.name == "text" for given in self._near.get_inputs())
        self.encoder = encoder_version(arrays)
        """The version of the block encoder: codes under it stand for no other."""

    @property
    def sides(self) -> int:
        """Return how many entities it reads: 2 (card, merchant) or 3 (device too)."""
        return 2 if self._far is None else 3

    @property
    def columns(self) -> NDArray[np.int64]:
        """Return the places of the query's features in the vector."""
        return self._columns

    def near(self, matrix: Matrix, tokens: Tokens) -> Near:
        """Return exit 1 of rows: `matrix` (rows, features), tokens of at least two sides."""
        asked = np.ascontiguousarray(self._codes.applied(matrix)[:, self._columns])
        feeds: dict[str, Any] = {"x": asked, **memory(tokens, slice(0, 2))}
        if self._asks_text:
            feeds["text"] = tokens.text
        logit, latents = self._near.run(None, at_least_two(feeds, self._near_rows))
        return Near(logit[: len(matrix)], latents[: len(matrix)])

    def far(self, latents: F32, tokens: Tokens) -> F32:
        """Return exit 2's log-odds, float32 (rows,), of exit 1's latents and tokens of three sides."""
        if self._far is None:
            message = "this network has two sides: there is no exit 2"
            raise ArtifactError(message)
        logit: F32 = self._far.run(None, at_least_two({"latents": latents, **memory(tokens, 2)}, self._far_rows))[0]
        return logit[: len(latents)]

    def last(self, matrix: Matrix, tokens: Tokens) -> F32:
        """Return the log-odds of the deepest exit, float32 (rows,)."""
        near = self.near(matrix, tokens)
        return near.logit if self._far is None else self.far(near.latents, tokens)

    def encode(self, blocks: F32) -> F32:
        """Return codes (N, CODE) of closed blocks (N, BLOCK, STATIC).

        One block at a time: a code becomes state, and state must not depend on what else closed in the same batch.
        """
        codes = np.empty((len(blocks), CODE), np.float32)
        for number in range(len(blocks)):
            codes[number] = self._encode.run(None, {"blocks": blocks[number : number + 1]})[0][0]
        return codes


def encoder_version(arrays: Arrays) -> str:
    """Return the version of an artifact's block encoder, a hash of its graph."""
    return hashlib.sha256(np.asarray(arrays[ENCODE]).tobytes()).hexdigest()[:12]


def at_least_two(feeds: dict[str, Any], rows: frozenset[str]) -> dict[str, Any]:
    """Return the feeds, a single row of those in `rows` twice; of others one does for both."""
    if len(next(iter(feeds.values()))) != 1:
        return feeds
    return {name: np.concatenate([part, part]) if name in rows else part for name, part in feeds.items()}


def by_row(graph: Any) -> frozenset[str]:
    """Return a graph's inputs that take a row for each row of the batch, whatever it is: older graphs' all do."""
    return frozenset(given.name for given in graph.get_inputs() if given.shape[0] == ROWS)


def memory(tokens: Tokens, sides: Any) -> dict[str, F32]:
    """Return the feeds of some sides' tokens."""
    parts = {"raw": tokens.raw, "sums": tokens.sums, "codes": tokens.codes}
    return {name: np.ascontiguousarray(part[:, sides]) for name, part in parts.items()}


def session(arrays: Arrays, name: str) -> Any:
    """Return an ONNX Runtime session of one thread that does not spin: a worker shares its cores."""
    import onnxruntime

    if name not in arrays:
        message = f"The artifact holds no graph '{name}'; train it again."
        raise ArtifactError(message)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    graph = np.asarray(arrays[name]).tobytes()
    try:
        return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        message = f"The artifact's graph '{name}' cannot be loaded ({error}); train it again."
        raise ArtifactError(message) from error
