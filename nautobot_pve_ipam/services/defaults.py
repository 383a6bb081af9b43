"""What new objects get where PVE says nothing: the App's settings `.._defaults`, changeable in Nautobot, found at use.

Statuses, roles, tenants and tags are given by name. May import models.
"""

from collections.abc import Iterable
from datetime import timedelta
from functools import cached_property
from typing import Any

from constance import config
from django.apps import apps
from django.conf import settings
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import ValidationError
from nautobot.apps.config import get_app_settings_or_config
from nautobot.extras.models import CustomField, Role, Status, Tag
from nautobot.ipam.models import IPAddress, IPAddressRange, Prefix
from nautobot.tenancy.models import Tenant

from nautobot_pve_ipam.errors import Misconfigured, quoted
from nautobot_pve_ipam.models import Allocation, PVECluster, SDNSubnet, SDNVNet, SDNZone

APP = "nautobot_pve_ipam"
#: The setting with which we answer core's own available-ips.
SERVE_AVAILABLE_IPS = "serve_available_ips"
#: The setting with the hours for which something is gone before a sync releases it, and how many there may be.
PRUNE_GRACE_HOURS = "prune_grace_hours"
MAX_HOURS = 10 * 366 * 24
#: Model -> the setting with its defaults.
SETTINGS = {
    PVECluster: "cluster_defaults",
    Prefix: "prefix_defaults",
    IPAddressRange: "range_defaults",
    IPAddress: "address_defaults",
}
#: What else PVE makes. These have neither status nor role.
WITHOUT_SETTING = (SDNZone, SDNVNet, SDNSubnet, Allocation)

#: Fields whose default is not a name.
KINDS: dict[str, tuple[type, str]] = {"tags": (list, "a list of names"), "custom_fields": (dict, "a JSON object")}


class Defaults:
    """The defaults of a model in SETTINGS, for one request: what has been looked up is kept.

    All methods raise Misconfigured, which names the setting, if it is unusable.
    """

    def __init__(self, model: Any) -> None:
        self._model = model
        self._found: dict[str, Any] = {}
        self.setting = SETTINGS[model]

    def complete(self, attributes: dict[str, Any]) -> dict[str, Any]:
        """The attributes, with the default of each that is missing or None; `tags` and `custom_fields` included."""
        completed = {name: self._find(name) for name in self.named if attributes.get(name) is None}
        completed["custom_fields"] = {**self._find("custom_fields"), **(attributes.get("custom_fields") or {})}
        return {**{name: value for name, value in attributes.items() if value is not None}, **completed}

    def make(self, **facts: Any) -> Any:
        """Create an object with these facts. Raises Django's ValidationError if Nautobot rejects it."""
        attributes = self.complete(facts)
        tags, custom_fields = attributes.pop("tags"), attributes.pop("custom_fields")
        thing = self._model(**{name: value for name, value in attributes.items() if value is not None})
        thing.cf.update(custom_fields)
        thing.validated_save()
        if tags:
            thing.tags.set(tags)
        return thing

    def check(self) -> None:
        """Look up everything."""
        for name in self.named:
            self._find(name)

    @cached_property
    def named(self) -> dict[str, Any]:
        """Name of a field -> its default as written in the setting or, where that says nothing, as shipped."""
        shipped = apps.get_app_config(APP).constance_config[self.setting].default
        written = get_app_settings_or_config(APP, self.setting)
        if not isinstance(written, dict):
            raise self._unusable(f"{quoted(written)} is not a JSON object")
        if unknown := set(written) - set(shipped):
            raise self._unusable(f"{quoted(min(unknown))} is not one of {', '.join(shipped)}")
        for name, value in written.items():
            kind, what = KINDS.get(name, (str, "a name"))
            if value is not None and not isinstance(value, kind):
                raise self._unusable(f"{name} {quoted(value)} is not {what}")
        return {**shipped, **written}

    def _find(self, name: str) -> Any:
        """The default of a field as its model takes it; None or an empty collection if there is none."""
        if name not in self._found:
            self._found[name] = self._look_up(name, self.named[name])
        return self._found[name]

    def _look_up(self, name: str, value: Any) -> Any:
        if name == "tags":
            return self._tags(value or [])
        if name == "custom_fields":
            return self._custom_fields(value or {})
        if not value and name != "status":
            return None
        if name == "type":
            if value not in dict(self._model._meta.get_field("type").choices):
                raise self._unusable(f"type {quoted(value)} is not a type of {self._plural}")
            return value
        if name == "tenant":
            found = Tenant.objects.filter(name=value)
        else:
            found = {"status": Status, "role": Role}[name].objects.filter(name=value, content_types=self._content_type)
        thing = found.order_by().first()
        if thing is None:
            raise self._missing(name, value)
        return thing

    def _tags(self, names: list[Any]) -> list[Tag]:
        if not names:
            return []
        found = list(Tag.objects.filter(name__in=names, content_types=self._content_type))
        for name in names:
            if name not in {tag.name for tag in found}:
                raise self._missing("tag", name)
        return found

    def _custom_fields(self, values: dict[str, Any]) -> dict[str, Any]:
        known = {field.key: field for field in CustomField.objects.get_for_model(self._model)} if values else {}
        for key, value in values.items():
            if key not in known:
                raise self._missing("custom field", key)
            try:
                known[key].validate(value)
            except ValidationError as error:
                raise self._unusable(f"custom field {key}: {' '.join(error.messages)}") from error
        return values

    @property
    def _content_type(self) -> ContentType:
        return ContentType.objects.get_for_model(self._model)

    @property
    def _plural(self) -> str:
        return plural(self._model)

    def _missing(self, what: str, name: object) -> Misconfigured:
        return self._unusable(f"{what} {quoted(name)} does not exist, or does not apply to {self._plural}")

    def _unusable(self, why: str) -> Misconfigured:
        return Misconfigured(f"setting {self.setting}: {why}")


