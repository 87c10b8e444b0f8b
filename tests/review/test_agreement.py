"""How far two agree, against figures of textbooks."""

import pytest

from fraud.core.intervals import wilson
from fraud.review.agreement import Pair, agreement, kappa, of_person, share_of


def pairs(*counts: tuple[int, int, int]) -> list[Pair]:
    return [Pair(1, first, 2, second) for first, second, count in counts for _ in range(count)]


def test_kappa_of_two_readers_is_the_textbooks() -> None:
    # 50 proposals, two readers, yes or no: 20 both yes, 5 and 10 apart, 15 both no; kappa is .4.
    found = pairs((0, 0, 20), (0, 1, 5), (1, 0, 10), (1, 1, 15))
    assert kappa(found) == pytest.approx(0.4)
    assert agreement(found).value == pytest.approx(0.7)


def test_kappa_is_one_where_all_agree_below_zero_where_none_does_and_unknown_of_one_word() -> None:
    assert kappa(pairs((0, 0, 3), (1, 1, 2))) == 1.0
    assert kappa(pairs((0, 1, 3), (1, 0, 3))) == pytest.approx(-1.0)
    assert kappa(pairs((0, 0, 9))) is None
    assert kappa([]) is None


def test_pairs_of_a_person_are_those_they_took_part_in() -> None:
    found = [Pair(1, 0, 2, 0), Pair(2, 0, 3, 1), Pair(3, 0, 1, 0)]
    assert of_person(found, 1) == [found[0], found[2]]


@pytest.mark.parametrize(
    ("part", "whole", "low", "high"),
    # Newcombe, Statistics in Medicine 17 (1998), table I, method 3
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_interval_of_a_share_is_that_of_the_table(part: int, whole: int, low: float, high: float) -> None:
    found = wilson(part, whole)
    assert found.low == pytest.approx(low, abs=5e-5)
    assert found.high == pytest.approx(high, abs=5e-5)
    assert share_of(part, whole).low == found.low


def test_share_of_nothing_is_unknown() -> None:
    assert share_of(0, 0).value is None
