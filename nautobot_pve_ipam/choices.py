"""Choices defined by PVE. Imports no other file of the App."""

from nautobot.apps.choices import ChoiceSet


class ZoneTypeChoices(ChoiceSet):
    """The zone types of PVE's software-defined network."""

    SIMPLE = "simple"
    VLAN = "vlan"
    QINQ = "qinq"
    VXLAN = "vxlan"
    EVPN = "evpn"

    CHOICES = (
        (SIMPLE, "Simple"),
        (VLAN, "VLAN"),
        (QINQ, "QinQ"),
        (VXLAN, "VXLAN"),
        (EVPN, "EVPN"),
    )
