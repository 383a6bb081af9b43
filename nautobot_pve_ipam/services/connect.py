"""Sets up Nautobot for a PVE: a namespace, and a user with just the permissions that the hooks need in it.

May import models, permissions, defaults.py and locks.py.
"""

import re
from dataclasses import dataclass
from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
from django.contrib.contenttypes.models import ContentType
from nautobot.ipam.models import Namespace
from nautobot.users.models import ObjectPermission, Token

from nautobot_pve_ipam.errors import Conflict, InvalidRequest
from nautobot_pve_ipam.models import PVECluster
from nautobot_pve_ipam.permissions import hook_permissions
from nautobot_pve_ipam.services.defaults import Defaults
from nautobot_pve_ipam.services.locks import locked_transaction

#: The description that identifies the permissions and tokens we created.
OURS = "Made by nautobot-server pve_ipam_connect"
#: Names of groups and permissions are derived from these names.
MAX_NAME = 100
#: ASCII because ipams.cfg has no defined encoding; no slash because the name is one segment of a URL path.
NAMESPACE_NAME = re.compile(rf"(?!.*/)[!-~]([ -~]{{0,{MAX_NAME - 2}}}[!-~])?")
#: What PVE accepts as the name of a cluster or node.
CLUSTER_NAME = re.compile(r"[a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?")


@dataclass(frozen=True)
class Connection:
    """What a PVE needs to connect. `token` is None if the user already had one, as it is never shown again."""

    namespace: str
    cluster: str | None
    user: str
    token: str | None


def connect_pve(namespace: str, username: str, *, cluster: str | None = None, rotate: bool = False) -> Connection:
    """Create the namespace, the user, its group with the minimum permissions there, and a token. Idempotent.

    `cluster`: created if it is missing, and bound to the user. `rotate`: replace the old token with a new one. Raises
    InvalidRequest for a name that PVE cannot use, Conflict if the user was not created here or the cluster is bound to
    another one, Django's ValidationError for a user name that Nautobot rejects. If any of these is raised, nothing is
    written.
    """
    if not NAMESPACE_NAME.fullmatch(namespace):
        raise InvalidRequest(
            f"namespace '{namespace}' must be 1 to {MAX_NAME} printable ASCII characters without a slash"
        )
    if cluster is not None and not CLUSTER_NAME.fullmatch(cluster):
        raise InvalidRequest(f"cluster '{cluster}' must be 1 to 63 letters, digits and inner hyphens")
    if len(username) > MAX_NAME:
        raise InvalidRequest(f"user '{username}' is longer than {MAX_NAME} characters")
    with locked_transaction() as locks:
        locks.wait("connect")
        if not Namespace.objects.filter(name=namespace).exists():
            Namespace(name=namespace).validated_save()
        group, _created = Group.objects.get_or_create(name=f"PVE IPAM {username}")
        user = _user(username, group)
        if cluster is not None:
            locks.wait("cluster", cluster)  # a request may be creating it
            _bind(cluster, user)
        _permit(group, namespace, cluster)
        return Connection(namespace, cluster, username, _token(user, rotate))


def _user(username: str, group: Group) -> Any:
    """The PVE's user, who cannot log in with a password. Any other existing user is rejected."""
    user_model = get_user_model()
    user = user_model.objects.filter(username=username).first()
    if user is None:
        user = user_model(username=username)
        user.set_unusable_password()
        user.full_clean()
        user.save()
        user.groups.add(group)
    elif user.is_superuser or user.has_usable_password() or group not in user.groups.all():
        raise Conflict(f"user '{username}' already exists and was not created by this command: choose another name")
    return user


def _bind(name: str, user: Any) -> None:
    cluster = PVECluster.objects.select_related("user").filter(name=name).first()
    cluster = cluster or Defaults(PVECluster).make(name=name, user=user)
    if cluster.user not in (None, user):
        raise Conflict(f"cluster '{name}' is bound to user '{cluster.user}': change that in Nautobot first")
    if cluster.user != user:
        cluster.user = user
        cluster.validated_save()


def _permit(group: Group, namespace: str, cluster: str | None) -> None:
    """Grant the group the hooks' permissions in that namespace, and remove stale ones left by an earlier run."""
    wanted = []
    for content_type, actions, constraints in hook_permissions(namespace, cluster):
        app_label, model = content_type.split(".")
        permission, _created = ObjectPermission.objects.update_or_create(
            name=f"{group} in {namespace}: {' '.join(actions)} {model}",
            defaults={"description": OURS, "enabled": True, "actions": actions, "constraints": constraints},
        )
        permission.object_types.set([ContentType.objects.get_by_natural_key(app_label, model)])
        permission.groups.set([group])
        wanted.append(permission.pk)
    earlier = group.object_permissions.filter(description=OURS, name__startswith=f"{group} in {namespace}: ")
    earlier.exclude(pk__in=wanted).delete()


def _token(user: Any, rotate: bool) -> str | None:
    """The key of a new token; None if the existing one is kept."""
    tokens = Token.objects.filter(user=user, description=OURS)
    if rotate:
        tokens.delete()
    elif tokens.exists():
        return None
    return Token.objects.create(user=user, description=OURS).key
