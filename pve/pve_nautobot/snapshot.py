"""What PVE says on this node of the whole cluster, as one JSON document for Nautobot.

It copies what PVE wrote, in PVE's own keys, as far as they are listed here, and understands none of it: Nautobot does.
So no token, password or description leaves the node. What cannot be read is named in the document's `unread`, with the
reason, and the rest is read all the same.
"""

from __future__ import annotations

import ipaddress
import json
import re
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime, timezone
from functools import partial
from itertools import takewhile
from pathlib import Path
from typing import Any, TypeVar

VERSION = 1
"""Of the document; docs/sync.md in the App describes it."""

PVE = Path("/etc/pve")
_PVESH_SECONDS = 60
FILE_LIMIT = 1024 * 1024
"""Bytes that a file in PVE's cluster file system may have."""

KEYS: Mapping[str, tuple[str, ...]] = {
    "cluster": ("type", "name", "nodes", "quorate", "nodeid", "online"),
    "vmlist": ("node", "type"),
    "zones": ("zone", "type", "ipam", "dhcp"),
    "vnets": ("vnet", "zone", "alias", "tag"),
    "subnets": ("subnet", "vnet", "gateway", "snat", "dnszoneprefix", "dhcp-range"),
    "ipams": ("ipam", "type", "url", "namespace"),
    "guests": ("vmid", "type", "node", "status"),
    "config": ("name", "hostname", "template", "tags"),
    "mac-cache": ("ip4", "ip6"),
    "pve-ipam-state": ("zone", "subnet", "ip", "mac", "vmid", "hostname", "gateway", "ipam"),
}
"""What is copied of each part of the document, and of a guest's configuration."""

NUMBERED = ("net", "ipconfig")
"""Copied of a guest's configuration, too, followed by a number."""

_CONFIG = re.compile(rf"({'|'.join(KEYS['config'])}|(?:{'|'.join(NUMBERED)})\d+):\s*(.*)")
_SECTION = re.compile(r"([^\s:]+):\s*(\S+)\s*")
_LISTS = ("dhcp-range",)

_T = TypeVar("_T")
Element = dict[str, Any]


def run_pvesh(path: str, *options: str) -> str:
    """What `pvesh get` prints as JSON. Raises OSError, subprocess.SubprocessError."""
    command = ["/usr/bin/pvesh", "get", path, *options, "--output-format", "json"]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=_PVESH_SECONDS)  # noqa: S603
    return done.stdout


def read(
    root: Path = PVE,
    pvesh: Callable[..., str] = run_pvesh,
    clock: Callable[[], float] = time.time,
    progress: Callable[[int, int], object] = lambda done, total: None,
) -> Element:
    """The document. `root`: where PVE's cluster file system is mounted. `progress`: is told how many guests of all have
    been read.
    """
    taken = datetime.fromtimestamp(clock(), timezone.utc).isoformat()
    return {"version": VERSION, "taken": taken, **_Reader(root, pvesh, progress).parts()}


def cluster_name(document: Element) -> str | None:
    """The cluster's name in PVE; None if it is a single node, or could not be read."""
    names = (str(entry.get("name")) for entry in document.get("cluster", ()) if entry.get("type") == "cluster")
    return next(names, None)


def cidr(subnet: Element) -> str:
    """Of an element of `subnets`, as PVE writes it, from PVE's ID of it, `zone-10.0.0.0-24`."""
    return "/".join(str(subnet["subnet"]).partition("-")[2].rsplit("-", 1))


def network(subnet: Element) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    """Of an element of `subnets`. Raises ValueError."""
    return ipaddress.ip_network(cidr(subnet))


def almost_full(root: Path) -> Iterator[str]:
    """A sentence for each file that nears the size beyond which PVE cannot write it."""
    for path in (root / "sdn" / name for name in ("pve-ipam-state.json", "mac-cache.json")):
        size = path.stat().st_size if path.exists() else 0
        if size >= 0.9 * FILE_LIMIT:
            yield f"{path} has {size} bytes, PVE writes at most {FILE_LIMIT}: beyond that, new guests do not start"


def pve_ipam_state(root: Path) -> list[Element]:
    """What PVE's own IPAM holds, one element for each address. Before pve-network 0.9.8, the file had another name.

    Raises OSError, ValueError, AttributeError.
    """
    files = (root / "sdn" / "pve-ipam-state.json", root / "priv" / "ipam.db")
    state = next(filter(None, map(_json, files)), {})
    return [
        _copy("pve-ipam-state", {**entry, "zone": zone, "subnet": subnet, "ip": ip})
        for zone, subnets in state.get("zones", {}).items()
        for subnet, addresses in subnets.get("subnets", {}).items()
        for ip, entry in addresses.get("ips", {}).items()
    ]


