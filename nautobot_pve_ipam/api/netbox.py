"""The NetBox facade: serves the calls of PVE's stock NetBox plugin from one Nautobot namespace.

An unpatched PVE uses Nautobot through an IPAM entry of type `netbox` whose url ends in `netbox/{namespace}` or
`netbox/{namespace}/{cluster}`. It is not NetBox: any other request gets a 404 that says so. Where the plugin's own
lookups are sloppy (a text search for an address, "at most one entry means empty"), the responses make it do the right
thing anyway. The calls are those of pve-network, src/PVE/Network/SDN/Ipams/NetboxPlugin.pm. May
import the rest of api, services, search and models.
"""

import re
from datetime import timedelta

import netaddr
from django.conf import settings
from django.db import transaction
from django.utils import timezone
from nautobot.ipam.models import IPAddressRange, Prefix
from rest_framework.response import Response

from nautobot_pve_ipam.api.base import PVEIPAMView
from nautobot_pve_ipam.errors import (
    Conflict,
    Forbidden,
    InvalidRequest,
    Misconfigured,
    Missing,
    NoFreeAddress,
    NotOurs,
    PVEIPAMError,
)
from nautobot_pve_ipam.permissions import missing_hook_rights
from nautobot_pve_ipam.search.intervals import to_int
from nautobot_pve_ipam.search.search import Search
from nautobot_pve_ipam.services import defaults, lookups
from nautobot_pve_ipam.services.addresses import delete_address, find_by_mac, patch_address, put_address
from nautobot_pve_ipam.services.allocation import Guest, Wanted, allocate
from nautobot_pve_ipam.services.callers import Caller
from nautobot_pve_ipam.services.subnets import SubnetFacts, delete_subnet, learn_gateway, put_subnet
from nautobot_pve_ipam.services.values import parse_address, parse_mac, parse_subnet, told_name

#: The stock plugin sends neither zone nor vnet; the vnet is known only from the gateway's name.
ZONE, VNET = "netbox", "unknown"
GATEWAY_NAME = re.compile(r"(?P<vnet>[a-zA-Z][a-zA-Z0-9]{0,7})-gw(\..*)?")
GATEWAY, MAC_MARK = "gateway", "mac:"
#: A subnet without addresses that is younger than this is still being created by PVE.
IN_THE_MAKING = timedelta(minutes=5)


class FacadeView(PVEIPAMView):
    """Base of the facade's views; responses are shaped like NetBox's as far as the stock plugin reads them."""

    schema = None  # not in our OpenAPI schema: it is only for PVE's plugin

    def caller(self, request, namespace, cluster):
        return Caller(request.user, lookups.visible_namespace(request.user, namespace), cluster).checked()

    def http_method_not_allowed(self, request, *args, **kwargs):
        raise not_served(request)

    @staticmethod
    def body(request):
        if not isinstance(request.data, dict):
            raise InvalidRequest("body: expected a single JSON object", field="body")
        return request.data

    @staticmethod
    def guest(body):
        """The guest described by NetBox's `description` ('gateway', 'mac:..' or null) and `dns_name`."""
        description, hostname = body.get("description") or "", body.get("dns_name") or ""
        if not isinstance(description, str) or not isinstance(hostname, str):
            raise InvalidRequest("description and dns_name must be text or null", field="description")
        if description == GATEWAY:
            return Guest(hostname=told_name(hostname), is_gateway=True)
        mac = description.removeprefix(MAC_MARK) if description.startswith(MAC_MARK) else None
        return Guest(mac=parse_mac(mac, "description") if mac else None, hostname=told_name(hostname))

    @staticmethod
    def records(caller):
        """The visible subnets of the cluster in the URL, or of no cluster if there is none."""
        visible = Prefix.objects.restrict(caller.user, "view")
        return caller.subnets().filter(prefix__in=visible).select_related("prefix__namespace", "vnet__zone__cluster")


class AggregatesView(FacadeView):
    """Used by the stock plugin to check URL and token; what new objects need is checked, too."""

    rights = {"GET": ()}

    def get(self, request, namespace, cluster=None):
        self.caller(request, namespace, cluster)
        if missing := missing_hook_rights(request.user):
            raise Forbidden(f"user {request.user} lacks permission {', '.join(missing)}")
        if problems := defaults.problems():
            raise Misconfigured("; ".join(problems))
        return Response(listed([]))


