"""Syncs with a real Nautobot, in one namespace; and a naive Nautobot of tests/pure made real."""

from nautobot.ipam.models import IPAddress, Namespace, Prefix

from nautobot_pve_ipam.models import Allocation, PVECluster, SDNDHCPRange, SDNSubnet, SDNVNet, SDNZone
from nautobot_pve_ipam.services.callers import Caller
from nautobot_pve_ipam.sync import known
from nautobot_pve_ipam.sync.run import Sync
from nautobot_pve_ipam.sync.snapshot import parse
from tests.models.data import active, saved
from tests.pure.sync.nautobot import NAMESPACE, NOW, identities


class Real:
    """One namespace of the Nautobot of this process, and a user who syncs it."""

    def __init__(self, user):
        self.user = user
        self.namespace = Namespace.objects.create(name=NAMESPACE)

    def caller(self, cluster="dc1"):
        return Caller(self.user, self.namespace, cluster)

    def run(self, document, cluster="dc1", *, now=NOW, **options):
        return Sync.of(self.caller(cluster), document, now=now, **options)

    def plan(self, document, cluster="dc1", **options):
        return self.run(document, cluster, **options).plan()

    def sync(self, document, cluster="dc1", **options):
        """Plan and apply; nothing fails, and the same again finds nothing to do. Returns the plan."""
        run = self.run(document, cluster, **options)
        planned = run.plan()
        outcome = run.apply(planned)
        assert outcome.failed == []
        assert set(outcome.applied) == set(planned.to_do)
        again = self.plan(document, cluster, **options)
        assert again.to_do == ()
        assert identities(again.differences) == identities(planned.differences)
        return planned

    def facts(self, document, cluster="dc1"):
        """Everything that Nautobot has, as a plan sees it."""
        return facts(known.read(self.caller(cluster), parse(document)))

    def make(self, nautobot):
        """Have what a naive Nautobot has."""
        clusters = {None: None}
        for name in sorted({one.cluster for one in nautobot.zones.values() if one.cluster}):
            clusters[name] = saved(PVECluster(name=name, status=active(PVECluster)))
        prefixes = {
            network: saved(Prefix(prefix=str(network), namespace=self.namespace, status=active(Prefix)))
            for network in sorted(nautobot.prefixes, key=lambda one: (one.version, one))
        }
        zones, vnets, subnets = {}, {}, {}
        for one in nautobot.zones.values():
            zones[one.cluster, one.name] = SDNZone.objects.create(
                namespace=self.namespace, cluster=clusters[one.cluster], name=one.name, type=one.type, dhcp=one.dhcp
            )
        for one in nautobot.vnets.values():
            vnets[one.cluster, one.zone, one.name] = SDNVNet.objects.create(
                zone=zones[one.cluster, one.zone], name=one.name, alias=one.alias, tag=one.tag
            )
        for one in nautobot.subnets.values():
            subnets[place(one)] = SDNSubnet.objects.create(
                vnet=vnets[one.cluster, one.zone, one.vnet],
                prefix=prefixes[one.network],
                gateway=str(one.gateway) if one.gateway else None,
                snat=one.snat,
                dns_zone_prefix=one.dns_zone_prefix,
                adopted=one.adopted,
            )
        for one in nautobot.addresses.values():
            address = IPAddress(address=str(one.ip), namespace=self.namespace, status=active(IPAddress))
            address.save()
            if one.allocated:
                Allocation.objects.create(
                    ip_address=address,
                    subnet=subnets.get(place(one)),
                    mac=one.mac,
                    vmid=one.vmid,
                    hostname=one.hostname,
                    is_gateway=one.is_gateway,
                    adopted=one.adopted,
                    last_seen=one.last_seen,
                )


def place(one):
    return one.cluster, one.zone, one.vnet, one.network


def facts(read):
    """What a plan knows, whatever its order."""
    return {*read.zones, *read.vnets, *read.subnets, *read.addresses}


def everything():
    """All rows of the App's models and of core's that it writes, to see what a call has changed."""
    models = (PVECluster, SDNZone, SDNVNet, SDNSubnet, SDNDHCPRange, Allocation, Prefix, IPAddress)
    return {model: sorted(map(repr, model.objects.order_by().values())) for model in models}
