"""Forms to add, edit, bulk edit and filter our models. May import models."""

from django import forms
from django.contrib.auth import get_user_model
from nautobot.apps.constants import CHARFIELD_MAX_LENGTH
from nautobot.apps.forms import (
    BulkEditNullBooleanSelect,
    DynamicModelChoiceField,
    DynamicModelMultipleChoiceField,
    MultiValueCharField,
    NautobotBulkEditForm,
    NautobotFilterForm,
    NautobotModelForm,
    StaticSelect2,
    StaticSelect2Multiple,
    StatusModelBulkEditFormMixin,
    StatusModelFilterFormMixin,
    TagFilterField,
    TagsBulkEditFormMixin,
    add_blank_choice,
)
from nautobot.core.forms import BOOLEAN_WITH_BLANK_CHOICES  # in nautobot.apps only from some 3.2.x on
from nautobot.ipam.models import VLAN, IPAddress, IPAddressRange, Namespace, Prefix
from nautobot.virtualization.models import Cluster

from nautobot_pve_ipam import models
from nautobot_pve_ipam.choices import DifferenceKindChoices, DifferenceStateChoices, ZoneTypeChoices


def search_field():
    return forms.CharField(required=False, label="Search")


def yes_or_no_field(label):
    """A filter for a boolean: yes, no or unset."""
    return forms.NullBooleanField(required=False, label=label, widget=StaticSelect2(choices=BOOLEAN_WITH_BLANK_CHOICES))


def bulk_yes_or_no_field(label):
    return forms.NullBooleanField(required=False, label=label, widget=BulkEditNullBooleanSelect)


def bulk_text_field(**kwargs):
    return forms.CharField(max_length=CHARFIELD_MAX_LENGTH, required=False, **kwargs)


def named(model, **kwargs):
    """A filter by name of related objects."""
    return DynamicModelMultipleChoiceField(queryset=model.objects.all(), to_field_name="name", required=False, **kwargs)


def bulk_targets(model):
    return forms.ModelMultipleChoiceField(queryset=model.objects.all(), widget=forms.MultipleHiddenInput())


class PVEClusterForm(NautobotModelForm):
    virtualization_cluster = DynamicModelChoiceField(
        queryset=Cluster.objects.all(),
        required=False,
        help_text="The corresponding cluster in Nautobot's virtualization inventory, if any",
    )
    user = DynamicModelChoiceField(
        queryset=get_user_model().objects.all(),
        required=False,
        label="Bound to user",
        help_text=models.PVECluster._meta.get_field("user").help_text,
    )

    class Meta:
        model = models.PVECluster
        fields = ["name", "status", "virtualization_cluster", "user", "description", "tags"]


class PVEClusterBulkEditForm(TagsBulkEditFormMixin, StatusModelBulkEditFormMixin, NautobotBulkEditForm):
    pk = bulk_targets(models.PVECluster)
    virtualization_cluster = DynamicModelChoiceField(queryset=Cluster.objects.all(), required=False)
    user = DynamicModelChoiceField(queryset=get_user_model().objects.all(), required=False, label="Bound to user")
    description = bulk_text_field()

    class Meta:
        model = models.PVECluster
        nullable_fields = ["virtualization_cluster", "user", "description"]


class PVEClusterFilterForm(NautobotFilterForm, StatusModelFilterFormMixin):
    model = models.PVECluster
    field_order = ["q", "name", "status", "virtualization_cluster", "user"]
    q = search_field()
    name = MultiValueCharField(required=False)
    virtualization_cluster = named(Cluster)
    user = DynamicModelMultipleChoiceField(
        queryset=get_user_model().objects.all(), to_field_name="username", required=False, label="Bound to user"
    )
    tags = TagFilterField(model)


class SDNZoneForm(NautobotModelForm):
    namespace = DynamicModelChoiceField(
        queryset=Namespace.objects.all(), help_text="The Nautobot namespace that holds the zone's prefixes"
    )
    cluster = DynamicModelChoiceField(
        queryset=models.PVECluster.objects.all(),
        required=False,
        label="PVE cluster",
        help_text="Leave empty if the namespace serves a single PVE",
    )

    class Meta:
        model = models.SDNZone
        fields = ["name", "type", "namespace", "cluster", "dhcp", "description", "tags"]


