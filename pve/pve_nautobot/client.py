"""The client: one method per hook of PVE's IPAM interface, each a single HTTP request; and `sync` for a whole cluster.

A request is retried (at most twice, within `timeout`) if no response arrives or the server is unavailable. A retry
never allocates a second address: all attempts of a POST carry the same Idempotency-Key. A retry never hits somebody
else: what it deletes or changes may have passed to the next guest meanwhile, so DELETE and PATCH are retried only with
a precondition (`if_mac`, `if_vmid`) or if the connection failed before anything was sent.
"""

from __future__ import annotations

import json
import math
import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from . import __version__, values
from .answers import (
    Allocation,
    Found,
    FreeAddress,
    Job,
    JobReport,
    NamespaceStatus,
    Subnet,
    SyncReport,
    allocated,
    job_state,
    one_line,
    page,
    pages,
)
from .errors import ApiError, ConfigurationError, ConnectError, JobFailed, ProtocolError, PveNautobotError, api_error
from .held import Held
from .transport import HttpTransport, Request, Response, Transport
from .values import UNCHANGED, Range, Unchanged

_PAUSES = (0.5, 1.0)
"""Seconds before the first and the second retry; Retry-After may extend them."""
_LOOKS = 2.0
"""Seconds between two looks at a Job."""
_PAGE = 1000
"""Records in an answer; Nautobot may send fewer."""


