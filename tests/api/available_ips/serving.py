"""The setting, on or off, in this process; calls of the endpoints, and what an answer hands out."""

from django.conf import settings
from django.test import override_settings

from tests import networks


def serving(is_on=True):
    """A context manager and decorator within which the App answers core's available-ips, or core itself does."""
    ours = {**settings.PLUGINS_CONFIG["nautobot_pve_ipam"], "serve_available_ips": is_on}
    return override_settings(PLUGINS_CONFIG={**settings.PLUGINS_CONFIG, "nautobot_pve_ipam": ours})


def asking(client, url_of, default):
    """A function that calls an endpoint: `url_of(thing)`, by default of `default`. Bodies get the status that core
    requires. No call crashes.
    """
    from nautobot.extras.models import Status  # noqa: PLC0415  (settings exist only when tests run)

    status, usual = str(Status.objects.get(name="Active").pk), client

    def ask(method, body=None, query="", client=usual, of=default, **headers):
        options = {"headers": {name.replace("_", "-"): value for name, value in headers.items()}}
        if method == "POST":
            many = [{"status": status, **item} for item in (body if isinstance(body, list) else [body or {}])]
            options |= {"data": many if isinstance(body, list) else many[0], "format": "json"}
        answer = getattr(client, method.lower())(f"{url_of(of)}{query}", **options)
        assert answer.status_code != 500, answer.content
        return answer

    return ask


def hosts(answer):
    """The address or the addresses, without their length."""
    return networks.hosts(answer.data)
