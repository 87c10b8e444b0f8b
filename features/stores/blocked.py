"""Blocked cards in Redis: which ones are, and up to where the topic that says so has been taken in.

Every worker writes what it has heard; a change is made once, by whoever is first, for the offset is looked at in the
same step. The two keys are in one slot and no part of the state: an emptied one blocks what was blocked.
"""

from collections.abc import Sequence

from features.stores.server import Server

TIMEOUT = 5.0
TAKE = """
local at = tonumber(redis.call('HGET', KEYS[2], ARGV[1]) or '0')
local following, most, refused = tonumber(ARGV[2]), tonumber(ARGV[3]), 0
for place = 4, #ARGV, 3 do
    local card, block = ARGV[place + 1], ARGV[place + 2]
    if tonumber(ARGV[place]) >= at then
        if block == '' then
            redis.call('HDEL', KEYS[1], card)
        elseif redis.call('HEXISTS', KEYS[1], card) == 1 or redis.call('HLEN', KEYS[1]) < most then
            redis.call('HSET', KEYS[1], card, block)
        else
            refused = refused + 1
        end
    end
end
if following > at then
    redis.call('HSET', KEYS[2], ARGV[1], following)
end
return refused
"""
"""Takes in changes of one partition: those at or behind its mark, which then moves."""
REKEY = """
for place = 1, #ARGV, 3 do
    if redis.call('HDEL', KEYS[1], ARGV[place]) == 1 then
        redis.call('HSETNX', KEYS[1], ARGV[place + 1], ARGV[place + 2])
    end
end
"""
"""Moves blocks to other names, unless they are gone: somebody else has moved them, or has let the card go."""


class RedisBlocked:
    """The set on one server or a cluster, over a connection of its own, in one life of the servers.

    Once they were restarted it answers no more (StoreRestartedError), and is opened anew: what was written last may be
    lost, mark and blocks both, and is read again from that mark. Going on would move the mark past what is lost.
    """

    def __init__(self, url: str, *, timeout: float = TIMEOUT, namespace: str = "fraud") -> None:
        """Connect; `timeout` is in seconds.

        Raises:
            SettingsError: when `url` is no address, or lacks the password.
            StoreUnavailableError: when nothing answers there.
        """
        self._server = Server(url, timeout)
        self._cards, self._marks = f"{namespace}:{{blocked}}", f"{namespace}:{{blocked}}:marks"
        self._server.reopen()
        self._server.ask("EXISTS", self._cards)

    def held(self) -> tuple[dict[str, int], list[bytes]]:
        """Return the offset of the next change by partition (TOPIC@ID:NUMBER), and the blocks that hold.

        They may be newer than the offsets: whoever takes in the changes since ends with the same ones.
        """
        marks = dict(self._server.ask("HGETALL", self._marks))
        blocks = [bytes(block) for block in self._server.ask("HVALS", self._cards)]
        return {field.decode(): int(offset) for field, offset in marks.items()}, blocks

    def take(self, partition: str, following: int, changes: Sequence[tuple[int, str, bytes]], most: int) -> int:
        """Take in changes of a partition up to before `following`: offset, card and block, empty to unblock.

        Return how many blocks found no room, because `most` cards were blocked. What others have taken in is left out.
        """
        words = [word for change in changes for word in change]
        keys = self._cards, self._marks
        return int(self._server.ask("EVAL", TAKE, 2, *keys, partition, following, most, *words))

    def rekey(self, changes: Sequence[tuple[str, str, bytes]]) -> None:
        """Keep blocks under other names, where they are still there: name before, name from now on, block."""
        self._server.ask("EVAL", REKEY, 1, self._cards, *[word for change in changes for word in change])

    def close(self) -> None:
        """Release the connection; a second call does nothing."""
        self._server.close()