class _Reader:
    """Reads one part after the other, and collects what it could not read."""

    def __init__(self, root: Path, pvesh: Callable[..., str], progress: Callable[[int, int], object]) -> None:
        self._root = root
        self._pvesh = pvesh
        self._progress = progress
        self._unread: list[Element] = []

    def parts(self) -> Element:
        # The list of guests comes before their configurations, so that a guest made or migrated meanwhile is in one.
        parts: dict[str, Callable[[], object]] = {
            "cluster": lambda: _copies("cluster", json.loads(self._pvesh("/cluster/status"))),
            "vmlist": self._vmlist,
            "zones": lambda: self._sections("zones", "zone"),
            "vnets": lambda: self._sections("vnets", "vnet"),
            "subnets": lambda: self._sections("subnets", "subnet"),
            "ipams": self._ipams,
            "guests": self._guests,
            "mac-cache": self._mac_cache,
            "pve-ipam-state": lambda: pve_ipam_state(self._root),
        }
        read = {name: self._try(name, part) for name, part in parts.items()}
        return {**{name: part for name, part in read.items() if part is not None}, "unread": self._unread}

    def _try(self, what: str, part: Callable[[], _T]) -> _T | None:
        try:
            return part()
        except Exception as error:  # whatever is wrong with it, the rest is read all the same
            self._unread.append({"what": what, "why": _reason(error)})
            return None

    def _vmlist(self) -> Element:
        guests = json.loads(file_text(self._root / ".vmlist"))["ids"]
        return {vmid: _copy("vmlist", home) for vmid, home in guests.items()}

    def _sections(self, name: str, key: str, missing: str | None = None) -> list[Element]:
        text = file_text(self._root / "sdn" / f"{name}.cfg", missing)
        return [_copy(name, section) for section in section_file(text, key)]

    def _ipams(self) -> list[Element]:
        found = self._sections("ipams", "ipam", missing="")
        own = [] if any(entry["ipam"] == "pve" for entry in found) else [{"ipam": "pve", "type": "pve"}]
        return [*own, *found]  # PVE's own is always there

    def _guests(self) -> list[Element]:
        resources = self._try("status", lambda: json.loads(self._pvesh("/cluster/resources", "--type", "vm"))) or []
        status = {guest["vmid"]: guest.get("status") for guest in resources}
        nodes = self._root / "nodes"
        files = [
            (kind, path)
            for kind, folder in (("qemu", "qemu-server"), ("lxc", "lxc"))
            for path in nodes.glob(f"*/{folder}/*.conf")
            if path.stem.isdigit()
        ]
        guests = {}
        for count, (kind, path) in enumerate(files, 1):
            vmid, node = int(path.stem), path.parent.parent.name
            guest = _copy("guests", {"vmid": vmid, "type": kind, "node": node, "status": status.get(vmid)})
            config = self._try(f"guest {vmid}", partial(self._config, path))
            guests[vmid] = guest if config is None else {**guest, "config": config}
            self._progress(count, len(files))
        return list(guests.values())

    def _config(self, path: Path) -> Element:
        """The configuration that is in force, which comes before pending changes and the guest's snapshots."""
        found = map(_CONFIG.fullmatch, takewhile(lambda line: line[:1] != "[", file_text(path).splitlines()))
        return {line[1]: line[2] for line in found if line}

    def _mac_cache(self) -> Element:
        macs = _json(self._root / "sdn" / "mac-cache.json").get("macs", {})
        return {mac: _copy("mac-cache", entry) for mac, entry in macs.items()}


def file_text(path: Path, missing: str | None = None) -> str:
    """`missing`: what PVE takes the file for if it does not exist."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        if missing is None:
            raise
        return missing


def _json(path: Path) -> Element:
    """A file that PVE makes when it needs it."""
    found: Element = json.loads(file_text(path, "") or "{}")
    return found


def _copy(part: str, element: Mapping[str, Any]) -> Element:
    return {key: element[key] for key in KEYS[part] if element.get(key) is not None}


def _copies(part: str, elements: Iterable[Mapping[str, Any]]) -> list[Element]:
    return [_copy(part, element) for element in elements]


def section_file(text: str, key: str) -> list[Element]:
    """PVE's section files: `TYPE: ID`, then indented lines `OPTION VALUE`. `key`: what PVE's API calls the ID."""
    sections: list[Element] = []
    for line in text.splitlines():
        if found := _SECTION.fullmatch(line):
            sections.append({"type": found[1], key: found[2]})
        elif sections and line[:1].isspace() and line.strip():
            option, value = (*line.split(maxsplit=1), "1")[:2]
            if option in _LISTS:
                sections[-1].setdefault(option, []).append(value.rstrip())
            else:
                sections[-1][option] = value.rstrip()
    return sections


def _reason(error: Exception) -> str:
    if isinstance(error, subprocess.CalledProcessError):
        said = (error.stderr or "").strip().splitlines()
        return f"{error.cmd[0]} failed: {said[-1] if said else f'status {error.returncode}'}"
    if isinstance(error, OSError):
        return f"{error.filename}: {error.strerror}"
    return f"{type(error).__name__}: {error}"
