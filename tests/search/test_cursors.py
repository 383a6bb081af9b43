"""Search cursors: they move up, anything freed by Nautobot moves them down, and a wrong one never loses an address."""

from contextlib import suppress

import pytest
from django.db import connection, transaction
from django.urls import reverse
from nautobot.ipam.models import IPAddress, IPAddressRange, Namespace, Prefix

from development.servers import redis_server
from nautobot_pve_ipam.errors import NoFreeAddress
from nautobot_pve_ipam.search import cursors
from nautobot_pve_ipam.search.cursors import MAX_CURSORS, Cursor
from nautobot_pve_ipam.search.intervals import addresses, to_text
from nautobot_pve_ipam.search.occupancy import span
from nautobot_pve_ipam.search.search import Search
from nautobot_pve_ipam.services.allocation import Wanted, allocate
from nautobot_pve_ipam.services.callers import Caller
from tests.networks import Network
from tests.search.fill import Ground

pytestmark = pytest.mark.django_db

#: Number of hosts in use, starting with the first; the next address is free.
USED = 200


class Subnet:
    """10.0.0.0/16, of which 1 to USED are used. Addresses are numbers; each step is committed."""

    def __init__(self, committed):
        self.committed = committed
        self.ground = Ground("cursors")
        self.prefix = self.ground.prefix("10.0.0.0/16")
        self.ground.use(self.prefix, range(1, USED + 1))
        self.first, self.last = span(self.prefix)

    def search(self, low=None, high=None, **fields):
        return Search(self.prefix, () if low is None else ((self.first + low, self.first + high),), **fields)

    def lowest(self, *bounds, **fields):
        with self.committed():
            found = next(addresses(self.search(*bounds, **fields).free()), None)
        return None if found is None else found - self.first

    def allocate(self, admin, *bounds, **fields):
        with self.committed():
            (held,) = allocate(self.search(*bounds, **fields), [Wanted()], caller=Caller(admin, self.prefix.namespace))
        return self.number(held.address)

    def position(self, low=1, high=65534, *, skip_ranges=True):
        """Where a search with these bounds starts."""
        return (
            Cursor(self.prefix.pk, self.first + low, self.first + high, skip_ranges=skip_ranges).position - self.first
        )

    def address(self, number):
        return IPAddress.objects.get(parent__namespace=self.ground.namespace, host=self.text(number))

    def text(self, number):
        return to_text(self.first + number, 4)

    def number(self, address):
        return int.from_bytes(address.address.ip.packed, "big") - self.first

    def range(self, low, high, **fields):
        made = IPAddressRange(
            start_address=self.text(low), end_address=self.text(high), namespace=self.ground.namespace,
            status=self.ground.active, **fields,
        )  # fmt: skip
        made.validated_save()
        return made

    def child(self, cidr, **fields):
        made = Prefix(prefix=cidr, namespace=self.ground.namespace, status=self.ground.active, **fields)
        made.validated_save()
        return made


@pytest.fixture
def subnet(committed):
    return Subnet(committed)


def test_a_search_starts_where_the_previous_one_found_something(subnet):
    assert subnet.position() == 1
    assert subnet.lowest() == USED + 1
    assert subnet.position() == USED + 1
    looked_from = []

    def note(execute, sql, parameters, *rest):
        if "FROM ipam_ipaddress WHERE" in sql:
            looked_from.append(int.from_bytes(parameters[1], "big"))
        return execute(sql, parameters, *rest)

    with connection.execute_wrapper(note):
        subnet.lowest()
    assert looked_from == [subnet.first + USED + 1]


def test_an_uncommitted_search_moves_nothing(subnet, admin):
    with suppress(ZeroDivisionError), transaction.atomic():
        allocate(subnet.search(), [Wanted()], caller=Caller(admin, subnet.prefix.namespace))
        raise ZeroDivisionError
    assert subnet.position() == 1


def through_the_api(subnet, client, numbers):
    for number in numbers:
        assert client.delete(reverse("ipam-api:ipaddress-detail", args=[subnet.address(number).pk])).status_code == 204


def through_the_api_in_bulk(subnet, client, numbers):
    body = [{"id": str(subnet.address(number).pk)} for number in numbers]
    assert client.delete(reverse("ipam-api:ipaddress-list"), body, format="json").status_code == 204


def through_the_page(subnet, client, numbers):
    for number in numbers:
        url = reverse("ipam:ipaddress_delete", args=[subnet.address(number).pk])
        assert client.post(url, {"confirm": True}).status_code == 302


