"""Serializers of the models. May import models and api/fields.py.

They include the names of related objects, so that no second request is needed to find out which zone or cluster an
address belongs to.
"""

from typing import Any

from nautobot.apps.api import NautobotModelSerializer, TaggedModelSerializerMixin, ValidatedModelSerializer
from nautobot.apps.constants import CHARFIELD_MAX_LENGTH
from rest_framework import serializers

from nautobot_pve_ipam import models
from nautobot_pve_ipam.api.fields import LineField, MACField


def text_at(source, help_text=None):
    """A read-only string from an attribute path, null if the path ends early."""
    return serializers.CharField(source=source, read_only=True, allow_null=True, help_text=help_text)


class EmptyMixin:
    """Null and "" mean the same for every field that may be empty or left out, whichever of them the model stores."""

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, dict):
            data = {name: value for name, value in data.items() if value not in (None, "")} | self._emptied(data)
        return super().to_internal_value(data)  # type: ignore[misc]

    def _emptied(self, data: dict[str, Any]) -> dict[str, Any]:
        """What is null or "", as its field takes it; without what then counts as left out."""
        emptied: dict[str, Any] = {}
        for name, value in data.items():
            field = self.fields.get(name)  # type: ignore[attr-defined]
            if value not in (None, "") or field is None:
                continue
            if field.allow_null:
                emptied[name] = None
            elif getattr(field, "allow_blank", False):
                emptied[name] = ""
            elif field.required:
                emptied[name] = value  # for the field to refuse
        return emptied


class PVEClusterSerializer(EmptyMixin, NautobotModelSerializer, TaggedModelSerializerMixin):
    class Meta:
        model = models.PVECluster
        fields = "__all__"


class SDNZoneSerializer(EmptyMixin, NautobotModelSerializer, TaggedModelSerializerMixin):
    class Meta:
        model = models.SDNZone
        fields = "__all__"


class SDNVNetSerializer(EmptyMixin, NautobotModelSerializer, TaggedModelSerializerMixin):
    class Meta:
        model = models.SDNVNet
        fields = "__all__"


class SDNSubnetSerializer(EmptyMixin, NautobotModelSerializer, TaggedModelSerializerMixin):
    """DHCP ranges are managed at `dhcp-ranges/`."""

    namespace_name = text_at("prefix.namespace.name")
    zone_name = text_at("vnet.zone.name")
    cluster_name = text_at("vnet.zone.cluster.name")

    class Meta:
        model = models.SDNSubnet
        fields = "__all__"
        extra_kwargs = {"dhcp_ranges": {"read_only": True}}


class SDNDHCPRangeSerializer(EmptyMixin, ValidatedModelSerializer):
    class Meta:
        model = models.SDNDHCPRange
        fields = "__all__"


class AllocationSerializer(EmptyMixin, NautobotModelSerializer, TaggedModelSerializerMixin):
    address = text_at("ip_address.address", "Address with its prefix length, such as 10.0.0.100/24")
    mac = MACField(required=False, allow_null=True, help_text="In any common notation")
    hostname = LineField(required=False, allow_blank=True, max_length=CHARFIELD_MAX_LENGTH)
    namespace_name = text_at("ip_address.parent.namespace.name")
    vnet_name = text_at("subnet.vnet.name")
    zone_name = text_at("subnet.vnet.zone.name")
    cluster_name = text_at("subnet.vnet.zone.cluster.name")

    class Meta:
        model = models.Allocation
        fields = "__all__"


class DifferenceSerializer(EmptyMixin, NautobotModelSerializer, TaggedModelSerializerMixin):
    """A sync says what is different; people say what becomes of it."""

    subject = serializers.CharField(read_only=True, help_text="What it is about, in words")
    namespace_name = text_at("namespace.name")
    cluster_name = text_at("cluster.name")

    class Meta:
        model = models.Difference
        fields = "__all__"
        read_only_fields = (
            "namespace",
            "cluster",
            "kind",
            "zone",
            "vnet",
            "network",
            "vmid",
            "mac",
            "ip",
            "before",
            "after",
            "evidence",
            "settlements",
            "first_seen",
            "last_seen",
        )
