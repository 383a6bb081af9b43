"""The address map: contents of its cells and blocks, permissions, and cost."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from nautobot.ipam.models import IPAddress, IPAddressRange

from nautobot_pve_ipam import models
from nautobot_pve_ipam.errors import InvalidRequest
from nautobot_pve_ipam.ui import address_map
from tests.models import data
from tests.ui.networks import fill, prefix
from tests.ui.users import permit

pytestmark = pytest.mark.django_db


def cells(shown):
    return {cell.description.split(": ")[0]: cell for section in shown.sections for cell in section.cells}


class TestCells:
    @pytest.fixture
    def subnet(self):
        found = data.subnet(1)  # 10.1.0.0/24, gateway .1, DHCP range .100 to .199
        data.allocation(1, 101, found, hostname="web1", vmid=201)
        data.address(1, 1)
        data.saved(
            IPAddress(
                address="10.1.0.9/24",
                namespace=data.namespace(),
                status=data.active(IPAddress),
                type="host",
                dns_name="printer.example.com",
            )
        )
        prefix("10.1.0.240/28", type="network")
        data.saved(
            IPAddressRange(
                start_address="10.1.0.50",
                end_address="10.1.0.59",
                namespace=data.namespace(),
                status=data.active(IPAddressRange),
                is_exclusive=True,
            )
        )
        return found

    def test_every_address_has_its_cell(self, subnet, superuser):
        shown = address_map.build(subnet.prefix, superuser)
        assert list(cells(shown)) == [f"10.1.0.{host}" for host in range(256)]

    @pytest.mark.parametrize(
        ("host", "kind", "caption", "description"),
        [
            (0, "reserved", "network", "network address"),
            (1, "gateway", "gateway", "gateway"),
            (2, "free", "", "free"),
            (9, "address", "printer.example.com", "address printer.example.com"),
            (49, "free", "", "free"),
            (50, "reserved", "reserved", "reserved by the exclusive range 10.1.0.50 - 10.1.0.59"),
            (59, "reserved", "reserved", "reserved by the exclusive range 10.1.0.50 - 10.1.0.59"),
            (60, "free", "", "free"),
            (100, "dhcp", "DHCP", "free, in DHCP range 10.1.0.100 - 10.1.0.199"),
            (101, "guest", "web1", "guest web1, VMID 201, MAC BC:24:11:00:01:65"),
            (199, "dhcp", "DHCP", "free, in DHCP range 10.1.0.100 - 10.1.0.199"),
            (200, "free", "", "free"),
            (240, "child", "/28", "in child prefix 10.1.0.240/28"),
            (255, "child", "/28", "in child prefix 10.1.0.240/28"),
        ],
    )
    def test_describes_each_address(self, host, kind, caption, description, subnet, superuser):
        cell = cells(address_map.build(subnet.prefix, superuser))[f"10.1.0.{host}"]
        assert (cell.kind, cell.caption) == (kind, caption)
        assert cell.description == f"10.1.0.{host}: {description}"

    def test_legend_counts_the_cells(self, subnet, superuser):
        shown = address_map.build(subnet.prefix, superuser)
        counts = {kind: count for kind, _, count in shown.legend}
        assert counts == {
            "guest": 1, "gateway": 1, "address": 1, "dhcp": 99, "free": 127, "reserved": 11, "child": 16,
        }  # fmt: skip
        assert shown.used == 3

    def test_a_free_cell_links_to_its_allocation_if_permitted(self, subnet, superuser):
        shown = cells(address_map.build(subnet.prefix, superuser, allocate_url="/allocate/"))
        assert shown["10.1.0.2"].href == "/allocate/?range_start=10.1.0.2&range_end=10.1.0.2"
        assert shown["10.1.0.50"].href is None
        assert cells(address_map.build(subnet.prefix, superuser))["10.1.0.2"].href is None

    def test_without_permission_to_view_an_address_it_is_only_in_use(self, subnet, user):
        permit(user, IPAddress, "view", host="10.1.0.9")
        permit(user, models.Allocation, "view")
        shown = cells(address_map.build(subnet.prefix, user))
        hidden = shown["10.1.0.101"]
        assert (hidden.kind, hidden.caption, hidden.href) == ("hidden", "in use", None)
        assert hidden.description == "10.1.0.101: in use"
        assert shown["10.1.0.9"].kind == "address"

    def test_without_permission_to_view_allocations_no_guest_is_named(self, subnet, user):
        permit(user, IPAddress, "view")
        cell = cells(address_map.build(subnet.prefix, user))["10.1.0.101"]
        assert cell.kind == "address"
        assert "web1" not in cell.description

    def test_without_permission_to_view_a_child_prefix_it_has_no_link(self, subnet, user):
        cell = cells(address_map.build(subnet.prefix, user))["10.1.0.240"]
        assert (cell.kind, cell.href, cell.description) == ("child", None, "10.1.0.240: in a child prefix")

    def test_other_namespaces_are_not_shown(self, subnet, superuser):
        elsewhere = data.namespace("elsewhere")
        data.prefix(1, elsewhere)
        data.address(1, 77, elsewhere)
        assert cells(address_map.build(subnet.prefix, superuser))["10.1.0.77"].kind == "free"

    def test_both_addresses_of_a_31_are_available(self, superuser):
        shown = address_map.build(prefix("10.2.0.0/31"), superuser)
        assert [cell.kind for cell in cells(shown).values()] == ["free", "free"]


class TestBlocks:
    def test_a_16_has_256_blocks_that_open_into_cells(self, superuser):
        network = prefix("10.3.0.0/16")
        fill(network, [5 * 256 + 7, 5 * 256 + 8])
        shown = address_map.build(network, superuser)
        assert len(shown.blocks) == 256
        block = shown.blocks[5]
        assert (block.network, block.used, block.size, block.percent, block.level) == ("10.3.5.0/24", 2, 256, 1, 1)
        assert shown.blocks[4].level == 0
        opened = address_map.build(network, superuser, block=block.network)
        assert [text for text, cell in cells(opened).items() if cell.kind == "address"] == ["10.3.5.7", "10.3.5.8"]
        assert [step for step, _ in opened.path] == ["10.3.0.0/16"]

    def test_a_12_opens_in_two_steps(self, superuser):
        network = prefix("10.16.0.0/12")
        fill(network, [0x12345])  # 10.17.35.69
        shown = address_map.build(network, superuser)
        assert [(block.network, block.used) for block in shown.blocks if block.used] == [("10.17.32.0/20", 1)]
        opened = address_map.build(network, superuser, block="10.17.32.0/20")
        assert [(block.network, block.used) for block in opened.blocks if block.used] == [("10.17.35.0/24", 1)]
        inmost = address_map.build(network, superuser, block="10.17.35.0/24")
        assert [step for step, _ in inmost.path] == ["10.16.0.0/12", "10.17.32.0/20"]

    def test_mentions_child_prefixes_and_dhcp_ranges(self, superuser):
        network = prefix("10.4.0.0/16")
        prefix("10.4.8.0/21", type="container")
        prefix("10.4.1.0/28", type="network")
        data.saved(
            IPAddressRange(
                start_address="10.4.2.200",
                end_address="10.4.3.100",
                namespace=data.namespace(),
                status=data.active(IPAddressRange),
                role=data.Role.objects.get(name="DHCP"),
            )
        )
        notes = {block.network: block.notes for block in address_map.build(network, superuser).blocks if block.notes}
        assert notes == {
            "10.4.1.0/24": ("1 child prefix",),
            "10.4.2.0/24": ("DHCP",),
            "10.4.3.0/24": ("DHCP",),
            **{f"10.4.{third}.0/24": ("in child prefix 10.4.8.0/21",) for third in range(8, 16)},
        }

    @pytest.mark.parametrize("block", ["10.9.0.0/24", "10.3.0.1/24", "10.0.0.0/8", "2001:db8::/120", "nonsense"])
    def test_only_networks_within_can_be_opened(self, block, superuser):
        with pytest.raises(InvalidRequest):
            address_map.build(prefix("10.3.0.0/16"), superuser, block=block)


class TestIPv6:
    def test_shows_the_neighbourhood_of_used_addresses(self, superuser):
        network = prefix("2001:db8:1::/64")
        fill(network, [0x101, 0x1_0000_0005])
        shown = address_map.build(network, superuser)
        assert [section.network for section in shown.sections] == ["2001:db8:1::100/120", "2001:db8:1::1:0:0/120"]
        assert [text for text, cell in cells(shown).items() if cell.kind == "address"] == [
            "2001:db8:1::101",
            "2001:db8:1::1:0:5",
        ]
        assert shown.is_part

    def test_shows_where_a_range_starts(self, superuser):
        network = prefix("2001:db8:2::/64")
        data.saved(
            IPAddressRange(
                start_address="2001:db8:2::800",
                end_address="2001:db8:2::ffff",
                namespace=data.namespace(),
                status=data.active(IPAddressRange),
                role=data.Role.objects.get(name="DHCP"),
            )
        )
        (section,) = address_map.build(network, superuser).sections
        assert section.network == "2001:db8:2::800/120"
        assert {cell.kind for cell in section.cells} == {"dhcp"}

    def test_shows_the_first_addresses_of_an_empty_one(self, superuser):
        (section,) = address_map.build(prefix("2001:db8:3::/64"), superuser).sections
        assert (section.network, section.cells[0].caption) == ("2001:db8:3::/120", "network")

    def test_many_neighbourhoods_become_blocks(self, superuser):
        network = prefix("2001:db8:4::/64")
        fill(network, [0x100 * number for number in range(1, 600)])
        shown = address_map.build(network, superuser)
        assert len(shown.blocks) == 38
        assert sum(block.used for block in shown.blocks) == shown.used == 599
        opened = address_map.build(network, superuser, block=shown.blocks[1].network)
        assert [block.used for block in opened.blocks] == [1] * 16
        assert address_map.build(network, superuser, block=opened.blocks[0].network).used == 1


class TestCost:
    @staticmethod
    def queries(network, user, block=None):
        with CaptureQueriesContext(connection) as captured:
            address_map.build(network, user, block=block)
        return len(captured)

    @pytest.mark.parametrize(
        ("text", "hosts", "block"),
        [
            ("10.5.0.0/24", range(1, 255), None),
            ("10.6.0.0/16", range(60_000), None),
            ("10.6.0.0/16", range(60_000), "10.6.7.0/24"),
            ("2001:db8:5::/64", range(60_000), None),
            ("2001:db8:5::/64", range(1, 255), None),
        ],
    )
    def test_is_the_same_when_empty_and_filled(self, text, hosts, block, superuser):
        network = prefix(text)
        self.queries(network, superuser, block)
        empty = self.queries(network, superuser, block)
        fill(network, hosts)
        assert self.queries(network, superuser, block) <= empty
