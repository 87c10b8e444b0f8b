"""Waiting items as few bytes: fields without their names, vectors without what most of them hold.

What many items have in common, as the versions that decided them, is kept once and named by a number (`Forms`). The
version of learned parameters is not: there is another one every minute.

A vector is mostly zeros and missing values, and some small counts; each of these costs a bit or a byte, all others
their four bytes. Nothing is rounded: what is unpacked is what was packed, bit by bit. General compression gains 4 % on
top of that, or less, for 100 us an item, so there is none.
"""

from collections.abc import Callable, Mapping

import msgspec
import numpy as np
from numpy.typing import NDArray

from fraud.core.pending import Claim, Pending
from fraud.core.records import Action, LabelSource, Level, Values, Verdict, Versions

AS_IT_IS, SPARSE = 0, 1
MISSING = int(np.float32(np.nan).view(np.uint32))
HEAD = 3
MOST = 65_535


class Form(msgspec.Struct, frozen=True, array_like=True):
    """What items have in common: how they were decided, by what, their scores' parts by name, their partition."""

    action: Action = Action.APPROVE
    level: Level = Level.FULL
    versions: Versions | None = None
    parts: tuple[str, ...] = ()
    channel: str = ""
    partition: int = -1
    reused: bool = False


class Packed(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """A pending item at rest: its fields in order, so that new ones are added at the end, with defaults.

    `verdict` and `verdict_at` are those of the release before, which knew neither source nor version. `later` is how
    long after the deadline the item is due, `mature` how long after the payment it is learned.
    """

    tx_id: str
    version: int
    card: str
    merchant: str
    device: str | None
    paid_at: int
    base_amount: int
    unusual: bool
    deadline: int
    score: float = 0.0
    vector: bytes = b""
    verdict: Verdict | None = None
    verdict_at: int = 0
    form: int = 0
    parts: tuple[float, ...] = ()
    claims: tuple[Claim, ...] = ()
    silent: int = 0
    released_at: int = 0
    later: int = 0
    parameters: str = ""
    said: tuple[float, ...] = ()
    mature: int = 0


class First(Pending, frozen=True, gc=False, kw_only=True):
    """A pending item as the first layout had it, fields with their names."""

    verdict: Verdict | None = None
    verdict_at: int = 0


class Forms:
    """The forms of a file's items, by number; `add` keeps a new one, under the number that it returns."""

    def __init__(self, held: Mapping[int, bytes], add: Callable[[bytes], int]) -> None:
        """Take those that are there; number 0 is the form of items that were kept without one."""
        self._add = add
        self._forms = {0: Form()} | {number: _form(body) for number, body in held.items()}
        self._numbers = {form: number for number, form in self._forms.items()}

    def number(self, form: Form) -> int:
        """Return the number of a form."""
        if (number := self._numbers.get(form)) is None:
            number = self._numbers[form] = self._add(_encode(form))
            self._forms[number] = form
        return number

    def of(self, number: int) -> Form:
        """Return the form of a number."""
        return self._forms[number]


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Packed).decode
_form = msgspec.msgpack.Decoder(Form).decode
_first = msgspec.msgpack.Decoder(First).decode


def packed_item(item: Pending, forms: Forms) -> bytes:
    """Return an item as it is kept."""
    return _encode(
        Packed(
            item.tx_id,
            item.version,
            item.card,
            item.merchant,
            item.device,
            item.paid_at,
            item.base_amount,
            item.unusual,
            item.deadline,
            item.score,
            packed(item.vector),
            form=forms.number(form_of(item)),
            parts=tuple(value for _, value in item.parts),
            claims=item.claims,
            silent=item.silent_at and item.silent_at - item.deadline + 1,
            released_at=item.released_at,
            later=item.due_at and item.due_at - item.deadline,
            parameters=item.versions.parameters if item.versions else "",
            said=item.said,
            mature=item.mature_at and item.mature_at - item.paid_at,
        )
    )


