"""The pages on which people decide about a difference: ignore it, open it again, settle it.

May import services and models.
"""

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404
from django.shortcuts import get_object_or_404, redirect, render
from django.views import View
from nautobot.apps.constants import CHARFIELD_MAX_LENGTH
from nautobot.apps.forms import BootstrapMixin
from nautobot.apps.views import ObjectPermissionRequiredMixin

from nautobot_pve_ipam.choices import SettlementChoices
from nautobot_pve_ipam.errors import Forbidden, PVEIPAMError
from nautobot_pve_ipam.models import Difference
from nautobot_pve_ipam.services.settling import REPAIR_CACHE, ignore, reopen, settle

#: What each settlement does, as a sentence.
MEANINGS = {
    SettlementChoices.TAKE_PVE: "The guest gets the address that PVE has for it; the one in Nautobot is released.",
    SettlementChoices.TAKE_NAUTOBOT: f"What Nautobot has is right, but {REPAIR_CACHE}.",
    SettlementChoices.ADOPT: "PVE uses what exists in Nautobot already, and will let go of it without deleting it.",
    SettlementChoices.RELEASE: "Nautobot lets go of what PVE does not have any more: an address is then free again.",
}


class DecisionView(ObjectPermissionRequiredMixin, View):
    """A page that asks, and then decides; back on the difference's page if it no longer can be done."""

    queryset = Difference.objects.select_related("namespace", "cluster")
    additional_permissions = ("nautobot_pve_ipam.change_difference",)
    done = ""

    def get_required_permission(self):
        return "nautobot_pve_ipam.view_difference"

    def question(self):
        """The page's title and what it says."""
        raise NotImplementedError

    def decide(self, difference, form):
        """Do it. Raises PVEIPAMError."""
        raise NotImplementedError

    def form(self, data=None):
        return forms.Form(data)

    def get(self, request, pk, settlement=None):
        return self._page(request, get_object_or_404(self.queryset, pk=pk), self.form())

    def post(self, request, pk, settlement=None):
        difference, form = get_object_or_404(self.queryset, pk=pk), self.form(request.POST)
        if not form.is_valid():
            return self._page(request, difference, form)
        try:
            self.decide(difference, form)
        except Forbidden as error:
            raise PermissionDenied(error.sentence) from error
        except PVEIPAMError as error:
            messages.error(request, error.sentence)
        else:
            messages.success(request, f"{self.done} {difference.subject}.")
        return redirect(difference.get_absolute_url())

    def _page(self, request, difference, form):
        title, sentence = self.question()
        context = {
            "difference": difference,
            "form": form,
            "title": title,
            "sentence": sentence,
            "return_url": difference.get_absolute_url(),
            "card_class": "warning",
            "button_class": "primary",
        }
        return render(request, "nautobot_pve_ipam/decide.html", context)


class ReasonForm(BootstrapMixin, forms.Form):
    reason = forms.CharField(max_length=CHARFIELD_MAX_LENGTH, help_text="Why this may stay as it is")


class IgnoreView(DecisionView):
    done = "Ignored until it changes:"

    def form(self, data=None):
        return ReasonForm(data)

    def question(self):
        return "Ignore this difference?", "It is not shown as open any more, until it changes."

    def decide(self, difference, form):
        ignore(difference, form.cleaned_data["reason"], user=self.request.user)


class ReopenView(DecisionView):
    done = "Opened again:"

    def question(self):
        return "Open this difference again?", "It is shown as open, and its reason is forgotten."

    def decide(self, difference, form):
        reopen(difference, user=self.request.user)


class SettleView(DecisionView):
    done = "Settled:"

    def question(self):
        settlement = self.kwargs["settlement"]
        if settlement not in MEANINGS:
            raise Http404(f"there is no settlement {settlement}")
        return f"{dict(SettlementChoices.CHOICES)[settlement]}?", MEANINGS[settlement]

    def decide(self, difference, form):
        settle(difference, self.kwargs["settlement"], user=self.request.user)
