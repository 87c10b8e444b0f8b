"""Rows of a card that lie under its token of an earlier key: each is moved to the one in use when it is first touched.

It is a copy and then an erasure, since the two names may lie on two nodes of a cluster; who dies in between copies
again, and finds that done. Nobody else may write to the row before meanwhile: whoever still goes by the earlier key.
"""

from collections.abc import Callable, Sequence

from features.state.tables import SEPARATOR, card_key, pair_key
from features.stores.rowlog import frames as fr
from features.stores.rowlog.copies import Copies, Held
from features.stores.rowlog.keys import BASE, LOG
from features.stores.server import Command, Server

Former = Callable[[str], Sequence[str]]
"""Returns the earlier tokens of a card, the newest first; none where there are none, or they are not known here."""
CARD = card_key("")


def nothing(card: str) -> Sequence[str]:
    """Return that a card has no earlier token."""
    del card
    return ()


def move(server: Server, rows: Sequence[Held], former: Former, keep_ms: int) -> list[Held]:
    """Move what lies under earlier tokens to some rows that are not there; return those that are there now."""
    wanted = [(each, names) for each in rows if (names := places(each[0], each[1], former))]
    if not wanted:
        return []
    asked = [("MGET", name + BASE, name + LOG) for _, names in wanted for name in names]
    held, moved, commands, left = iter(server.run(asked)), list[Held](), list[Command](), list[str]()
    life: tuple[str | int, ...] = ("PX", keep_ms) if keep_ms else ()
    for each, names in wanted:
        there = [(name, base, log) for name in names for base, log in [next(held)] if log]
        for name, base, log in there[:1]:
            if fr.rests_on_base(log):
                commands.append(("SET", each[2].base, base, "NX", *life))
            commands.append(("SET", each[2].log, log, "NX", *life))
            left += name + LOG, name + BASE
            moved.append(each)
    server.run(commands)
    server.run([("DEL", name) for name in left])
    return moved


def places(kind: Copies, key: str, former: Former) -> list[str]:
    """Return the names under which a row may lie by earlier tokens of its card, the newest first."""
    card, paired, merchant = key.partition(SEPARATOR)
    if paired:
        return [kind.name(pair_key(before, merchant)) for before in former(card)]
    return [kind.name(card_key(before)) for before in former(key[len(CARD) :])] if key.startswith(CARD) else []
