"""pve-nautobot: addresses for Proxmox VE guests from Nautobot.

Only the result goes to stdout, messages go to stderr. With --json, stdout gets the response's JSON or, on error,
{"error": message, "code": .., "status": HTTP status or null}.

Options may come before or after the verb. Their defaults come from the environment:
  PVE_NAUTOBOT_URL          Nautobot's root URL or API root, https://nautobot.example.com/api
  PVE_NAUTOBOT_NAMESPACE    the Nautobot namespace
  PVE_NAUTOBOT_CLUSTER      the name of this PVE cluster, if several share the namespace
  PVE_NAUTOBOT_FINGERPRINT  SHA-256 of the server's certificate, to pin it
  PVE_NAUTOBOT_TOKEN        the API token, or
  PVE_NAUTOBOT_TOKEN_FILE   a file that contains it, mode 600; --token-file overrides both

Exit status:
  0  done
  1  any other error (Nautobot rejected the values, or failed; sync, migrate: something was not done)
  2  usage or configuration error
  3  no usable response: unreachable, timeout, TLS, 502 to 504, not the App
  4  not allowed (401, 403; verify: not ready)
  5  not found (find: the MAC has no address)
  6  no free address
  7  conflict: address taken, subnet not empty, not owned by PVE
  8  sync, migrate: changes or differences are left
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NoReturn

from . import __version__, errors, migrate, sync, values
from .answers import Allocation
from .client import Client
from .errors import ConfigurationError, PveNautobotError
from .terminal import Output, say
from .values import UNCHANGED

_EXIT_CODES: tuple[tuple[type[PveNautobotError], int], ...] = (
    (ConfigurationError, 2),
    (errors.TransportError, 3),
    (errors.Unavailable, 3),
    (errors.NotAuthorized, 4),
    (errors.NotFound, 5),
    (errors.NoFreeAddress, 6),
    (errors.Conflict, 7),
    (PveNautobotError, 1),
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status."""
    arguments = sys.argv[1:] if argv is None else list(argv)
    as_json = "--json" in arguments
    try:
        args = _parser().parse_args(arguments)
        output: Output = args.run(_client(args), args)
    except PveNautobotError as error:
        failure = {"error": str(error), "code": error.code, "status": error.status}
        exit_code = next(code for kind, code in _EXIT_CODES if isinstance(error, kind))
        output = Output("", failure, exit_code, str(error))
    except KeyboardInterrupt:
        return 130
    if output.note:
        say(output.note)
    text = json.dumps({} if output.data is None else output.data) if as_json else output.text
    if text:
        sys.stdout.write(f"{text}\n")
    return output.exit_code


def _client(args: argparse.Namespace) -> Client:
    def setting(name: str, required: bool = False) -> str | None:
        value = getattr(args, name, None) or os.environ.get(f"PVE_NAUTOBOT_{name.upper()}")
        if required and not value:
            raise ConfigurationError(f"{name} is missing: set --{name} or PVE_NAUTOBOT_{name.upper()}")
        return value

    return Client(
        setting("url", required=True) or "",
        setting("namespace", required=True) or "",
        _token(getattr(args, "token_file", None)),
        cluster=setting("cluster"),
        fingerprint=setting("fingerprint"),
        timeout=getattr(args, "timeout", args.usual_timeout),
    )


def _token(path: str | None) -> str:
    token = os.environ.get("PVE_NAUTOBOT_TOKEN")
    if path is None and token:
        return token
    path = path or os.environ.get("PVE_NAUTOBOT_TOKEN_FILE")
    if not path:
        raise ConfigurationError("token is missing: set --token-file, PVE_NAUTOBOT_TOKEN or PVE_NAUTOBOT_TOKEN_FILE")
    try:
        if Path(path).stat().st_mode & 0o077:
            say(f"warning: token file {path} is accessible to group or others: run chmod 600 {path}")
        return Path(path).read_text(encoding="ascii").strip()
    except OSError as error:
        raise ConfigurationError(f"cannot read token file {path}: {error.strerror}") from None
    except UnicodeError:
        raise ConfigurationError(f"token file {path} contains invalid characters") from None


def _allocation(allocation: Allocation) -> Output:
    return Output(allocation.address, allocation.raw)


def _verify(client: Client, args: argparse.Namespace) -> Output:
    status = client.verify()
    versions = f"Nautobot {status.nautobot_version}, App {status.app_version}"
    text = f"{status.namespace}: {'ready' if status.ready else 'not ready'} ({versions})"
    lacks = f"Missing: {', '.join(status.missing)}." if status.missing else ""
    notes = (("" if status.ready else status.detail), lacks, status.warning)
    return Output(text, status.raw, 0 if status.ready else 4, " ".join(note for note in notes if note))


