"""The guard of DHCP ranges: who may create an address in one that PVE hands out, by which call, and at what cost."""

import html

import pytest
from constance import config
from django.conf import settings
from django.contrib.contenttypes.models import ContentType
from django.core.cache import cache
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from nautobot.apps.testing import create_job_result_and_run_job
from nautobot.extras.context_managers import web_request_context
from nautobot.extras.jobs import IntegerVar, Job
from nautobot.extras.models import Job as JobModel
from nautobot.extras.models import JobQueue, JobResult, Status
from nautobot.extras.registry import registry
from nautobot.extras.utils import refresh_job_model_from_job_class
from nautobot.ipam.models import IPAddress, IPAddressRange, Namespace, Prefix

from nautobot_pve_ipam.models import SDNDHCPRange, SDNSubnet
from tests.models import data
from tests.ui.users import logged_in, permit

pytestmark = pytest.mark.django_db

P = "/api/plugins/pve-ipam"
RANGE = "10.1.0.100 - 10.1.0.199"
REFUSED = (
    "Address {} is in a DHCP range of Proxmox VE: user limited lacks permission ipam.allocate_ipaddressrange for {}. "
    "Ask for the next free IP of that range instead."
)


@pytest.fixture(autouse=True)
def _on(monkeypatch):
    monkeypatch.setitem(settings.PLUGINS_CONFIG["nautobot_pve_ipam"], "guard_dhcp_ranges", True)


@pytest.fixture(autouse=True)
def subnet():
    """10.1.0.0/24 with the DHCP range .100 to .199."""
    return data.subnet(1)


@pytest.fixture
def user(django_user_model):
    """May do everything with addresses, prefixes and ranges that Nautobot's own permissions are for."""
    user = django_user_model.objects.create_user("limited")
    for model in (Namespace, Status):
        permit(user, model, "view")
    for model in (IPAddress, Prefix, IPAddressRange):
        permit(user, model, "view", "add", "change", "delete")
    return user


@pytest.fixture
def client(user):
    return logged_in(user)


@pytest.fixture
def post(client):
    """A function that creates an address through core's API; returns None, or the sentence with which it is refused."""

    def post(address, status=None, by=client):
        body = {"address": address, "namespace": data.namespace().pk, "status": "Active"}
        answer = by.post(reverse("ipam-api:ipaddress-list"), body, format="json")
        if answer.status_code == 201:
            return None
        assert answer.status_code == (status or 400), answer.data
        (messages,) = answer.data.values()
        return str(messages[0])

    return post


def hosts():
    return [address.host for address in IPAddress.objects.all()]


class TestCore:
    def test_api(self, post, api_client):
        assert post("10.1.0.150/24") == REFUSED.format("10.1.0.150/24", RANGE)
        assert hosts() == []
        assert post("10.1.0.99/24") is None
        assert post("10.1.0.200/24") is None
        assert post("10.1.0.150/24", by=api_client) is None, "superusers hold every permission"

    def test_list_is_refused_as_a_whole(self, client):
        bodies = [
            {"address": f"10.1.0.{host}/24", "namespace": data.namespace().pk, "status": "Active"} for host in (20, 120)
        ]
        answer = client.post(reverse("ipam-api:ipaddress-list"), bodies, format="json")
        assert (answer.status_code, hosts()) == (400, [])

    def test_ipv6(self, post, subnet):
        core = {"namespace": data.namespace(), "status": data.active(Prefix)}
        prefix = data.saved(Prefix(prefix="2001:db8::/64", **core))
        found = data.saved(IPAddressRange(start_address="2001:db8::100", end_address="2001:db8::1ff", **core))
        record = data.saved(SDNSubnet(vnet=subnet.vnet, prefix=prefix))
        data.saved(SDNDHCPRange(subnet=record, ip_address_range=found))
        expected = REFUSED.format("2001:db8::150/64", "2001:db8::100 - 2001:db8::1ff")
        assert post("2001:db8::150/64") == expected
        assert post("2001:db8::50/64") is None

    def test_available_ips(self, client, subnet):
        """Core's own chooses from ranges as well: it is refused, and made nothing."""
        url = reverse("ipam-api:prefix-available-ips", args=[subnet.prefix.pk])
        bounds = "?range_start=10.1.0.100&range_end=10.1.0.110"
        assert client.post(url + bounds, {"status": "Active"}, format="json").status_code == 400
        assert hosts() == []
        assert client.post(url, {"status": "Active"}, format="json").status_code == 201

    def test_page(self, client):
        form = {
            "address": "10.1.0.150/24",
            "namespace": data.namespace().pk,
            "status": data.active(IPAddress).pk,
            "type": "host",
        }
        answer = client.post(reverse("ipam:ipaddress_add"), form)
        assert REFUSED.format("10.1.0.150/24", RANGE) in html.unescape(answer.content.decode())
        pattern = {**form, "pattern": "10.1.0.[99-101]/24"}
        answer = client.post(reverse("ipam:ipaddress_bulk_add"), pattern)
        assert "is in a DHCP range of Proxmox VE" in html.unescape(answer.content.decode())
        assert hosts() == []
        assert client.post(reverse("ipam:ipaddress_add"), {**form, "address": "10.1.0.99/24"}).status_code == 302

    def test_script_without_a_user(self, user):
        def make(host):
            return data.address(1, host)

        with pytest.raises(Exception, match="user AnonymousUser lacks permission"):
            make(150)
        with web_request_context(user), pytest.raises(Exception, match="user limited lacks permission"):
            make(150)
        permit(user, IPAddressRange, "allocate")
        with web_request_context(user):
            make(150)
        assert hosts() == ["10.1.0.150"]