class PrefixesView(FacadeView):
    """Subnets, looked up by network address."""

    rights = {"GET": ("ipam.view_prefix",), "POST": ("ipam.view_prefix", "nautobot_pve_ipam.add_sdnsubnet")}

    def get(self, request, namespace, cluster=None):
        """Only the caller's subnet that starts at `q`, without others that a text search would find."""
        caller = self.caller(request, namespace, cluster)
        network = parse_address(request.query_params.get("q", ""), "q")
        found = self.records(caller).filter(prefix__network=str(network)).order_by("prefix__prefix_length")
        return Response(listed([prefix_answer(record) for record in found if not half_made(record)]))

    def post(self, request, namespace, cluster=None):
        """Create a subnet, or take over one left incomplete by an earlier attempt."""
        caller = self.caller(request, namespace, cluster)
        prefix = self.body(request).get("prefix")
        network = parse_subnet("-".join(str(prefix).rsplit("/", 1)))
        existing = (
            self.records(caller)
            .filter(prefix__network=str(network.ip), prefix__prefix_length=network.prefixlen)
            .first()
        )
        if existing and not half_made(existing):
            raise Conflict(f"subnet {network} already exists in namespace {caller.namespace}")
        facts = SubnetFacts(
            zone=existing.vnet.zone.name if existing else ZONE,
            vnet=existing.vnet.name if existing else VNET,
            cluster=cluster,
            dhcp_ranges=[],
            adopt=may_adopt(),
        )
        record, _created = put_subnet(caller.namespace, network, facts, user=request.user)
        return Response(prefix_answer(record), status=201)


class PrefixView(FacadeView):
    rights = {"DELETE": ("nautobot_pve_ipam.delete_sdnsubnet",)}

    def delete(self, request, namespace, pk, cluster=None):
        """Refused while it contains any address but gateways, even if the plugin considered it empty."""
        caller = self.caller(request, namespace, cluster)
        delete_subnet(one(self.records(caller), "prefix", pk=pk), user=request.user)
        return Response(status=204)


class RangesView(FacadeView):
    """DHCP ranges, looked up by start and end."""

    rights = {"GET": ("ipam.view_ipaddressrange",), "POST": ("ipam.add_ipaddressrange",)}

    def get(self, request, namespace, cluster=None):
        caller = self.caller(request, namespace, cluster)
        start = parse_address(request.query_params.get("start_address", ""), "start_address")
        end = parse_address(request.query_params.get("end_address", ""), "end_address")
        for record in self.records(caller):
            visible = record.dhcp_ranges.restrict(request.user, "view")
            found = visible.filter(start_host=str(start), end_host=str(end)).first()
            if found:
                return Response(listed([range_answer(found)]))
        return Response(listed([]))

    def post(self, request, namespace, cluster=None):
        """Add a DHCP range to its subnet. If that fails while PVE is creating the subnet, delete it as well."""
        caller = self.caller(request, namespace, cluster)
        body = self.body(request)
        start = parse_address(without_mask(body.get("start_address")), "start_address")
        end = parse_address(without_mask(body.get("end_address")), "end_address")
        record = self.record_around(caller, start)
        network = record.prefix.prefix
        facts = with_ranges(record, sorted({*map(bounds_of, record.dhcp_ranges.all()), (int(start), int(end))}))
        try:
            put_subnet(caller.namespace, network, facts, user=request.user)
        except PVEIPAMError:
            # PVE now aborts creating the subnet; left behind, it would make the next attempt fail as "already exists".
            if in_the_making(record) and not record.dhcp_ranges.exists():
                delete_subnet(record, user=request.user)
            raise
        return Response(range_answer(record.dhcp_ranges.get(start_host=str(start))), status=201)

    def record_around(self, caller, address):
        around = self.records(caller).filter(
            prefix__ip_version=address.version,
            prefix__network__lte=str(address),
            prefix__broadcast__gte=str(address),
        )
        if found := around.order_by("-prefix__prefix_length").first():
            return found
        raise Missing(f"no subnet of namespace {caller.namespace} contains address {address}")