def _next_free_ip(client: Client, args: argparse.Namespace) -> Output:
    ranges = [values.parse_range("--range", text) for text in args.range]
    if args.preview:
        if len(ranges) > 1:
            raise ConfigurationError("--preview accepts only one --range")
        start, end = ranges[0] if ranges else (None, None)
        found = client.preview(
            args.subnet,
            range_start=start,
            range_end=end,
            offset=args.offset,
            exclude=args.exclude,
            limit=1 if args.limit is None else args.limit,
        )
        return Output("\n".join(free.address for free in found), [asdict(free) for free in found])
    if args.limit is not None:
        raise ConfigurationError("--limit requires --preview")
    return _allocation(
        client.next_free_ip(
            args.subnet,
            ranges=ranges,
            offset=args.offset,
            exclude=args.exclude,
            mac=args.mac,
            hostname=args.hostname,
            vmid=args.vmid,
            zone=args.zone,
        )
    )


def _put_subnet(client: Client, args: argparse.Namespace) -> Output:
    """An empty value on the command line clears the property."""
    subnet = client.put_subnet(
        args.cidr,
        args.zone,
        args.vnet,
        zone_type=args.zone_type or UNCHANGED,
        zone_dhcp=UNCHANGED if args.zone_dhcp is None else args.zone_dhcp or None,
        vnet_alias=UNCHANGED if args.vnet_alias is None else args.vnet_alias or None,
        vnet_tag=UNCHANGED if args.vnet_tag is None else _tag(args.vnet_tag),
        gateway=UNCHANGED if args.gateway is None else args.gateway or None,
        dhcp_ranges=UNCHANGED
        if args.dhcp_range is None
        else [values.parse_range("--dhcp-range", text) for text in args.dhcp_range if text],
        snat=UNCHANGED if args.snat is None else args.snat,
        dns_zone_prefix=UNCHANGED if args.dns_zone_prefix is None else args.dns_zone_prefix or None,
        adopt=args.adopt,
    )
    return Output(subnet.prefix, subnet.raw)


def _tag(text: str) -> int | None:
    try:
        return int(text) if text else None
    except ValueError:
        raise ConfigurationError(f"--vnet-tag {text!r} is not a number") from None


def _del_subnet(client: Client, args: argparse.Namespace) -> Output:
    client.del_subnet(args.cidr, zone=args.zone)
    return Output()


def _add_ip(client: Client, args: argparse.Namespace) -> Output:
    guest = {"hostname": args.hostname, "mac": args.mac, "vmid": args.vmid, "zone": args.zone}
    return _allocation(client.add_ip(args.ip, gateway=args.gateway, **guest))


def _update_ip(client: Client, args: argparse.Namespace) -> Output:
    guest = {"hostname": args.hostname, "mac": args.mac, "vmid": args.vmid, "zone": args.zone}
    return _allocation(client.update_ip(args.ip, if_mac=args.if_mac, if_vmid=args.if_vmid, **guest))


def _release(client: Client, args: argparse.Namespace) -> Output:
    client.del_ip(args.ip, zone=args.zone, if_mac=args.if_mac, if_vmid=args.if_vmid)
    return Output()


def _find(client: Client, args: argparse.Namespace) -> Output:
    found = client.get_ips_from_mac(args.mac, zone=args.zone)
    addresses = [ip for ip in (found.ip4, found.ip6) if ip]
    if addresses:
        return Output("\n".join(addresses), found.raw)
    return Output("", found.raw, 5, f"{args.mac} has no address")


class _Parser(argparse.ArgumentParser):
    """Reports errors like all others, so that --json covers them too. No abbreviations: --host is not --hostname."""

    def __init__(self, **options: Any) -> None:
        super().__init__(allow_abbrev=False, **options)

    def error(self, message: str) -> NoReturn:
        raise ConfigurationError(f"{message} (see {self.prog} --help)")


def _refuse_token(value: str) -> NoReturn:
    raise argparse.ArgumentTypeError(
        "command lines are visible to all users of this machine: use --token-file or PVE_NAUTOBOT_TOKEN"
    )


def _add_guest(made: _Parser) -> None:
    made.add_argument("--mac", help="MAC of the network device; repeating the request returns the same address")
    made.add_argument("--hostname")
    made.add_argument("--vmid", type=int, help="100 to 999999999")
    made.add_argument("--zone", help="SDN zone")


def _add_precondition(made: _Parser) -> None:
    made.add_argument("--if-mac", metavar="MAC", help="only if this MAC holds the address; allows a retry")
    made.add_argument("--if-vmid", type=int, metavar="VMID", help="only if this guest holds it; allows a retry")


