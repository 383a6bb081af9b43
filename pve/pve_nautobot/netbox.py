"""NetBox as PVE's own NetBox plugin uses it: with the URL and the token of PVE's IPAM entry.

The plugin marks an address with the description `mac:MAC` or `gateway`, and its name is the `dns_name`. Everything is
looked up exactly: NetBox's search, which the plugin uses, finds other addresses, too.
"""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import urlencode

from . import __version__, values
from .answers import one_line, pages
from .errors import MigrationFailed
from .held import Held
from .ipams import Entry
from .snapshot import Element, network
from .transport import HttpTransport, Request, Transport

_PAGE = 500
_SECONDS = 60
_MAC = re.compile(r"(?i)mac:((?:[0-9a-f]{2}:){5}[0-9a-f]{2})")


class NetBox:
    """What NetBox has of the subnets of one zone. `subnets`: as in a snapshot."""

    def __init__(self, entry: Entry, zone: str, subnets: Sequence[Element], transport: Transport | None = None) -> None:
        self._entry = entry
        self._zone = zone
        self._subnets = subnets
        self._token = values.token(entry.token)
        self._transport = transport or HttpTransport(
            values.fingerprint(entry.fingerprint) if entry.fingerprint else None
        )
        self._ids: dict[str, int] = {}

    def held(self) -> list[Element]:
        """All addresses in the zone's subnets, whoever made them; without those of VRFs, where PVE has none."""
        networks = sorted(map(network, self._subnets), key=lambda one: one.prefixlen)
        found: dict[str, Element] = {}
        for net in networks:  # of an address that is in two of them, the last one has it: it is smaller
            for record in self._pages("ip-addresses", parent=str(net)):
                try:
                    ip = str(ipaddress.ip_interface(record["address"]).ip)
                    if not record.get("vrf"):
                        found[ip] = {"zone": self._zone, "subnet": str(net), "ip": ip, **self._described(record)}
                        self._ids[ip] = record["id"]
                except (TypeError, KeyError, ValueError, AttributeError):
                    raise self._failed(f"an address in {net} is not as NetBox has them") from None
        return list(found.values())

    def write(self, add: Sequence[Held], remove: Sequence[Held]) -> None:
        for subnet in self._subnets:
            self._provide("prefixes", {"prefix": str(network(subnet))})
            for text in subnet.get("dhcp-range", ()):
                ends = dict(pair.split("=", 1) for pair in text.split(","))
                self._provide("ip-ranges", {"start_address": ends["start-address"], "end_address": ends["end-address"]})
        for one in remove:
            self._request("DELETE", f"ip-addresses/{self._ids[one.ip]}/")
        for one in add:
            mark = "gateway" if one.is_gateway else f"mac:{one.mac}" if one.mac else ""
            name = {"dns_name": one.hostname} if one.hostname else {}
            address = f"{one.ip}/{one.subnet.partition('/')[2]}"
            self._request("POST", "ip-addresses/", {"address": address, "description": mark, **name})

    def _described(self, record: Element) -> Element:
        mark, mac = record.get("description") or "", _MAC.fullmatch(record.get("description") or "")
        name = {"hostname": record["dns_name"]} if record.get("dns_name") else {}
        who = {"gateway": 1} if mark == "gateway" else {"mac": mac[1]} if mac else {}
        return {"ipam": self._entry.name, **name, **who}

    def _provide(self, what: str, body: dict[str, str]) -> None:
        if not any(True for _ in self._pages(what, **body)):
            self._request("POST", f"{what}/", body)

    def _pages(self, what: str, **query: str) -> Iterator[Element]:
        """All records. NetBox's own links are not followed: the token is for the entry's URL alone."""

        def read(offset: int) -> tuple[list[Element], int]:
            page = self._request("GET", f"{what}/?{urlencode({**query, 'limit': _PAGE, 'offset': offset})}")
            try:
                return list(page["results"]), int(page["count"])
            except (TypeError, KeyError, ValueError):
                raise self._failed(f"the answer to {what} is not NetBox's") from None

        return pages(read, what, self._failed)

    def _request(self, method: str, path: str, body: dict[str, str] | None = None) -> Any:
        headers = {
            "Authorization": f"token {self._token}",
            "Accept": "application/json",
            "Content-Type": "application/json",
            "User-Agent": f"pve-nautobot/{__version__}",
            "Connection": "close",
        }
        content = None if body is None else json.dumps(body).encode()
        url = f"{self._entry.url.rstrip('/')}/ipam/{path}"
        response = self._transport.send(Request(method, url, headers, content, _SECONDS))
        if not 200 <= response.status < 300:
            said = response.body.decode(errors="replace")[:200] if response.status == 400 else response.reason
            raise self._failed(f"{method} {path.partition('?')[0]} was answered {response.status} {said}")
        try:
            return json.loads(response.body) if response.body else None
        except ValueError:
            raise self._failed("the answer is not JSON: check its url") from None

    def _failed(self, why: str) -> MigrationFailed:
        return MigrationFailed(f"NetBox, IPAM {self._entry.name}: {one_line(why).replace(self._token, '***')}")
