"""Serializers of the models. May import models and api/fields.py.

They include the names of related objects, so that no second request is needed to find out which zone or cluster an
address belongs to.
"""

from nautobot.apps.api import NautobotModelSerializer, TaggedModelSerializerMixin, ValidatedModelSerializer
from rest_framework import serializers

from nautobot_pve_ipam import models
from nautobot_pve_ipam.api.fields import MACField


def text_at(source, help_text=None):
    """A read-only string from an attribute path, null if the path ends early."""
    return serializers.CharField(source=source, read_only=True, allow_null=True, help_text=help_text)


class PVEClusterSerializer(NautobotModelSerializer, TaggedModelSerializerMixin):
    class Meta:
        model = models.PVECluster
        fields = "__all__"


class SDNZoneSerializer(NautobotModelSerializer, TaggedModelSerializerMixin):
    class Meta:
        model = models.SDNZone
        fields = "__all__"


class SDNVNetSerializer(NautobotModelSerializer, TaggedModelSerializerMixin):
    class Meta:
        model = models.SDNVNet
        fields = "__all__"


class SDNSubnetSerializer(NautobotModelSerializer, TaggedModelSerializerMixin):
    """DHCP ranges are managed at `dhcp-ranges/`."""

    namespace_name = text_at("prefix.namespace.name")
    zone_name = text_at("vnet.zone.name")
    cluster_name = text_at("vnet.zone.cluster.name")

    class Meta:
        model = models.SDNSubnet
        fields = "__all__"
        extra_kwargs = {"dhcp_ranges": {"read_only": True}}


class SDNDHCPRangeSerializer(ValidatedModelSerializer):
    class Meta:
        model = models.SDNDHCPRange
        fields = "__all__"


class AllocationSerializer(NautobotModelSerializer, TaggedModelSerializerMixin):
    address = text_at("ip_address.address", "Address with its prefix length, such as 10.0.0.100/24")
    mac = MACField(required=False, allow_null=True, help_text="In any common notation")
    namespace_name = text_at("ip_address.parent.namespace.name")
    vnet_name = text_at("subnet.vnet.name")
    zone_name = text_at("subnet.vnet.zone.name")
    cluster_name = text_at("subnet.vnet.zone.cluster.name")

    class Meta:
        model = models.Allocation
        fields = "__all__"