def _add_subnet_facts(made: _Parser) -> None:
    made.add_argument("--zone", required=True)
    made.add_argument("--vnet", required=True)
    made.add_argument("--zone-type", help="simple, vlan, qinq, vxlan or evpn")
    made.add_argument("--zone-dhcp", metavar="BACKEND", help="the zone's DHCP backend, such as dnsmasq")
    made.add_argument("--vnet-alias")
    made.add_argument("--vnet-tag", metavar="ID", help="VLAN ID or VXLAN ID")
    made.add_argument("--gateway", metavar="IP")
    made.add_argument(
        "--dhcp-range", action="append", metavar="START-END", help="repeatable; replaces all existing ranges"
    )
    made.add_argument("--snat", action=argparse.BooleanOptionalAction, default=None)
    made.add_argument("--dns-zone-prefix")
    made.add_argument("--adopt", action="store_true", help="take over a prefix that already exists in Nautobot")


def _parser() -> _Parser:
    common = _Parser(add_help=False, argument_default=argparse.SUPPRESS)
    for name in ("url", "namespace", "cluster", "fingerprint", "token-file"):
        common.add_argument(f"--{name}", help=f"default: PVE_NAUTOBOT_{name.replace('-', '_').upper()}")
    common.add_argument("--token", type=_refuse_token, help=argparse.SUPPRESS)
    common.add_argument(
        "--timeout",
        type=float,
        metavar="SECONDS",
        help="for the whole call including retries (default: 30, sync and migrate: 600)",
    )
    common.add_argument("--json", action="store_true", help="print the response as JSON")

    parser = _Parser(
        prog="pve-nautobot",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        parents=[common],
    )
    parser.add_argument("--version", action="version", version=__version__)
    verbs = parser.add_subparsers(title="verbs", metavar="VERB", required=True)

    def verb(name: str, run: object, summary: str, *positional: str) -> _Parser:
        made: _Parser = verbs.add_parser(name, help=summary, description=summary, parents=[common])
        made.set_defaults(run=run, usual_timeout=30.0)
        for argument in positional:
            made.add_argument(argument, metavar=argument.upper())
        return made

    verb("verify", _verify, "check that the namespace exists and the token has the permissions PVE needs")

    made = verb(
        "next-free-ip",
        _next_free_ip,
        "allocate the lowest free address in SUBNET (10.0.0.0/24 or 10.0.0.0-24)",
        "subnet",
    )
    made.add_argument(
        "--range",
        action="append",
        default=[],
        metavar="START-END",
        help="search only this range; repeatable, searched in order",
    )
    made.add_argument("--offset", type=int, default=0, metavar="N", help="skip N free addresses")
    made.add_argument("--exclude", action="append", default=[], metavar="X", help="address, CIDR or a-b; repeatable")
    _add_guest(made)
    made.add_argument(
        "--preview", action="store_true", help="show what is free without allocating it; guest options are ignored"
    )
    made.add_argument("--limit", type=int, metavar="N", help="with --preview: how many addresses to show (default: 1)")

    made = verb("release", _release, "release an address", "ip")
    made.add_argument("--zone", help="SDN zone")
    _add_precondition(made)

    for name in ("add-subnet", "update-subnet"):
        made = verb(name, _put_subnet, "create or update a subnet; '' clears a value", "cidr")
        _add_subnet_facts(made)

    made = verb("del-subnet", _del_subnet, "delete a subnet that has no guests", "cidr")
    made.add_argument("--zone")

    made = verb("add-ip", _add_ip, "allocate this address", "ip")
    _add_guest(made)
    made.add_argument("--gateway", action="store_true", help="mark it as the subnet's gateway")

    made = verb("update-ip", _update_ip, "change the guest details of an address", "ip")
    _add_guest(made)
    _add_precondition(made)

    made = verb("find", _find, "show the addresses of a MAC", "mac")
    made.add_argument("--zone", help="SDN zone")

    made = verb("sync", sync.run, "compare all that this PVE cluster says with Nautobot; run it on one node, as root")
    made.set_defaults(usual_timeout=600.0)
    made.add_argument("--apply", action="store_true", help="do what is to do, instead of only showing it")
    made.add_argument(
        "--zone",
        action="append",
        default=[],
        metavar="NAME",
        help="compare this zone although its IPAM entry does not name the namespace; repeatable",
    )
    made.add_argument("--adopt", action="store_true", help="take over prefixes and addresses that PVE did not create")
    made.add_argument("--prune", action="store_true", help="release what has been gone from PVE for long enough")
    made.add_argument(
        "--repair-cache", action="store_true", help="have PVE take out of its MAC cache what Nautobot does not have"
    )

    made = verb(
        "migrate",
        migrate.run,
        "take ZONE from PVE's own IPAM or NetBox to Nautobot, or back; run it on one node, as root",
        "zone",
    )
    made.set_defaults(usual_timeout=600.0)
    made.add_argument(
        "--to",
        metavar="IPAM",
        help="the IPAM entry of PVE that the zone gets (default: the only one for the namespace)",
    )
    made.add_argument("--apply", action="store_true", help="do it, instead of only showing what is to do")
    made.add_argument("--adopt", action="store_true", help="take over prefixes and addresses that PVE did not create")
    return parser
