"""The Idempotency-Key header: the same request with the same key gets the same addresses."""

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone

import pytest

SUBNET = "10.0.0.0-24"


@pytest.fixture
def network(network):
    network.prefix("10.0.0.0/24")
    return network


def ask(network, body, key, query=(), **options):
    # Keys belong to a user, not to a namespace: the network's name keeps tests apart.
    return network.post(SUBNET, body, query, headers={"Idempotency-Key": f"{network.name} {key}"}, **options)


@pytest.mark.parametrize("body", [{}, {"vmid": 101, "hostname": "web1"}, [{}], [{"vmid": 101}, {"vmid": 102}, {}]])
def test_the_same_key_gets_the_same_answer(network, body):
    first = ask(network, body, "one")
    before = network.written()
    again = ask(network, body, "one")
    assert (first.status, again.status) == (201, 200)
    assert again.body == first.body
    assert network.written() == before


def test_without_a_key_every_request_is_new(network):
    assert [network.taken(SUBNET) for _ in range(2)] == ["10.0.0.1", "10.0.0.2"]


def test_another_key_is_another_request(network):
    assert ask(network, {}, "one").body["id"] != ask(network, {}, "two").body["id"]


@pytest.mark.parametrize(
    ("body", "query"), [({"vmid": 102}, ()), ([{"vmid": 101}], ()), ({"vmid": 101}, {"offset": "1"}), ({}, ())]
)
def test_a_key_for_another_request_is_refused(network, body, query):
    ask(network, {"vmid": 101}, "one")
    before = network.written()
    answer = ask(network, body, "one", query)
    assert (answer.status, answer.body["code"]) == (409, "idempotency_key_reused")
    assert "Idempotency-Key" in answer.reason
    assert network.written() == before


def test_a_key_for_another_subnet_is_refused(network):
    network.prefix("10.0.1.0/24")
    ask(network, {}, "one")
    answer = network.post("10.0.1.0-24", {}, headers={"Idempotency-Key": f"{network.name} one"})
    assert answer.body["code"] == "idempotency_key_reused"


def test_keys_belong_to_one_user(live, network):
    code = (
        "from nautobot.users.models import Token, User;"
        f"user = User.objects.create_superuser('{network.name}');"
        "print(Token.objects.create(user=user).key)"
    )
    token = live.manage(code).split()[-1]
    first, other = ask(network, {}, "one"), ask(network, {"vmid": 101}, "one", token=token)
    assert (first.status, other.status) == (201, 201)
    assert first.body["id"] != other.body["id"]


def test_a_released_address_is_replaced(network):
    first = ask(network, {}, "one")
    assert network.live.request("DELETE", f"/api/ipam/ip-addresses/{first.body['id']}/").status == 204
    again = ask(network, {}, "one")
    assert (again.status, again.body["address"]) == (201, "10.0.0.1/24")
    assert ask(network, {}, "one").body == again.body


def test_a_failed_request_may_be_retried(network):
    bounds = {"range_start": "10.0.0.9", "range_end": "10.0.0.9"}
    blocker = network.address("10.0.0.9/24")
    assert ask(network, bounds, "one").status == 409
    network.live.request("DELETE", f"/api/ipam/ip-addresses/{blocker['id']}/")
    assert ask(network, bounds, "one").status == 201


def test_a_key_is_forgotten_after_a_day(network):
    first = ask(network, {}, "one")
    with network.live.connect() as connection, connection.cursor() as cursor:
        cursor.execute(
            "UPDATE nautobot_pve_ipam_idempotencykey stored SET created = %s WHERE stored.key = %s",
            [datetime.now(timezone.utc) - timedelta(hours=25), f"{network.name} one"],
        )
    again = ask(network, {"vmid": 101}, "one")
    assert (again.status, again.body["id"] != first.body["id"]) == (201, True)


@pytest.mark.postgresql
def test_nobody_waits_for_another_key(network):
    """Not even while its expired record is locked by somebody who is clearing it away."""
    ask(network, {}, "one")
    with network.live.connect() as connection, connection.cursor() as cursor:
        cursor.execute(
            "UPDATE nautobot_pve_ipam_idempotencykey stored SET created = %s WHERE stored.key = %s",
            [datetime.now(timezone.utc) - timedelta(hours=25), f"{network.name} one"],
        )
        cursor.execute("BEGIN")
        cursor.execute(
            "SELECT 1 FROM nautobot_pve_ipam_idempotencykey stored WHERE stored.key = %s FOR UPDATE",
            [f"{network.name} one"],
        )
        assert ask(network, {}, "two").status == 201
        cursor.execute("ROLLBACK")
    assert ask(network, {}, "one").status == 201


@pytest.mark.postgresql
def test_a_key_that_was_stored_round_our_lock_at_the_same_moment(network):
    """It may not be known yet when the request looks: the database refuses the second one, and nothing is written."""
    ask(network, {}, "one")
    before = network.written()
    copy = (
        "INSERT INTO nautobot_pve_ipam_idempotencykey (id, user_id, key, request_digest, ip_address_ids, created)"
        " SELECT gen_random_uuid(), user_id, %s, request_digest, ip_address_ids, created"
        " FROM nautobot_pve_ipam_idempotencykey stored WHERE stored.key = %s"
    )
    with network.live.connect() as connection, connection.cursor() as cursor, ThreadPoolExecutor(1) as pool:
        cursor.execute("BEGIN")
        cursor.execute(copy, [f"{network.name} two", f"{network.name} one"])
        asked = pool.submit(ask, network, {}, "two")
        with network.live.connect() as other, other.cursor() as watching:
            waiting = 0
            while not waiting and not asked.done():
                watching.execute("SELECT count(*) FROM pg_locks WHERE locktype = 'transactionid' AND NOT granted")
                (waiting,) = watching.fetchone()
        cursor.execute("COMMIT")
        answer = asked.result()
    assert (answer.status, answer.body["code"]) == (409, "conflict")
    addresses, allocations, keys, changes = before
    assert network.written() == (addresses, allocations, keys + 1, changes)
    assert ask(network, {}, "two").status == 200


def test_simultaneous_requests_with_one_key_get_one_answer(network):
    with ThreadPoolExecutor(10) as pool:
        asked = [pool.submit(ask, network, [{"vmid": 101}, {}], "one") for _ in range(10)]
        answers = [future.result() for future in asked]
    assert sorted(answer.status for answer in answers) == [200] * 9 + [201]
    assert len({json.dumps(answer.body, sort_keys=True) for answer in answers}) == 1
    assert network.addresses() == ["10.0.0.1/24", "10.0.0.2/24"]
