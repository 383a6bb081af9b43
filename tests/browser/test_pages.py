"""User interactions with the pages, in Debian's Chromium against the live Nautobot."""

from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.browser.network import PVENetwork
from tests.nightly import nightly_only

pytestmark = pytest.mark.postgresql  # for the addresses of the large prefix, which are created by its SQL

#: Brightness of the page's background, which distinguishes dark and light theme.
BRIGHTNESS = "() => getComputedStyle(document.body).backgroundColor.match(/\\d+/g).slice(0, 3).map(Number)[0]"
#: Nautobot's own blue, orange and grey on its own backgrounds have too little contrast for axe; not our problem.
NAUTOBOTS_COLOURS = ("a:not(.pve-map-cell)", ".btn", "th")
TOOLTIP = "(cell) => getComputedStyle(cell, '::after').content"


def cell(page: Page, address: str):
    return page.locator(f'.pve-map-cell[aria-label^="{address}:"]')


@pytest.mark.parametrize("theme", ["light", "dark"], indirect=True)
def test_the_chosen_theme_is_used(page: Page, network: PVENetwork, theme: str):
    page.goto(network.subnet_page)
    assert (page.evaluate(BRIGHTNESS) < 128) == (theme == "dark")


def test_from_the_home_page_to_who_has_an_address_and_what_is_left(page: Page, network: PVENetwork):
    page.goto("/")
    page.get_by_role("link", name="All subnets and maps").click()
    page.goto(f"{page.url}?namespace={network.name}")  # the list also contains the subnets of other tests
    page.get_by_role("link", name="10.0.0.0/24", exact=False).first.click()
    expect(page.get_by_text("38 left")).to_be_visible()
    expect(page.get_by_text("7 left")).to_be_visible()
    expect(cell(page, "10.0.0.101")).to_contain_text("web1")
    cell(page, "10.0.0.101").click()
    expect(page.get_by_role("heading", name="10.0.0.101/24")).to_be_visible()


def test_map_shows_the_same_with_mouse_and_keyboard(page: Page, network: PVENetwork):
    page.goto(network.subnet_page)
    description = "10.0.0.101: guest web1, VMID 101, MAC BC:24:11:00:00:65"
    web1 = cell(page, "10.0.0.101")
    assert description not in web1.evaluate(TOOLTIP)
    web1.hover()
    assert description in web1.evaluate(TOOLTIP)
    cell(page, "10.0.0.100").focus()
    page.keyboard.press("Tab")
    expect(web1).to_be_focused()
    assert description in web1.evaluate(TOOLTIP)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="10.0.0.101/24")).to_be_visible()


def test_allocate_a_free_cell_see_it_in_the_map_release_it(page: Page, network: PVENetwork, theme: str):
    page.goto(network.subnet_page)
    cell(page, "10.0.0.20").click()
    expect(page.get_by_label("From")).to_have_value("10.0.0.20")
    expect(page.locator("#preview")).to_contain_text("Next free: 10.0.0.20")
    page.get_by_label("Hostname").fill(f"shop-{theme}")
    page.get_by_label("MAC address").fill("bc:24:11:aa:bb:cc")
    page.get_by_label("VMID").fill("777")
    page.get_by_role("button", name="Allocate").click()
    expect(page.get_by_role("heading", name=f"10.0.0.20/24 shop-{theme}")).to_be_visible()

    page.goto(network.subnet_page)
    expect(cell(page, "10.0.0.20")).to_have_attribute(
        "aria-label", f"10.0.0.20: guest shop-{theme}, VMID 777, MAC BC:24:11:AA:BB:CC"
    )
    page.goto(network.allocation(f"shop-{theme}"))
    page.get_by_role("link", name="Release").click()
    page.get_by_role("button", name="Confirm").click()
    expect(page.get_by_text(f"Released 10.0.0.20/24 shop-{theme}.")).to_be_visible()
    expect(cell(page, "10.0.0.20")).to_have_attribute("aria-label", "10.0.0.20: free")


