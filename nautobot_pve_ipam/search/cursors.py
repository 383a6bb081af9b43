"""Search cursors: up to where a prefix is known to be full, so that the next search need not start at the bottom.

A cursor belongs to what was searched (prefix, bounds, by which rule) and is only a hint: a wrong or lost one costs
time, never correctness. It lives in Redis, moves up after a search and down when something
below it is freed. Both are atomic in Redis, so that neither undoes the other: an address freed above a cursor is
stored along with it, so that a search that began earlier cannot move the cursor past that address.
May import intervals.
"""

import logging
from typing import Any
from uuid import UUID

import redis
from django.db import transaction
from django_redis import get_redis_connection

from nautobot_pve_ipam.search.intervals import Interval

logger = logging.getLogger(__name__)

#: A cursor is moved only if that saves the next search at least this many addresses.
WORTH_MOVING = 16
#: Maximum cursors per prefix; when exceeded, all of them are dropped.
MAX_CURSORS = 512
LIFETIME = 30 * 24 * 3600  # seconds

# Addresses are stored as 32 hexadecimal digits, which compare correctly as text: Lua's numbers have only 53 bits. A
# cursor is its position followed by the lowest address freed above it, if any.
_ADVANCE = """
local now = redis.call('HGET', KEYS[1], ARGV[1]) or ''
if now:sub(1, 32) == ARGV[2] then
  local to, freed = ARGV[3], now:sub(33)
  if freed ~= '' and freed < to then to, freed = freed, '' end
  if now == '' and redis.call('HLEN', KEYS[1]) >= tonumber(ARGV[4]) then redis.call('DEL', KEYS[1]) end
  redis.call('HSET', KEYS[1], ARGV[1], to .. freed)
  redis.call('EXPIRE', KEYS[1], ARGV[5])
end
"""
_LOWER = """
for k, key in ipairs(KEYS) do
  local first, last = ARGV[2 * k - 1], ARGV[2 * k]
  local cursors = redis.call('HGETALL', key)
  for i = 1, #cursors, 2 do
    local low, high = cursors[i]:sub(1, 32), cursors[i]:sub(34, 65)
    local from = first > low and first or low
    local now, freed = cursors[i + 1]:sub(1, 32), cursors[i + 1]:sub(33)
    if from <= high and from <= last then
      if from < now then now = from elseif freed == '' or from < freed then freed = from end
      redis.call('HSET', key, cursors[i], now .. freed)
    end
  end
end
"""


class Cursor:
    """The cursor of one search: `first`..`last` of a prefix, with or without its IP address ranges, or by core's rule.

    `position` is where to start: no address in `first`..`position - 1` was free when it was set.
    """

    def __init__(
        self,
        prefix_id: UUID,
        first: int,
        last: int,
        *,
        skip_ranges: bool,
        by_core: bool = False,
        guarded: bool = False,
    ) -> None:
        self._key = _key(prefix_id)
        rule = "core" if by_core else "outside" if skip_ranges else "all"
        self._field = f"{first:032x}-{last:032x}-{rule}{'-guarded' if guarded else ''}"
        self._stored = (_redis("hget", self._key, self._field) or b"")[:32]
        try:
            self.position = min(max(int(self._stored or b"0", 16), first), last)
        except ValueError:  # not written by us
            self.position = first

    def advance(self, position: int) -> None:
        """Move up to the first free address once the current transaction is committed."""
        if position >= self.position + WORTH_MOVING:
            transaction.on_commit(
                lambda: _eval(
                    _ADVANCE, [self._key], self._field, self._stored, f"{position:032x}", MAX_CURSORS, LIFETIME
                ),
                robust=True,
            )


def lower(freed: dict[UUID, Interval]) -> None:
    """In each of these prefixes, something of the interval was freed: move its cursors below that. One call."""
    if freed:
        intervals = (f"{address:032x}" for interval in freed.values() for address in interval)
        _eval(_LOWER, [_key(prefix_id) for prefix_id in freed], *intervals)


def _key(prefix_id: UUID) -> str:
    return f"pve-ipam:cursors:{prefix_id}"


def _redis(command: str, *arguments: Any) -> Any:
    try:
        return getattr(get_redis_connection("default"), command)(*arguments)
    except redis.RedisError as error:
        logger.warning("search cursors are out of reach, searching from the bottom: %s", error)
        return None


def _eval(script: str, keys: list[str], *arguments: Any) -> Any:
    return _redis("eval", script, len(keys), *keys, *arguments)