class TakeAddress(Job):
    """A Job as anybody may write one."""

    __module__ = "nautobot_pve_ipam.jobs"  # Nautobot finds an App's Jobs without reading any files
    host = IntegerVar()

    def run(self, host):
        data.address(1, host)


class TestJobs:
    @pytest.fixture(autouse=True)
    def _in_this_transaction(self, monkeypatch):
        """Not over another connection, which does not see this test's data."""
        monkeypatch.setattr("nautobot.extras.models.jobs.JOB_LOGS", None)

    def test_bulk_import(self, user, caplog):
        space = data.namespace().name

        def imported(*addresses):
            rows = [f"{address},{space},Active,host" for address in addresses]
            return create_job_result_and_run_job(
                "nautobot.core.jobs",
                "ImportObjects",
                username=user.username,
                content_type=ContentType.objects.get_for_model(IPAddress).pk,
                csv_data="\n".join(["address,namespace__name,status__name,type", *rows]),
                roll_back_if_error=True,
            )

        assert imported("10.1.0.20/24", "10.1.0.150/24").status == "FAILURE"
        assert f"Row 2: `__all__`: `{REFUSED.format('10.1.0.150/24', RANGE)}`" in caplog.messages
        assert hosts() == []
        permit(user, IPAddressRange, "allocate")
        assert imported("10.1.0.20/24", "10.1.0.150/24").status == "SUCCESS"
        assert hosts() == ["10.1.0.20", "10.1.0.150"]

    def test_job(self, user, monkeypatch):
        monkeypatch.setitem(registry["jobs"], TakeAddress.class_path, TakeAddress)
        model, _ = refresh_job_model_from_job_class(JobModel, TakeAddress, job_queue_class=JobQueue)
        JobModel.objects.filter(pk=model.pk).update(enabled=True)
        model.refresh_from_db()
        result = JobResult.execute_job(model, user, job_kwargs={"host": 150})
        assert (result.status, hosts()) == ("FAILURE", [])
        assert REFUSED.format("10.1.0.150/24", RANGE) in result.traceback
        assert JobResult.execute_job(model, user, job_kwargs={"host": 99}).status == "SUCCESS"
        assert hosts() == ["10.1.0.99"]


class TestSetting:
    def test_is_off_as_shipped_and_works_at_once(self, post, monkeypatch):
        monkeypatch.delitem(settings.PLUGINS_CONFIG["nautobot_pve_ipam"], "guard_dhcp_ranges")
        assert post("10.1.0.150/24") is None
        try:
            config.nautobot_pve_ipam__guard_dhcp_ranges = True
            assert post("10.1.0.151/24") is not None
            config.nautobot_pve_ipam__guard_dhcp_ranges = False
            assert post("10.1.0.151/24") is None
        finally:
            cache.clear()  # it is not rolled back with the setting


