"""What Proxmox VE (PVE) knows about the network, attached to Nautobot's own IPAM objects.

A PVE subnet *is* a core Prefix, a DHCP range *is* a core IPAddressRange, an address *is* a core IPAddress.
These models add only what core objects cannot store: cluster, zone, vnet, guest. May import choices.
"""

import netaddr
from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.serializers.json import DjangoJSONEncoder
from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models
from nautobot.apps.constants import CHARFIELD_MAX_LENGTH
from nautobot.apps.models import BaseModel, MACAddressCharField, PrimaryModel, StatusField, extras_features

from nautobot_pve_ipam.choices import DifferenceKindChoices, DifferenceStateChoices, ZoneTypeChoices
from nautobot_pve_ipam.subject import Subject

VMID_MIN = 100
VMID_MAX = 999_999_999
VNET_TAG_MAX = 16_777_215
#: PVE's own limit for the IDs of zones and vnets (pve-sdn-zone-id, pve-sdn-vnet-id).
SDN_ID_MAX_LENGTH = 8

vmid_validators = (MinValueValidator(VMID_MIN), MaxValueValidator(VMID_MAX))
sdn_id_validator = RegexValidator(
    r"^[a-zA-Z][a-zA-Z0-9]{0,7}$",
    "'%(value)s' is not a valid PVE ID: 1 to 8 letters and digits, starting with a letter.",
)

#: Names from PVE are one line: a control character in one would break whatever shows or exports it.
line_validator = RegexValidator(
    r"[\x00-\x1f\x7f-\x9f]", "'%(value)s' contains a control character.", inverse_match=True
)

full_citizen = extras_features(
    "custom_links",
    "custom_validators",
    "export_templates",
    "graphql",
    "webhooks",
)


@full_citizen
@extras_features("statuses")  # without it, saving a status on Nautobot's pages would take it from all clusters
class PVECluster(PrimaryModel):
    """A PVE cluster, or a single node, identified by the name PVE uses for it."""

    name = models.CharField(
        max_length=CHARFIELD_MAX_LENGTH,
        unique=True,
        validators=[line_validator],
        help_text="The cluster's name in PVE (cluster_name in corosync.conf), or the name of a single node",
    )
    status = StatusField(blank=False, null=False)
    virtualization_cluster = models.ForeignKey(
        to="virtualization.Cluster",
        on_delete=models.SET_NULL,
        related_name="pve_clusters",
        blank=True,
        null=True,
        verbose_name="virtualization cluster",
        help_text="The corresponding cluster in Nautobot's virtualization inventory",
    )
    user = models.ForeignKey(
        to=settings.AUTH_USER_MODEL,
        on_delete=models.SET_NULL,
        related_name="+",
        blank=True,
        null=True,
        verbose_name="bound to user",
        help_text="The PVE's user: no other user may act for this cluster, and this user for no other cluster",
    )
    last_synced = models.DateTimeField(
        blank=True, null=True, editable=False, help_text="When a sync of this cluster last ended"
    )
    last_synced_by = models.ForeignKey(
        to=settings.AUTH_USER_MODEL,
        on_delete=models.SET_NULL,
        related_name="+",
        blank=True,
        null=True,
        editable=False,
        verbose_name="last synced by",
    )
    last_sync_result = models.TextField(blank=True, editable=False, help_text="What the last sync did, as a sentence")
    description = models.CharField(max_length=CHARFIELD_MAX_LENGTH, blank=True)

    clone_fields = ["status", "description"]

    class Meta:
        ordering = ("name",)
        verbose_name = "PVE cluster"

    def __str__(self):
        return self.name


