"""Allocate Next Free IP: what the form suggests, creates and rejects, and permissions."""

import pytest
from django.urls import reverse
from nautobot.ipam.models import IPAddress, IPAddressRange, Prefix

from nautobot_pve_ipam.models import Allocation, SDNSubnet
from tests.models import data
from tests.ui.networks import fill
from tests.ui.users import permit

pytestmark = pytest.mark.django_db

PREVIEW = {"HX-Request": "true"}


@pytest.fixture
def subnet():
    return data.subnet(1)  # 10.1.0.0/24, DHCP range .100 to .199


def url(thing):
    return reverse(f"plugins:nautobot_pve_ipam:{thing._meta.model_name}_allocate", kwargs={"pk": thing.pk})


def form(**fields):
    return {"range_start": "10.1.0.100", "range_end": "10.1.0.199", "offset": "0", **fields}


def text(response):
    return response.content.decode()


def addresses():
    return sorted(str(address.address) for address in IPAddress.objects.all())


class TestForm:
    def test_of_a_subnet_starts_with_its_first_range_that_is_not_full(self, subnet, admin_client):
        data.saved(data.SDNDHCPRange(subnet=subnet, ip_address_range=data.dhcp_range(1, 10, 19)))
        fill(subnet.prefix, range(10, 20))
        shown = text(admin_client.get(url(subnet)))
        assert 'value="10.1.0.100"' in shown
        assert 'value="10.1.0.199"' in shown
        assert "<strong>10.1.0.100</strong>" in shown

    def test_of_a_range_starts_with_its_bounds(self, admin_client):
        data.prefix(1)
        shown = text(admin_client.get(url(data.dhcp_range(1, 30, 39))))
        assert 'value="10.1.0.30"' in shown
        assert 'value="10.1.0.39"' in shown

    def test_of_a_prefix_without_ranges_starts_with_the_whole_prefix(self, admin_client):
        assert "<strong>10.1.0.1</strong>" in text(admin_client.get(url(data.prefix(1))))

    def test_takes_the_address_clicked_in_a_map(self, subnet, admin_client):
        clicked = {"range_start": "10.1.0.7", "range_end": "10.1.0.7"}
        assert "<strong>10.1.0.7</strong>" in text(admin_client.get(url(subnet), clicked))

    def test_previews_the_current_fields(self, subnet, admin_client):
        fill(subnet.prefix, [100])
        answer = admin_client.post(url(subnet), form(offset="2", _preview="1"), headers=PREVIEW)
        assert "<strong>10.1.0.103</strong>" in text(answer)
        assert "<form" not in text(answer)
        assert addresses() == ["10.1.0.100/24"]

    def test_previews_without_scripts(self, subnet, admin_client):
        answer = admin_client.post(url(subnet), form(offset="5", hostname="web1", _preview="1"))
        assert "<strong>10.1.0.105</strong>" in text(answer)
        assert 'value="web1"' in text(answer)
        assert addresses() == []

    def test_previews_that_nothing_is_left(self, subnet, admin_client):
        fill(subnet.prefix, range(100, 200))
        answer = admin_client.post(url(subnet), form(_preview="1"), headers=PREVIEW)
        assert "No free address left" in text(answer)


