"""Random snapshots against random states of Nautobot: what must hold whatever PVE says and Nautobot has."""

import copy
import random

from hypothesis import event, given, settings
from hypothesis import strategies as st

from nautobot_pve_ipam.sync.changes import Kind, KnownAddress, steps
from nautobot_pve_ipam.sync.snapshot import parse
from tests.nightly import examples
from tests.pure.sync.worlds import documents, nautobots, options, randoms

tried = settings(max_examples=examples(100, 5000))


@tried
@given(nautobots(), documents(), options)
def test_the_second_run_has_nothing_to_do(nautobot, document, chosen):
    planned = nautobot.sync(document, **chosen)
    for change in planned.changes:
        event(change.kind.value)


@tried
@given(nautobots(), documents(), options, randoms)
def test_a_run_that_breaks_off_goes_on_where_it_stopped(nautobot, document, chosen, rng):
    whole = copy.deepcopy(nautobot)
    planned = list(steps(nautobot.plan(document, **chosen).changes, size=rng.randint(1, 4)))
    for step in planned[: rng.randint(0, len(planned))]:
        nautobot.apply(step.changes, "dc1")
    nautobot.sync(document, **chosen)
    whole.sync(document, **chosen)
    assert nautobot == whole


@tried
@given(nautobots(), documents(), options, randoms)
def test_the_order_of_what_pve_says_does_not_matter(nautobot, document, chosen, shuffler):
    first = nautobot.plan(document, **chosen)
    for store in ("zones", "vnets", "subnets", "addresses"):
        setattr(nautobot, store, shuffled(getattr(nautobot, store), shuffler))
    again = nautobot.plan(shuffled(document, shuffler), **chosen)
    assert set(again.changes) ^ set(first.changes) == set()
    assert again == first


def shuffled(value, shuffler: random.Random):
    if isinstance(value, dict):
        pairs = list(value.items())
        shuffler.shuffle(pairs)
        return {key: shuffled(one, shuffler) for key, one in pairs}
    if isinstance(value, list):
        return shuffler.sample([shuffled(one, shuffler) for one in value], len(value))
    return value


@tried
@given(nautobots(), documents(), options)
def test_nothing_foreign_is_touched(nautobot, document, chosen):
    before = copy.deepcopy(nautobot)
    nautobot.sync(document, **chosen)
    for store in ("zones", "vnets", "subnets"):
        theirs = {key: one for key, one in getattr(before, store).items() if one.cluster != "dc1"}
        assert theirs.items() <= getattr(nautobot, store).items()
    for ip, address in before.addresses.items():
        now = nautobot.addresses.get(ip)
        if not address.allocated:
            assert now == address or (chosen["adopt"] and now.adopted)
        elif address.network is None:
            assert now == address or (now.mac == address.mac and now.cluster == "dc1")
        elif address.cluster != "dc1":
            moved = now.mac == address.mac and address.gone_since and now.cluster == "dc1"
            assert now == address or moved
        else:
            assert now is None or now.cluster == "dc1"


@tried
@given(nautobots(), documents("dc1"), documents("dc2"), options)
def test_two_clusters_in_turn_undo_nothing_of_each_other(nautobot, one, two, chosen):
    """Each may take what the other one has let go of; all that both have had stays theirs, and then nothing is left."""
    runs = ((one, "dc1"), (two, "dc2"))
    for document, cluster in runs:
        nautobot.sync(document, cluster, **chosen)
    held = {ip: address for ip, address in nautobot.addresses.items() if address.allocated}
    for document, cluster in runs:
        nautobot.sync(document, cluster, **chosen)
        assert held.items() <= nautobot.addresses.items()
    for document, cluster in runs:
        assert nautobot.plan(document, cluster, **chosen).to_do == ()


def without_a_part(document, rng):
    """The document, without a part of what PVE said."""
    lost = copy.deepcopy(document)
    match rng.choice(["part", "element", "node", "cluster", "quorum", "online", "listed", "guest", "config"]):
        case "part":
            del lost[rng.choice(sorted(lost.keys() - {"version", "taken"}))]
        case "element" if not parse(document).sdn_incomplete:  # what is wrong is in doubt only while it is there
            part = rng.choice(["zones", "vnets", "subnets", "ipams", "pve-ipam-state"])
            homes = {vnet["zone"] for vnet in lost["vnets"]}  # an empty zone that is not there is a zone that is gone
            lost[part] = [
                one for one in lost[part] if rng.random() < 0.5 or one.get("zone", part) not in {part, *homes}
            ]
        case "node" | "cluster" as kind:
            lost["cluster"].remove(rng.choice([one for one in lost["cluster"] if one["type"] == kind]))
        case "quorum":
            lost["cluster"][0]["quorate"] = 0
        case "online":
            lost["cluster"][rng.randint(1, 3)]["online"] = 0
        case "listed":
            # PVE still has the configuration of each.
            lost["vmlist"] = {vmid: home for vmid, home in lost["vmlist"].items() if rng.random() < 0.5}
        case "guest":
            # PVE still lists each.
            lost["guests"] = [
                one for one in lost["guests"] if str(one["vmid"]) not in lost["vmlist"] or rng.random() < 0.5
            ]
        case "config":
            for guest in lost["guests"]:
                if rng.random() < 0.5:
                    guest.pop("config", None)
    return lost


@tried
@given(nautobots(), documents(), options, randoms)
def test_what_is_missing_never_makes_a_release(nautobot, document, chosen, rng):
    chosen = chosen | {"prune": True}
    lost = without_a_part(document, rng)
    assert released(nautobot.plan(lost, **chosen)) <= released(nautobot.plan(document, **chosen))


def released(planned):
    gone = (change.before for change in planned.to_do if change.kind is Kind.GONE)
    return {address for address in gone if isinstance(address, KnownAddress)}


@tried
@given(documents(), st.data())
def test_a_document_is_understood_whatever_it_has(document, data):
    """JSON of any shape in any place: named as a problem, and never an error."""
    value = st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner, max_size=2),
    )
    part = document[data.draw(st.sampled_from(sorted(document.keys() - {"version", "taken"})))]
    if isinstance(part, dict):
        part[data.draw(st.text(max_size=5))] = data.draw(value)
    elif part and data.draw(st.booleans()):
        element = data.draw(st.sampled_from(part))
        element[data.draw(st.sampled_from(sorted(element)))] = data.draw(value)
    else:
        part.append(data.draw(value))
    parse(document)