def through_the_hook(subnet, client, numbers):
    """PVE releases the address it was given."""
    for number in numbers:
        subnet.address(number).delete()
        url = f"/api/plugins/pve-ipam/namespaces/{subnet.ground.namespace.name}/ips/{subnet.text(number)}/"
        with subnet.committed():
            assert client.put(url, {"vmid": 100}, format="json").status_code == 201
        assert subnet.lowest() == USED + 1
        assert client.delete(url).status_code == 204


def as_the_bulk_delete_job_does(subnet, client, numbers):
    IPAddress.objects.filter(pk__in=[subnet.address(number).pk for number in numbers]).delete()


def one_by_one_in_a_transaction(subnet, client, numbers):
    with transaction.atomic():
        for number in numbers:
            subnet.address(number).delete()


def to_another_namespace(subnet, client, numbers):
    other = Namespace.objects.create(name="other")
    Prefix(prefix="10.0.0.0/16", namespace=other, status=subnet.ground.active).validated_save()
    for number in numbers:
        moved = subnet.address(number)
        moved._namespace = other
        moved.validated_save()


@pytest.mark.parametrize(
    "free",
    [
        through_the_api,
        through_the_api_in_bulk,
        through_the_page,
        through_the_hook,
        as_the_bulk_delete_job_does,
        one_by_one_in_a_transaction,
        to_another_namespace,
    ],
)
def test_any_deletion_moves_it_down(free, subnet, api_client):
    assert subnet.lowest() == USED + 1
    with subnet.committed():
        free(subnet, api_client, [70, 50])
    assert subnet.position() == 50
    assert subnet.lowest() == 50


def test_a_deletion_that_is_rolled_back_does_not(subnet):
    assert subnet.lowest() == USED + 1
    with subnet.committed(), suppress(ZeroDivisionError), transaction.atomic():
        subnet.address(50).delete()
        raise ZeroDivisionError
    assert subnet.position() == USED + 1


def test_a_savepoint_that_is_rolled_back_takes_only_its_own_deletions_along(subnet):
    assert subnet.lowest() == USED + 1
    with subnet.committed(), transaction.atomic():
        with suppress(ZeroDivisionError), transaction.atomic():
            subnet.address(50).delete()
            raise ZeroDivisionError
        subnet.address(70).delete()
    assert subnet.position() == 70


def test_a_deletion_in_a_savepoint_counts_with_those_around_it(subnet):
    assert subnet.lowest() == USED + 1
    with subnet.committed(), transaction.atomic():
        subnet.address(90).delete()
        with transaction.atomic():
            subnet.address(70).delete()
        with suppress(ZeroDivisionError), transaction.atomic():
            subnet.address(80).delete()
            raise ZeroDivisionError
    assert subnet.position() == 70
    with subnet.committed():
        subnet.address(50).delete()  # the next transaction
    assert subnet.position() == 50


def test_one_transaction_moves_down_the_cursors_of_all_its_prefixes(subnet):
    child = subnet.ground.prefix("10.0.2.0/24", parent=subnet.prefix)
    other = subnet.ground.prefix("10.9.0.0/24")
    for prefix in (child, other):
        subnet.ground.use(prefix, range(1, 101))
    first = {prefix: span(prefix)[0] for prefix in (subnet.prefix, child, other)}
    with subnet.committed():
        for prefix in first:
            next(Search(prefix).free())
    with subnet.committed(), transaction.atomic():
        IPAddress.objects.filter(host__in=["10.0.0.9", "10.0.2.8", "10.9.0.7"]).delete()
    with subnet.committed():
        found = [next(Search(prefix).free())[0] - start for prefix, start in first.items()]
    assert found == [9, 8, 7]


def test_a_stray_on_a_wider_parent_moves_down_the_cursor_of_the_prefix_around_it(subnet):
    """Core may leave an address on a parent that is not the closest."""
    child = subnet.ground.prefix("10.0.0.0/24", parent=subnet.prefix)
    first, last = span(child)
    with subnet.committed():
        Cursor(child.pk, first + 1, last - 1, skip_ranges=True).advance(first + 150)
    with subnet.committed():
        subnet.address(50).delete()
    assert Cursor(child.pk, first + 1, last - 1, skip_ranges=True).position == first + 50


def test_a_deletion_above_does_not(subnet, admin):
    for _ in range(3):
        subnet.allocate(admin)
    assert subnet.lowest() == USED + 4
    with subnet.committed():
        subnet.address(USED + 3).delete()
    assert subnet.position() == USED + 1  # a move by three addresses was not worth it


def change(thing, **values):
    for name, value in values.items():
        setattr(thing, name, value)
    thing.validated_save()


