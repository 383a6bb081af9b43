"""The NetBox facade: serves the calls of PVE's stock NetBox plugin from one Nautobot namespace.

An unpatched PVE uses Nautobot through an IPAM entry of type `netbox` whose url ends in `netbox/{namespace}` or
`netbox/{namespace}/{cluster}`. It is not NetBox: any other request gets a 404 that says so. Where the plugin's own
lookups are sloppy (a text search for an address, "at most one entry means empty"), the responses make it do the right
thing anyway. The calls are those of pve-network, src/PVE/Network/SDN/Ipams/NetboxPlugin.pm.

IDs say what PVE means: an allocation, not its address, which may be the next guest's when a late request arrives; and a
range by its ends, because guests start with the ranges that PVE has applied, while Nautobot already has the next ones.
May import the rest of api, services, search and models.
"""

import re
from contextlib import contextmanager
from dataclasses import replace

import netaddr
from django.conf import settings
from rest_framework.response import Response

from nautobot_pve_ipam.api.base import PVEIPAMView, is_read_only
from nautobot_pve_ipam.api.netbox_change import Change, known_facts, ranges_of
from nautobot_pve_ipam.core_internals import atomic
from nautobot_pve_ipam.errors import (
    Conflict,
    Forbidden,
    InvalidRequest,
    Misconfigured,
    Missing,
    NoFreeAddress,
    NotOurs,
)
from nautobot_pve_ipam.models import Allocation
from nautobot_pve_ipam.permissions import is_visible, missing_hook_rights
from nautobot_pve_ipam.search.search import Search
from nautobot_pve_ipam.services import defaults, lookups
from nautobot_pve_ipam.services.addresses import Precondition, delete_address, find_by_mac, patch_address, put_address
from nautobot_pve_ipam.services.allocation import Guest, Wanted, allocate
from nautobot_pve_ipam.services.callers import Caller
from nautobot_pve_ipam.services.subnets import (
    SubnetFacts,
    check_deletion,
    delete_subnet,
    guest_in,
    learn_gateway,
    put_subnet,
)
from nautobot_pve_ipam.services.values import parse_address, parse_line, parse_mac, parse_subnet, told_name

#: The stock plugin sends neither zone nor vnet; the vnet is known only from the gateway's name.
ZONE, VNET = "netbox", "unknown"
GATEWAY_NAME = re.compile(r"(?P<vnet>[a-zA-Z][a-zA-Z0-9]{0,7})-gw(\..*)?")
GATEWAY, MAC_MARK = "gateway", "mac:"


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
        parse_line(hostname, "dns_name")
        if description == GATEWAY:
            return Guest(hostname=told_name(hostname), is_gateway=True)
        mac = description.removeprefix(MAC_MARK) if description.startswith(MAC_MARK) else None
        return Guest(mac=parse_mac(mac, "description") if mac else None, hostname=told_name(hostname))

    @staticmethod
    def ends(start, end):
        """First and last address of a range, as sent by the plugin."""
        start = parse_address(without_mask(start), "start_address")
        end = parse_address(without_mask(end), "end_address")
        if start.version != end.version or start > end:
            raise InvalidRequest(f"end_address {end} does not follow start_address {start}", field="end_address")
        return start, end

    @staticmethod
    def record_around(caller, address):
        if found := caller.subnet_around(address):
            return found
        raise Missing(f"no subnet of namespace {caller.namespace} contains address {address}")

    def record_with(self, caller, start, end):
        """The caller's subnet around a range, which may not exist. Raises Missing, also if the user may not view it."""
        record = self.record_around(caller, start)
        found = record.dhcp_ranges.filter(start_host=str(start), end_host=str(end)).first()
        if end not in record.prefix.prefix or (found and not is_visible(caller.user, found)):
            raise Missing(f"no range {start}-{end} of namespace {caller.namespace}, or you may not view it")
        return record


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
        """Only the caller's subnet that starts at `q`, without others that a text search would find.

        PVE looks up a subnet only to add or to delete it. One that PVE has not completed is not found, so that adding
        it can be repeated. Neither is one without gateway and guests, which the plugin otherwise could not delete; as
        no further call follows, it is deleted here if it was made here.
        """
        caller = self.caller(request, namespace, cluster)
        network = parse_address(request.query_params.get("q", ""), "q")
        found = list(caller.subnets_at(network))
        caller.first_of(found)  # not one of several records of the same prefix
        return Response(listed([prefix_answer(record) for record in found if not self.let_go(request, record)]))

    @staticmethod
    def let_go(request, record):
        if is_complete(record, request.user):
            return False
        # What an admin has prepared for PVE to adopt must be there when PVE creates the subnet.
        prepared = record.vnet.zone.name != ZONE or (record.adopted and not may_adopt())
        if request.method == "GET" and not prepared and not is_read_only(request):
            delete_subnet(record, user=request.user, take_back=True)
        return True

    def post(self, request, namespace, cluster=None):
        """Create a subnet, or take over the record that an admin has prepared, with the ranges to be adopted."""
        caller = self.caller(request, namespace, cluster)
        network = network_of(self.body(request).get("prefix"))
        existing = caller.record_of(network)
        if existing and is_complete(existing, request.user):
            raise Conflict(f"subnet {network} already exists in namespace {caller.namespace}")
        Change(caller, network).creates(existing)
        if existing:
            facts = known_facts(existing, ranges_of(existing, adopted=True), adopt=may_adopt())
        else:
            facts = SubnetFacts(zone=ZONE, vnet=VNET, cluster=cluster, dhcp_ranges=[], adopt=may_adopt())
        record, _created = put_subnet(caller.namespace, network, facts, user=request.user)
        return Response(prefix_answer(record), status=201)