class SDNZoneBulkEditForm(TagsBulkEditFormMixin, NautobotBulkEditForm):
    pk = bulk_targets(models.SDNZone)
    type = forms.ChoiceField(choices=add_blank_choice(ZoneTypeChoices), required=False, widget=StaticSelect2())
    cluster = DynamicModelChoiceField(queryset=models.PVECluster.objects.all(), required=False, label="PVE cluster")
    dhcp = forms.CharField(max_length=20, required=False, label="DHCP")
    description = bulk_text_field()

    class Meta:
        model = models.SDNZone
        nullable_fields = ["cluster", "dhcp", "description"]


class SDNZoneFilterForm(NautobotFilterForm):
    model = models.SDNZone
    field_order = ["q", "name", "type", "cluster", "namespace"]
    q = search_field()
    name = MultiValueCharField(required=False)
    type = forms.MultipleChoiceField(choices=ZoneTypeChoices, required=False, widget=StaticSelect2Multiple())
    cluster = named(models.PVECluster, label="PVE cluster")
    namespace = named(Namespace)
    tags = TagFilterField(model)


class SDNVNetForm(NautobotModelForm):
    zone = DynamicModelChoiceField(queryset=models.SDNZone.objects.all())
    vlan = DynamicModelChoiceField(
        queryset=VLAN.objects.all(),
        required=False,
        label="VLAN",
        help_text="The corresponding VLAN in Nautobot, if any",
    )

    class Meta:
        model = models.SDNVNet
        fields = ["name", "zone", "alias", "tag", "vlan", "description", "tags"]


class SDNVNetBulkEditForm(TagsBulkEditFormMixin, NautobotBulkEditForm):
    pk = bulk_targets(models.SDNVNet)
    zone = DynamicModelChoiceField(queryset=models.SDNZone.objects.all(), required=False)
    vlan = DynamicModelChoiceField(queryset=VLAN.objects.all(), required=False, label="VLAN")
    description = bulk_text_field()

    class Meta:
        model = models.SDNVNet
        nullable_fields = ["vlan", "description"]


class SDNVNetFilterForm(NautobotFilterForm):
    model = models.SDNVNet
    field_order = ["q", "name", "zone", "cluster", "namespace"]
    q = search_field()
    name = MultiValueCharField(required=False)
    zone = named(models.SDNZone)
    cluster = named(models.PVECluster, label="PVE cluster")
    namespace = named(Namespace)
    tag = forms.IntegerField(required=False)
    tags = TagFilterField(model)


class SDNSubnetForm(NautobotModelForm):
    vnet = DynamicModelChoiceField(queryset=models.SDNVNet.objects.all(), label="VNet")
    prefix = DynamicModelChoiceField(
        queryset=Prefix.objects.all(), help_text="A prefix in the namespace of the vnet's zone"
    )
    dhcp_ranges = DynamicModelMultipleChoiceField(
        queryset=IPAddressRange.objects.all(),
        required=False,
        query_params={"parent": "$prefix"},
        label="DHCP ranges",
        help_text="IP address ranges of the prefix from which PVE's DHCP hands out addresses",
    )

    class Meta:
        model = models.SDNSubnet
        fields = ["vnet", "prefix", "gateway", "dhcp_ranges", "snat", "dns_zone_prefix", "adopted", "tags"]

    def clean(self):
        super().clean()
        self.instance.replaces_ranges = True
        prefix = self.cleaned_data.get("prefix")
        for chosen in self.cleaned_data.get("dhcp_ranges", ()):
            if prefix and not models.range_within(chosen, prefix):
                self.add_error("dhcp_ranges", f"Range {chosen} is not within prefix {prefix}.")

    def save(self, commit=True):
        """Save the subnet and its ranges; `commit=False` is not supported."""
        # Ranges chosen here already existed, so PVE must not delete them when it stops using them.
        ranges = self.cleaned_data.pop("dhcp_ranges")
        subnet = super().save(commit)
        subnet.dhcp_ranges.set(ranges, through_defaults={"adopted": True})
        return subnet


class SDNSubnetBulkEditForm(TagsBulkEditFormMixin, NautobotBulkEditForm):
    pk = bulk_targets(models.SDNSubnet)
    vnet = DynamicModelChoiceField(queryset=models.SDNVNet.objects.all(), required=False, label="VNet")
    snat = bulk_yes_or_no_field("SNAT")
    dns_zone_prefix = bulk_text_field(label="DNS zone prefix")
    adopted = bulk_yes_or_no_field("Adopted")

    class Meta:
        model = models.SDNSubnet
        nullable_fields = ["dns_zone_prefix"]


