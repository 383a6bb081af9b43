"""A sync: what a whole PVE cluster says, compared with Nautobot in one call.

May import the rest of api, sync, services, search and models.
"""

import json

from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from nautobot.extras.models import Job, JobResult
from rest_framework import serializers
from rest_framework.parsers import BaseParser, JSONParser
from rest_framework.response import Response

from nautobot_pve_ipam.api.hooks import HookView
from nautobot_pve_ipam.api.requests import SyncRequestSerializer
from nautobot_pve_ipam.errors import Misconfigured
from nautobot_pve_ipam.sync.run import Sync, report

#: Enough for 25,000 guests, which is more than one PVE cluster can have in its MAC cache.
MAX_SNAPSHOT_BYTES = 64 * 1024 * 1024
#: A sync with more changes than this runs as a Job: a client would not wait for it.
MANY_CHANGES = 500
#: The Job's module and class.
JOB = ("nautobot_pve_ipam.jobs", "SyncCluster")


class ChangeSerializer(serializers.Serializer):
    """Something that a sync does, or a difference that is left to people."""

    kind = serializers.CharField()
    subject = serializers.CharField(help_text="What it is about")
    before = serializers.DictField(allow_null=True, help_text="What Nautobot has; for kind cache, what PVE's cache has")
    after = serializers.DictField(allow_null=True, help_text="What it should have; in a conflict, what PVE says")
    evidence = serializers.CharField(help_text="Why, in a sentence")
    settlements = serializers.ListField(child=serializers.CharField(), help_text="What may settle a difference")


class ProblemSerializer(serializers.Serializer):
    subject = serializers.CharField()
    why = serializers.CharField()


class FailureSerializer(serializers.Serializer):
    change = ChangeSerializer()
    detail = serializers.CharField(help_text="Why it was not done, in a sentence")


class SyncSerializer(serializers.Serializer):
    """What is to do, or what was done."""

    cluster = serializers.CharField(allow_null=True)
    dry_run = serializers.BooleanField()
    to_do = ChangeSerializer(many=True)
    differences = ChangeSerializer(many=True, help_text="What is left to people, but for what they ignore")
    ignored = serializers.IntegerField(help_text="How many differences are ignored")
    problems = ProblemSerializer(many=True, help_text="What PVE says wrong, or did not say")
    applied = ChangeSerializer(many=True, required=False, help_text="Unless it is a dry run")
    failed = FailureSerializer(many=True)


class SyncJobSerializer(serializers.Serializer):
    """A sync that runs as a Job."""

    job_result = serializers.URLField()
    detail = serializers.CharField()


class SnapshotParser(BaseParser):
    """JSON of any length up to the view's own limit: Django's applies to whatever REST framework's parser reads."""

    media_type = "application/json"

    def parse(self, stream, media_type=None, parser_context=None):
        return JSONParser().parse(stream, media_type, parser_context)


class SyncView(HookView):
    """The whole state of a PVE cluster at once."""

    name = "PVE Sync"
    parser_classes = [SnapshotParser]
    rights = {"POST": ("ipam.view_prefix", "ipam.view_ipaddress")}
    max_body_bytes = MAX_SNAPSHOT_BYTES

    @extend_schema(request=SyncRequestSerializer, responses={200: SyncSerializer, 202: SyncJobSerializer})
    def post(self, request, namespace):
        """Compare what a cluster says with Nautobot: 200 with what is to do, or with what was done.

        With more than 500 changes to do, it runs as a Job: 202 with the URL of its result.
        """
        data = self.data(request, SyncRequestSerializer)
        asked = {name: data[name] for name in ("zones", "adopt", "prune") if data.get(name) is not None}
        sync = Sync.of(self.caller(request, namespace, data), data["snapshot"], now=timezone.now(), **asked)
        planned = sync.plan()
        if data.get("dry_run") in (None, True):
            return Response(report(sync, planned))
        if len(planned.to_do) > MANY_CHANGES:
            return self.start_job(request, sync, data["snapshot"], asked, len(planned.to_do))
        return Response(report(sync, planned, sync.apply(planned)))

    @staticmethod
    def start_job(request, sync, document, asked, count):
        """Run the sync as a Job, which plans anew. Raises Misconfigured if that is not enabled."""
        module, name = JOB
        job = Job.objects.filter(module_name=module, job_class_name=name, installed=True, enabled=True).first()
        if job is None:
            raise Misconfigured(f"{count} changes run as a Job, but Job {name} is not enabled in Nautobot")
        given = {
            "namespace": sync.caller.namespace,
            "cluster": sync.caller.cluster or "",
            "snapshot": SimpleUploadedFile("snapshot.json", json.dumps(document).encode()),
            "zones": ",".join(sorted(sync.options.zones)),
            "adopt": sync.options.adopt,
            "prune": sync.options.prune,
            "dryrun": False,
        }
        result = JobResult.enqueue_job(job, request.user, job_kwargs=job.job_class.serialize_data(given))
        url = request.build_absolute_uri(reverse("extras-api:jobresult-detail", kwargs={"pk": result.pk}))
        return Response({"job_result": url, "detail": f"{count} changes are done by Job {job.name}"}, status=202)
