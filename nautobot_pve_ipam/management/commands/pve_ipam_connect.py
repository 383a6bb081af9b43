"""`nautobot-server pve_ipam_connect`: sets up Nautobot for a PVE, and prints how to connect it. May import services."""

from urllib.parse import quote, urlsplit

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError

from nautobot_pve_ipam.errors import PVEIPAMError
from nautobot_pve_ipam.services.connect import connect_pve

EXAMPLE_URL = "https://nautobot.example.com"
TEXT = """\
Namespace {namespace}, user {user}.
{token}

With this App's plugin, in /etc/pve/sdn/ipams.cfg:

nautobot: nautobot
\turl {url}/api
\ttoken $TOKEN
\tnamespace {namespace}

Or with PVE's own NetBox plugin, without installing anything:

netbox: nautobot
\turl {url}/api/plugins/pve-ipam/netbox/{path}
\ttoken $TOKEN

To test it from the PVE:

curl -sS -H "Authorization: Token $TOKEN" "{url}/api/plugins/pve-ipam/namespaces/{verified}"
"""


class Command(BaseCommand):
    help = "Create a namespace, a least-privilege user and a token for a Proxmox VE, and print how to connect it"

    def add_arguments(self, parser):
        parser.add_argument("--namespace", required=True, help="Nautobot namespace of the PVE; created if missing")
        parser.add_argument("--user", required=True, help="name of the user that the PVE acts as; created if missing")
        parser.add_argument(
            "--cluster", help="name of the PVE's cluster, if several share the namespace; bound to the user"
        )
        parser.add_argument("--url", default=EXAMPLE_URL, help="URL at which the PVE reaches this Nautobot")
        parser.add_argument("--rotate", action="store_true", help="revoke the user's token and create a new one")

    def handle(self, *args, namespace, user, cluster, url, rotate, **options):
        root = self._root(url)
        try:
            connection = connect_pve(namespace, user, cluster=cluster, rotate=rotate)
        except PVEIPAMError as error:
            raise CommandError(error.sentence) from error
        except ValidationError as error:
            raise CommandError(f"user '{user}': {' '.join(error.messages)}") from error
        if connection.token:
            token = f"TOKEN={connection.token}\nIt is shown only once; use it in place of $TOKEN below."
        else:
            token = "The existing token is kept and not shown again; --rotate replaces it."  # noqa: S105
        quoted = quote(namespace, safe="")
        path, verified = (f"{quoted}/{cluster}", f"{quoted}/?cluster={cluster}") if cluster else (quoted, f"{quoted}/")
        self.stdout.write(
            TEXT.format(namespace=namespace, user=user, token=token, url=root, verified=verified, path=path)
        )

    @staticmethod
    def _root(url):
        """Nautobot's root URL, without a trailing `/api`. Raises CommandError."""
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
            raise CommandError(f"url '{url}' is not of the form {EXAMPLE_URL}")
        return url.rstrip("/").removesuffix("/api")
