"""Our metrics on Nautobot's /metrics: the usage of each DHCP range, and the number of allocations.

Gauges are read from the database on each scrape; the counters live in services/allocation.py. May import
ui, core_internals and models.
"""

from django.conf import settings
from prometheus_client.core import GaugeMetricFamily

from nautobot_pve_ipam.core_internals import current_request
from nautobot_pve_ipam.models import Allocation
from nautobot_pve_ipam.ui.usage import dhcp_ranges, gauges

RANGE_LABELS = ("namespace", "prefix", "start", "end")


def visible_ranges():
    """The DHCP ranges that whoever asks may view; none if Nautobot's cache shows one user's answer to others."""
    request = current_request.get()
    if request is None or getattr(settings, "METRICS_EXPERIMENTAL_CACHING_DURATION", 0) > 0:
        return dhcp_ranges().none()
    return dhcp_ranges().restrict(request.user, "view")


def dhcp_range_fill():
    """Addresses in use and size of each DHCP range that may be viewed; three queries."""
    used = GaugeMetricFamily(
        "nautobot_pve_ipam_dhcp_range_used",
        "Addresses in use in a DHCP range, of those that can be given to guests",
        labels=RANGE_LABELS,
    )
    size = GaugeMetricFamily(
        "nautobot_pve_ipam_dhcp_range_size",
        "Addresses in a DHCP range that can be given to guests",
        labels=RANGE_LABELS,
    )
    for gauge in gauges(visible_ranges()):
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
