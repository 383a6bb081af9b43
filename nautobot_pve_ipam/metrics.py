"""Our metrics on Nautobot's /metrics: the usage of each DHCP range, and the number of allocations.

Gauges are read from the database on each scrape; the counters live in services/allocation.py. May import
ui and models.
"""

from prometheus_client.core import GaugeMetricFamily

from nautobot_pve_ipam.models import Allocation
from nautobot_pve_ipam.ui.usage import dhcp_ranges, gauges

RANGE_LABELS = ("namespace", "prefix", "start", "end")


def dhcp_range_fill():
    """Addresses in use and size of each DHCP range; one query."""
    used = GaugeMetricFamily(
        "nautobot_pve_ipam_dhcp_range_used", "Addresses in use in a DHCP range", labels=RANGE_LABELS
    )
    size = GaugeMetricFamily(
        "nautobot_pve_ipam_dhcp_range_size", "Number of addresses in a DHCP range", labels=RANGE_LABELS
    )
    for gauge in gauges(dhcp_ranges()):
        found = gauge.ip_address_range
        labels = (found.parent.namespace.name, str(found.parent.prefix), found.start_host, found.end_host)
        used.add_metric(labels, gauge.used)
        size.add_metric(labels, gauge.size)
    yield used
    yield size


def allocation_count():
    """Number of addresses currently held for guests and gateways; one query."""
    yield GaugeMetricFamily(
        "nautobot_pve_ipam_allocations", "Addresses held for guests and gateways", value=Allocation.objects.count()
    )


metrics = [dhcp_range_fill, allocation_count]
