"""Interval arithmetic compared with a naive version using sets of integers, with IPv4- and IPv6-sized numbers."""

from itertools import chain, islice, pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from nautobot_pve_ipam.errors import REASON_MAX_LENGTH, one_line
from nautobot_pve_ipam.search.intervals import addresses, gaps, growing, merged, runs, skipping, usable
from tests.nightly import examples

tried = settings(max_examples=examples(100, 1000))
#: Windows at the edges and in the middle of both families, small enough for sets.
WINDOW = 48
ORIGINS = st.sampled_from(
    [0, 0x0A000000, 2**32 - WINDOW - 4, 0x20010DB8 << 96, (0x20010DB8 << 96) + 2**64 - 8, 2**128 - WINDOW - 4]
)


def around(origin):
    """Numbers in the window and slightly beyond both of its ends."""
    return st.integers(max(0, origin - 4), origin + WINDOW + 3)


@st.composite
def intervals(draw, origin):
    """Ordered intervals that may overlap, nest, lie outside the window, or be empty: `(start, start - 1)`."""
    starts = draw(st.lists(around(origin), max_size=12))
    return sorted((start, start + draw(st.integers(-1, 9))) for start in starts)


@st.composite
def windows(draw):
    """Bounds (sometimes reversed by one: empty) and several ordered streams of occupied intervals around them."""
    origin = draw(ORIGINS)
    first = draw(st.integers(origin, origin + WINDOW))
    last = draw(st.integers(first - 1, origin + WINDOW))
    streams = [draw(intervals(origin)) for _ in range(draw(st.integers(1, 4)))]
    return first, last, streams


def covered(of):
    return {number for start, end in of for number in range(start, end + 1)}


def never_read():
    """An ordered stream of which the next interval must not be read."""
    pytest.fail("read further than needed")
    yield


@tried
@given(windows())
@example((5, 4, [[]]))
@example((5, 9, [[(7, 6)]]))
def test_gaps_are_the_numbers_that_nothing_covers(window):
    first, last, streams = window
    found = list(gaps(first, last, merged(*streams)))
    taken = covered(chain(*streams))
    assert list(addresses(found)) == [number for number in range(first, last + 1) if number not in taken]
    assert all(start <= end for start, end in found)


@tried
@given(windows())
def test_merging_keeps_the_order(window):
    _, _, streams = window
    assert list(merged(*streams)) == sorted(chain(*streams))


@tried
@given(windows(), st.integers(1, WINDOW + 8), st.integers(1, 4))
def test_parts_grow_and_lose_nothing(window, size, factor):
    first, last, _ = window
    found = list(growing(first, last, size, factor))
    assert list(addresses(found)) == list(range(first, last + 1))
    for number, (start, end) in enumerate(found):
        assert end == min(last, start + size * factor**number - 1)


@tried
@given(ORIGINS.flatmap(lambda origin: st.sets(around(origin))))
def test_runs_are_maximal_and_lose_nothing(hosts):
    found = list(runs(sorted(hosts)))
    assert list(addresses(found)) == sorted(hosts)
    assert all(end + 1 < start for (_, end), (start, _) in pairwise(found))


@tried
@given(windows(), st.integers(0, WINDOW + 8))
@example((0, 9, [[(3, 2)]]), 3)
@example((0, 9, [[(3, 5)]]), 3)
def test_skipping_drops_the_first_free_numbers(window, offset):
    first, last, streams = window
    free = list(gaps(first, last, merged(*streams)))
    assert list(addresses(skipping(free, offset))) == list(addresses(free))[offset:]


def test_a_whole_ipv6_subnet_is_skipped_in_one_step():
    assert list(skipping([(0, 2**64 - 1), (2**65, 2**66)], 2**64 + 5)) == [(2**65 + 5, 2**66)]


@pytest.mark.parametrize("behind", [[], [(30, 40)]])
def test_nothing_is_read_beyond_the_first_gap(behind):
    def occupied():
        yield 10, 14
        yield 13, 17
        yield 20, 20
        yield from behind
        yield from never_read()

    assert next(gaps(10, 99, occupied())) == (18, 19)
    assert list(islice(addresses(skipping(gaps(10, 99, occupied()), 1)), 1)) == [19]


def test_nothing_is_read_after_the_first_interval_beyond_the_bounds():
    def occupied():
        yield 12, 13
        yield 21, 22
        yield from never_read()

    assert list(gaps(10, 20, occupied())) == [(10, 11), (14, 20)]


def test_merging_reads_one_interval_of_each_stream_at_a_time():
    def stream(start):
        yield start, start
        yield from never_read()

    assert next(merged(stream(7), stream(3))) == (3, 3)


def test_runs_are_yielded_as_soon_as_they_end():
    def hosts():
        yield from (1, 2, 4)
        yield from never_read()

    assert next(runs(hosts())) == (1, 2)


@pytest.mark.parametrize(
    ("length", "version", "is_pool", "lost"),
    [
        (0, 4, False, (1, 1)),
        (24, 4, False, (1, 1)),
        (30, 4, False, (1, 1)),
        (31, 4, False, (0, 0)),
        (32, 4, False, (0, 0)),
        (24, 4, True, (0, 0)),
        (30, 4, True, (0, 0)),
        (32, 6, False, (1, 0)),
        (64, 6, False, (1, 0)),
        (126, 6, False, (1, 0)),
        (127, 6, False, (0, 0)),
        (128, 6, False, (0, 0)),
        (64, 6, True, (0, 0)),
    ],
)
def test_usable_ends_of_a_prefix(length, version, is_pool, lost):
    first = 0 if length == 0 else 10 << (112 if version == 6 else 24)
    last = first + 2 ** ((32 if version == 4 else 128) - length) - 1
    found = usable(first, last, prefix_length=length, ip_version=version, is_pool=is_pool)
    assert found == (first + lost[0], last - lost[1])


@tried
@given(st.text(max_size=400), st.integers(4, REASON_MAX_LENGTH))
@example("two\r\nlines\x00\x1b[1m and caf\xe9\x85\u2028", 60)
@example("x" * 201, 200)
def test_a_reason_is_one_short_line_of_printable_ascii(sentence, limit):
    line = one_line(sentence, limit)
    assert len(line) <= limit
    assert all(" " <= character <= "~" for character in line)
    assert line == " ".join(line.split())
    assert one_line(line, limit) == line


@tried
@given(st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=REASON_MAX_LENGTH))
def test_a_plain_sentence_is_unchanged(sentence):
    assert one_line(sentence) == sentence
