"""What Nautobot's /metrics tells of us: the fill of each DHCP range, and what requests for addresses came to.

Gauges are read from the database at each scrape; the counters are those of services/allocation.py.
"""

from prometheus_client.core import GaugeMetricFamily

from nautobot_pve_ipam.models import Allocation
from nautobot_pve_ipam.ui.usage import dhcp_ranges, gauges

RANGE_LABELS = ("namespace", "prefix", "start", "end")


def dhcp_range_fill():
    """Used and size of each DHCP range, in addresses; one query."""
    used = GaugeMetricFamily(
        "nautobot_pve_ipam_dhcp_range_used", "Addresses in use of a DHCP range", labels=RANGE_LABELS
    )
    size = GaugeMetricFamily("nautobot_pve_ipam_dhcp_range_size", "Addresses of a DHCP range", labels=RANGE_LABELS)
    for gauge in gauges(dhcp_ranges()):
        found = gauge.ip_address_range
        labels = (found.parent.namespace.name, str(found.parent.prefix), found.start_host, found.end_host)
        used.add_metric(labels, gauge.used)
        size.add_metric(labels, gauge.size)
    yield used
    yield size


def allocation_count():
    """How many addresses are held for guests and gateways now; one query."""
    yield GaugeMetricFamily(
        "nautobot_pve_ipam_allocations", "Addresses held for guests and gateways", value=Allocation.objects.count()
    )


metrics = [dhcp_range_fill, allocation_count]