class TestPermission:
    def test_on_some_ranges_only(self, user, post):
        data.saved(SDNDHCPRange(subnet=SDNSubnet.objects.get(), ip_address_range=data.dhcp_range(1, 50, 59)))
        permit(user, IPAddressRange, "allocate", start_host="10.1.0.50")
        assert post("10.1.0.50/24") is None
        assert post("10.1.0.100/24") == REFUSED.format("10.1.0.100/24", RANGE)

    def test_constraints_are_those_of_the_range(self, user, post):
        permit(user, IPAddressRange, "allocate", parent__namespace__name="elsewhere")
        assert post("10.1.0.100/24") is not None
        permit(user, IPAddressRange, "allocate", parent__namespace__name=data.namespace().name)
        assert post("10.1.0.100/24") is None

    def test_a_range_that_the_user_may_not_view_is_not_named(self, user, post):
        user.object_permissions.filter(object_types__model="ipaddressrange").delete()
        assert post("10.1.0.150/24") == REFUSED.format("10.1.0.150/24", "this IP address range")

    def test_to_add_addresses_there_is_not_enough(self, user, post):
        permit(user, IPAddress, "add", host__gte="10.1.0.100", host__lte="10.1.0.199")
        assert post("10.1.0.150/24") is not None

    def test_it_does_not_replace_that_to_add_addresses(self, user, post):
        user.object_permissions.filter(object_types__model="ipaddress").delete()
        permit(user, IPAddressRange, "allocate")
        post("10.1.0.150/24", status=403)
        assert hosts() == []


class TestOurCalls:
    @pytest.fixture
    def taken(self, client):
        """A function that allocates through one of our URLs, and returns the host."""

        def taken(where, body=None):
            answer = client.post(f"{P}/{where}", body or {}, format="json")
            assert answer.status_code == 201, answer.data
            return answer.data["address"].split("/")[0]

        return taken

    def test_who_names_the_range_gets_an_address_in_it(self, taken, subnet):
        of_prefix = f"prefixes/{subnet.prefix.pk}/next-free-ip/"
        assert taken(f"ip-address-ranges/{subnet.dhcp_ranges.get().pk}/next-free-ip/") == "10.1.0.100"
        assert taken(of_prefix, {"range_start": "10.1.0.100", "range_end": "10.1.0.199"}) == "10.1.0.101"
        assert taken(of_prefix, {"ranges": [{"start": "10.1.0.150", "end": "10.1.0.159"}]}) == "10.1.0.150"
        assert taken(of_prefix) == "10.1.0.2", "and nobody else"

    def test_on_the_page(self, client, subnet):
        url = reverse("plugins:nautobot_pve_ipam:ipaddressrange_allocate", kwargs={"pk": subnet.dhcp_ranges.get().pk})
        assert client.post(url, {"hostname": "web1"}).status_code == 302
        assert hosts() == ["10.1.0.100"]

    def test_pve(self, client):
        base, cluster = f"{P}/namespaces/{data.namespace().name}", {"cluster": "cluster1", "zone": "zone1"}
        body = {**cluster, "mac": "BC:24:11:00:00:01", "hostname": "web"}
        assert client.put(f"{base}/ips/10.1.0.150/", body, format="json").status_code == 201
        changed = {**cluster, "hostname": "renamed"}
        assert client.patch(f"{base}/ips/10.1.0.150/", changed, format="json").status_code == 200

    def test_pve_through_the_facade(self, client, subnet):
        base = f"{P}/netbox/{data.namespace().name}/cluster1/ipam"
        body = {"dns_name": "web1", "description": "mac:BC:24:11:00:00:01"}
        range_url = f"{base}/ip-ranges/10.1.0.100-10.1.0.199/available-ips/"
        assert client.post(range_url, body, format="json").status_code == 201
        assert hosts() == ["10.1.0.100"]


