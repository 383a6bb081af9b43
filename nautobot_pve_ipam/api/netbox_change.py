"""What PVE's stock NetBox plugin is doing to one subnet: a change consists of several calls, and any may be refused.

PVE then drops the whole change, but the plugin does not take back what its earlier calls did. So the facade remembers,
in the cache, how the subnet was before the change. If that is forgotten, nothing is put back; PVE can still repeat the
change. May import services and search.
"""

from contextlib import suppress

from django.core.cache import cache

from nautobot_pve_ipam.errors import PVEIPAMError
from nautobot_pve_ipam.search.occupancy import range_span
from nautobot_pve_ipam.services.subnets import SubnetFacts, delete_subnet, put_subnet

#: Seconds for which a change is remembered. PVE makes its calls one right after the other, and never says it is done.
LASTS = 10


class Change:
    """A change to the caller's subnet `network`."""

    def __init__(self, caller, network):
        self._caller, self._network = caller, network
        self._key = f"pve-ipam:change:{caller.namespace.pk}:{caller.cluster}:{network}"

    def creates(self, prepared=None):
        """PVE is about to create the subnet; an admin may have prepared a record of it."""
        self._remember(prepared and known_facts(prepared))

    def removes_range_of(self, record):
        """PVE is about to remove a DHCP range: it removes all old ranges before it adds new ones."""
        known = cache.get(self._key)
        if known is None or known["before"] is None or known["added"]:
            self._remember(known_facts(record))

    def adds_range(self):
        """PVE is about to add a DHCP range."""
        if known := cache.get(self._key):
            self._remember(known["before"], added=True)

    def ends(self):
        """PVE has made its last call."""
        cache.delete(self._key)

    def undo(self, record):
        """PVE has dropped the change: put the subnet back as it was."""
        if known := cache.get(self._key):
            cache.delete(self._key)
            with suppress(PVEIPAMError):  # PVE is told what it was refused, not this
                if known["before"] is None:
                    delete_subnet(record, user=self._caller.user, take_back=True)
                else:
                    put_subnet(self._caller.namespace, self._network, known["before"], user=self._caller.user)

    def _remember(self, before, *, added=False):
        cache.set(self._key, {"before": before, "added": added}, LASTS)


def known_facts(record, ranges=None, *, adopt=True):
    """The facts of a subnet as it is, or with other DHCP ranges."""
    zone = record.vnet.zone
    return SubnetFacts(
        zone=zone.name,
        vnet=record.vnet.name,
        cluster=zone.cluster.name if zone.cluster else None,
        dhcp_ranges=ranges_of(record) if ranges is None else ranges,
        adopt=adopt,
    )


def ranges_of(record, **which):
    """The DHCP ranges of a subnet, or those with links that match, as `(first, last)` integers."""
    links = record.dhcp_range_links.filter(**which).select_related("ip_address_range")
    return [range_span(link.ip_address_range) for link in links]
