"""The page "Allocate Next Free IP" for a prefix, an IP address range or a subnet.

May import usage.py, services, search and models.
"""

from collections.abc import Callable
from typing import Any

from django import forms
from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import Http404
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.html import format_html
from django.views import View
from nautobot.apps.constants import CHARFIELD_MAX_LENGTH
from nautobot.apps.forms import BootstrapMixin
from nautobot.apps.views import ObjectPermissionRequiredMixin
from nautobot.ipam.models import IPAddressRange, Prefix

from nautobot_pve_ipam import models
from nautobot_pve_ipam.errors import InvalidRequest, PVEIPAMError, rejection
from nautobot_pve_ipam.models import VMID_MAX, VMID_MIN
from nautobot_pve_ipam.search.intervals import to_text
from nautobot_pve_ipam.search.occupancy import range_span
from nautobot_pve_ipam.search.search import Search, build_search
from nautobot_pve_ipam.services.allocation import Guest, Wanted, allocate
from nautobot_pve_ipam.services.callers import Caller
from nautobot_pve_ipam.services.values import parse_address, parse_line, parse_mac, parse_whole_number
from nautobot_pve_ipam.ui.usage import dhcp_ranges


class AllocateForm(BootstrapMixin, forms.Form):
    """Where to search, and for which guest; validated by the same rules as the REST API."""

    range_start = forms.CharField(required=False, label="From", help_text="First address to consider")
    range_end = forms.CharField(required=False, label="To", help_text="Last address to consider")
    offset = forms.CharField(required=False, label="Offset", help_text="Free addresses to skip first")
    hostname = forms.CharField(
        required=False,
        max_length=CHARFIELD_MAX_LENGTH,
        label="Hostname",
        help_text="The guest's name, also used as the DNS name",
    )
    mac = forms.CharField(required=False, label="MAC address", help_text="For example BC:24:11:00:00:01")
    vmid = forms.CharField(required=False, label="VMID", help_text="The guest's ID in Proxmox VE, 100 or higher")

    def __init__(self, prefix, within, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self._prefix, self._within = prefix, within
        for name in ("offset", "vmid"):
            self.fields[name].widget.attrs["inputmode"] = "numeric"
        #: The requested search and address, once the form is valid.
        self.asked: tuple[Search, Wanted] | None = None

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean()
        vmid = self._parsed("vmid", parse_whole_number, minimum=VMID_MIN, maximum=VMID_MAX)
        guest = Guest(self._parsed("mac", parse_mac), vmid, self._parsed("hostname", parse_line) or "")
        start, end = (self._parsed(name, parse_address) for name in ("range_start", "range_end"))
        offset = self._parsed("offset", parse_whole_number, minimum=0) or 0
        if self.errors:
            return cleaned
        try:
            search = build_search(self._prefix, range_start=start, range_end=end, offset=offset, within=self._within)
        except InvalidRequest as error:
            self.refuse(error)
        else:
            self.asked = search, Wanted(guest)
        return cleaned

    def _parsed(self, name: str, parse: Callable[..., Any], **limits: Any) -> Any:
        """The parsed value of a field; None if it is empty or invalid, after adding the error to the field."""
        text = self.cleaned_data.get(name)
        try:
            return parse(text, name, **limits) if text else None
        except InvalidRequest as error:
            self.refuse(error)
            return None

    def refuse(self, error: PVEIPAMError):
        """Show an error raised by a service on its field."""
        self.add_error(error.field if error.field in self.fields else None, error.sentence)

    def preview(self) -> str | None:
        """The address that would be allocated now, or None if none is free or the form is invalid."""
        if self.asked is None:
            return None
        search, _ = self.asked
        return next((to_text(host, self._prefix.ip_version) for host in search.first(1)), None)


class AllocateView(ObjectPermissionRequiredMixin, View):
    """Allocate the next free IP in an object, for which subclasses determine prefix, limits and subnet."""

    additional_permissions = ("ipam.add_ipaddress",)
    template_name = "nautobot_pve_ipam/allocate.html"
    required_permission: str

    def get_required_permission(self):
        return self.required_permission

    def find(self, obj):
        """The prefix to search, the interval that bounds are limited to (None: the whole prefix), the initial interval
        (None: the whole prefix without its ranges), and the subnet's record or None.
        """
        raise NotImplementedError

    def get(self, request, pk):
        obj = get_object_or_404(self.queryset, pk=pk)
        prefix, within, start_with, _ = self.find(obj)
        initial = {}
        if start_with:
            start, end = (to_text(at, prefix.ip_version) for at in start_with)
            initial = {"range_start": start, "range_end": end}
        data = {name: request.GET.get(name, initial.get(name, "")) for name in AllocateForm.base_fields}
        data["offset"] = data["offset"] or "0"
        return self._answer(request, obj, AllocateForm(prefix, within, data))

    def post(self, request, pk):
        obj = get_object_or_404(self.queryset, pk=pk)
        prefix, within, _, subnet = self.find(obj)
        form = AllocateForm(prefix, within, request.POST)
        if "_preview" in request.POST or not form.is_valid() or form.asked is None:
            return self._answer(request, obj, form)
        search, wanted = form.asked
        caller = Caller.in_subnet(request.user, subnet) if subnet else Caller(request.user, prefix.namespace)
        try:
            (held,) = allocate(search, [wanted], caller=caller)
        except PVEIPAMError as error:
            form.refuse(error)
        except ValidationError as error:
            form.add_error(None, rejection(error))
        else:
            holder = models.Allocation.objects.restrict(request.user, "view").filter(ip_address=held.address).first()
            url = (holder or held.address).get_absolute_url()
            done = "Allocated" if held.created else "This MAC address already holds an address:"
            messages.success(request, format_html('{} <a href="{}">{}</a>.', done, url, holder or held.address))
            return redirect(url)
        return self._answer(request, obj, form)

    def _answer(self, request, obj, form):
        is_fragment = bool(request.headers.get("HX-Request"))
        context = {
            "form": form,
            "object": obj,
            "next_free": form.preview() if form.is_valid() else None,
            "title": f"Allocate Next Free IP in {obj}",
            "return_url": obj.get_absolute_url(),
        }
        return render(request, "nautobot_pve_ipam/inc/preview.html" if is_fragment else self.template_name, context)


class PrefixAllocateView(AllocateView):
    queryset = Prefix.objects.select_related("namespace")
    required_permission = "ipam.view_prefix"

    def find(self, obj):
        return obj, None, first_range(dhcp_ranges().filter(parent=obj), self.request.user), only_subnet(obj)


class RangeAllocateView(AllocateView):
    queryset = IPAddressRange.objects.select_related("parent__namespace")
    required_permission = "ipam.view_ipaddressrange"

    def find(self, obj):
        if obj.is_exclusive:
            raise Http404("Nautobot allows no addresses in an exclusive range")
        limits = range_span(obj)
        return obj.parent, limits, limits, only_subnet(obj.parent)


class SubnetAllocateView(AllocateView):
    queryset = models.SDNSubnet.objects.select_related("prefix__namespace", "vnet__zone__cluster")
    required_permission = "nautobot_pve_ipam.view_sdnsubnet"

    def find(self, obj):
        return obj.prefix, None, first_range(dhcp_ranges().filter(sdn_subnet_links__subnet=obj), self.request.user), obj


def first_range(ranges, user):
    """The first range that has a free address, as an interval, or the last range if all are full."""
    interval = None
    for found in ranges.restrict(user, "view"):
        interval = range_span(found)
        if Search(found.parent, bounds=(interval,)).first(1):
            break
    return interval


def only_subnet(prefix):
    """The only SDN subnet on the prefix; None if there are none or several."""
    found = models.SDNSubnet.objects.filter(prefix=prefix).select_related("vnet__zone__cluster")[:2]
    return found[0] if len(found) == 1 else None
