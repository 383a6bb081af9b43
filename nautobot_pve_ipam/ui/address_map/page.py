"""The page with the address map, a tab of every core prefix. The map itself is built in this folder's __init__.py.

May import the rest of this folder and errors.
"""

from django.http import Http404
from django.urls import reverse
from nautobot.apps.views import ObjectView
from nautobot.ipam.models import Prefix
from nautobot.ipam.views import PrefixUIViewSet

from nautobot_pve_ipam.errors import InvalidRequest
from nautobot_pve_ipam.ui import address_map


class PrefixAddressMapView(ObjectView):
    """The "Address Map" tab of a core prefix; `?block=CIDR` opens one of its blocks."""

    queryset = Prefix.objects.select_related("namespace")
    template_name = "generic/object_retrieve.html"

    def get_extra_context(self, request, instance):
        try:
            shown = built_map(request, instance)
        except InvalidRequest as error:
            raise Http404(error.sentence) from error
        return {
            "object_detail_content": PrefixUIViewSet.object_detail_content,
            "active_tab": "address-map",
            "address_map": shown,
        }


def built_map(request, obj):
    """The address map of a prefix or subnet, limited to what the user may view, opened at the query's `block`.

    Raises InvalidRequest for a block that is not within the prefix.
    """
    is_prefix = isinstance(obj, Prefix)
    allocate_url = None
    if request.user.has_perm("ipam.add_ipaddress"):
        allocate_url = reverse(
            f"plugins:nautobot_pve_ipam:{'prefix' if is_prefix else 'sdnsubnet'}_allocate", args=[obj.pk]
        )
    return address_map.build(
        obj if is_prefix else obj.prefix,
        request.user,
        block=request.GET.get("block"),
        allocate_url=allocate_url,
    )