class Client:
    """The addresses of one namespace.

    `url`: Nautobot's root URL or API root. `cluster`: the name of this PVE cluster, if several share the namespace.
    `fingerprint`: SHA-256 of the server's certificate; no other is accepted, even if a trusted CA signed it.
    `timeout`: seconds for a call including its retries; an attempt that may be retried gets half of the time left.
    Every method raises the exceptions in `errors`: ConfigurationError before any request, TransportError, ApiError.
    Optional arguments that are None are not sent.
    """

    def __init__(
        self,
        url: str,
        namespace: str,
        token: str,
        *,
        cluster: str | None = None,
        fingerprint: str | None = None,
        timeout: float = 30.0,
        transport: Transport | None = None,
        sleep: Callable[[float], object] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if not namespace:
            raise ConfigurationError("namespace is empty")
        if not (math.isfinite(timeout) and timeout > 0):
            raise ConfigurationError(f"timeout {timeout} is not a positive number of seconds")
        pinned = values.fingerprint(fingerprint) if fingerprint else None
        self._root = values.base_url(url)
        self._namespace = namespace
        self._base = f"{self._root}namespaces/{quote(namespace, safe='')}/"
        if pinned and not self._base.startswith("https:"):
            raise ConfigurationError(f"fingerprint: url {url!r} is not https, so there is no certificate to compare")
        self._token = values.token(token)
        self._cluster = cluster or None
        self._timeout = timeout
        self._transport = transport or HttpTransport(pinned)
        self._sleep = sleep
        self._clock = clock

    def __repr__(self) -> str:
        return f"<Client for {self._base}>"

    @property
    def url(self) -> str:
        """Of the namespace in the App."""
        return self._base

    def verify(self) -> NamespaceStatus:
        """Whether the namespace exists and the token has the permissions that the hooks need."""
        return NamespaceStatus.from_json(self._call("GET", "", query={"cluster": self._cluster})[0])

    def put_subnet(
        self,
        subnet: str,
        zone: str,
        vnet: str,
        *,
        zone_type: str | Unchanged = UNCHANGED,
        zone_dhcp: str | Unchanged | None = UNCHANGED,
        vnet_alias: str | Unchanged | None = UNCHANGED,
        vnet_tag: int | Unchanged | None = UNCHANGED,
        gateway: str | Unchanged | None = UNCHANGED,
        dhcp_ranges: Iterable[Range] | Unchanged = UNCHANGED,
        snat: bool | Unchanged = UNCHANGED,
        dns_zone_prefix: str | Unchanged | None = UNCHANGED,
        adopt: bool = False,
    ) -> Subnet:
        """PVE's add_subnet and update_subnet. None and () clear a value. `adopt`: take over an existing prefix.

        To register the gateway's address, call add_ip with `gateway`, as PVE does.
        """
        net = values.subnet("subnet", subnet)
        body = {
            "zone": zone,
            "vnet": vnet,
            "zone_type": zone_type,
            "zone_dhcp": zone_dhcp,
            "vnet_alias": vnet_alias,
            "vnet_tag": values.number("vnet_tag", vnet_tag, 1, 16_777_215) if isinstance(vnet_tag, int) else vnet_tag,
            "gateway": values.address("gateway", gateway) if isinstance(gateway, str) else gateway,
            "dhcp_ranges": dhcp_ranges
            if isinstance(dhcp_ranges, Unchanged)
            else values.ranges("dhcp_ranges", net, dhcp_ranges),
            "snat": snat,
            "dns_zone_prefix": dns_zone_prefix,
            "adopt": adopt or UNCHANGED,
            "cluster": self._cluster or UNCHANGED,
        }
        answer, created = self._call(
            "PUT", _subnet_path(net), body={key: value for key, value in body.items() if value is not UNCHANGED}
        )
        return Subnet.from_json(answer, created=created)

    def del_subnet(self, subnet: str, *, zone: str | None = None) -> None:
        """Succeeds if it is already gone. Raises Conflict while it holds anything but gateways."""
        net = values.subnet("subnet", subnet)
        self._call("DELETE", _subnet_path(net), query={"zone": zone, "cluster": self._cluster})

    def next_free_ip(
        self,
        subnet: str,
        *,
        range_start: str | None = None,
        range_end: str | None = None,
        ranges: Iterable[Range] = (),
        offset: int = 0,
        exclude: Iterable[str] = (),
        mac: str | None = None,
        hostname: str | None = None,
        vmid: int | None = None,
        zone: str | None = None,
    ) -> Allocation:
        """PVE's add_next_freeip and add_range_next_freeip: allocate the lowest free address.

        Bounds are inclusive; `ranges`, given instead of them, are searched in order. `offset`: free addresses to skip
        first. `exclude`: addresses, CIDRs or `a-b`. A `mac` that already has an address there gets the same one
        (`created` is False). Raises NoFreeAddress if there is none.
        """
        net = values.subnet("subnet", subnet)
        start, end = values.bounds("range", net, range_start, range_end)
        several = values.ranges("range", net, ranges)
        if several and (start or end):
            raise ConfigurationError("range: give either range_start and range_end or ranges, not both")
        body = {
            "range_start": start,
            "range_end": end,
            "ranges": several or None,
            "offset": values.number("offset", offset, 0) or None,
            "exclude": [values.excluded("exclude", entry) for entry in exclude] or None,
            **self._guest(mac, hostname, vmid, zone),
        }
        answer, created = self._call("POST", f"{_subnet_path(net)}next-free-ip/", body=_known(body))
        return Allocation.from_json(answer, created=created)

    def preview(
        self,
        subnet: str,
        *,
        range_start: str | None = None,
        range_end: str | None = None,
        offset: int = 0,
        exclude: Iterable[str] = (),
        limit: int = 1,
    ) -> tuple[FreeAddress, ...]:
        """The next `limit` (1 or more) free addresses, without allocating them."""
        net = values.subnet("subnet", subnet)
        start, end = values.bounds("range", net, range_start, range_end)
        query = {
            "range_start": start,
            "range_end": end,
            "offset": values.number("offset", offset, 0) or None,
            "exclude": [values.excluded("exclude", entry) for entry in exclude],
            "limit": values.number("limit", limit, 1),
        }
        answer, _ = self._call("GET", f"{_subnet_path(net)}next-free-ip/", query=query)
        if not isinstance(answer, list):
            raise ProtocolError("Nautobot's response is not a JSON list: check the App's version")
        return tuple(FreeAddress.from_json(entry) for entry in answer)

    def add_ip(
        self,
        ip: str,
        *,
        hostname: str | None = None,
        mac: str | None = None,
        vmid: int | None = None,
        gateway: bool = False,
        zone: str | None = None,
    ) -> Allocation:
        """Allocate this address. Raises Conflict if another guest has it."""
        body = {**self._guest(mac, hostname, vmid, zone), "gateway": gateway}
        answer, created = self._call("PUT", _ip_path(ip), body=_known(body))
        return Allocation.from_json(answer, created=created)

    def update_ip(
        self,
        ip: str,
        *,
        hostname: str | None = None,
        mac: str | None = None,
        vmid: int | None = None,
        zone: str | None = None,
        if_mac: str | None = None,
        if_vmid: int | None = None,
    ) -> Allocation:
        """Change the details of the guest. Raises NotFound if the address is not allocated.

        `if_mac`, `if_vmid`: raises Conflict unless this guest holds the address.
        """
        if hostname is None and mac is None and vmid is None:
            raise ConfigurationError("nothing to change: give hostname, mac or vmid")
        body = _known(self._guest(mac, hostname, vmid, zone))
        answer, _ = self._call("PATCH", _ip_path(ip), condition=_held_by(if_mac, if_vmid), body=body)
        return Allocation.from_json(answer, created=False)

    def del_ip(
        self, ip: str, *, zone: str | None = None, if_mac: str | None = None, if_vmid: int | None = None
    ) -> None:
        """Release an address. Succeeds if it is already free. Raises Conflict if it is not PVE's to release.

        `if_mac`, `if_vmid`: raises Conflict unless this guest holds the address.
        """
        query = {"zone": zone, "cluster": self._cluster}
        self._call("DELETE", _ip_path(ip), query=query, condition=_held_by(if_mac, if_vmid))

    def get_ips_from_mac(self, mac: str, *, zone: str | None = None) -> Found:
        """The addresses of a MAC; finding none is not an error."""
        query = {"mac": values.mac("mac", mac), "zone": zone, "cluster": self._cluster}
        return Found.from_json(self._call("GET", "ips/", query=query)[0])

    def held(self, subnet: str, *, zone: str, cluster: str | None) -> tuple[Held, ...]:
        """All addresses of the subnet that a zone of the cluster has; its own cluster is not asked for."""
        net = str(values.subnet("subnet", subnet))

        def read(offset: int) -> tuple[list[Mapping[str, Any]], int]:
            query = {"namespace": self._namespace, "prefix": net, "limit": _PAGE, "offset": offset}
            url = f"{self._root}allocations/?{urlencode(query)}"
            return page(self._decode(self._exchange("GET", url, harmless=True)))

        found = pages(read, f"allocations in {net}")
        own = (one for one in found if (one.get("zone_name"), one.get("cluster_name")) == (zone, cluster))
        return tuple(allocated(net, one) for one in own)

    def sync(
        self,
        snapshot: Mapping[str, Any],
        *,
        cluster: str | None,
        dry_run: bool = True,
        zones: Iterable[str] = (),
        adopt: bool = False,
        prune: bool = False,
    ) -> SyncReport | Job:
        """Compare what a whole cluster says (`snapshot.read`) with Nautobot, and unless `dry_run` do what is to do.

        `cluster`: the cluster whose word it is; the client's own is not sent. `zones`: take part although their IPAM
        entry does not name the namespace. `adopt`: take over prefixes and addresses that PVE did not make. `prune`:
        release what has been gone for long enough. Returns a Job if there is much to do: `wait` for it.
        """
        body = {
            "snapshot": snapshot,
            "cluster": cluster,
            "dry_run": dry_run,
            "zones": list(zones) or None,
            "adopt": adopt or None,
            "prune": prune or None,
        }
        answer, _ = self._call("POST", "sync/", body=_known(body))
        if isinstance(answer, dict) and "job_result" in answer:
            return Job.from_json(answer)
        return SyncReport.from_json(answer)

    def wait(
        self, job: Job, *, seconds: float = 3600.0, progress: Callable[[float], object] = lambda waited: None
    ) -> JobReport:
        """What a Job has done, when it has ended. `progress`: is told the seconds waited so far.

        Raises JobFailed if it ends without success, or not in that many seconds: then it goes on by itself.
        """
        # Nautobot behind a proxy may not know its own name, and the token is for nobody else.
        own, there = urlsplit(self._base), urlsplit(job.url)
        url = f"{own.scheme}://{own.netloc}{there.path}"
        began = self._clock()
        while True:
            state, result = job_state(self._decode(self._exchange("GET", url, harmless=True)))
            if state == "SUCCESS":
                return JobReport.from_json(result)
            if state is not None:
                raise JobFailed(f"the Job ended as {self._clean(state)}: {url}")
            waited = self._clock() - began
            if waited >= seconds:
                raise JobFailed(f"the Job has not ended within {seconds:.0f} s and goes on by itself: {url}")
            progress(waited)
            self._sleep(_LOOKS)

    def _guest(self, mac: str | None, hostname: str | None, vmid: int | None, zone: str | None) -> dict[str, Any]:
        return {
            "mac": None if mac is None else values.mac("mac", mac),
            "hostname": hostname,
            "vmid": None if vmid is None else values.vmid("vmid", vmid),
            "zone": zone,
            "cluster": self._cluster,
        }

    def _call(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        condition: Mapping[str, Any] | None = None,
        body: Mapping[str, Any] | None = None,
    ) -> tuple[Any, bool]:
        """The response's JSON (None if empty), and whether something was created. `condition` is sent in the query."""
        search = urlencode({**_known(query or {}), **(condition or {})}, doseq=True, safe=":")
        url = f"{self._base}{path}{'?' if search else ''}{search}"
        harmless = method not in ("DELETE", "PATCH") or bool(condition)
        response = self._exchange(method, url, harmless=harmless, body=body)
        return self._decode(response), response.status == 201

    def _exchange(self, method: str, url: str, *, harmless: bool, body: Mapping[str, Any] | None = None) -> Response:
        headers = {
            "Authorization": f"Token {self._token}",
            "Accept": "application/json",
            "User-Agent": f"pve-nautobot/{__version__}",
            "Connection": "close",
        }
        if body is not None:
            headers["Content-Type"] = "application/json"
        if method == "POST":
            headers["Idempotency-Key"] = str(uuid.uuid4())
        content = None if body is None else json.dumps(body).encode()
        return self._send(Request(method, url, headers, content, self._timeout), harmless=harmless)

    def _send(self, request: Request, *, harmless: bool) -> Response:
        """`harmless`: the request may be carried out twice."""
        deadline = self._clock() + self._timeout
        for pause in (*_PAUSES, None):
            left = deadline - self._clock()
            try:
                response = self._transport.send(replace(request, timeout=left if pause is None else left / 2))
                if not 200 <= response.status < 300:
                    raise self._error(response)
                return response
            except PveNautobotError as error:
                wait = max(pause or 0, getattr(error, "retry_after", None) or 0)
                may_repeat = error.repeatable and (harmless or isinstance(error, ConnectError))
                if pause is None or not may_repeat or self._clock() + wait >= deadline:
                    raise
                self._sleep(wait)
        raise AssertionError("the last attempt returns or raises")

    def _decode(self, response: Response) -> Any:
        if response.status == 204:
            return None
        try:
            return json.loads(response.body)
        except (ValueError, RecursionError):
            what = "a web page" if response.body.lstrip()[:1] == b"<" else "a body that is not JSON"
            raise ProtocolError(f"{self._base} returned {what}: check the url and that the App is installed") from None

    def _error(self, response: Response) -> ApiError | ProtocolError:
        """The error for a status outside 200-299, with the App's message if there is one, else the reason phrase."""
        if response.status < 400:
            where = self._clean(response.headers.get("location", "elsewhere"))
            return ProtocolError(f"{self._base} redirects to {where}, which is not followed: correct the url")
        try:
            data = json.loads(response.body)
        except (ValueError, RecursionError):
            data = None
        if not isinstance(data, dict):
            if response.status == 404:
                return ProtocolError(f"{self._base} was not found: check the url and that the App is installed")
            data = {"detail": f"HTTP {response.status} {response.reason}"}
        if "detail" in data:
            code, detail = str(data.get("code", f"http_{response.status}")), str(data["detail"])
        else:
            code = "invalid"
            detail = "; ".join(f"{key}: {_sentence(value)}" for key, value in data.items()) or response.reason
        seconds = response.headers.get("retry-after", "")
        retry_after = float(seconds) if seconds.isascii() and seconds.isdigit() else None
        return api_error(response.status, self._clean(code), self._clean(detail), retry_after)

    def _clean(self, text: str) -> str:
        """One printable line, safe for a terminal, with the token masked in case a proxy echoes it."""
        return one_line(text).replace(self._token, "***")[:500]


def _subnet_path(net: values.Network) -> str:
    return f"subnets/{net.network_address}-{net.prefixlen}/"


def _ip_path(ip: str) -> str:
    return f"ips/{values.host('ip', ip)}/"


def _held_by(mac: str | None, vmid: int | None) -> dict[str, Any]:
    """The precondition of a change or release."""
    return _known(
        {
            "mac": None if mac is None else values.mac("if_mac", mac),
            "vmid": None if vmid is None else values.vmid("if_vmid", vmid),
        }
    )


def _known(data: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in data.items() if value is not None}


def _sentence(value: object) -> str:
    return " ".join(str(entry) for entry in value) if isinstance(value, list) else str(value)