@full_citizen
class SDNZone(PrimaryModel):
    """A PVE software-defined network (SDN) zone, whose addresses come from one Nautobot namespace.

    Two clusters may each have a zone of the same name in one namespace.
    """

    namespace = models.ForeignKey(to="ipam.Namespace", on_delete=models.CASCADE, related_name="sdn_zones")
    cluster = models.ForeignKey(
        to="nautobot_pve_ipam.PVECluster",
        on_delete=models.CASCADE,
        related_name="sdn_zones",
        blank=True,
        null=True,
        help_text="Leave empty if the namespace serves a single PVE",
    )
    name = models.CharField(
        max_length=SDN_ID_MAX_LENGTH,
        validators=[sdn_id_validator],
        help_text="The zone's ID in PVE, as in /etc/pve/sdn",
    )
    type = models.CharField(max_length=20, choices=ZoneTypeChoices, default=ZoneTypeChoices.SIMPLE)
    dhcp = models.CharField(
        max_length=20, blank=True, verbose_name="DHCP", help_text="The zone's DHCP backend in PVE, such as dnsmasq"
    )
    description = models.CharField(max_length=CHARFIELD_MAX_LENGTH, blank=True)

    clone_fields = ["namespace", "cluster", "type", "dhcp"]
    natural_key_field_names = ["namespace", "cluster", "name"]

    class Meta:
        ordering = ("namespace__name", "cluster__name", "name")
        verbose_name = "SDN zone"
        constraints = [
            models.UniqueConstraint(fields=("namespace", "cluster", "name"), name="pve_ipam_zone_unique"),
        ]

    def __str__(self):
        return f"{self.cluster.name}/{self.name}" if self.cluster_id else self.name

    def clean(self):
        super().clean()
        # In SQL, NULLs are distinct: the constraint alone would allow two zones without a cluster.
        if self.cluster_id is None and self.namespace_id is not None:
            twins = SDNZone.objects.filter(namespace_id=self.namespace_id, cluster=None, name=self.name)
            if twins.exclude(pk=self.pk).exists():
                raise ValidationError({"name": f"Zone {self.name} already exists in namespace {self.namespace}."})
        moves = SDNZone.objects.filter(pk=self.pk).exclude(namespace=self.namespace_id).exists()
        if moves and (stray := self.subnets_outside(self.namespace_id, vnet__zone=self.pk)):
            raise ValidationError({"namespace": f"Subnet {stray} is in namespace {stray.prefix.namespace}."})

    @staticmethod
    def subnets_outside(namespace_id, **of):
        """The first matching subnet whose prefix is in another namespace, or None."""
        return SDNSubnet.objects.filter(**of).exclude(prefix__namespace=namespace_id).first()


@full_citizen
class SDNVNet(PrimaryModel):
    """A PVE virtual network (vnet) in a zone."""

    zone = models.ForeignKey(to="nautobot_pve_ipam.SDNZone", on_delete=models.CASCADE, related_name="vnets")
    name = models.CharField(
        max_length=SDN_ID_MAX_LENGTH,
        validators=[sdn_id_validator],
        help_text="The vnet's ID in PVE, also the name of its bridge",
    )
    alias = models.CharField(
        max_length=CHARFIELD_MAX_LENGTH, blank=True, validators=[line_validator], help_text="The vnet's alias in PVE"
    )
    tag = models.PositiveIntegerField(
        blank=True,
        null=True,
        validators=[MinValueValidator(1), MaxValueValidator(VNET_TAG_MAX)],
        help_text="VLAN ID (1 to 4094) or VXLAN ID (1 to 16777215), depending on the zone's type",
    )
    vlan = models.ForeignKey(
        to="ipam.VLAN",
        on_delete=models.SET_NULL,
        related_name="sdn_vnets",
        blank=True,
        null=True,
        verbose_name="VLAN",
    )
    description = models.CharField(max_length=CHARFIELD_MAX_LENGTH, blank=True)

    clone_fields = ["zone", "vlan"]
    natural_key_field_names = ["zone", "name"]

    class Meta:
        ordering = ("zone__name", "name")
        verbose_name = "SDN vnet"
        constraints = [models.UniqueConstraint(fields=("zone", "name"), name="pve_ipam_vnet_unique")]

    def __str__(self):
        return f"{self.zone}/{self.name}"

    def clean(self):
        super().clean()
        if self.zone_id is None:
            return
        moves = SDNVNet.objects.filter(pk=self.pk).exclude(zone__namespace=self.zone.namespace_id).exists()
        if moves and (stray := SDNZone.subnets_outside(self.zone.namespace_id, vnet=self.pk)):
            raise ValidationError({"zone": f"Subnet {stray} is in namespace {stray.prefix.namespace}."})


