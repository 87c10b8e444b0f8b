"""Where to begin again: marks, commits, and what has been published."""

from streaming.kafka.client import Commit
from streaming.kafka.offsets import CommitMark, Track, commit_mark_in

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
    track.done(0, 5)
    track.published(8)
    track.done(SECOND, 9)
    assert track.commit(SECOND, 2 * SECOND) == (9, CommitMark(0))
    assert track.commit(2 * SECOND, 2 * SECOND) == (9, CommitMark(5, 5))
    assert track.commit(3 * SECOND, 2 * SECOND) == (9, CommitMark(9, 9))


def test_commit_names_the_state_in_use() -> None:
    track = Track(CommitMark(5, 2, "old"), resume=5, birth="new")
    track.done(0, 7)
    assert track.commit(0, SECOND)[1] == CommitMark(5, 2, "new")
    assert track.commit(2 * SECOND, SECOND)[1].birth == "new"


def test_commit_never_goes_back_while_lost_events_are_absorbed_again() -> None:
    track = Track(CommitMark(10, 3), resume=20)
    track.done(0, 12)
    offset, mark = track.commit(5 * SECOND, SECOND)
    assert offset == 20
    assert mark == CommitMark(12, 3)
