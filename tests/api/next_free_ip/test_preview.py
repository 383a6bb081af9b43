"""GET shows what POST would allocate, and writes nothing."""

SUBNET = "10.0.0.0-28"


def test_it_shows_the_next_free_address(network):
    network.prefix("10.0.0.0/28")
    network.address("10.0.0.1/28")
    answer = network.get(SUBNET)
    assert (answer.status, answer.reason) == (200, "OK")
    assert answer.body == [{"address": "10.0.0.2/28", "ip_version": 4}]


def test_limit_and_offset(network):
    network.prefix("10.0.0.0/28")
    assert network.shown(SUBNET, limit=3, offset=2) == ["10.0.0.3", "10.0.0.4", "10.0.0.5"]
    assert len(network.shown(SUBNET, limit=1000)) == 14


def test_a_full_prefix_shows_an_empty_list(network):
    network.prefix("10.0.0.1/32")
    network.address("10.0.0.1/32")
    assert network.get("10.0.0.1-32").body == []


def test_it_writes_nothing(network):
    network.prefix("10.0.0.0/28")
    before = network.written()
    assert network.shown(SUBNET, limit=5) == network.shown(SUBNET, limit=5)
    assert network.written() == before


def test_it_shows_what_post_then_takes(network):
    network.prefix("10.0.0.0/28")
    network.prefix("10.0.0.4/31", type="pool")
    network.prefix("10.0.0.6/31")
    network.range("10.0.0.8", "10.0.0.9")
    for query in ({}, {"offset": 2}, {"range_start": "10.0.0.5"}, {"exclude": "10.0.0.0/30"}):
        expected = network.shown(SUBNET, limit=2, **query)
        assert network.taken(SUBNET, [query, query]) == expected
