"""Places are shared out among sources exactly as their shares ask."""

from fractions import Fraction
from typing import Any

import pytest
from genever_plugins.data.quotas import Quotas, shares
from hypothesis import given
from hypothesis import strategies as st

HALF = Fraction(1, 2)


def weights(num: int) -> st.SearchStrategy[list[float]]:
    return st.lists(st.sampled_from([0, 0.1, 0.3, 1, 7.5]), min_size=num, max_size=num).filter(any)


@st.composite
def quotas(draw: Any, num: int | None = None) -> Quotas:
    num = num or draw(st.integers(1, 5))
    first, length = draw(st.integers(0, 10)), draw(st.integers(0, 10))
    start, end = draw(weights(num)), draw(weights(num))
    return Quotas(
        start=shares(start),
        end=shares(end),
        first_step=first,
        last_step=first + length,
        batch_size=draw(st.integers(1, 9)),
    )


def share_at(quota: Quotas, source: int, step: int) -> Fraction:
    """The definition: start, then a line, then end."""
    start, end = quota.start[source], quota.end[source]
    if step < quota.first_step:
        return start
    if step >= quota.last_step:
        return end
    return start + (end - start) * Fraction(step - quota.first_step, quota.last_step - quota.first_step)


def sums(quota: Quotas, num: int) -> list[list[Fraction]]:
    """The sum of each source's shares over the first 0, 1, ..., num places, added up place by place."""
    found = [[Fraction(0)] * len(quota.start)]
    for place in range(num):
        step = place // quota.batch_size
        found.append([before + share_at(quota, source, step) for source, before in enumerate(found[-1])])
    return found


def queue(quota: Quotas, num: int) -> list[int]:
    """Who comes first, by walking along the places and seeing who is due."""
    row, had = list[int](), [0] * len(quota.start)
    for now in sums(quota, num + 2 * len(had) + 2):
        for source, due in enumerate(now):
            while due >= had[source] + HALF:
                row.append(source)
                had[source] += 1
    return row[:num]


@given(quota=quotas(), place=st.integers(0, 60))
def test_sums_of_shares_are_exact(quota: Quotas, place: int) -> None:
    assert quota.wanted(place) == sums(quota, place)[-1]


@given(quota=quotas(), num=st.integers(0, 40))
def test_places_are_taken_in_the_order_in_which_samples_are_due(quota: Quotas, num: int) -> None:
    row = queue(quota, num)
    assert quota.taken(num) == [row.count(source) for source in range(len(quota.start))]


@given(quota=quotas(), step=st.integers(0, 200))
def test_every_batch_is_full_and_nobody_gives_back(quota: Quotas, step: int) -> None:
    before, after = (quota.taken(number * quota.batch_size) for number in (step, step + 1))
    assert sum(after) - sum(before) == quota.batch_size
    assert all(now >= then for now, then in zip(after, before, strict=True))


@given(quota=quotas(num=2), num=st.integers(0, 300))
def test_of_two_sources_each_has_its_sum_rounded(quota: Quotas, num: int) -> None:
    assert all(abs(had - due) <= HALF for had, due in zip(quota.taken(num), quota.wanted(num), strict=True))


@given(quota=quotas(), num=st.integers(0, 300))
def test_of_many_sources_each_is_near_its_sum(quota: Quotas, num: int) -> None:
    bound = HALF + Fraction(len(quota.start), 2) + 1
    assert all(abs(had - due) <= bound for had, due in zip(quota.taken(num), quota.wanted(num), strict=True))


def test_shares_are_as_they_are_written() -> None:
    assert shares([0.7, 0.3]) == (Fraction(7, 10), Fraction(3, 10))
    assert shares([2, 1, 1e-05])[0] == Fraction(200000, 300001)


@pytest.mark.parametrize(("step", "expected"), [(0, [10, 0]), (4, [10, 0]), (8, [0, 10]), (50, [0, 10])])
def test_shares_begin_and_end_where_they_were_told(step: int, expected: list[int]) -> None:
    quota = Quotas(start=shares([1, 0]), end=shares([0, 1]), first_step=4, last_step=8, batch_size=10)
    before, after = quota.taken(10 * step), quota.taken(10 * (step + 1))
    assert [now - then for now, then in zip(after, before, strict=True)] == expected
