"""Side effects of an allocation in Nautobot: change log entries naming the user, and webhooks as fired by core."""

import pytest

SUBNET = "10.0.0.0-24"


@pytest.fixture
def network(network):
    network.prefix("10.0.0.0/24")
    return network


def changes(live, kind, object_id):
    query = f"changed_object_type={kind}&changed_object_id={object_id}"
    return live.request("GET", f"/api/extras/object-changes/?{query}&sort=time").body["results"]


def test_the_change_log_names_user_and_request(live, network):
    made = network.post(SUBNET, {"vmid": 101, "hostname": "web1"}).body
    allocation = live.request("GET", f"allocations/?ip_address={made['id']}").body["results"][0]
    (of_address,) = changes(live, "ipam.ipaddress", made["id"])
    (of_allocation,) = changes(live, "nautobot_pve_ipam.allocation", allocation["id"])
    for change in (of_address, of_allocation):
        action = change["action"]
        assert (change["user_name"], action if isinstance(action, str) else action["value"]) == ("admin", "create")
    assert of_address["request_id"] == of_allocation["request_id"]
    assert of_address["object_data_v2"]["address"] == "10.0.0.1/24"
    assert of_address["object_data_v2"]["parent"]["id"] == made["parent"]["id"]
    assert of_allocation["object_data_v2"]["vmid"] == 101


def test_tags_are_in_the_change_log_too(live, network):
    tag = live.request(
        "POST", "/api/extras/tags/", {"name": f"tag {network.name}", "content_types": ["ipam.ipaddress"]}
    ).body
    made = network.post(SUBNET, {"tags": [tag["id"]]}).body
    assert [item["id"] for item in changes(live, "ipam.ipaddress", made["id"])[-1]["object_data_v2"]["tags"]] == [
        tag["id"]
    ]


def test_an_update_is_logged_and_a_plain_repetition_is_not(live, network):
    made = network.post(SUBNET, {"mac": "bc:24:11:00:00:01", "hostname": "web1"}).body
    network.post(SUBNET, {"mac": "bc:24:11:00:00:01", "hostname": "web1"})
    assert len(changes(live, "ipam.ipaddress", made["id"])) == 1
    network.post(SUBNET, {"mac": "bc:24:11:00:00:01", "hostname": "web2"})
    logged = changes(live, "ipam.ipaddress", made["id"])
    assert [change["object_data_v2"]["dns_name"] for change in logged] == ["web1", "web2"]


def test_webhooks_are_fired_as_for_an_address_created_in_core(live, network):
    webhook = live.request(
        "POST",
        "/api/extras/webhooks/",
        {
            "name": network.name,
            "content_types": ["ipam.ipaddress"],
            "type_create": True,
            "payload_url": "https://hook.example.com/",
            "http_method": "POST",
            "enabled": True,
        },
    ).body
    core = network.address("10.0.0.200/24")
    ours = network.post(SUBNET, [{"vmid": 101}, {}]).body
    refused = network.post(SUBNET, [{}] * 300)
    network.get(SUBNET)
    fired = [arguments for name, arguments in live.queued_tasks() if name.endswith("process_webhook")]
    fired = {
        data["id"]: (model, action, user) for id_, data, model, action, _, user, *_ in fired if id_ == webhook["id"]
    }
    assert refused.status == 409
    assert set(fired) == {core["id"], *(item["id"] for item in ours)}
    assert set(fired.values()) == {("ipaddress", "create", "admin")}
    live.request("DELETE", f"/api/extras/webhooks/{webhook['id']}/")