@full_citizen
class SDNSubnet(PrimaryModel):
    """A PVE subnet: a vnet's record of a core Prefix. Two clusters may each have a record of the same Prefix."""

    vnet = models.ForeignKey(to="nautobot_pve_ipam.SDNVNet", on_delete=models.CASCADE, related_name="subnets")
    prefix = models.ForeignKey(to="ipam.Prefix", on_delete=models.CASCADE, related_name="sdn_subnets")
    gateway = models.GenericIPAddressField(
        blank=True,
        null=True,
        help_text="Address of the subnet's gateway; may be outside the subnet only for a point-to-point /32 or /128",
    )
    snat = models.BooleanField(
        default=False, verbose_name="SNAT", help_text="PVE translates the source addresses of guests"
    )
    dns_zone_prefix = models.CharField(
        max_length=CHARFIELD_MAX_LENGTH,
        blank=True,
        validators=[line_validator],
        verbose_name="DNS zone prefix",
        help_text="Inserted by PVE between hostname and DNS zone",
    )
    adopted = models.BooleanField(
        default=False, help_text="The prefix existed before PVE used it, so PVE never deletes it"
    )
    dhcp_ranges = models.ManyToManyField(
        to="ipam.IPAddressRange",
        through="nautobot_pve_ipam.SDNDHCPRange",
        related_name="sdn_subnets",
        blank=True,
        verbose_name="DHCP ranges",
    )

    natural_key_field_names = ["vnet", "prefix"]

    #: Set on an instance whose DHCP ranges will be replaced right after it is saved.
    replaces_ranges = False

    class Meta:
        ordering = ("prefix__ip_version", "prefix__network", "prefix__prefix_length", "vnet__name")
        verbose_name = "SDN subnet"
        constraints = [models.UniqueConstraint(fields=("vnet", "prefix"), name="pve_ipam_subnet_unique")]

    def __str__(self):
        return f"{self.prefix} ({self.vnet})"

    def clean(self) -> None:
        super().clean()
        if self.vnet_id is None or self.prefix_id is None:
            return
        if self.prefix.namespace_id != self.vnet.zone.namespace_id:
            raise ValidationError(
                {"prefix": f"Prefix {self.prefix} is not in namespace {self.vnet.zone.namespace} of vnet {self.vnet}."}
            )
        network = self.prefix.prefix
        # The field itself rejects invalid addresses. The gateway of a point-to-point subnet lies outside it.
        known = netaddr.valid_ipv4(self.gateway or "") or netaddr.valid_ipv6(self.gateway or "")
        if known and network.size > 1 and self.gateway not in network:
            raise ValidationError({"gateway": f"Gateway {self.gateway} is not in {network}."})
        if known and self.gateway in network and (holder := self._holder_of_gateway()):
            raise ValidationError({"gateway": f"Gateway {self.gateway} is held by {holder}."})
        if SDNSubnet.objects.filter(pk=self.pk).exclude(prefix=self.prefix_id).exists():
            self._check_nothing_stays_behind()

    def _holder_of_gateway(self):
        """The allocation of the gateway's address if it is a guest's or another prefix's gateway, but not if the subnet
        had this gateway before.
        """
        at_gateway = Allocation.objects.filter(
            ip_address__parent__namespace_id=self.prefix.namespace_id, ip_address__host=self.gateway
        )
        holder = at_gateway.select_related("subnet").first()
        if holder is None or holder.is_gateway_of(self.prefix_id):
            return None
        before = SDNSubnet.objects.filter(pk=self.pk, prefix_id=self.prefix_id, gateway=self.gateway)
        return None if before.exists() else holder

    def _check_nothing_stays_behind(self):
        """A subnet takes its allocations and ranges along to another prefix."""
        held = self.allocations.select_related("ip_address__parent")
        if stray := next((one for one in held.iterator() if not address_within(one, self)), None):
            raise ValidationError(
                {"prefix": f"Prefix {self.prefix} does not contain {stray.ip_address}, which is held."}
            )
        links = () if self.replaces_ranges else self.dhcp_range_links.select_related("ip_address_range__parent")
        if stray := next((link for link in links if not range_within(link.ip_address_range, self.prefix)), None):
            raise ValidationError({"prefix": f"Prefix {self.prefix} does not contain DHCP range {stray}."})

    @property
    def pve_id(self):
        """The subnet's ID without its zone, as used by PVE and in our URLs: `10.0.0.0-24`."""
        return f"{self.prefix.network}-{self.prefix.prefix_length}"


@extras_features("graphql")
class SDNDHCPRange(BaseModel):
    """Links a subnet to a core IP address range used for DHCP; `adopted` unless PVE created the range."""

    subnet = models.ForeignKey(
        to="nautobot_pve_ipam.SDNSubnet", on_delete=models.CASCADE, related_name="dhcp_range_links"
    )
    ip_address_range = models.ForeignKey(
        to="ipam.IPAddressRange", on_delete=models.CASCADE, related_name="sdn_subnet_links"
    )
    adopted = models.BooleanField(
        default=False, help_text="The range existed before PVE used it, so PVE never deletes it"
    )

    natural_key_field_names = ["subnet", "ip_address_range"]

    class Meta:
        ordering = ("ip_address_range__ip_version", "ip_address_range__start_host")
        verbose_name = "SDN DHCP range"
        constraints = [
            models.UniqueConstraint(fields=("subnet", "ip_address_range"), name="pve_ipam_dhcp_range_unique")
        ]

    def __str__(self):
        return str(self.ip_address_range)

    def clean(self):
        super().clean()
        if self.subnet_id is None or self.ip_address_range_id is None:
            return
        if not range_within(self.ip_address_range, self.subnet.prefix):
            raise ValidationError(
                {"ip_address_range": f"Range {self.ip_address_range} is not within prefix {self.subnet.prefix}."}
            )


