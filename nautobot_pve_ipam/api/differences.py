"""Settles a difference that a sync has left to people. May import the rest of api, services and models."""

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.response import Response

from nautobot_pve_ipam.api.base import PVEIPAMView
from nautobot_pve_ipam.api.requests import RequestSerializer, validated
from nautobot_pve_ipam.api.serializers import DifferenceSerializer
from nautobot_pve_ipam.choices import SettlementChoices
from nautobot_pve_ipam.models import Difference
from nautobot_pve_ipam.services.lookups import visible
from nautobot_pve_ipam.services.settling import settle


class SettleSerializer(RequestSerializer):
    settlement = serializers.ChoiceField(SettlementChoices, help_text="One of those that the difference offers")


class SettleView(PVEIPAMView):
    """Somebody decides: settle a difference in one of the ways that it offers."""

    name = "PVE Difference"
    rights = {"POST": ("nautobot_pve_ipam.view_difference", "nautobot_pve_ipam.change_difference")}

    @extend_schema(request=SettleSerializer, responses={200: DifferenceSerializer})
    def post(self, request, pk):
        """409 if what it is about has changed since it was found."""
        settlement = validated(SettleSerializer(data=request.data))["settlement"]
        found = visible(Difference.objects.select_related("namespace", "cluster"), request.user, "difference", pk=pk)
        settle(found, settlement, user=request.user)
        return Response(DifferenceSerializer(found, context={"request": request, "depth": 0}).data)
