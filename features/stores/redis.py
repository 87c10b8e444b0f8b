"""The shared state store: rows in Redis as logs, one round trip in and one out a batch.

A row is a base and a log of what has changed since (`rowlog/frames.py`); a reader keeps copies of rows, asks what
others have appended, and appends what it does itself. What a change means is known to the compiled loops of
`features/state` alone. First answers and changes are written in one step, so that whoever reads a transaction again
finds both or neither; on a cluster, which has no such step, answers go first, each with the changes that its
transaction makes.
"""

import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from features.state.blocks import Block, put_codes
from features.state.layout import LAYOUT_VERSION
from features.state.tables import card_key
from features.stores.rowlog import frames as fr
from features.stores.rowlog import upgrade
from features.stores.rowlog.answers import Stored, beaten, decode, lacking, lost, small, stored
from features.stores.rowlog.births import Births
from features.stores.rowlog.copies import Held
from features.stores.rowlog.filling import Given, fill
from features.stores.rowlog.keys import BASE, LIBRARY, LOG, Keys, history_end
from features.stores.rowlog.moving import Former, move, nothing
from features.stores.rowlog.owner import MIB, CacheOwner
from features.stores.rowlog.working import Appended, LogSet, Rebased, rebased, touched
from features.stores.server import Command, Server, faults_of
from fraud.core.errors import StateError
from fraud.core.identity import answer_name
from fraud.core.ports import Encoder, WorkingSet
from fraud.core.records import DAY, MINUTE, Answer, Arrival, Position