@pytest.mark.parametrize(
    ("make", "undo", "free"),
    [
        (lambda subnet: subnet.child("10.0.0.224/27"), lambda child: child.delete(), 224),
        (lambda subnet: subnet.child("10.0.0.224/27"), lambda child: change(child, type="pool"), 224),
        (lambda subnet: subnet.child("10.0.0.224/27"), lambda child: change(child, prefix="10.0.0.240/28"), 224),
        (lambda subnet: subnet.range(224, 255), lambda found: found.delete(), 224),
        (lambda subnet: subnet.range(224, 255), lambda found: change(found, start_address="10.0.0.250"), 224),
        (lambda subnet: subnet.range(224, 255), lambda found: change(found, end_address="10.0.0.229"), 230),
    ],
    ids=[
        "child deleted",
        "child becomes a pool",
        "child shrinks",
        "range deleted",
        "range starts later",
        "range ends earlier",
    ],
)
def test_removing_a_blocker_moves_it_down(make, undo, free, subnet):
    blocker = make(subnet)
    subnet.ground.use(subnet.prefix, range(USED + 1, 224))
    assert subnet.lowest() == 256
    assert subnet.position() == 256
    with subnet.committed():
        undo(type(blocker).objects.get(pk=blocker.pk))
    assert subnet.lowest() == free


def test_making_an_exclusive_range_ordinary_moves_it_down_for_searches_with_bounds(subnet):
    blocker = subnet.range(USED + 1, 255, is_exclusive=True)
    assert subnet.lowest(1, 1000) == 256
    with subnet.committed():
        change(IPAddressRange.objects.get(pk=blocker.pk), is_exclusive=False)
    assert subnet.lowest(1, 1000) == USED + 1
    assert subnet.lowest() == 256


def test_moving_a_range_to_another_namespace_moves_it_down(subnet):
    blocker = subnet.range(USED + 1, 255)
    other = Namespace.objects.create(name="other")
    Prefix(prefix="10.0.0.0/16", namespace=other, status=subnet.ground.active).validated_save()
    assert subnet.lowest() == 256
    moved = IPAddressRange.objects.get(pk=blocker.pk)
    moved._namespace = other
    with subnet.committed():
        moved.validated_save()
    assert subnet.lowest() == USED + 1


def test_a_prefix_turned_into_a_pool_has_one_more_address(subnet):
    assert subnet.lowest() == USED + 1
    with subnet.committed():
        change(Prefix.objects.get(pk=subnet.prefix.pk), type="pool")
    subnet.prefix.refresh_from_db()
    assert subnet.lowest() == 0


@pytest.mark.parametrize(
    "stored",
    [f"{0:032x}", f"{(10 << 24) + 150:032x}", f"{(10 << 24) + USED + 5:032x}", "f" * 32, "\x00\xff", "x" * 70, ""],
    ids=["far below", "too low", "too high", "beyond", "bytes", "text", "nothing"],
)
def test_a_wrong_cursor_neither_loses_nor_duplicates_addresses(stored, subnet, admin):
    """Twelve are free, two of them among the used ones."""
    low, high = 1, USED + 10
    subnet.address(20).delete()
    subnet.address(120).delete()
    key, field = f"pve-ipam:cursors:{subnet.prefix.pk}", f"{subnet.first + low:032x}-{subnet.first + high:032x}-all"
    cursors.get_redis_connection("default").hset(key, field, stored.encode("latin-1"))
    taken = [subnet.allocate(admin, low, high) for _ in range(12)]
    assert sorted(taken) == [20, 120, *range(USED + 1, USED + 11)]
    with pytest.raises(NoFreeAddress):
        subnet.allocate(admin, low, high)


def test_a_key_not_written_by_us_is_ignored(subnet):
    client = cursors.get_redis_connection("default")
    client.set(f"pve-ipam:cursors:{subnet.prefix.pk}", "a string instead of a hash")
    assert subnet.lowest() == USED + 1
    with subnet.committed():
        subnet.address(7).delete()
    assert subnet.lowest() == 7


def test_a_gap_created_behind_our_back_is_found_once_the_rest_is_full(subnet, admin):
    high = USED + 20
    assert subnet.lowest(1, high) == USED + 1
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM ipam_ipaddress WHERE id = %s", [subnet.address(60).pk])
    taken = [subnet.allocate(admin, 1, high) for _ in range(21)]
    assert taken == [*range(USED + 1, high + 1), 60]


