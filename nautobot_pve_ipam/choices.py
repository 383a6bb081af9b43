"""Choices defined by PVE, and those of a sync. Imports no other file of the App."""

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


class DifferenceKindChoices(ChoiceSet):
    """What a difference is about: those kinds of a sync's changes that may be left to people."""

    CONFLICT = "conflict"
    CACHE = "cache"
    STALE = "stale"
    GONE = "gone"

    CHOICES = (
        (CONFLICT, "Conflict"),
        (CACHE, "PVE's cache"),
        (STALE, "Not seen"),
        (GONE, "Gone"),
    )


class DifferenceStateChoices(ChoiceSet):
    OPEN = "open"
    ACCEPTED = "accepted"
    SETTLED = "settled"

    CHOICES = (
        (OPEN, "Open"),
        (ACCEPTED, "Ignored"),
        (SETTLED, "Settled"),
    )


class SettlementChoices(ChoiceSet):
    """What settles a difference: the values are those of a sync's `Settlement`."""

    TAKE_PVE = "take-pve"
    TAKE_NAUTOBOT = "take-nautobot"
    ADOPT = "adopt"
    RELEASE = "release"

    CHOICES = (
        (TAKE_PVE, "Take PVE's Word"),
        (TAKE_NAUTOBOT, "Take Nautobot's Word"),
        (ADOPT, "Adopt"),
        (RELEASE, "Release"),
    )