def item_in(body: bytes, forms: Forms) -> Pending:
    """Return a kept item."""
    kept = _decode(body)
    form = forms.of(kept.form)
    return Pending(
        tx_id=kept.tx_id,
        version=kept.version,
        card=kept.card,
        merchant=kept.merchant,
        device=kept.device,
        paid_at=kept.paid_at,
        base_amount=kept.base_amount,
        unusual=kept.unusual,
        deadline=kept.deadline,
        score=kept.score,
        vector=unpacked(kept.vector),
        action=form.action,
        level=form.level,
        parts=tuple(zip(form.parts, kept.parts, strict=True)),
        versions=with_parameters(form.versions, kept.parameters),
        claims=kept.claims or claimed(kept.verdict, kept.verdict_at),
        silent_at=kept.silent and kept.deadline + kept.silent - 1,
        released_at=kept.released_at,
        due_at=kept.later and kept.deadline + kept.later,
        channel=form.channel,
        said=kept.said,
        mature_at=kept.mature and kept.paid_at + kept.mature,
        partition=form.partition,
        reused=form.reused,
    )


def form_of(item: Pending) -> Form:
    """Return what an item has in common with others."""
    names, versions = tuple(name for name, _ in item.parts), with_parameters(item.versions, "")
    return Form(item.action, item.level, versions, names, item.channel, item.partition, item.reused)


def with_parameters(versions: Versions | None, parameters: str) -> Versions | None:
    """Return the versions of an item with this one of the learned parameters."""
    if versions is None or versions.parameters == parameters:
        return versions
    return msgspec.structs.replace(versions, parameters=parameters)


def first_item(body: bytes) -> Pending:
    """Return an item that the first layout kept."""
    fields = msgspec.structs.asdict(_first(body))
    return Pending(**fields | {"claims": claimed(fields.pop("verdict"), fields.pop("verdict_at"))})


def claimed(verdict: Verdict | None, at: int) -> tuple[Claim, ...]:
    """Return the claim that an earlier release kept: whose it was it did not say, so it is that of a chargeback."""
    return (Claim(LabelSource.CHARGEBACK, verdict, 0, at),) if verdict else ()


def packed(vector: bytes) -> bytes:
    """Return the bytes of a float32 vector in fewer: which are not zero, which others miss, which are small counts."""
    if not vector or len(vector) % 4 or len(vector) > 4 * MOST:
        return bytes((AS_IT_IS,)) + vector if vector else b""
    bits = np.frombuffer(vector, "<u4")
    told = (bits != 0) & (bits != MISSING)
    values = bits[told].view("<f4")
    small = counts(values)
    return b"".join((
        bytes((SPARSE, len(bits) & 0xFF, len(bits) >> 8)),
        np.packbits(told).tobytes(),
        np.packbits(bits[~told] != 0).tobytes(),
        np.packbits(small).tobytes(),
        values[small].astype(np.uint8).tobytes(),
        values[~small].tobytes(),
    ))  # fmt: skip


def unpacked(body: bytes) -> bytes:
    """Return what `packed` was given."""
    if not body or body[0] == AS_IT_IS:
        return body[1:]
    size, at = body[1] | body[2] << 8, HEAD
    told, at = mask(body, at, size)
    missing, at = mask(body, at, size - int(told.sum()))
    small, at = mask(body, at, int(told.sum()))
    values, end = np.empty(len(small), "<f4"), at + int(small.sum())
    values[small] = np.frombuffer(body[at:end], np.uint8)
    values[~small] = np.frombuffer(body[end:], "<f4")
    bits = np.zeros(size, "<u4")
    bits[told] = values.view("<u4")
    bits[~told] = np.where(missing, np.uint32(MISSING), np.uint32(0))
    return bits.tobytes()


def counts(values: Values) -> NDArray[np.bool_]:
    """Return which of some values, none of them zero, are whole numbers that one byte holds."""
    with np.errstate(invalid="ignore"):
        found: NDArray[np.bool_] = (values > 0) & (values <= np.float32(255)) & (values == np.floor(values))
    return found


def mask(body: bytes, at: int, size: int) -> tuple[NDArray[np.bool_], int]:
    """Return a mask of so many bits that begins at a byte, and where it ends."""
    end = at + (size + 7) // 8
    return np.unpackbits(np.frombuffer(body[at:end], np.uint8), count=size).astype(np.bool_), end