class SDNSubnetFilterForm(NautobotFilterForm):
    model = models.SDNSubnet
    field_order = ["q", "contains", "vnet", "zone", "cluster", "namespace"]
    q = search_field()
    contains = MultiValueCharField(required=False, label="Contains address")
    vnet = named(models.SDNVNet, label="VNet")
    zone = named(models.SDNZone)
    cluster = named(models.PVECluster, label="PVE cluster")
    namespace = named(Namespace)
    snat = yes_or_no_field("SNAT")
    adopted = yes_or_no_field("Adopted")
    tags = TagFilterField(model)


class AllocationForm(NautobotModelForm):
    ip_address = DynamicModelChoiceField(
        queryset=IPAddress.objects.all(), label="IP address", help_text="The address that the guest or gateway holds"
    )
    subnet = DynamicModelChoiceField(
        queryset=models.SDNSubnet.objects.all(),
        required=False,
        help_text="The PVE subnet that the address is used in; leave empty if no PVE requested it",
    )

    class Meta:
        model = models.Allocation
        fields = ["ip_address", "subnet", "hostname", "vmid", "mac", "is_gateway", "adopted", "tags"]
        help_texts = {
            "hostname": "The guest's name in PVE",
            "vmid": "The guest's ID in PVE, 100 to 999999999",
            "mac": "MAC address of the guest's network device, in any common notation",
            "is_gateway": "The address is the subnet's gateway, not a guest's",
        }


class AllocationBulkEditForm(TagsBulkEditFormMixin, NautobotBulkEditForm):
    pk = bulk_targets(models.Allocation)
    subnet = DynamicModelChoiceField(queryset=models.SDNSubnet.objects.all(), required=False)
    vmid = forms.IntegerField(
        min_value=models.VMID_MIN,
        max_value=models.VMID_MAX,
        required=False,
        label="VMID",
        help_text="All addresses of a guest have the same VMID",
    )
    hostname = bulk_text_field()
    is_gateway = bulk_yes_or_no_field("Gateway")
    adopted = bulk_yes_or_no_field("Adopted")

    class Meta:
        model = models.Allocation
        nullable_fields = ["subnet", "vmid", "hostname"]


class AllocationFilterForm(NautobotFilterForm):
    model = models.Allocation
    field_order = ["q", "hostname", "vmid", "mac", "prefix", "zone", "vnet", "cluster", "namespace", "is_gateway"]
    q = search_field()
    hostname = MultiValueCharField(required=False)
    vmid = forms.IntegerField(required=False, label="VMID")
    mac = MultiValueCharField(required=False, label="MAC address")
    prefix = MultiValueCharField(required=False, label="Within prefix")
    zone = named(models.SDNZone)
    vnet = named(models.SDNVNet, label="VNet")
    cluster = named(models.PVECluster, label="PVE cluster")
    namespace = named(Namespace)
    is_gateway = yes_or_no_field("Gateway")
    tags = TagFilterField(model)


class DifferenceBulkEditForm(TagsBulkEditFormMixin, NautobotBulkEditForm):
    pk = bulk_targets(models.Difference)
    state = forms.ChoiceField(choices=add_blank_choice(DifferenceStateChoices), required=False, widget=StaticSelect2())
    reason = bulk_text_field(help_text="Why they are ignored")

    class Meta:
        model = models.Difference


class DifferenceFilterForm(NautobotFilterForm):
    model = models.Difference
    field_order = ["q", "state", "kind", "cluster", "namespace", "zone", "vnet", "network", "ip", "mac", "vmid"]
    q = search_field()
    state = forms.MultipleChoiceField(choices=DifferenceStateChoices, required=False, widget=StaticSelect2Multiple())
    kind = forms.MultipleChoiceField(choices=DifferenceKindChoices, required=False, widget=StaticSelect2Multiple())
    cluster = named(models.PVECluster, label="PVE cluster")
    namespace = named(Namespace)
    zone = MultiValueCharField(required=False)
    vnet = MultiValueCharField(required=False, label="VNet")
    network = MultiValueCharField(required=False, label="Subnet")
    ip = MultiValueCharField(required=False, label="IP address")
    mac = MultiValueCharField(required=False, label="MAC address")
    vmid = forms.IntegerField(required=False, label="VMID")
    tags = TagFilterField(model)