def test_without_redis_searches_start_from_the_bottom(subnet, admin, monkeypatch, caplog):
    monkeypatch.delenv("REDIS_URL", raising=False)
    with redis_server() as url:
        away = cursors.redis.Redis.from_url(url)
        monkeypatch.setattr(cursors, "get_redis_connection", lambda alias: away)
        assert subnet.lowest() == USED + 1
        assert subnet.position() == USED + 1
        away.shutdown(nosave=True)
        assert subnet.allocate(admin) == USED + 1
        assert subnet.position() == 1
        with subnet.committed():
            subnet.address(50).delete()
        assert subnet.allocate(admin) == 50
    assert "out of reach" in caplog.text


def test_cursors_are_independent(subnet):
    other = subnet.ground.prefix("10.9.0.0/16")
    assert subnet.lowest(1, 1000) == USED + 1
    assert subnet.position(1, 1000, skip_ranges=False) == USED + 1
    assert subnet.position(1, 999, skip_ranges=False) == 1
    assert subnet.position(1, 1000, skip_ranges=True) == 1
    first, last = span(other)
    assert Cursor(other.pk, first, last, skip_ranges=True).position == first


def test_a_deletion_moves_only_cursors_whose_bounds_contain_it(subnet):
    for bounds in ((1, 1000), (101, 1000)):
        assert subnet.lowest(*bounds) == USED + 1
    with subnet.committed():
        subnet.address(50).delete()
    assert subnet.position(1, 1000, skip_ranges=False) == 50
    assert subnet.position(101, 1000, skip_ranges=False) == USED + 1


def test_excluded_or_already_searched_addresses_do_not_hold_it_back(subnet):
    exclude = ((subnet.first + 1, subnet.first + 1), (subnet.first + USED + 1, subnet.first + USED + 3))
    assert subnet.lowest(exclude=exclude) == USED + 4
    assert subnet.position() == USED + 1
    assert subnet.lowest() == USED + 1
    bounds = ((subnet.first + 1, subnet.first + 50), (subnet.first + 51, subnet.first + 1000))
    with subnet.committed():
        assert next(addresses(Search(subnet.prefix, bounds).free())) == subnet.first + USED + 1
    assert subnet.position(51, 1000, skip_ranges=False) == USED + 1


def test_a_search_started_before_a_deletion_does_not_move_past_it(subnet):
    """Its cursor moves only at commit, after something was freed in between."""
    bounds = (1, 1000)
    assert subnet.lowest(*bounds) == USED + 1
    subnet.ground.use(subnet.prefix, range(USED + 1, USED + 101))
    with subnet.committed():
        assert next(addresses(subnet.search(*bounds).free())) == subnet.first + USED + 101
        cursors.lower({subnet.prefix.pk: (subnet.first + USED + 30,) * 2})
    assert subnet.position(*bounds, skip_ranges=False) == USED + 30


def test_their_number_is_limited(subnet):
    with subnet.committed():
        for high in range(1000, 1000 + MAX_CURSORS + 50):
            Cursor(subnet.prefix.pk, subnet.first, subnet.first + high, skip_ranges=False).advance(subnet.first + USED)
    client = cursors.get_redis_connection("default")
    assert 0 < client.hlen(f"pve-ipam:cursors:{subnet.prefix.pk}") <= MAX_CURSORS
    assert client.ttl(f"pve-ipam:cursors:{subnet.prefix.pk}") > 0


BULK_DELETE = """
from django.contrib.contenttypes.models import ContentType
from nautobot.extras.models import Job, JobResult
from nautobot.ipam.models import IPAddress
from nautobot.users.models import User
content_type = ContentType.objects.get_for_model(IPAddress)
hosts = IPAddress.objects.filter(parent__namespace__name={namespace!r}, host__in={hosts!r})
arguments = {{"content_type": content_type.pk, "pk_list": [str(host.pk) for host in hosts]}}
job = Job.objects.get(job_class_name="BulkDeleteObjects")
print(JobResult.execute_job(job_model=job, user=User.objects.get(username="admin"), job_kwargs=arguments).status)
"""


def test_nautobots_own_bulk_delete_job_moves_it_down(live):
    network = Network(live)
    network.prefix("10.0.0.0/24")
    network.taken("10.0.0.0-24", [{}] * 60)
    assert network.shown("10.0.0.0-24") == ["10.0.0.61"]  # the cursor is there now
    printed = live.manage(BULK_DELETE.format(namespace=network.name, hosts=["10.0.0.30", "10.0.0.20"]))
    assert printed.splitlines()[-1] == "SUCCESS", printed
    assert network.shown("10.0.0.0-24", limit=3) == ["10.0.0.20", "10.0.0.30", "10.0.0.61"]