def test_preview_follows_the_bounds(page: Page, network: PVENetwork):
    page.goto(network.subnet_page)
    page.get_by_role("link", name="Allocate Next Free IP").click()
    preview = page.locator("#preview")
    expect(preview).to_contain_text("Next free: 10.0.0.112")
    page.wait_for_load_state()  # event listeners are attached only then
    page.get_by_label("Offset").fill("3")
    expect(preview).to_contain_text("Next free: 10.0.0.115")
    page.get_by_label("From").fill("10.0.0.140")
    expect(preview).to_contain_text("Next free: 10.0.0.143")
    page.get_by_label("To").fill("10.0.0.139")
    expect(preview).to_contain_text("range_start 10.0.0.140 is after range_end 10.0.0.139")


def test_large_network_opens_into_its_cells(page: Page, network: PVENetwork):
    page.goto(network.large_map)
    page.get_by_role("link", name="10.4.1.0/24: 37 of 256 in use").click()
    expect(cell(page, "10.4.1.9")).to_have_attribute("aria-label", "10.4.1.9: in use, without a guest")
    page.get_by_role("link", name="10.4.0.0/16", exact=True).click()
    expect(page.get_by_role("link", name="10.4.200.0/24: 200 of 256 in use")).to_be_visible()


@pytest.fixture(scope="module")
def places(network: PVENetwork) -> dict[str, str]:
    """Our pages by screenshot name, and the selectors of the parts that are ours."""
    base = "/plugins/pve-ipam"
    return {
        "home": "/",
        "subnet": network.subnet_page,
        "subnet-ipv6": f"{base}/subnets/{network.subnet6['id']}/",
        "prefix-map": network.large_map,
        "prefix-map-block": f"{network.large_map}?block=10.4.1.0/24",
        "allocate": f"{base}/subnets/{network.subnet['id']}/allocate/",
        "allocation": network.allocation("web1"),
        "release": f"{network.allocation('web1')}release/",
        "allocations": f"{base}/allocations/?namespace={network.name}",
        "subnets": f"{base}/subnets/?namespace={network.name}",
    }


PLACES = (
    "home", "subnet", "subnet-ipv6", "prefix-map", "prefix-map-block", "allocate", "allocation", "release",
    "allocations", "subnets",
)  # fmt: skip
#: Those with colours of our own, which each theme needs anew.
COLOURED = ("subnet", "prefix-map", "allocate")
IN_THEMES = [(place, "light") for place in PLACES] + [
    pytest.param(place, "dark", marks=() if place in COLOURED else nightly_only) for place in PLACES
]


#: Screenshots used in the documentation.
IMAGES = {
    ("home", "light"): "home.png",
    ("allocations", "light"): "allocations.png",
    ("subnet", "light"): "subnet.png",
    ("subnet", "dark"): "subnet-dark.png",
    ("prefix-map", "light"): "prefix-map.png",
    ("allocate", "light"): "allocate.png",
}


@pytest.mark.parametrize(("place", "theme"), IN_THEMES, indirect=["theme"])
def test_can_be_used_by_everybody(place: str, page: Page, places: dict[str, str], theme: str, images: Path | None):
    """axe reports nothing, and no page scrolls horizontally. Also takes the screenshots if requested."""
    page.goto(places[place])
    page.wait_for_load_state("networkidle")
    ours = "#proxmox-ve" if place == "home" else "#main-content"
    if theme == "light":  # all rules but contrast are about the document, which is the same in both themes
        assert violations(page, [[ours]], {"rules": {"color-contrast": {"enabled": False}}}) == []
    colours = {"include": [[ours]], "exclude": [[selector] for selector in NAUTOBOTS_COLOURS]}
    assert violations(page, colours, {"runOnly": ["color-contrast"]}) == []
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    if images and (name := IMAGES.get((place, theme))):
        page.set_viewport_size({"width": 1500, "height": 1250 if place == "subnet" else 950})
        page.screenshot(path=images / name)


def violations(page: Page, context: list | dict, options: dict) -> list[tuple[str, str, str]]:
    found = Axe().run(page, context, options).response["violations"]
    return [
        (violation["id"], node["html"][:200], node["failureSummary"])
        for violation in found
        for node in violation["nodes"][:3]
    ]
