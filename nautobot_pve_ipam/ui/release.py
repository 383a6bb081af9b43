"""The page that releases an allocation. May import services and models."""

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.shortcuts import get_object_or_404, redirect, render
from django.views import View
from nautobot.apps.views import ObjectPermissionRequiredMixin

from nautobot_pve_ipam import models
from nautobot_pve_ipam.errors import Forbidden, PVEIPAMError
from nautobot_pve_ipam.services.allocation import release


class ReleaseView(ObjectPermissionRequiredMixin, View):
    """Release an allocation after confirmation; its address is deleted, too, unless it was adopted."""

    queryset = models.Allocation.objects.select_related("ip_address__parent", "subnet__prefix")
    additional_permissions = ("ipam.delete_ipaddress",)

    def get_required_permission(self):
        return "nautobot_pve_ipam.view_allocation"

    def get(self, request, pk):
        allocation = get_object_or_404(self.queryset, pk=pk)
        context = {
            "allocation": allocation,
            "title": f"Release {allocation}",
            "return_url": allocation.get_absolute_url(),
        }
        return render(request, "nautobot_pve_ipam/release.html", context)

    def post(self, request, pk):
        allocation = get_object_or_404(self.queryset, pk=pk)
        named, parent = str(allocation), allocation.subnet or allocation.ip_address.parent
        try:
            release(allocation, user=request.user)
        except Forbidden as error:
            raise PermissionDenied(error.sentence) from error
        except PVEIPAMError as error:
            messages.error(request, error.sentence)
            return redirect(allocation.get_absolute_url())
        messages.success(request, f"Released {named}.")
        return redirect(parent.get_absolute_url())