class RangeView(FacadeView):
    rights = {"DELETE": ("ipam.delete_ipaddressrange",)}

    def delete(self, request, namespace, pk, cluster=None):
        caller = self.caller(request, namespace, cluster)
        record, found = range_of(caller.user, self.records(caller), pk)
        left = [bounds_of(other) for other in record.dhcp_ranges.exclude(pk=found.pk)]
        put_subnet(caller.namespace, record.prefix.prefix, with_ranges(record, left), user=request.user)
        return Response(status=204)


class AvailableIPsView(FacadeView):
    """The next free address of a subnet or of one of its ranges, for the guest in `description`."""

    rights = {"POST": ("ipam.view_prefix", "ipam.add_ipaddress")}

    def answer_with_next_free(self, request, record, bounds=()):
        wanted = Wanted(self.guest(self.body(request)))
        (held,) = allocate(Search(record.prefix, bounds), [wanted], caller=Caller.in_subnet(request.user, record))
        return Response(address_answer(held.address, held.allocation), status=201 if held.created else 200)


class PrefixAvailableIPsView(AvailableIPsView):
    def post(self, request, namespace, pk, cluster=None):
        caller = self.caller(request, namespace, cluster)
        return self.answer_with_next_free(request, one(self.records(caller), "prefix", pk=pk))


class RangeAvailableIPsView(AvailableIPsView):
    def post(self, request, namespace, pk, cluster=None):
        """204 without a body if the range is full, so that PVE tries the next one; 409 if all are full."""
        caller = self.caller(request, namespace, cluster)
        record, found = range_of(caller.user, self.records(caller), pk)
        try:
            return self.answer_with_next_free(request, record, (bounds_of(found),))
        except NoFreeAddress:
            others = record.dhcp_ranges.exclude(pk=found.pk)
            if any(Search(record.prefix, (bounds_of(other),)).first(1) for other in others):
                return Response(status=204)
            raise


class AddressesView(FacadeView):
    """Addresses, looked up by value, MAC or subnet."""

    rights = {"GET": ("ipam.view_ipaddress",), "POST": ("ipam.view_prefix", "ipam.add_ipaddress")}

    def get(self, request, namespace, cluster=None):
        caller = self.caller(request, namespace, cluster)
        query = request.query_params
        if "description__ic" in query:
            found = find_by_mac(caller, parse_mac(query["description__ic"], "description__ic"))
        elif "parent" in query:
            found = self.entries_in(caller, query["parent"])
        else:
            ip = parse_address(without_mask(query.get("q", "")), "q")
            found = caller.visible_allocations().filter(ip_address__host=str(ip))
        answers = [address_answer(allocation.ip_address, allocation) for allocation in found]
        return Response({**listed(answers), "data": answers})

    def entries_in(self, caller, cidr):
        """What keeps a subnet from being deleted, for a plugin that treats a single entry as empty.

        Gateways alone are reported as one entry, guests always as two.
        """
        network = parse_subnet("-".join(cidr.rsplit("/", 1)))
        inside = caller.only_visible(caller.allocations()).filter(
            subnet__prefix__network=str(network.ip), subnet__prefix__prefix_length=network.prefixlen
        )
        guests = list(inside.filter(is_gateway=False)[:2])
        return (guests * 2)[:2] if guests else list(inside[:1])

    def post(self, request, namespace, cluster=None):
        caller = self.caller(request, namespace, cluster)
        body = self.body(request)
        ip = parse_address(without_mask(body.get("address")), "address")
        guest = self.guest(body)
        with transaction.atomic():
            held = put_address(caller, ip, guest, adopt=may_adopt(), own_subnet_only=True)
            if guest.is_gateway and held.allocation and held.allocation.subnet:
                record = self.records(caller).get(prefix=held.allocation.subnet.prefix_id)
                learn_gateway(record, held.address.host, vnet_named_by(guest.hostname), user=request.user)
        return Response(address_answer(held.address, held.allocation), status=201)