class TestEdits:
    def test_an_address_does_not_move_in_from_another_namespace(self, client):
        other = data.namespace("other")
        data.prefix(1, other)
        inside, outside = data.address(1, 150, other), data.address(1, 50, other)
        for address in (inside, outside):
            form = {
                "address": str(address.address),
                "namespace": data.namespace().pk,
                "status": address.status.pk,
                "type": "host",
            }
            answer = client.post(reverse("ipam:ipaddress_edit", args=[address.pk]), form)
            address.refresh_from_db()
            if address == outside:
                assert (answer.status_code, address.parent.namespace) == (302, data.namespace())
            else:
                assert REFUSED.format("10.1.0.150/24", RANGE) in html.unescape(answer.content.decode())
                assert address.parent.namespace == other

    def test_those_that_are_there_can_be_edited(self, client, post, subnet):
        subnet.dhcp_range_links.all().delete()
        assert post("10.1.0.150/24") is None
        data.saved(SDNDHCPRange(subnet=subnet, ip_address_range=IPAddressRange.objects.get()))
        url = reverse("ipam-api:ipaddress-detail", args=[IPAddress.objects.get().pk])
        assert client.patch(url, {"description": "still mine"}, format="json").status_code == 200

    def test_nor_does_it_matter_that_core_has_left_one_on_a_wrong_parent(self, client, subnet):
        subnet.dhcp_range_links.all().delete()
        address = data.address(1, 150)
        data.saved(SDNDHCPRange(subnet=subnet, ip_address_range=IPAddressRange.objects.get()))
        around = Prefix(prefix="10.0.0.0/8", namespace=data.namespace(), status=data.active(Prefix))
        IPAddress.objects.update(parent=data.saved(around))
        form = {
            "address": "10.1.0.150/24",
            "namespace": data.namespace().pk,
            "status": address.status.pk,
            "type": "host",
        }
        assert client.post(reverse("ipam:ipaddress_edit", args=[address.pk]), form).status_code == 302
        address.refresh_from_db()
        assert address.parent == subnet.prefix

    def test_a_range_that_grows_or_shrinks_takes_its_guard_along(self, client, post, subnet):
        found = subnet.dhcp_ranges.get()
        assert post("10.1.0.90/24") is None
        url = reverse("ipam-api:ipaddressrange-detail", args=[found.pk])
        grown = {"start_address": "10.1.0.90", "end_address": "10.1.0.199"}
        assert client.patch(url, grown, format="json").status_code == 200
        assert post("10.1.0.91/24") is not None
        shrunk = {"start_address": "10.1.0.92", "end_address": "10.1.0.199"}
        assert client.patch(url, shrunk, format="json").status_code == 200
        assert post("10.1.0.91/24") is None
        assert post("10.1.0.92/24") is not None

    def test_ranges_that_no_subnet_of_pve_manages_are_not_guarded(self, post, subnet):
        data.dhcp_range(1, 50, 59)
        assert post("10.1.0.50/24") is None
        subnet.delete()
        assert post("10.1.0.150/24") is None

    def test_in_a_pool_inside_the_range(self, post, subnet):
        subnet.dhcp_ranges.get().delete()
        core = {"namespace": data.namespace(), "status": data.active(Prefix)}
        data.saved(Prefix(prefix="10.1.0.128/28", type="pool", **core))
        found = data.saved(IPAddressRange(start_address="10.1.0.130", end_address="10.1.0.139", **core))
        data.saved(SDNDHCPRange(subnet=subnet, ip_address_range=found))
        assert post("10.1.0.135/24") is not None
        assert post("10.1.0.129/24") is None


class TestCost:
    @pytest.fixture
    def queries(self, post):
        """A function that creates an address; returns the queries on ranges and on our tables."""
        post("10.1.0.9/24")  # fills permanent caches

        def queries(address):
            with CaptureQueriesContext(connection) as captured:
                post(address)
            asked = [query["sql"] for query in captured]
            return [sql for sql in asked if "nautobot_pve_ipam_" in sql or "constance" in sql]

        return queries

    def test_off_there_is_no_query(self, queries, monkeypatch):
        monkeypatch.delitem(settings.PLUGINS_CONFIG["nautobot_pve_ipam"], "guard_dhcp_ranges")
        queries("10.1.0.10/24")  # Nautobot caches all settings, those of core as well, when one of them is read
        assert queries("10.1.0.11/24") == []
        assert queries("10.1.0.150/24") == []
        assert hosts() == ["10.1.0.9", "10.1.0.10", "10.1.0.11", "10.1.0.150"]

    def test_on_it_is_one_look_for_each_validation_however_many_ranges_there_are(self, queries, subnet):
        few = queries("10.1.0.10/24")
        for start in range(200, 250, 2):
            data.saved(SDNDHCPRange(subnet=subnet, ip_address_range=data.dhcp_range(1, start, start + 1)))
        many = queries("10.1.0.11/24")
        assert len(few) == len(many) == 2, many  # Nautobot validates twice
        assert all("LIMIT" in sql for sql in many)