class PrefixView(FacadeView):
    rights = {"DELETE": ("nautobot_pve_ipam.delete_sdnsubnet",)}

    def delete(self, request, namespace, pk, cluster=None):
        """Refused while it contains any address but gateways, even if the plugin considered it empty."""
        caller = self.caller(request, namespace, cluster)
        record = one(caller.visible_subnets().filter(pk=pk), "prefix", pk)
        with undone_if_refused(caller, record):
            delete_subnet(record, user=request.user)
        return Response(status=204)


class RangesView(FacadeView):
    """DHCP ranges, looked up by start and end."""

    rights = {"GET": ("ipam.view_ipaddressrange",), "POST": ("ipam.add_ipaddressrange",)}

    def get(self, request, namespace, cluster=None):
        """Any range of the caller's subnets: PVE knows which ones it has."""
        caller = self.caller(request, namespace, cluster)
        query = request.query_params
        start, end = self.ends(query.get("start_address", ""), query.get("end_address", ""))
        try:
            self.record_with(caller, start, end)
        except Missing:
            return Response(listed([]))
        return Response(listed([range_answer(start, end)]))

    def post(self, request, namespace, cluster=None):
        """Add a DHCP range to its subnet."""
        caller = self.caller(request, namespace, cluster)
        body = self.body(request)
        start, end = self.ends(body.get("start_address"), body.get("end_address"))
        record = self.record_around(caller, start)
        ranges = sorted({*ranges_of(record), (int(start), int(end))})
        Change(caller, record.prefix.prefix).adds_range()
        with undone_if_refused(caller, record):
            facts = known_facts(record, ranges, adopt=may_adopt())
            put_subnet(caller.namespace, record.prefix.prefix, facts, user=request.user)
        return Response(range_answer(start, end), status=201)


class RangeView(FacadeView):
    rights = {"DELETE": ("ipam.delete_ipaddressrange",)}

    def delete(self, request, namespace, start, end, cluster=None):
        """Remove a range; one that does not exist is no error, as PVE's first attempt may have removed it."""
        caller = self.caller(request, namespace, cluster)
        start, end = self.ends(start, end)
        record = self.record_with(caller, start, end)
        ranges = ranges_of(record)
        if (int(start), int(end)) in ranges:
            Change(caller, record.prefix.prefix).removes_range_of(record)
            ranges.remove((int(start), int(end)))
            put_subnet(caller.namespace, record.prefix.prefix, known_facts(record, ranges), user=request.user)
        return Response(status=204)


class AvailableIPsView(FacadeView):
    """The next free address of a subnet or of one of its ranges, for the guest in `description`."""

    rights = {"POST": ("ipam.view_prefix", "ipam.add_ipaddress")}

    def answer_with_next_free(self, request, record, bounds=()):
        wanted = Wanted(self.guest(self.body(request)))
        (held,) = allocate(Search(record.prefix, bounds), [wanted], caller=Caller.in_subnet(request.user, record))
        return Response(address_answer(held.allocation), status=201 if held.created else 200)


class PrefixAvailableIPsView(AvailableIPsView):
    def post(self, request, namespace, pk, cluster=None):
        caller = self.caller(request, namespace, cluster)
        return self.answer_with_next_free(request, one(caller.visible_subnets().filter(pk=pk), "prefix", pk))


