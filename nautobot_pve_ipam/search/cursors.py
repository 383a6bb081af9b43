"""Search cursors: up to where a prefix is known to be full, so that the next search need not start from its bottom.

A cursor belongs to what was searched (prefix, bounds, whether IP address ranges were skipped) and is a hint only: a
wrong one costs time, a lost one too, neither costs correctness. It lives in Redis, moves up after a search and moves
down when something below it is freed; both are single steps in Redis, so that neither undoes the other: what is
freed above a cursor is noted with it, lest a search that began before should carry it past there.
"""

import logging
from typing import Any
from uuid import UUID

import redis
from django.db import transaction
from django_redis import get_redis_connection

logger = logging.getLogger(__name__)

#: A cursor is moved only when that saves the next search something.
WORTH_MOVING = 16
#: Cursors of one prefix; who asks with ever new bounds loses them all now and then.
MAX_CURSORS = 512
LIFETIME = 30 * 24 * 3600  # seconds

# Addresses are written as 32 hexadecimal digits: Lua's numbers end at 53 bits, text compares as well. A cursor is its
# position and then, if any, the lowest address freed above it.
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
for _, key in ipairs(KEYS) do
  local cursors = redis.call('HGETALL', key)
  for i = 1, #cursors, 2 do
    local low, high = cursors[i]:sub(1, 32), cursors[i]:sub(34, 65)
    local from = ARGV[1] > low and ARGV[1] or low
    local now, freed = cursors[i + 1]:sub(1, 32), cursors[i + 1]:sub(33)
    if from <= high and from <= ARGV[2] then
      if from < now then now = from elseif freed == '' or from < freed then freed = from end
      redis.call('HSET', key, cursors[i], now .. freed)
    end
  end
end
"""


class Cursor:
    """The cursor of one search: `first`..`last` of a prefix, with or without its IP address ranges.

    `position` is where to start: nothing in `first`..`position - 1` was free when it was set.
    """

    def __init__(self, prefix_id: UUID, first: int, last: int, *, skip_ranges: bool) -> None:
        self._key = _key(prefix_id)
        self._field = f"{first:032x}-{last:032x}-{'outside' if skip_ranges else 'all'}"
        self._stored = (_redis("hget", self._key, self._field) or b"")[:32]
        try:
            self.position = min(max(int(self._stored or b"0", 16), first), last)
        except ValueError:  # not of our writing
            self.position = first

    def advance(self, position: int) -> None:
        """Move up to the first free address, once the transaction that saw it is committed."""
        if position >= self.position + WORTH_MOVING:
            transaction.on_commit(
                lambda: _eval(
                    _ADVANCE, [self._key], self._field, self._stored, f"{position:032x}", MAX_CURSORS, LIFETIME
                ),
                robust=True,
            )


def lower(prefix_ids: list[UUID], first: int, last: int) -> None:
    """Something in `first`..`last` was freed: no cursor of these prefixes stays above it."""
    keys = [_key(prefix_id) for prefix_id in prefix_ids]
    if keys:
        _eval(_LOWER, keys, f"{first:032x}", f"{last:032x}")


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
