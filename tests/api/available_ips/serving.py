"""The setting, on or off, in this process; and what an answer hands out."""

from django.conf import settings
from django.test import override_settings

from tests import networks


def serving(is_on=True):
    """A context manager and decorator within which the App answers core's available-ips, or core itself does."""
    ours = {**settings.PLUGINS_CONFIG["nautobot_pve_ipam"], "serve_available_ips": is_on}
    return override_settings(PLUGINS_CONFIG={**settings.PLUGINS_CONFIG, "nautobot_pve_ipam": ours})


def hosts(answer):
    """The address or the addresses, without their length."""
    return networks.hosts(answer.data)