class RangeAvailableIPsView(AvailableIPsView):
    def post(self, request, namespace, start, end, cluster=None):
        """204 without a body if the range is full, so that PVE tries the next one; 409 if all are full."""
        caller = self.caller(request, namespace, cluster)
        start, end = self.ends(start, end)
        record, bounds = self.record_with(caller, start, end), (int(start), int(end))
        try:
            return self.answer_with_next_free(request, record, (bounds,))
        except NoFreeAddress:
            others = (Search(record.prefix, (other,)) for other in ranges_of(record) if other != bounds)
            if any(search.first(1) for search in others):
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
            found = caller.visible_allocations(ip_address__host=str(ip))
        answers = [address_answer(allocation) for allocation in found]
        return Response({**listed(answers), "data": answers})

    def entries_in(self, caller, cidr):
        """Nothing, or the error why the subnet cannot be deleted, which the plugin is about to do, gateway first."""
        if record := caller.record_of(network_of(cidr)):
            check_deletion(record, user=caller.user)
        return []

    def post(self, request, namespace, cluster=None):
        caller = self.caller(request, namespace, cluster)
        body = self.body(request)
        ip = parse_address(without_mask(body.get("address")), "address")
        guest = self.guest(body)
        caller = replace(caller, subnet=self.record_around(caller, ip))
        if guest.is_gateway:
            held = self.hold_gateway(caller, ip, guest)
        else:
            held = put_address(caller, ip, guest, adopt=may_adopt())
        return Response(address_answer(held.allocation), status=201)

    def hold_gateway(self, caller, ip, guest):
        """The last call by which PVE creates or changes a subnet."""
        record = caller.subnet
        with undone_if_refused(caller, record), atomic():
            held = put_address(caller, ip, guest, adopt=may_adopt())
            learn_gateway(record, held.address.host, vnet_named_by(guest.hostname, record), user=caller.user)
        Change(caller, record.prefix.prefix).ends()
        return held


class AddressView(FacadeView):
    rights = {"PATCH": ("ipam.change_ipaddress",), "DELETE": ("ipam.delete_ipaddress",)}

    def patch(self, request, namespace, pk, cluster=None):
        caller = self.caller(request, namespace, cluster)
        body = self.body(request)
        own = one(caller.only_visible(caller.allocations(pk=pk)), "address", pk)
        ip = netaddr.IPAddress(own.ip_address.host)
        if parse_address(without_mask(body.get("address") or str(ip)), "address") != ip:
            raise InvalidRequest(f"address {body['address']} cannot replace {ip}: release it and add another")
        allocation = patch_address(caller, ip, self.guest(body), held_as(own))
        return Response(address_answer(allocation))

    def delete(self, request, namespace, pk, cluster=None):
        caller = self.caller(request, namespace, cluster)
        own = one(caller.visible_allocations(pk=pk), "address", pk)
        host = own.ip_address.host
        record = own.subnet and caller.first_of(
            caller.visible_subnets().filter(prefix=own.subnet.prefix_id, gateway=host)
        )
        if record and not own.is_gateway:
            raise NotOurs(f"address {own.ip_address} is not a gateway: a guest holds it")
        with atomic():
            delete_address(caller, netaddr.IPAddress(host), held_as(own))
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


def one(found, what, pk):
    """The caller's own object with that ID, all that was found. Raises Missing."""
    for thing in found:
        return thing
    raise Missing(f"{what} {pk} does not exist, or does not belong to this PVE")


def held_as(allocation):
    """The precondition that the address is still held by this allocation."""
    return Precondition(allocation_ids={str(allocation.pk)})


@contextmanager
def undone_if_refused(caller, record):
    """If the call in the block is refused, so is PVE's whole change: take back its earlier calls."""
    try:
        yield
    except Exception:
        Change(caller, record.prefix.prefix).undo(record)
        raise


def may_adopt():
    """Whether the stock plugin may adopt objects that it did not create."""
    return settings.PLUGINS_CONFIG["nautobot_pve_ipam"]["facade_adopts"]


def is_complete(record, user):
    """Whether PVE has registered the gateway, its last step in creating a subnet, or a guest is in the subnet.

    The allocation of a gateway shared with another cluster may be that cluster's.
    """
    gateways = Allocation.objects.filter(subnet__prefix=record.prefix_id, is_gateway=True, last_seen__isnull=False)
    registered = any(
        found.subnet_id == record.pk or found.ip_address.host == record.gateway
        for found in gateways.select_related("ip_address").order_by()
    )
    return registered or guest_in(record, user) is not None


def vnet_named_by(hostname, record):
    """The vnet in a gateway's name, `VNET-gw`, if none is known yet; else None: somebody may have chosen it by hand."""
    found = GATEWAY_NAME.fullmatch(hostname)
    return found["vnet"] if found and (record.vnet.zone.name, record.vnet.name) == (ZONE, VNET) else None


def without_mask(address):
    return str(address).split("/", 1)[0]


def network_of(cidr):
    """A subnet as NetBox writes it, `10.0.0.0/24`."""
    return parse_subnet("-".join(str(cidr).rsplit("/", 1)))


def family(version):
    return {"value": version, "label": f"IPv{version}"}


def prefix_answer(record):
    prefix = record.prefix
    return {"id": str(record.pk), "prefix": str(prefix.prefix), "family": family(prefix.ip_version)}


def range_answer(start, end):
    return {
        "id": f"{start}-{end}",
        "start_address": str(start),
        "end_address": str(end),
        "family": family(start.version),
    }


def address_answer(allocation):
    address, description = allocation.ip_address, ""
    if allocation.is_gateway:
        description = GATEWAY
    elif allocation.mac:
        description = f"{MAC_MARK}{allocation.mac}"
    return {
        "id": str(allocation.pk),
        "address": str(address.address),
        "family": family(address.ip_version),
        "dns_name": address.dns_name,
        "description": description,
    }
