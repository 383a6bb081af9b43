"""Which hostnames become DNS names."""

import pytest

from nautobot_pve_ipam.services.allocation import dns_name_of

LABEL = "a" * 63
LONGEST = f"{LABEL}.{LABEL}.{LABEL}.{'b' * 61}"


@pytest.mark.parametrize(
    "hostname", ["a", "1", "web1", "web-1.example.com", "_dmarc.web", "web_", "xn--ber-goa", LABEL, LONGEST]
)
def test_valid_names_are_kept_in_lower_case(hostname):
    assert dns_name_of(hostname.upper()) == hostname.lower()


@pytest.mark.parametrize(
    "hostname",
    [
        "",
        ".",
        "-web",
        "web-",
        "web.-a",
        "web..x",
        ".web",
        "web.",
        "two words",
        "web1\n",
        "\u00fcber",
        "\u212a",  # the sign for Kelvin, a k in lower case
        "web/1",
        f"{LABEL}a",
        f"{LONGEST}b",
        "a" * 300,
        "a." * 126 + "a.a",
    ],
)
def test_all_others_become_none(hostname):
    assert dns_name_of(hostname) == ""
