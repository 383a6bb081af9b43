"""Nautobot's name for checks of core's own objects: whoever edits one, on a page, through the API or in a Job.

May import services.
"""

from nautobot.apps.models import CustomValidator

from nautobot_pve_ipam.services import core_edits, guard


class PrefixValidator(CustomValidator):
    model = "ipam.prefix"

    def clean(self):
        core_edits.check_prefix(self.context["obj"])


class IPAddressValidator(CustomValidator):
    model = "ipam.ipaddress"

    def clean(self):
        core_edits.check_address(self.context["obj"])
        guard.check(self.context["obj"], self.context["user"])


class IPAddressRangeValidator(CustomValidator):
    model = "ipam.ipaddressrange"

    def clean(self):
        core_edits.check_range(self.context["obj"])


custom_validators = [PrefixValidator, IPAddressValidator, IPAddressRangeValidator]
