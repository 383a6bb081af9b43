"""`nautobot-server pve_ipam_connect`: everything in Nautobot that one PVE needs, and what to write into the PVE."""

from urllib.parse import quote, urlsplit

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError

from nautobot_pve_ipam.errors import PVEIPAMError
from nautobot_pve_ipam.services.connect import connect_pve

EXAMPLE_URL = "https://nautobot.example.com"
TEXT = """\
Namespace {namespace}, user {user}.
{token}

With the plugin of this App, in /etc/pve/sdn/ipams.cfg:

nautobot: nautobot
\turl {url}/api
\ttoken $TOKEN
\tnamespace {namespace}

Or with PVE's own NetBox plugin, nothing to install:

netbox: nautobot
\turl {url}/api/plugins/pve-ipam/netbox/{path}
\ttoken $TOKEN

To try it from the PVE:

curl -sS -H "Authorization: Token $TOKEN" {url}/api/plugins/pve-ipam/namespaces/{quoted}/
"""


class Command(BaseCommand):
    help = "Prepare a namespace, a user with the least rights and a token for a Proxmox VE, and print how to connect it"

    def add_arguments(self, parser):
        parser.add_argument("--namespace", required=True, help="Nautobot namespace of the PVE; made if it is missing")
        parser.add_argument(
            "--user", required=True, help="name of the user as whom the PVE acts; made if it is missing"
        )
        parser.add_argument("--cluster", help="name of the PVE's cluster, where several share the namespace")
        parser.add_argument("--url", default=EXAMPLE_URL, help="this Nautobot as the PVE reaches it")
        parser.add_argument("--rotate", action="store_true", help="end the user's token and make a new one")

    def handle(self, *args, namespace, user, cluster, url, rotate, **options):
        root = self._root(url)
        try:
            connection = connect_pve(namespace, user, cluster=cluster, rotate=rotate)
        except PVEIPAMError as error:
            raise CommandError(error.sentence) from error
        except ValidationError as error:
            raise CommandError(f"user '{user}': {' '.join(error.messages)}") from error
        if connection.token:
            token = f"TOKEN={connection.token}\nThis is shown once; it goes where $TOKEN stands below."
        else:
            token = "The token made before stays as it is and is not shown again; --rotate replaces it."  # noqa: S105
        quoted = quote(namespace, safe="")
        path = f"{quoted}/{cluster}" if cluster else quoted
        self.stdout.write(TEXT.format(namespace=namespace, user=user, token=token, url=root, quoted=quoted, path=path))

    @staticmethod
    def _root(url):
        """The root of Nautobot in the url, whether or not it names the API's. Raises CommandError."""
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
            raise CommandError(f"url '{url}' is not of the form {EXAMPLE_URL}")
        return url.rstrip("/").removesuffix("/api")
