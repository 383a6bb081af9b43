"""Prefixes with `used` addresses each, and for each a search that has to cross them."""

from nautobot_pve_ipam.search.occupancy import span
from nautobot_pve_ipam.search.search import Search

CHILDREN = 5000
RANGES = 2000


def elsewhere(ground):
    """Data of another namespace, as small tables are rightly read as a whole: child prefixes and ranges at the end, and
    addresses next to the others', which would be read through an index on hosts alone."""
    prefix = ground.prefix("10.0.0.0/8")
    ground.children(prefix, _every_16th(CHILDREN, 2**21), size=8, type="network")
    ground.ranges(prefix, _every_16th(RANGES, 2**22), size=8)
    ground.use(prefix, range(2**17, 2**17 + 20000))


def dense(ground, used):
    prefix = ground.prefix("10.0.0.0/12")
    ground.use(prefix, range(1, used + 1))
    return Search(prefix)


def ipv6(ground, used):
    prefix = ground.prefix("2001:db8:10::/64")
    ground.use(prefix, range(1, used + 1))
    return Search(prefix)


def alternating(ground, used):
    prefix = ground.prefix("10.0.0.0/12")
    ground.use(prefix, range(1, 2 * used, 2))
    return Search(prefix)


def hole_in_full(ground, used):
    """Bounds in which only the middle address is free."""
    prefix = ground.prefix("10.0.0.0/12")
    hole = used // 2 + 1
    ground.use(prefix, range(1, used + 2), f"n <> {hole}")
    first, _ = span(prefix)
    return Search(prefix, ((first + 1, first + used + 1),))


def behind_children(ground, used):
    """Child networks with gaps, each filled by an IP address range or by addresses; followed by `used` addresses."""
    prefix = ground.prefix("10.0.0.0/12")
    ground.children(prefix, _every_16th(CHILDREN), size=8, type="network")
    ground.ranges(prefix, _every_16th(RANGES, 8), size=8, role="DHCP")
    ground.use(prefix, range(RANGES * 16, CHILDREN * 16), "n %% 16 >= 8")
    ground.use(prefix, range(CHILDREN * 16, CHILDREN * 16 + used))
    return Search(prefix)


def between_ranges(ground, used):
    """Bounds slightly larger than `used` addresses, with child networks and IP address ranges on both sides."""
    prefix = ground.prefix("10.0.0.0/12")
    behind = 262144
    for start in (0, behind):
        ground.children(prefix, _every_16th(CHILDREN // 2, start), size=8, type="network")
        ground.ranges(prefix, _every_16th(RANGES // 2, start + 8), size=8, role="DHCP")
    middle = behind // 2
    ground.use(prefix, range(middle, middle + used))
    first, _ = span(prefix)
    return Search(prefix, ((first + middle, first + middle + used + 99),))


def in_the_last_pool(ground, used):
    """`used` addresses, followed by pools, of which all but the last are full."""
    prefix = ground.prefix("10.0.0.0/12")
    start = 65536
    ground.use(prefix, range(1, used + 1))
    ground.children(prefix, _every_16th(CHILDREN, start), size=8, type="pool")
    ground.use_children(prefix, _every_16th(CHILDREN - 1, start), size=8)
    first, _ = span(prefix)
    end = first + start + (CHILDREN - 1) * 16
    return Search(prefix, ((end, end + 7),))


def below_a_busy_container(ground, used):
    """A subnet after thousands of others, in a container with its own ranges."""
    container = ground.prefix("10.0.0.0/8", type="container")
    ground.children(container, range(0, CHILDREN * 256, 256), size=256, type="network")
    ground.ranges(container, _every_16th(RANGES, 2**23), size=8, is_exclusive=True)
    prefix = ground.prefix("10.64.0.0/14", parent=container)
    ground.use(prefix, range(1, used + 1))
    return Search(prefix)


ALL = (
    dense,
    ipv6,
    alternating,
    hole_in_full,
    behind_children,
    between_ranges,
    in_the_last_pool,
    below_a_busy_container,
)


def _every_16th(count, start=0):
    return range(start, start + count * 16, 16)