def range_within(ip_address_range, prefix) -> bool:
    """Whether a core IP address range lies in a core prefix or a pool of it: same namespace, and both ends inside."""
    return (
        ip_address_range.parent.namespace_id == prefix.namespace_id
        and ip_address_range.start_address in prefix.prefix
        and ip_address_range.end_address in prefix.prefix
    )


@full_citizen
class Allocation(PrimaryModel):
    """An address held for a guest or a gateway: what PVE knows about a core IPAddress.

    `vmid` is PVE's ID of the guest, 100 to 999999999. The allocation is deleted together with its address.
    """

    ip_address = models.OneToOneField(
        to="ipam.IPAddress", on_delete=models.CASCADE, related_name="pve_allocation", verbose_name="IP address"
    )
    subnet = models.ForeignKey(
        to="nautobot_pve_ipam.SDNSubnet",
        on_delete=models.SET_NULL,
        related_name="allocations",
        blank=True,
        null=True,
        db_index=False,  # the index below begins with it
        help_text="Empty if no PVE requested the address",
    )
    # Nullable for GraphQL, which reads "no MAC" as null. In the database it is an empty string.
    mac = MACAddressCharField(blank=True, null=True, default="", db_index=True, verbose_name="MAC address")
    vmid = models.PositiveIntegerField(
        blank=True, null=True, db_index=True, validators=vmid_validators, verbose_name="VMID"
    )
    hostname = models.CharField(max_length=CHARFIELD_MAX_LENGTH, blank=True, db_index=True, validators=[line_validator])
    is_gateway = models.BooleanField(default=False, verbose_name="gateway")
    adopted = models.BooleanField(
        default=False, help_text="The address existed before PVE used it, so PVE never deletes it"
    )
    last_seen = models.DateTimeField(
        blank=True, null=True, editable=False, help_text="When PVE last requested or confirmed this address"
    )

    natural_key_field_names = ["ip_address"]

    class Meta:
        ordering = ("ip_address__ip_version", "ip_address__host")
        verbose_name = "allocation"
        # Whether a subnet holds any guest is found out by the first entry: see `services/subnets.py`.
        indexes = [models.Index(fields=("subnet", "is_gateway", "ip_address"), name="pve_ipam_allocation_by_subnet")]

    def __str__(self):
        return f"{self.ip_address} {self.hostname}".rstrip()

    def is_gateway_of(self, prefix_id) -> bool:
        """Whether this is a gateway of a subnet on that prefix, or of one whose record was deleted."""
        return self.is_gateway and (self.subnet is None or self.subnet.prefix_id == prefix_id)

    def clean(self):
        super().clean()
        if self.subnet_id is None or self.ip_address_id is None:
            return
        if not address_within(self, self.subnet):
            space = self.subnet.prefix.namespace
            raise ValidationError(
                {"ip_address": f"Address {self.ip_address} is not in subnet {self.subnet} of namespace {space}."}
            )

    def validate_unique(self, exclude=None):
        """One MAC, one address in a subnet. A pair that an API client asked for, by naming bounds, stays valid."""
        super().validate_unique(exclude)
        if self.is_gateway or not (self.subnet_id and self.mac) or {"subnet", "mac"} & set(exclude or ()):
            return
        same = Allocation.objects.filter(subnet=self.subnet_id, mac=self.mac, is_gateway=False)
        other = same.exclude(pk=self.pk).select_related("ip_address").first()
        if other and not same.filter(pk=self.pk).exists():
            raise ValidationError({"mac": f"MAC {self.mac} already holds {other.ip_address} in subnet {self.subnet}."})


def address_within(allocation, subnet) -> bool:
    """Whether an allocation's address lies in a subnet: same namespace, and inside unless it is the gateway of a
    point-to-point subnet.
    """
    address, prefix = allocation.ip_address, subnet.prefix
    if address.parent.namespace_id != prefix.namespace_id:
        return False
    network = prefix.prefix
    return address.host in network or (allocation.is_gateway and network.size == 1)


