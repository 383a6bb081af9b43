"""Nautobot's Jobs: a sync that would take longer than a request may."""

import json

from nautobot.apps.jobs import BooleanVar, DryRunVar, FileVar, Job, ObjectVar, StringVar, register_jobs
from nautobot.ipam.models import Namespace

from nautobot_pve_ipam.core_internals import spare_announcements
from nautobot_pve_ipam.services.callers import Caller
from nautobot_pve_ipam.services.lookups import visible_namespace
from nautobot_pve_ipam.sync.run import Sync, report

name = "Proxmox VE"


class SyncCluster(Job):
    """Compare what a PVE cluster says with Nautobot, and settle what can be settled."""

    namespace = ObjectVar(model=Namespace)
    cluster = StringVar(required=False, description="The cluster's name in PVE; empty if the namespace serves one PVE")
    snapshot = FileVar(description="What `pve-nautobot sync` reads on a PVE node, as JSON")
    zones = StringVar(
        required=False, description="Zones that take part although their IPAM entry names no namespace, with commas"
    )
    adopt = BooleanVar(description="Take over prefixes and addresses that PVE did not create")
    prune = BooleanVar(description="Release what has been gone from PVE for long enough")
    dryrun = DryRunVar(description="Say what is to do, and do nothing")

    class Meta:
        name = "Sync a PVE cluster"
        description = "Compares what a PVE cluster says with Nautobot, and settles what can be settled"
        has_sensitive_variables = False

    def run(self, *, namespace, snapshot, cluster="", zones="", adopt=False, prune=False, dryrun=False):
        """Returns what the REST API answers, without what is to do: it may be long."""
        caller = Caller(self.user, visible_namespace(self.user, namespace.name), cluster or None).checked()
        named = [zone.strip() for zone in (zones or "").split(",") if zone.strip()]
        arrived = self.job_result.date_created
        sync = Sync.of(caller, json.load(snapshot), now=arrived, zones=named, adopt=adopt, prune=prune)
        planned = sync.plan()
        self.logger.info("%d changes to do, %d differences", len(planned.to_do), len(planned.differences))
        outcome = None if dryrun else sync.apply(planned, self._tell)
        said = report(sync, planned, outcome)
        for failure in said["failed"]:
            self.logger.warning("%s: %s", failure["change"]["subject"], failure["detail"])
        for problem in said["problems"]:
            self.logger.warning("%s: %s", problem["subject"], problem["why"])
        spare_announcements()
        counted = {part: len(said[part]) for part in ("to_do", "differences", "applied") if part in said}
        return {**said, **counted}

    def _tell(self, through, count):
        self.logger.info("%d of %d changes are through", through, count)


register_jobs(SyncCluster)
