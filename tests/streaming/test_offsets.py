"""Where to begin again: marks, commits, and what has been published."""

from streaming.kafka.client import Commit
from streaming.kafka.offsets import CommitMark, Done, Offsets, Track, commit_mark_in

SECOND = 1_000_000_000


def test_mark_survives_its_text() -> None:
    assert commit_mark_in(Commit(1, CommitMark(7, 9).text())) == CommitMark(7, 9)


def test_mark_of_a_foreign_commit_is_its_offset() -> None:
    assert commit_mark_in(Commit(5)) == CommitMark(5, 0)
    assert commit_mark_in(Commit(5, "by hand")) == CommitMark(5, 0)


def test_track_begins_at_the_mark_and_publishes_from_where_the_output_ends() -> None:
    track = Track(CommitMark(10, 3), resume=15)
    assert not track.publishes(14)
    assert track.publishes(15)
    assert track.commit(0, SECOND) == (15, CommitMark(10, 3))


def test_commit_moves_the_mark_only_past_what_is_durable() -> None:
    track = Track(CommitMark(0), resume=0)
    track.published(4)
    track.done(5)
    track.seen(0, 4)
    track.published(8)
    track.done(9)
    track.seen(SECOND, 8)
    assert track.commit(SECOND, 2 * SECOND) == (9, CommitMark(0))
    assert track.commit(2 * SECOND, 2 * SECOND) == (9, CommitMark(5, 5, applied=4))
    assert track.commit(3 * SECOND, 2 * SECOND) == (9, CommitMark(9, 9, applied=8))


def test_what_the_state_has_not_been_asked_about_moves_no_mark() -> None:
    track = Track(CommitMark(0), resume=0)
    track.done(5)
    assert track.commit(9 * SECOND, SECOND) == (5, CommitMark(0))


def test_commit_names_the_state_in_use() -> None:
    track = Track(CommitMark(5, 2, "old"), resume=5, birth="new")
    track.done(7)
    assert track.commit(0, SECOND)[1] == CommitMark(5, 2, "new")
    track.seen(0, 6)
    assert track.commit(2 * SECOND, SECOND)[1] == CommitMark(7, 2, "new", applied=6)


def test_commit_never_goes_back_while_lost_events_are_absorbed_again() -> None:
    track = Track(CommitMark(10, 3), resume=20)
    track.ends(9)
    track.done(12)
    track.seen(0, 19)
    offset, mark = track.commit(5 * SECOND, SECOND)
    assert offset == 20
    assert mark == CommitMark(12, 3, applied=19)


def test_output_is_not_read_again_where_nothing_is_absorbed_again() -> None:
    track = Track(CommitMark(20, 3), resume=20)
    track.ends(9)
    assert track.commit(0, SECOND) == (20, CommitMark(20, 9))


def test_a_state_that_says_less_than_it_said_is_behind_and_moves_no_mark() -> None:
    place, offsets = ("transactions", 0), Offsets(durable_after=0, commit_every=0)
    offsets.begin({place: Track(CommitMark(0), resume=0)})
    offsets.note(Done({place: 5}))
    offsets.seen(0, {place: 4})
    before = offsets.commits(0)
    offsets.note(Done({place: 9}))
    offsets.seen(SECOND, {place: 3})
    assert offsets.behind
    assert offsets.commits(SECOND)[place].metadata == before[place].metadata
    offsets.begin({place: Track(CommitMark(0), resume=9)})
    assert not offsets.behind