@full_citizen
class Difference(PrimaryModel):
    """Something that PVE and Nautobot say differently, as found by a sync and left to people.

    It is recognized by its namespace, its cluster, its kind and its subject: those of `zone` to `ip` that apply.
    `before` is what Nautobot (or PVE's cache) has, `after` what it should have, or what PVE says.
    """

    namespace = models.ForeignKey(to="ipam.Namespace", on_delete=models.CASCADE, related_name="pve_differences")
    cluster = models.ForeignKey(
        to="nautobot_pve_ipam.PVECluster",
        on_delete=models.CASCADE,
        related_name="differences",
        blank=True,
        null=True,
        help_text="Empty if the namespace serves a single PVE",
    )
    kind = models.CharField(max_length=20, choices=DifferenceKindChoices)
    zone = models.CharField(max_length=SDN_ID_MAX_LENGTH, blank=True)
    vnet = models.CharField(max_length=SDN_ID_MAX_LENGTH, blank=True, verbose_name="vnet")
    network = models.CharField(max_length=43, blank=True, help_text="The subnet, such as 10.0.0.0/24")
    vmid = models.PositiveIntegerField(blank=True, null=True, verbose_name="VMID")
    mac = MACAddressCharField(blank=True, null=True, default="", verbose_name="MAC address")
    ip = models.GenericIPAddressField(blank=True, null=True, verbose_name="IP address")
    # In SQL, NULLs are distinct: no constraint on the columns themselves could include the cluster.
    identity = models.CharField(max_length=CHARFIELD_MAX_LENGTH, editable=False)
    before = models.JSONField(blank=True, null=True, encoder=DjangoJSONEncoder)
    after = models.JSONField(blank=True, null=True, encoder=DjangoJSONEncoder)
    evidence = models.TextField(help_text="What is different, and how that is known")
    settlements = models.JSONField(blank=True, default=list, help_text="What may be done about it")
    first_seen = models.DateTimeField(help_text="When a sync first found it, without having missed it since")
    last_seen = models.DateTimeField(help_text="When a sync last found it")
    state = models.CharField(
        max_length=20, choices=DifferenceStateChoices, default=DifferenceStateChoices.OPEN, db_index=True
    )
    reason = models.CharField(
        max_length=CHARFIELD_MAX_LENGTH, blank=True, validators=[line_validator], help_text="Why it is ignored"
    )

    natural_key_field_names = ["namespace", "identity"]

    class Meta:
        ordering = ("-first_seen", "identity")
        constraints = [models.UniqueConstraint(fields=("namespace", "identity"), name="pve_ipam_difference_unique")]

    def __str__(self):
        return f"{self.get_kind_display()}: {self.subject}"

    @property
    def about(self) -> Subject:
        return Subject(self.zone, self.vnet, self.network, self.vmid or 0, str(self.mac or ""), str(self.ip or ""))

    @property
    def subject(self) -> str:
        """What it is about, in words."""
        return str(self.about)

    def identify(self) -> str:
        """Its `identity`, which no other difference of the namespace has and which never changes."""
        if not self.identity:
            whose = (self.cluster_id, self.kind, self.zone, self.vnet, self.network, self.vmid, self.mac, self.ip)
            self.identity = " ".join(str(part or "-") for part in whose)
        return self.identity

    def clean(self):
        super().clean()
        self.identify()
        if self.state == DifferenceStateChoices.OPEN:
            self.reason = ""
        elif self.state == DifferenceStateChoices.ACCEPTED and not self.reason:
            raise ValidationError({"reason": "A difference is ignored for a reason: say which."})

    def save(self, *args, **kwargs):
        self.identify()
        super().save(*args, **kwargs)


class IdempotencyKey(BaseModel):
    """The response already given for a user's `Idempotency-Key`, kept for a day.

    See the IETF draft "The Idempotency-Key HTTP Header Field".
    """

    user = models.ForeignKey(to=settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    key = models.CharField(max_length=CHARFIELD_MAX_LENGTH)
    request_digest = models.CharField(max_length=64)
    ip_address_ids = models.JSONField(default=list)
    created = models.DateTimeField(auto_now_add=True, db_index=True)

    is_metadata_associable_model = False
    natural_key_field_names = ["user", "key"]

    class Meta:
        ordering = ("created",)
        constraints = [models.UniqueConstraint(fields=("user", "key"), name="pve_ipam_idempotency_key_unique")]

    def __str__(self):
        return self.key