FUNCTIONS = Path(__file__).with_name("rowlog") / "functions.lua"
RETRY_HORIZON = 15 * MINUTE
KEEP = 180 * DAY
RENEWALS = 64
"""How often in its life a row that is in use has its end put off."""
CACHE = 512 * MIB
REBASE_AFTER = {True: 3_072, False: 4_096}
"""Bytes of a log, of rows that commute and of histories: some 35 and 45 changes."""
# Answers whose commit is awaited: 20 s at 5,000 a second, while commits follow within a second.
UNSETTLED = 100_000
NEVER = -(2**63)


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
        cache: int = CACHE,
        at_once: bool = True,
        former: Former = nothing,
        site: str = "",
    ) -> None:
        """Connect and load the functions, or, unless `at_once`, leave that to the first `reopen`.

        `timeout` is in seconds; a retry of a transaction finds its answer for `retry_horizon` ns after its commit, a
        row that nothing touches is dropped after `keep` ns. `cache` is how many bytes of rows are kept in this process;
        `former` returns earlier tokens of a card, whose rows it takes over. `site` is whose state it is to be, from the
        first time on; empty for whoever does not care.

        Raises:
            SettingsError: when `url` is no address, lacks the password, or leads to a Redis before 7.0.
            StoreUnavailableError: when nothing answers there.
            StateError: when what answers refuses the functions, or holds the state of another site.
        """
        self._keys, self._server = Keys(namespace), Server(url, timeout)
        self._horizon_ms, self._keep_ms = retry_horizon // 1_000_000, keep // 1_000_000
        self._former = former
        self._small: dict[tuple[str, int], bytes] = {}
        self._seal = secrets.randbits(64)
        self.rebase_after = REBASE_AFTER
        self._old = False
        self._births = Births(self._server, self._keys, site)
        self.birth = ""
        self.copies = CacheOwner(self._keys, cache, keeps_changes=self._server.cluster)
        if at_once:
            self.reopen()

    def reopen(self) -> None:
        """Connect again, to whatever life the server is in now; raise StoreUnavailableError while nothing answers."""
        self.copies.forget()
        self._server.reopen()
        self._server.load_functions(FUNCTIONS, LIBRARY)
        self.birth = self._births.read()
        self._old = upgrade.is_due(self._server, self._keys)

    def look(self) -> None:
        """Connect without leaving a trace: what is empty stays so, and then has no `birth`."""
        self._server.reopen()
        self.birth = self._births.now()

    def site(self) -> str:
        """Return whose state it is; empty when no site has used it."""
        return self._births.site()

    def wait_for(self, seconds: float) -> None:
        """Give the servers so long for each answer, from now on; a restart meanwhile is noticed as ever."""
        self._server.wait_for(seconds)

    @property
    def life(self) -> str:
        """Return what names the life that the servers are in: another one may have lost what was last."""
        return self._server.life

    def birth_now(self) -> str:
        """Return the name that the state has on the servers now: empty when it was emptied since."""
        return self._births.now()

    def take_over(self, birth: str) -> None:
        """Take the name of a state that this one was made from, because it holds the same."""
        self._births.write(birth)
        self.birth = birth

    def close(self) -> None:
        """Release the connections; a second call does nothing."""
        self._server.close()

    # ---- reading

    def read(self, batch: Sequence[Arrival], encoder: Encoder | None = None) -> LogSet:
        """Read what the batch can touch: what is new in rows at hand, other rows whole, first answers.

        It is one round trip, and a second one for rows whose logs somebody else has begun anew.
        """
        work = self.copies.lend(encoder)
        try:
            self._read(work, batch)
        except BaseException:
            self.copies.forget()
            raise
        return work

    def _read(self, work: LogSet, batch: Sequence[Arrival]) -> None:
        work.now = max((arrival.event.seen_at for arrival in batch), default=0)
        entities, pairs, answers = touched(batch)
        known, new = work.cache.touch(entities, pairs)
        self.copies.hits += len(known)
        self.copies.misses += len(new)
        commands: list[Command] = [copy.question() for _, _, copy in known]
        commands += [("GET", self._keys.answer(*answer)) for answer in answers]
        commands += [command for _, _, copy in new for command in copy.whole()]
        found, blocks = iter(self._server.run(commands)), list[Block]()
        stale = [each for each in known if not each[0].catch_up(each[1], next(found), blocks)]
        for answer in answers:
            if (value := next(found)) is not None:
                work.find(answer, decode(value))
        self._read_whole(work, new, found, blocks)
        if stale:
            self._read_whole(work, stale, self._ask_whole(stale), blocks)
        if self._old:
            self._adopt(work, [each for each in new if not each[2].size], blocks)
        if moved := move(self._server, [each for each in new if not each[2].size], self._former, self._keep_ms):
            self._read_whole(work, moved, self._ask_whole(moved), blocks)
        if blocks and work.histories is not None and work.encoder is not None:
            put_codes(work.histories, blocks, work.encoder)
        work.rebased = [rebased(*each) for each in known + new if each[2].size > self.rebase_after[each[0].commutes]]

    def _ask_whole(self, rows: Sequence[Held]) -> Iterator[Any]:
        return iter(self._server.run([command for _, _, copy in rows for command in copy.whole()]))

    def _read_whole(self, work: LogSet, rows: Sequence[Held], found: Iterator[Any], blocks: list[Block]) -> None:
        for kind, key, copy in rows:
            base, log = next(found)
            kind.read_whole(key, base, log, blocks)
            left = next(found)
            copy.renewed = work.now - (self._keep_ms - left) * 1_000_000 if left > 0 else NEVER

    def _adopt(self, work: LogSet, rows: Sequence[Held], blocks: list[Block]) -> None:
        """Take over what format 1 holds of rows that are not there."""
        names = [self._keys.old(copy.name) for _, _, copy in rows]
        held = self._server.run([("HGETALL", name) for name in names])
        old = [each for each, row in zip(rows, held, strict=True) if row]
        if old:
            given = [(self._keys.old(copy.name).encode(), copy.name) for _, _, copy in old]
            upgrade.adopt(self._server, given, [row for row in held if row], self._next_seal(), self._keep_ms)
            self._read_whole(work, old, self._ask_whole(old), blocks)

    # ---- writing

    def write(self, work: WorkingSet, answers: Sequence[Answer]) -> list[Answer]:
        """Store first answers and changes in one round trip, and in one step; return the winning answers, in order.

        On a cluster it is two round trips and no single step: answers, with the changes that they make, then logs. An
        answer that somebody else has given to the same transaction under another position changes nothing here.
        """
        if not isinstance(work, LogSet):
            msg = f"a {type(work).__name__} was not read from this store"
            raise TypeError(msg)
        try:
            winners = self._write(work, answers)
        except BaseException:
            self.copies.forget()
            raise
        self.copies.take_back(work)
        return winners

    def _write(self, work: LogSet, answers: Sequence[Answer]) -> list[Answer]:
        new = [answer for answer in answers if self._is_new(work, answer)]
        firsts: dict[int, Stored] = {}
        if self._server.cluster and new:
            values = [
                ("SET", self._key(one), stored(one, work.changes.get(one.position, ())), "NX", "GET") for one in new
            ]
            lost(firsts, new, self._server.run(values))
        claims = [] if self._server.cluster else new
        while not self._append(work, [one for one in claims if id(one) not in firsts], beaten(new, firsts), firsts):
            pass
        if firsts:
            # The rows at hand hold what is not in the logs, or not as it is there.
            for appended in work.appended.values():
                appended.drop()
        return self._winners(answers, firsts)

    def _append(
        self, work: LogSet, claims: Sequence[Answer], without: set[Position], firsts: dict[int, Stored]
    ) -> bool:
        """Write answers and logs; return False, and note the first ones, when an answer is taken by somebody else."""
        seal = self._next_seal()
        rows = [(one, text) for one in work.appended.values() if (text := one.text(without, seal))]
        rebases, work.rebased = work.rebased, []
        commands = list(self._appends(work, claims, rows))
        many = len(commands)
        commands += [self._rebase(each) for each in rebases]
        commands += self._renewals(work, rows)
        found = self._server.run(commands)
        lengths = found[: len(rows)]
        written = True
        if many and not self._server.cluster:
            written, lengths = bool(found[0][0]), found[0][1:]
        if written:
            for (one, text), length in zip(rows, lengths, strict=True):
                one.settle(length, len(text), seal)
        else:
            lost(firsts, claims, lengths)
        for each, done in zip(rebases, found[many:], strict=False):
            each.settle(done=bool(done))
        return written

    def _appends(
        self, work: LogSet, claims: Sequence[Answer], rows: Sequence[tuple[Appended, bytes]]
    ) -> Iterator[Command]:
        marks = [word for item in work.reached.items() for word in item]
        if self._server.cluster:
            yield from (("APPEND", one.copy.log, text) for one, text in rows)
            if marks:
                yield "FCALL", f"{LIBRARY}_write", 1, self._keys.marks, 0, 0, *marks
        elif claims or rows or marks:
            keys = *(self._key(one) for one in claims), *(one.copy.log for one, _ in rows), self._keys.marks
            values = *(stored(one) for one in claims), *(text for _, text in rows)
            yield "FCALL", f"{LIBRARY}_write", len(keys), *keys, len(claims), len(rows), *values, *marks

    def _rebase(self, each: Rebased) -> Command:
        each.begin = self._next_seal()
        base, begin = each.begin + each.base, fr.log_on(each.begin)
        keys = each.copy.base, each.copy.log
        return "FCALL", f"{LIBRARY}_rebase", 2, *keys, each.size, each.seal, base, begin, self._keep_ms

    def _renewals(self, work: LogSet, rows: Sequence[tuple[Appended, bytes]]) -> Iterator[Command]:
        """Put off the end of rows that are in use, by the stream's time; the base last, so that no log outlives it."""
        often = self._keep_ms * 1_000_000 // RENEWALS
        for one, _ in rows if self._keep_ms else ():
            if work.now - one.copy.renewed > often:
                one.copy.renewed = work.now
                yield "PEXPIRE", one.copy.log, self._keep_ms
                yield "PEXPIRE", one.copy.base, self._keep_ms

    def _is_new(self, work: LogSet, answer: Answer) -> bool:
        key = answer_name(answer.decision), answer.decision.version
        return answer.repeat_of is None and key not in work.found

    def _winners(self, answers: Sequence[Answer], firsts: Mapping[int, Stored]) -> list[Answer]:
        """Return what is to be published: where somebody else was first, that answer under our position."""
        winners = []
        for answer in answers:
            if id(answer) in firsts:
                first = firsts[id(answer)].answer
                repeat_of = None if first.position == answer.position else first.position
                position, headers = answer.position, answer.headers
                answer = msgspec.structs.replace(first, position=position, headers=headers, repeat_of=repeat_of)
            if answer.repeat_of is None:
                self._note_small(answer)
            winners.append(answer)
        return winners

    def _note_small(self, answer: Answer) -> None:
        """Keep what is left of an answer once it is settled; of one that another worker settles nobody asks here."""
        self._small[answer_name(answer.decision), answer.decision.version] = small(answer)
        if len(self._small) > UNSETTLED:
            del self._small[next(iter(self._small))]

    def _key(self, answer: Answer) -> str:
        return self._keys.answer(answer_name(answer.decision), answer.decision.version)

    def _next_seal(self) -> bytes:
        self._seal = (self._seal + 1) & (2**64 - 1)
        return self._seal.to_bytes(fr.SEAL_BYTES, "little")

    # ---- first answers over time

    def put_answers(self, answers: Sequence[Answer]) -> None:
        """Make published answers the first ones again, where a restart has lost or changed them.

        What another attempt at the same position has noted of its changes stays: rows may hold a part of them.
        """
        if not answers:
            return
        keys = [self._key(answer) for answer in answers]
        held = self._server.run([("GET", key) for key in keys])
        commands: list[Command] = []
        # It is published by its id, so nobody settles what lies under another name: that ages from now on.
        life = ("PX", self._horizon_ms) if self._horizon_ms else ()
        for key, answer, value in lacking(zip(keys, answers, strict=True), dict(zip(keys, held, strict=True))):
            self._note_small(answer)
            if value:
                commands.append(("SET", key, value) if key else ("SET", self._key(answer), value, *life))
        self._server.run(commands)

    def settle(self, answers: Sequence[tuple[str, int]]) -> None:
        """Shrink committed first answers to what a retry needs, and let them go after the retry horizon."""
        if not self._horizon_ms:
            return
        commands: list[Command] = []
        for tx_id, version in answers:
            key, value = self._keys.answer(tx_id, version), self._small.pop((tx_id, version), None)
            if value is None:
                commands.append(("PEXPIRE", key, self._horizon_ms))
            else:
                commands.append(("SET", key, value, "PX", self._horizon_ms, "XX"))
        self._server.run(commands)

    # ---- administration

    def applied_offsets(self) -> dict[tuple[str, int], int]:
        """Return the highest offset applied for each (topic, partition)."""
        found = {}
        for field, offset in self._marks().items():
            topic, _, partition = field.decode().rpartition(":")
            found[topic, int(partition)] = int(offset)
        return found

    def faults(self) -> list[str]:
        """Return why the servers cannot keep the store's promise, a sentence each; empty when they can."""
        server = self._server
        found = [(server.info(where), server.configured("appendfsync", where)) for where in server.everywhere()]
        return [fault for info, synced in found for fault in faults_of(info, synced)]

    def _marks(self) -> dict[bytes, bytes]:
        return dict(self._server.ask("HGETALL", self._keys.marks))

    def upgrade(self, step: Callable[[int, int], None] = lambda done, total: None) -> int:
        """Take over every row of format 1 that nobody has touched yet; return how many.

        `step` is told how many of how many are done.
        """
        count = upgrade.everything(self._server, self._keys, self._next_seal(), self._keep_ms, step)
        self._old = False
        return count

    def forget(self, card: str) -> int:
        """Erase a card, its pairs and its histories; return how many records went. It looks through the whole store."""
        self.copies.forget()
        name = self._keys.row(card_key(card))
        rows = {key[:-1] for key in self._server.scan(name)}
        old = self._server.scan(self._keys.old(name))
        rows |= {self._keys.of_old(key.decode()).encode() for key in old}
        self._server.delete([key for row in sorted(rows) for key in (row + LOG.encode(), row + BASE.encode())])
        self._server.delete(old)
        return len(rows)

    def snapshot(self) -> bytes:
        """Return the whole state, marks included: a copy for another server. Redis keeps its own on disk."""
        if self._old:
            self.upgrade()
        rows = sorted({key[:-1] for key in self._server.scan(self._keys.rows)})
        answers, start = self._server.scan(self._keys.answers), len(self._keys.prefix)
        held = self._server.each(rows, lambda row: ("MGET", row + BASE.encode(), row + LOG.encode()))
        values = self._server.each(answers, lambda key: ("GET", key))
        lives = self._server.each(answers, lambda key: ("PTTL", key))
        # What has gone since it was listed is no part of the state.
        kept = [(row[len(self._keys.rows) :], *both) for row, both in zip(rows, held, strict=True) if both[1]]
        given = zip(answers, values, lives, strict=True)
        first = [(key[start:], value, max(life, 0)) for key, value, life in given if value is not None]
        return msgspec.msgpack.encode((LAYOUT_VERSION, kept, self._marks(), first, fr.FORMAT))

    def restore(self, snapshot: bytes) -> None:
        """Replace the whole state, by a snapshot of this format or of 1; raise StateError for another layout."""
        try:
            layout, rows, marks, answers, *form = msgspec.msgpack.decode(snapshot)
        except (msgspec.DecodeError, ValueError) as error:
            msg = f"snapshot of {len(snapshot)} bytes cannot be read ({error}): rebuild with 'fraud state rebuild'"
            raise StateError(msg) from error
        if layout != LAYOUT_VERSION or form not in ([], [fr.FORMAT]):
            msg = (
                f"snapshot has layout {layout!r} and rows of format {(form or ['1'])[0]!r}, expected "
                f"{LAYOUT_VERSION!r} and {fr.FORMAT!r}: rebuild with 'fraud state rebuild'"
            )
            raise StateError(msg)
        if not form:
            seal = self._next_seal()
            rows = [(name[1:], *upgrade.converted(row, seal)) for name, row in rows]
        self.clear()
        self._put_rows([(self._keys.rows.encode() + name, base, log) for name, base, log in rows])
        prefix = self._keys.prefix.encode()
        lasting = [kept for kept in answers if not kept[2]]
        ageing = [kept for kept in answers if kept[2]]
        self._server.each(lasting, lambda kept: ("SET", prefix + kept[0], kept[1]))
        self._server.each(ageing, lambda kept: ("SET", prefix + kept[0], kept[1], "PX", kept[2]))
        self.put_marks(marks)

    def _put_rows(self, rows: Sequence[tuple[bytes, bytes | None, bytes]]) -> None:
        """Set rows that nobody else writes: name, base if there is one, log."""
        life: tuple[bytes | str | int, ...] = ("PX", self._keep_ms) if self._keep_ms else ()
        based = [row for row in rows if row[1] is not None]
        self._server.each(based, lambda row: ("SET", row[0] + BASE.encode(), row[1], *life))
        self._server.each(rows, lambda row: ("SET", row[0] + LOG.encode(), row[2], *life))

    def clear(self) -> None:
        """Erase the whole state of this layout."""
        self.copies.forget()
        self._server.delete(self._server.scan(self._keys.prefix) + self._server.scan(self._keys.rows))
        self._small.clear()
        self._old = False

    # ---- histories of another encoder

    def pointer(self) -> bytes:
        """Return what names the model in use and its histories, as it was last set; empty when it never was."""
        return bytes(self._server.ask("GET", self._keys.pointer) or b"")

    def in_use(self) -> tuple[bytes, bytes]:
        """Return `pointer`, and the release in force (empty when there never was one), in one round trip."""
        pointer, release = self._server.run([("GET", self._keys.pointer), ("GET", self._keys.release)])
        return bytes(pointer or b""), bytes(release or b"")

    def holds_histories(self, encoder: str) -> bool:
        """Tell whether there are histories of an encoder; where there are none it looks through the whole store."""
        return self._server.any(self._keys.rows, history_end(encoder) + LOG)

    def point(self, to: bytes, encoder: str) -> None:
        """Set the pointer: the histories of its encoder are complete."""
        self._server.ask("SET", self._keys.pointer, to)
        self._server.ask("DEL", self._keys.building + encoder)

    def begin_histories(self, encoder: str, *, unused: bool) -> None:
        """Make room for the histories of an encoder, erasing what an earlier attempt has left, or an `unused` one.

        Raises:
            StateError: when there are some that somebody may use.
        """
        ends = history_end(encoder).encode()
        held = [key for key in self._server.scan(self._keys.rows) if key[:-1].endswith(ends)]
        held += [key for key in self._server.scan(self._keys.old_rows) if key.endswith(ends)]
        if held and not unused and not self._server.ask("EXISTS", self._keys.building + encoder):
            msg = f"the store holds histories of encoder {encoder}: those who use it keep them, nothing is to be done"
            raise StateError(msg)
        self._server.ask("SET", self._keys.building + encoder, "1")
        self._server.delete(held)

    def put_histories(self, encoder: str, rows: Iterable[tuple[str, bytes]], marks: Mapping[str, int]) -> int:
        """Set histories that nobody else writes yet, each with the offset of every partition that it holds."""
        return self._fill((self._keys.history(key, encoder), row, marks) for key, row in rows)

    def put_state(self, entities: Given, pairs: Given) -> int:
        """Set rows that nobody else writes yet: key, row, and the offset of every partition that it holds."""
        of_entities = self._fill((self._keys.row(key), row, marks) for key, row, marks in entities)
        return of_entities + self._fill((self._keys.pair(key), row, marks) for key, row, marks in pairs)

    def _fill(self, rows: Given) -> int:
        return fill(self._server, self._next_seal(), self._keep_ms, rows)

    def put_marks(self, marks: Mapping[str, int]) -> None:
        """Set the highest offset applied of each partition, by the names of fields."""
        if marks:
            self._server.ask("HSET", self._keys.marks, *[word for item in marks.items() for word in item])
