"""A namespace for one test in the live Nautobot, filled and queried over HTTP."""

import uuid
from typing import Any
from urllib.parse import urlencode

from tests.live import Answer, Live


class Network:
    """Core objects of one namespace, and next-free-IP calls on them, as the superuser unless `token=` is given.

    Subnets are named as in URLs: `10.0.0.0-24`.
    """

    def __init__(self, live: Live) -> None:
        self.live = live
        self.name = f"ns-{uuid.uuid4().hex[:12]}"
        self.id = self._make("namespaces", {"name": self.name})["id"]

    def prefix(self, prefix: str, **fields: Any) -> dict[str, Any]:
        return self._make(
            "prefixes", {"prefix": prefix, "namespace": {"name": self.name}, "status": "Active", **fields}
        )

    def address(self, address: str, **fields: Any) -> dict[str, Any]:
        return self._make(
            "ip-addresses", {"address": address, "namespace": {"name": self.name}, "status": "Active", **fields}
        )

    def range(self, start: str, end: str, **fields: Any) -> dict[str, Any]:
        return self._make(
            "ip-address-ranges",
            {
                "start_address": start,
                "end_address": end,
                "namespace": {"name": self.name},
                "status": "Active",
                **fields,
            },
        )

    def url(self, subnet: str) -> str:
        return f"namespaces/{self.name}/subnets/{subnet}/next-free-ip/"

    def post(self, where: str, body: Any = None, query: Any = (), **options: Any) -> Answer:
        """Allocate; `where` is a subnet or a URL relative to the App's API."""
        return self._ask("POST", where, {} if body is None else body, query, **options)

    def get(self, where: str, query: Any = (), **options: Any) -> Answer:
        """Preview."""
        return self._ask("GET", where, None, query, **options)

    def taken(self, where: str, body: Any = None, query: Any = ()) -> Any:
        """Allocate and return the address without its length, or the list of them."""
        answer = self.post(where, body, query)
        assert answer.status == 201, (answer.status, answer.body)
        return hosts(answer.body)

    def shown(self, where: str, **query: Any) -> list[str]:
        """Preview and return the addresses without their lengths."""
        answer = self.get(where, query)
        assert answer.status == 200, (answer.status, answer.body)
        return hosts(answer.body)

    def addresses(self) -> list[str]:
        """All addresses of the namespace with their lengths, in order, as returned by core."""
        answer = self.live.request("GET", f"/api/ipam/ip-addresses/?namespace={self.id}&limit=1000")
        return [item["address"] for item in answer.body["results"]]

    def written(self) -> tuple[Any, ...]:
        """Counts of what an allocation writes: addresses and allocations in the namespace, and all keys and changes."""
        with self.live.connect() as connection, connection.cursor() as cursor:
            cursor.execute(
                "SELECT (SELECT count(*) FROM ipam_ipaddress a JOIN ipam_prefix p ON p.id = a.parent_id"
                "        WHERE p.namespace_id = %(namespace)s),"
                "       (SELECT count(*) FROM nautobot_pve_ipam_allocation l JOIN ipam_ipaddress a"
                "        ON a.id = l.ip_address_id JOIN ipam_prefix p ON p.id = a.parent_id"
                "        WHERE p.namespace_id = %(namespace)s),"
                "       (SELECT count(*) FROM nautobot_pve_ipam_idempotencykey),"
                "       (SELECT count(*) FROM extras_objectchange)",
                {"namespace": self.id},
            )
            return cursor.fetchone()

    def _ask(self, method: str, where: str, body: Any, query: Any, **options: Any) -> Answer:
        path = where if "/" in where else self.url(where)
        return self.live.request(method, f"{path}?{urlencode(query, doseq=True)}" if query else path, body, **options)

    def _make(self, kind: str, body: dict[str, Any]) -> dict[str, Any]:
        answer = self.live.request("POST", f"/api/ipam/{kind}/", body)
        assert answer.status == 201, answer.body
        return answer.body


def hosts(body: Any) -> Any:
    """The address or addresses in a response, without the prefix length."""
    return [item["address"].split("/")[0] for item in body] if isinstance(body, list) else body["address"].split("/")[0]