def is_on(setting: str) -> bool:
    """Whether a setting that is either on or off is on.

    Raises whatever says that database or Redis is out of reach: then it is not known, and must not be taken for off.
    """
    written = settings.PLUGINS_CONFIG[APP]
    return bool(written[setting] if setting in written else getattr(config, f"{APP}__{setting}"))


def prune_grace() -> timedelta:
    """For how long something has to be gone from PVE before a sync releases it. Raises Misconfigured."""
    hours = get_app_settings_or_config(APP, PRUNE_GRACE_HOURS)
    if isinstance(hours, bool) or not isinstance(hours, int) or not 0 <= hours <= MAX_HOURS:
        raise Misconfigured(f"setting {PRUNE_GRACE_HOURS}: {quoted(hours)} is not a whole number from 0 to {MAX_HOURS}")
    return timedelta(hours=hours)


def dhcp_role() -> str | None:
    """The name of the role that marks an IP address range as one for DHCP. Raises Misconfigured."""
    return Defaults(IPAddressRange).named["role"]


def problems() -> list[str]:
    """What keeps PVE from making its objects, a sentence each: unusable settings, and required custom fields."""
    found = []
    for model, setting in SETTINGS.items():
        defaults = Defaults(model)
        try:
            defaults.check()
            given = defaults.named["custom_fields"] or {}
        except Misconfigured as error:
            found.append(error.sentence)
            given = {}
        found += [f"{what}, nor in the setting {setting}" for what in _required(model, given)]
    for model in WITHOUT_SETTING:
        found += _required(model, ())
    return found


def _required(model: Any, given: Iterable[str]) -> list[str]:
    return [
        f"custom field {field.key} is required for {plural(model)} but has no default"
        for field in CustomField.objects.get_for_model(model)
        if field.required and field.default is None and field.key not in given
    ]


def plural(model: Any) -> str:
    return str(model._meta.verbose_name_plural)