class TestAllocate:
    def test_gives_a_guest_the_next_free_address_in_the_range(self, subnet, admin_client):
        fill(subnet.prefix, [100])
        guest = {"hostname": "web1", "mac": "bc:24:11:00:00:01", "vmid": "201"}
        answer = admin_client.post(url(subnet), form(**guest), follow=True)
        made = Allocation.objects.get()
        assert str(made.ip_address.address) == "10.1.0.101/24"
        assert (made.hostname, str(made.mac), made.vmid, made.subnet) == ("web1", "BC:24:11:00:00:01", 201, subnet)
        assert answer.redirect_chain[-1][0] == made.get_absolute_url()
        assert "Allocated" in text(answer)

    def test_says_if_the_guest_already_has_one(self, subnet, admin_client):
        for _ in range(2):
            answer = admin_client.post(url(subnet), form(mac="BC:24:11:00:00:01"), follow=True)
        assert addresses() == ["10.1.0.100/24"]
        assert "already holds an address" in text(answer)

    def test_in_a_prefix_of_one_pve_subnet_belongs_to_that(self, subnet, admin_client):
        admin_client.post(url(subnet.prefix), form(hostname="web1"))
        assert Allocation.objects.get().subnet == subnet

    def test_in_a_prefix_of_two_pve_subnets_belongs_to_none(self, subnet, admin_client):
        data.saved(SDNSubnet(vnet=data.vnet(2), prefix=subnet.prefix))
        admin_client.post(url(subnet.prefix), form(hostname="web1"))
        assert Allocation.objects.get().subnet is None

    def test_without_a_guest_is_a_plain_address_of_nautobot(self, admin_client):
        answer = admin_client.post(url(data.prefix(1)), form())
        assert addresses() == ["10.1.0.100/24"]
        assert answer.url == IPAddress.objects.get().get_absolute_url()

    @pytest.mark.parametrize(
        ("fields", "name", "sentence"),
        [
            ({"range_start": "10.2.0.1"}, "range_start", "range_start 10.2.0.1 is outside 10.1.0.0/24"),
            ({"range_end": "nonsense"}, "range_end", "range_end nonsense is not an IP address"),
            ({"range_start": "10.1.0.200"}, "range_start", "range_start 10.1.0.200 is after range_end 10.1.0.199"),
            ({"offset": "-1"}, "offset", "offset -1 is less than 0"),
            ({"mac": "1"}, "mac", "mac 1 is not a MAC address"),
            ({"hostname": "web\n1"}, "hostname", "contains the character U+000A"),
            ({"vmid": "99"}, "vmid", "vmid 99 is not between 100 and"),
        ],
    )
    def test_shows_errors_at_the_field(self, fields, name, sentence, subnet, admin_client):
        answer = admin_client.post(url(subnet), form(**fields))
        assert sentence in answer.context["form"].errors[name][0]
        assert sentence in text(answer)
        assert addresses() == []

    def test_says_that_the_range_is_full(self, subnet, admin_client):
        fill(subnet.prefix, range(100, 200))
        answer = admin_client.post(url(subnet), form())
        assert "No free address in 10.1.0.100-10.1.0.199" in text(answer)
        assert len(addresses()) == 100

    def test_in_a_range_stays_inside_it(self, admin_client):
        data.prefix(1)
        answer = admin_client.post(url(data.dhcp_range(1, 30, 39)), form())
        assert "range_start 10.1.0.100 is outside 10.1.0.30-10.1.0.39" in text(answer)

    def test_in_an_exclusive_range_is_not_offered(self, admin_client):
        data.prefix(1)
        found = data.dhcp_range(1)
        found.is_exclusive = True
        found.validated_save()
        assert admin_client.get(url(found)).status_code == 404
        assert url(found) not in text(admin_client.get(found.get_absolute_url()))


class TestRights:
    @pytest.fixture
    def places(self, subnet):
        return {SDNSubnet: subnet, Prefix: subnet.prefix, IPAddressRange: subnet.dhcp_ranges.get()}

    @pytest.mark.parametrize("model", [SDNSubnet, Prefix, IPAddressRange])
    def test_adding_addresses_needs_the_permission(self, model, places, browser, user):
        permit(user, model, "view")
        assert browser.get(url(places[model])).status_code == 403
        assert browser.post(url(places[model]), form()).status_code == 403
        assert url(places[model]) not in text(browser.get(places[model].get_absolute_url()))
        assert addresses() == []

    @pytest.mark.parametrize("model", [SDNSubnet, Prefix, IPAddressRange])
    def test_what_may_not_be_viewed_is_not_found(self, model, places, browser, user):
        permit(user, IPAddress, "add")
        assert browser.get(url(places[model])).status_code == 403
        permit(user, model, "view", pk="00000000-0000-0000-0000-000000000000")
        assert browser.get(url(places[model])).status_code == 404
        assert browser.post(url(places[model]), form()).status_code == 404
        assert addresses() == []

    @pytest.mark.parametrize("model", [SDNSubnet, Prefix, IPAddressRange])
    def test_both_permissions_are_enough(self, model, places, browser, user):
        permit(user, model, "view")
        permit(user, IPAddress, "add", "view")
        assert url(places[model]) in text(browser.get(places[model].get_absolute_url()))
        assert browser.post(url(places[model]), form()).status_code == 302
        assert addresses() == ["10.1.0.100/24"]

    def test_constraints_of_the_permission_apply(self, subnet, browser, user):
        permit(user, SDNSubnet, "view")
        permit(user, IPAddress, "add", dns_name="db1")
        answer = browser.post(url(subnet), form(hostname="web1"))
        assert "lacks permission ipam.add_ipaddress" in text(answer)
        assert addresses() == []
        assert browser.post(url(subnet), form(hostname="db1")).status_code == 302

    def test_anonymous_users_log_in_first(self, subnet, client):
        answer = client.get(url(subnet))
        assert (answer.status_code, answer.url.split("?")[0]) == (302, "/login/")
