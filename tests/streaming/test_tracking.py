"""Where to begin again: marks, commits, and what has been published."""

from streaming.kafka.offsets import Mark, Track, mark_in

SECOND = 1_000_000_000


def test_mark_survives_its_text() -> None:
    assert mark_in(Mark(7, 9).text(), 1) == Mark(7, 9)


def test_mark_of_a_foreign_commit_is_its_offset() -> None:
    assert mark_in("", 5) == Mark(5, 0)
    assert mark_in("by hand", 5) == Mark(5, 0)


def test_track_begins_at_the_mark_and_publishes_from_where_the_output_ends() -> None:
    track = Track(Mark(10, 3), resume=15)
    assert not track.publishes(14)
    assert track.publishes(15)
    assert track.commit(0, SECOND) == (15, Mark(10, 3))


def test_commit_moves_the_mark_only_past_what_is_durable() -> None:
    track = Track(Mark(0), resume=0)
    track.done(0, 5, outputs=[4])
    track.done(SECOND, 9, outputs=[8])
    assert track.commit(SECOND, 2 * SECOND) == (9, Mark(0))
    assert track.commit(2 * SECOND, 2 * SECOND) == (9, Mark(5, 5))
    assert track.commit(3 * SECOND, 2 * SECOND) == (9, Mark(9, 9))


def test_commit_names_the_state_in_use() -> None:
    track = Track(Mark(5, 2, "old"), resume=5, birth="new")
    track.done(0, 7)
    assert track.commit(0, SECOND)[1] == Mark(5, 2, "new")
    assert track.commit(2 * SECOND, SECOND)[1].birth == "new"


def test_commit_never_goes_back_while_lost_events_are_absorbed_again() -> None:
    track = Track(Mark(10, 3), resume=20)
    track.done(0, 12)
    offset, mark = track.commit(5 * SECOND, SECOND)
    assert offset == 20
    assert mark == Mark(12, 3)
