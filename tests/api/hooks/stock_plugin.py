"""PVE's stock NetBox plugin as data: which calls each hook makes, and how the plugin interprets the responses.

The table follows pve-network's src/PVE/Network/SDN/Ipams/NetboxPlugin.pm and is executed by an interpreter.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from tests.live import Answer, http_request

ADDRESSES, PREFIXES, RANGES = "/ipam/ip-addresses/", "/ipam/prefixes/", "/ipam/ip-ranges/"
BY_ENDS = f"{RANGES}?start_address={{start}}&end_address={{end}}"
ENDS = {"start_address": "{start}", "end_address": "{end}"}
ADDRESS = {"address": "{ip}/{mask}", "dns_name": "{hostname}", "description": "{description}"}
GUEST = {"dns_name": "{hostname}", "description": "{description}"}

#: hook -> calls in order: how the plugin interprets the response, method, path, body. `{..}` is filled from the hook's
#: arguments and from IDs found before; steps with the same "each ..:" are executed together for each range.
HOOKS = {
    "on_update_hook": [("do", "GET", "/ipam/aggregates/", None)],
    "add_subnet": [
        ("die if found", "GET", f"{PREFIXES}?q={{network}}", None),
        ("do", "POST", PREFIXES, {"prefix": "{cidr}"}),
        ("each range: do", "POST", RANGES, ENDS),
    ],
    "update_subnet": [
        ("each removed range: find or skip", "GET", BY_ENDS, None),
        ("each removed range: do", "DELETE", f"{RANGES}{{ip-ranges}}/", None),
        ("each added range: do", "POST", RANGES, ENDS),
    ],
    "del_subnet": [
        ("find or stop", "GET", f"{PREFIXES}?q={{network}}", None),
        ("die unless at most one", "GET", f"{ADDRESSES}?parent={{cidr}}", None),
        ("find or die", "GET", f"{ADDRESSES}?q={{gateway}}", None),
        ("do", "DELETE", f"{ADDRESSES}{{ip-addresses}}/", None),
        ("each range: find or skip", "GET", BY_ENDS, None),
        ("each range: do", "DELETE", f"{RANGES}{{ip-ranges}}/", None),
        ("do", "DELETE", f"{PREFIXES}{{prefixes}}/", None),
    ],
    "add_ip": [("do", "POST", ADDRESSES, ADDRESS)],
    "add_gateway": [
        ("stop if done", "POST", ADDRESSES, ADDRESS),
        ("die unless gateway", "GET", f"{ADDRESSES}?q={{ip}}", None),
    ],
    "update_ip": [
        ("find or die", "GET", f"{ADDRESSES}?q={{ip}}", None),
        ("do", "PATCH", f"{ADDRESSES}{{ip-addresses}}/", ADDRESS),
    ],
    "del_ip": [
        ("find or stop", "GET", f"{ADDRESSES}?q={{ip}}", None),
        ("do", "DELETE", f"{ADDRESSES}{{ip-addresses}}/", None),
    ],
    "add_next_freeip": [
        ("find or die", "GET", f"{PREFIXES}?q={{network}}", None),
        ("address", "POST", f"{PREFIXES}{{prefixes}}/available-ips/", GUEST),
    ],
    "add_range_next_freeip": [
        ("find or die", "GET", BY_ENDS, None),
        ("address", "POST", f"{RANGES}{{ip-ranges}}/available-ips/", GUEST),
    ],
    "get_ips_from_mac": [("addresses", "GET", f"{ADDRESSES}?description__ic={{mac}}", None)],
}


class Died(Exception):
    """The hook ended with Perl's `die`; PVE shows the message to its user."""


class _Stop(Exception):
    pass


@dataclass
class StockPlugin:
    """The hooks for an IPAM entry of type netbox; `log` is every call with its status."""

    url: str
    token: str

    send: Callable[..., Answer] = http_request

    def __post_init__(self) -> None:
        self.log: list[tuple[str, str, int]] = []
        #: The number, from 1, of the call that is served, but whose answer does not arrive.
        self.loses: int | None = None

    def play(self, hook: str, *, ranges=(), removed=(), added=(), **known: Any) -> Any:
        """Run a hook. Ranges are `(start, end)`. Returns the result of its last step. Raises Died."""
        loops = {"each range": ranges, "each removed range": removed, "each added range": added}
        steps, result = list(HOOKS[hook]), None
        try:
            while steps:
                loop = steps[0][0].partition(": ")[0]
                if loop not in loops:
                    result = self._step(*steps.pop(0), known)
                    continue
                body = [step for step in steps if step[0].startswith(f"{loop}: ")]
                steps = steps[len(body) :]
                for start, end in loops[loop]:
                    found = {**known, "start": start, "end": end}
                    for rule, *call in body:
                        if self._step(rule.partition(": ")[2], *call, found) == "skip":
                            break
        except _Stop:
            return None
        return result

    def _step(self, rule: str, method: str, path: str, body: Any, known: dict[str, Any]) -> Any:
        answer = self._call(method, path.format_map(known), _filled(body, known))
        if rule == "stop if done":
            if answer.status < 400:
                raise _Stop
            return None
        if answer.status >= 400:
            raise Died(f"Invalid response from server: {answer.status} {answer.reason}")
        if rule == "do":
            return True
        if rule == "address":
            return (answer.body or {}).get("address", "").split("/")[0] or None
        if rule == "addresses":
            return _first_of_each_family(answer.body["results"])
        if rule == "die unless gateway":
            if not (answer.body["data"] and answer.body["data"][0]["description"] == "gateway"):
                raise Died("the address already exists and is not a gateway")
            return None
        entries = answer.body["results"]
        if rule == "die unless at most one":
            if len(entries) > 1:
                raise Died("the prefix still contains entries")
        elif rule == "die if found":
            if entries:
                raise Died("the prefix already exists")
        elif entries:
            known[path.split("/")[2]] = entries[0]["id"]
        elif rule == "find or die":
            raise Died(f"no id for {path.format_map(known)}")
        elif rule == "find or stop":
            raise _Stop
        else:
            return "skip"
        return None

    def _call(self, method: str, path: str, body: Any) -> Answer:
        answer = self._send(method, path, body)
        self.log.append((method, path, answer.status))
        if len(self.log) == self.loses:
            return replace(answer, status=599, reason="answer lost", body=None)
        return answer

    def _send(self, method: str, path: str, body: Any) -> Answer:
        headers = {"Authorization": f"token {self.token}", "Content-Type": "application/json; charset=UTF-8"}
        return self.send(method, self.url + path, body, headers=headers)


def _filled(body, known):
    """Fill in the placeholders of a body; None is sent as JSON null, like Perl's undef."""
    if body is None:
        return None
    return {key: known[text[1:-1]] if text[1:-1] in known else text.format_map(known) for key, text in body.items()}


def _first_of_each_family(entries):
    found = {4: None, 6: None}
    for entry in reversed(entries):
        found[entry["family"]["value"]] = entry["address"].split("/")[0]
    return found[4], found[6]