class AddressView(FacadeView):
    rights = {"PATCH": ("ipam.change_ipaddress",), "DELETE": ("ipam.delete_ipaddress",)}

    def patch(self, request, namespace, pk, cluster=None):
        caller = self.caller(request, namespace, cluster)
        body = self.body(request)
        own = one(caller.only_visible(caller.allocations()), "address", ip_address_id=pk)
        ip = netaddr.IPAddress(own.ip_address.host)
        if parse_address(without_mask(body.get("address") or str(ip)), "address") != ip:
            raise InvalidRequest(f"address {body['address']} cannot replace {ip}: release it and add another")
        allocation = patch_address(caller, ip, self.guest(body))
        return Response(address_answer(allocation.ip_address, allocation))

    def delete(self, request, namespace, pk, cluster=None):
        caller = self.caller(request, namespace, cluster)
        own = one(caller.visible_allocations(), "address", ip_address_id=pk)
        host = own.ip_address.host
        record = self.records(caller).filter(prefix__sdn_subnets=own.subnet_id, gateway=host).first()
        if record and not own.is_gateway:
            raise NotOurs(f"address {own.ip_address} is not a gateway: a guest holds it")
        with transaction.atomic():
            delete_address(caller, netaddr.IPAddress(host))
            if record:
                learn_gateway(record, None, user=request.user)
        return Response(status=204)


class UnknownView(FacadeView):
    """Everything else in NetBox's API."""

    permission_classes = []

    def initial(self, request, *args, **kwargs):
        super().initial(request, *args, **kwargs)
        raise not_served(request)


def not_served(request):
    return Missing(
        f"{request.method} {request.path} is not served: this is Nautobot answering PVE's NetBox plugin, not NetBox"
    )


def listed(results):
    """A list in NetBox's response format."""
    return {"count": len(results), "next": None, "previous": None, "results": results}


def one(queryset, what, **lookup):
    """The caller's own object with that ID. Raises Missing."""
    if found := queryset.filter(**lookup).first():
        return found
    raise Missing(f"{what} {next(iter(lookup.values()))} does not exist, or does not belong to this PVE")


def range_of(user, records, pk):
    """The caller's subnet with that range, and the range, if the user may view it. Raises Missing."""
    visible = IPAddressRange.objects.restrict(user, "view")
    record = one(records.filter(dhcp_ranges__in=visible.filter(pk=pk)), "ip-range", dhcp_ranges=pk)
    return record, record.dhcp_ranges.get(pk=pk)


def with_ranges(record, ranges):
    """The facts of the subnet as it is, but with these DHCP ranges."""
    zone = record.vnet.zone
    cluster = zone.cluster.name if zone.cluster else None
    return SubnetFacts(zone=zone.name, vnet=record.vnet.name, cluster=cluster, dhcp_ranges=ranges, adopt=may_adopt())


def may_adopt():
    """Whether the stock plugin may adopt objects that it did not create."""
    return settings.PLUGINS_CONFIG["nautobot_pve_ipam"]["facade_adopts"]


def bounds_of(ip_address_range):
    return to_int(ip_address_range.start_host), to_int(ip_address_range.end_host)


def half_made(record):
    """A subnet with ranges but no address: PVE aborted creating it, or deleted it but could not tell us.

    PVE looks up the prefix of a subnet with ranges only to add or to delete it.
    """
    return record.dhcp_ranges.exists() and unaddressed(record)


def in_the_making(record):
    return timezone.now() - record.created < IN_THE_MAKING and unaddressed(record)


def unaddressed(record):
    """Neither guests nor a gateway; `gateway` is set even if another cluster holds the allocation of a shared one."""
    return record.gateway is None and not record.allocations.exists()


def vnet_named_by(hostname):
    """The vnet in a gateway's name, `VNET-gw`, or None."""
    found = GATEWAY_NAME.fullmatch(hostname)
    return found["vnet"] if found else None


def without_mask(address):
    return str(address).split("/", 1)[0]


def family(version):
    return {"value": version, "label": f"IPv{version}"}


def prefix_answer(record):
    prefix = record.prefix
    return {"id": str(record.pk), "prefix": str(prefix.prefix), "family": family(prefix.ip_version)}


def range_answer(found):
    return {
        "id": str(found.pk),
        "start_address": found.start_host,
        "end_address": found.end_host,
        "family": family(found.ip_version),
    }


def address_answer(address, allocation):
    description = ""
    if allocation and allocation.is_gateway:
        description = GATEWAY
    elif allocation and allocation.mac:
        description = f"{MAC_MARK}{allocation.mac}"
    return {
        "id": str(address.pk),
        "address": str(address.address),
        "family": family(address.ip_version),
        "dns_name": address.dns_name,
        "description": description,
    }
