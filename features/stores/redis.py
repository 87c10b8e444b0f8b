"""The shared state store: rows in Redis, one round trip in and one out a batch.

A row is a hash (`r` its bytes, and the highest offset applied of each partition), an answer a string; an entity's
pairs share its slot. Rows are changed inside Redis by `functions.lua`, by increments and in one step with their mark,
so that several workers write one merchant and nothing is applied twice. First answers are written before anything
else, each with the changes that it absorbs: whoever reads a transaction again finds its answer and completes exactly
what the first attempt began.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec

from features.state import layout as at
from features.state.history import HISTORY_VERSION
from features.state.layout import LAYOUT_VERSION
from features.state.tables import card_key, trimmed
from features.stores.client import CLUSTER, CLUSTER_TLS, RunIds, connect, results
from features.stores.redis_set import ROW, Keys, RedisSet, decode, is_pair, plain, small, stored, take, touched
from fraud.core.errors import StateError
from fraud.core.ports import Encoder, WorkingSet
from fraud.core.records import (
    DAY,
    MINUTE,
    Answer,
    Arrival,
)

FUNCTIONS = Path(__file__).with_name("functions.lua")
LIBRARY = f"fraud{LAYOUT_VERSION}"
HISTORIES = Path(__file__).with_name("histories.lua")
HISTORY_LIBRARY = f"fraudh{HISTORY_VERSION}"
MOST_TRIES = 1_000
RETRY_HORIZON = 15 * MINUTE
KEEP = 180 * DAY
# Answers whose commit is awaited: 20 s at 5,000 a second, while commits follow within a second.
UNSETTLED = 100_000
AT_ONCE = 256


class RedisStore:
    """The StateStore port on Redis 7 or later, or Valkey; one node or a cluster."""

    def __init__(
        self,
        url: str,
        *,
        timeout: float = 1.0,
        retry_horizon: int = RETRY_HORIZON,
        keep: int = KEEP,
        namespace: str = "fraud",
        at_once: bool = True,
    ) -> None:
        """Connect and load the functions, or, unless `at_once`, leave that to the first `reopen`.

        `timeout` is in seconds; a retry of a transaction finds its answer for `retry_horizon` ns after its commit, a
        row that nothing touches is dropped after `keep` ns.

        Raises:
            SettingsError: when `url` is no address, lacks the password, or leads to a Redis before 7.0.
            StoreUnavailableError: when nothing answers there.
            StateError: when what answers refuses the functions.
        """
        self._url, self._timeout, self._keys = url, timeout, Keys(namespace)
        self._horizon_ms, self._keep_ms = retry_horizon // 1_000_000, keep // 1_000_000
        self._cluster = url.startswith((CLUSTER, CLUSTER_TLS))
        self._ids = RunIds()
        self._small: dict[tuple[str, int], bytes] = {}
        self._client: Any = None
        self.birth = ""
        if at_once:
            self.reopen()

    def reopen(self) -> None:
        """Connect again, to whatever life the server is in now; raise StoreUnavailableError while nothing answers."""
        self._ids.forget()
        if self._client is not None:
            self._client.close()
        self._client = connect(self._url, self._timeout, self._ids)
        for where in self._everywhere():
            self._load_functions(where, FUNCTIONS, LIBRARY)
            self._load_functions(where, HISTORIES, HISTORY_LIBRARY)
        self.birth = self._born()

    def wait_for(self, seconds: float) -> None:
        """Give the servers so long for each answer, from now on; a restart meanwhile is noticed as ever."""
        self._timeout = seconds
        self.close()
        self._client = connect(self._url, seconds, self._ids)

    @property
    def life(self) -> str:
        """Return what names the life that the servers are in: another one may have lost what was last."""
        return self._ids.lives()

    def _born(self) -> str:
        """Return the name that this state was given when it was empty: another one means that all was lost."""
        seconds, microseconds = self._ask("TIME", **self._everywhere()[0])
        name = f"{int(seconds)}.{int(microseconds):06d}"
        held = results(lambda: [self._client.set(self._keys.birth, name, nx=True, get=True)])[0]
        return held.decode() if held else name

    def take_over(self, birth: str) -> None:
        """Take the name of a state that this one was made from, because it holds the same."""
        self._ask("SET", self._keys.birth, birth)
        self.birth = birth

    def _everywhere(self) -> list[dict[str, Any]]:
        """Return what sends a command to each server that holds data: one, or a cluster's primaries."""
        return [{"target_nodes": node} for node in self._client.get_primaries()] if self._cluster else [{}]

    def _load_functions(self, where: dict[str, Any], file: Path, library: str) -> None:
        code = file.read_text()
        held = self._ask("FUNCTION LIST", "LIBRARYNAME", library, "WITHCODE", **where)
        if not holds(held, code.encode()):
            self._ask("FUNCTION LOAD", "REPLACE", code, **where)

    def _ask(self, *words: Any, **where: Any) -> Any:
        return results(lambda: [self._client.execute_command(*words, **where)])[0]

    def close(self) -> None:
        """Release the connections; a second call does nothing."""
        if self._client is not None:
            self._client.close()

    # ---- a batch

    def read(self, batch: Sequence[Arrival], encoder: Encoder | None = None) -> RedisSet:
        """Read all that the batch can touch, in one round trip: rows, marks, first answers, histories of an encoder."""
        entities, pairs, answers = touched(batch)
        past = {self._keys.history(key, encoder.encoder): key for key in entities} if encoder is not None else {}
        rows = {self._keys.row(key): key for key in entities}
        pair_rows = {self._keys.pair(key): key for key in pairs}
        pipe = self._client.pipeline(transaction=False)
        for row in (*rows, *pair_rows, *past):
            pipe.hgetall(row)
        for tx_id, version in answers:
            pipe.get(self._keys.answer(tx_id, version))
        found = iter(results(lambda: pipe.execute(raise_on_error=False)) if entities else ())
        work = RedisSet(self._keys, max(len(entities), 1), encoder)
        for table, keys in ((work.entities, rows), (work.pairs, pair_rows)):
            for row, key in keys.items():
                take(work, table, key, row, next(found))
        for row, key in past.items():
            work.take_history(row, key, next(found))
        for answer in answers:
            if (value := next(found)) is not None:
                work.found[answer] = decode(value)
        return work

    def write(self, work: WorkingSet, answers: Sequence[Answer]) -> list[Answer]:
        """Store first answers, then changes, in one round trip; return the winning answers, in order."""
        if not isinstance(work, RedisSet):
            msg = f"a {type(work).__name__} was not read from this store"
            raise TypeError(msg)
        new = [answer for answer in answers if self._is_new(work, answer)]
        pipe = self._client.pipeline(transaction=False)
        for answer in new:
            key = self._keys.answer(answer.decision.tx_id, answer.decision.version)
            pipe.set(key, stored(answer, work.changes.get(answer.position, ())), nx=True, get=True)
        earlier: list[Any] = []
        if self._cluster and new:
            earlier = results(lambda: pipe.execute(raise_on_error=False))
            pipe = self._client.pipeline(transaction=False)
        self._change(pipe, work)
        rewrites = self._histories(pipe, work)
        found = results(lambda: pipe.execute(raise_on_error=False)) if len(pipe) else []
        done = found[len(found) - len(rewrites) :]
        self._write_again(work, [row for row, written in zip(rewrites, done, strict=True) if not written])
        return self._winners(work, answers, new, (earlier or found)[: len(new)])

    def _histories(self, pipe: Any, work: RedisSet, rows: Sequence[str] | None = None) -> Sequence[str]:
        """Send the histories that were changed, or some of them; return which, in the order of their results."""
        if work.history_set is None:
            return ()
        chosen = work.history_set.changed() if rows is None else rows
        for row in chosen:
            pipe.execute_command("FCALL", f"{HISTORY_LIBRARY}_set", 1, row, self._keep_ms, *work.history_set.words(row))
        return chosen

    def _write_again(self, work: RedisSet, rows: Sequence[str]) -> None:
        """Make the changes of some histories anew, on what others have written meanwhile, until they are in.

        Somebody gets a row in at every try, so this ends; who is refused so often meets a fault.
        """
        tries = 0
        while rows and work.history_set is not None:
            if (tries := tries + 1) > MOST_TRIES:
                msg = f"history {rows[0]} was refused {MOST_TRIES} times: is its version counter 'n' written by others?"
                raise StateError(msg)
            found = self._each(rows, lambda pipe, row: pipe.hgetall(row))
            for row, held in zip(rows, found, strict=True):
                work.history_set.take(row, work.history_set.held[row].key, held)
            work.history_set.again(rows)
            pipe = self._client.pipeline(transaction=False)
            self._histories(pipe, work, rows)
            done = results(partial(pipe.execute, raise_on_error=False))
            rows = [row for row, written in zip(rows, done, strict=True) if not written]

    def _is_new(self, work: RedisSet, answer: Answer) -> bool:
        key = answer.decision.tx_id, answer.decision.version
        return answer.repeat_of is None and key not in work.found

    def _change(self, pipe: Any, work: RedisSet) -> None:
        for row, units in work.rows.units.items():
            size = at.PAIR_BYTES if is_pair(row) else at.ENTITY_BYTES
            words: list[Any] = [size, self._keep_ms, work.rows.versions.get(row, b"0"), work.rows.made(row)]
            for unit in units:
                words += [unit.field, unit.offset, len(unit.words) // 2, *unit.words]
            pipe.execute_command("FCALL", f"{LIBRARY}_set", 1, row, *words)
        if work.rows.reached:
            flat = [word for item in work.rows.reached.items() for word in item]
            pipe.execute_command("FCALL", f"{LIBRARY}_note", 1, self._keys.marks, *flat)

    def _winners(
        self, work: RedisSet, answers: Sequence[Answer], new: Sequence[Answer], earlier: Sequence[Any]
    ) -> list[Answer]:
        """Return what is to be published: where somebody else was first, that answer under our position."""
        firsts = {id(answer): value for answer, value in zip(new, earlier, strict=True) if value is not None}
        winners = []
        for answer in answers:
            if id(answer) in firsts:
                first = decode(firsts[id(answer)]).answer
                repeat_of = None if first.position == answer.position else first.position
                position, headers = answer.position, answer.headers
                answer = msgspec.structs.replace(first, position=position, headers=headers, repeat_of=repeat_of)
            if answer.repeat_of is None:
                self._remember(answer)
            winners.append(answer)
        return winners

    def _remember(self, answer: Answer) -> None:
        """Keep what is left of an answer once it is settled; of one that another worker settles nobody asks here."""
        self._small[answer.decision.tx_id, answer.decision.version] = small(answer)
        if len(self._small) > UNSETTLED:
            del self._small[next(iter(self._small))]

    # ---- first answers over time

    def put_answers(self, answers: Sequence[Answer]) -> None:
        """Make published answers the first ones again, where a restart has lost or changed them."""
        if not answers:
            return
        keys = [self._keys.answer(answer.decision.tx_id, answer.decision.version) for answer in answers]
        pipe = self._client.pipeline(transaction=False)
        for key in keys:
            pipe.get(key)
        held = results(lambda: pipe.execute(raise_on_error=False))
        pipe = self._client.pipeline(transaction=False)
        for key, answer, value in zip(keys, answers, held, strict=True):
            first = decode(value) if value is not None else None
            if first is None or first.decision != answer.decision:
                # What the first attempt began to absorb is completed, whatever was published.
                begun = first.changes if first is not None and first.position == answer.position else ()
                pipe.set(key, stored(answer, begun))
            self._remember(answer)
        results(lambda: pipe.execute(raise_on_error=False))

    def settle(self, answers: Sequence[tuple[str, int]]) -> None:
        """Shrink committed first answers to what a retry needs, and let them go after the retry horizon."""
        if not answers or not self._horizon_ms:
            return
        pipe = self._client.pipeline(transaction=False)
        for tx_id, version in answers:
            value = self._small.pop((tx_id, version), None)
            if value is None:
                pipe.pexpire(self._keys.answer(tx_id, version), self._horizon_ms)
            else:
                pipe.set(self._keys.answer(tx_id, version), value, px=self._horizon_ms, xx=True)
        results(lambda: pipe.execute(raise_on_error=False))

    # ---- administration

    def applied_offsets(self) -> dict[tuple[str, int], int]:
        """Return the highest offset applied for each (topic, partition)."""
        held = self._marks()
        found = {}
        for field, offset in held.items():
            topic, _, partition = field.decode().rpartition(":")
            found[topic, int(partition)] = int(offset)
        return found

    def faults(self) -> list[str]:
        """Return why the servers cannot keep the store's promise, a sentence each; empty when they can."""
        return [fault for where in self._everywhere() for fault in faults_of(self._info(where))]

    def _info(self, where: dict[str, Any]) -> dict[str, Any]:
        found = self._ask("INFO", **where)
        return next(iter(found.values())) if "redis_version" not in found else dict(found)

    def _marks(self) -> dict[bytes, bytes]:
        return dict(results(lambda: [self._client.hgetall(self._keys.marks)])[0])

    def forget(self, card: str) -> int:
        """Erase a card, its pairs and its histories; return how many records went. It looks through the whole store."""
        mine = self._keys.row(card_key(card)).encode()
        found = self._scan(mine.decode())
        return self._delete([key for key in found if key == mine or key.startswith((mine + b":", mine + b"#"))])

    def snapshot(self) -> bytes:
        """Return the whole state, marks included: a copy for another server. Redis keeps its own on disk."""
        start = len(self._keys.prefix.encode())
        rows, answers = self._scan(self._keys.rows), self._scan(self._keys.answers)
        fields = self._each(rows, lambda pipe, key: pipe.hgetall(key))
        values = self._each(answers, lambda pipe, key: pipe.get(key))
        lives = self._each(answers, lambda pipe, key: pipe.pttl(key))
        # What has gone since it was listed is no part of the state.
        held = [(key[start:], row) for key, row in zip(rows, fields, strict=True) if row]
        given = zip(answers, values, lives, strict=True)
        kept = [(key[start:], value, max(life, 0)) for key, value, life in given if value is not None]
        return msgspec.msgpack.encode((LAYOUT_VERSION, held, self._marks(), kept))

    def restore(self, snapshot: bytes) -> None:
        """Replace the whole state; raise StateError when it was written under another layout."""
        try:
            layout, rows, marks, answers = msgspec.msgpack.decode(snapshot)
        except (msgspec.DecodeError, ValueError) as error:
            msg = f"snapshot of {len(snapshot)} bytes cannot be read ({error}): rebuild with 'fraud state rebuild'"
            raise StateError(msg) from error
        if layout != LAYOUT_VERSION:
            msg = f"snapshot has layout {layout!r}, expected {LAYOUT_VERSION!r}: rebuild with 'fraud state rebuild'"
            raise StateError(msg)
        self.clear()
        prefix = self._keys.prefix.encode()
        self._each(rows, lambda pipe, row: pipe.hset(prefix + row[0], mapping=row[1]))
        self._each(answers, lambda pipe, kept: pipe.set(prefix + kept[0], kept[1], px=kept[2] or None))
        if marks:
            results(lambda: [self._client.hset(self._keys.marks, mapping=marks)])

    # ---- histories of another encoder

    def pointer(self) -> bytes:
        """Return what names the model in use and its histories, as it was last set; empty when it never was."""
        return bytes(self._ask("GET", self._keys.pointer) or b"")

    def point(self, to: bytes, encoder: str) -> None:
        """Set the pointer: the histories of its encoder are complete."""
        self._ask("SET", self._keys.pointer, to)
        self._ask("DEL", self._keys.building + encoder)

    def begin_histories(self, encoder: str, *, unused: bool) -> None:
        """Make room for the histories of an encoder, erasing what an earlier attempt has left, or an `unused` one.

        Raises:
            StateError: when there are some that somebody may use.
        """
        mine = f"#{HISTORY_VERSION}:{plain(encoder)}".encode()
        held = [key for key in self._scan(self._keys.rows) if key.endswith(mine)]
        if held and not unused and not self._ask("EXISTS", self._keys.building + encoder):
            msg = f"the store holds histories of encoder {encoder}: those who use it keep them, nothing is to be done"
            raise StateError(msg)
        self._ask("SET", self._keys.building + encoder, "1")
        self._delete(held)

    def put_histories(self, encoder: str, rows: Iterable[tuple[str, bytes]], marks: Mapping[str, int]) -> int:
        """Set histories that nobody else writes yet, each with the offset of every partition that it holds."""
        count = 0
        rows = iter(rows)
        while some := list(islice(rows, AT_ONCE)):
            named = [(self._keys.history(key, encoder), row) for key, row in some]
            self._each(named, lambda pipe, one: pipe.hset(one[0], mapping={ROW: trimmed(one[1]), "n": 1, **marks}))
            if self._keep_ms:
                self._each(named, lambda pipe, one: pipe.pexpire(one[0], self._keep_ms))
            count += len(some)
        return count

    def clear(self) -> None:
        """Erase the whole state of this layout."""
        self._delete(self._scan(self._keys.prefix))
        self._small.clear()

    def _scan(self, start: str) -> list[bytes]:
        """Return every key that begins so, each once."""
        pattern = re.sub(r"([*?\[\]\\^-])", r"\\\1", start) + "*"
        return list(dict.fromkeys(results(lambda: list(self._client.scan_iter(match=pattern, count=1_000)))))

    def _delete(self, keys: Sequence[bytes]) -> int:
        return sum(self._each(keys, lambda pipe, key: pipe.delete(key)))

    def _each(self, items: Sequence[Any], send: Callable[[Any, Any], object]) -> list[Any]:
        """Return a command's result for every item, some hundred to a round trip."""
        found: list[Any] = []
        for begin in range(0, len(items), AT_ONCE):
            pipe = self._client.pipeline(transaction=False)
            for item in items[begin : begin + AT_ONCE]:
                send(pipe, item)
            found += results(partial(pipe.execute, raise_on_error=False))
        return found


def holds(found: Any, code: bytes) -> bool:
    """Tell whether code stands anywhere in a server's answer: lists or maps, by protocol, of each node."""
    if isinstance(found, dict):
        return any(holds(value, code) for value in found.values())
    if isinstance(found, list | tuple):
        return any(holds(value, code) for value in found)
    return bool(found == code)


def faults_of(info: Mapping[str, Any]) -> list[str]:
    """Return why a server cannot keep the store's promise, from what it says of itself."""
    faults = []
    if not info.get("aof_enabled"):
        faults.append("appendonly is off, so a restart loses the state: set appendonly yes, appendfsync everysec")
    policy = info.get("maxmemory_policy", "noeviction")
    if info.get("maxmemory") and policy != "noeviction":
        faults.append(f"maxmemory-policy is {policy}, so state is dropped silently: set noeviction")
    if info.get("role") != "master":
        faults.append(f"its role is {info.get('role')}, which takes no writes: name the primary in the store's url")
    return faults
