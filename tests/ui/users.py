"""Users with exactly the permissions that a test grants, and their clients."""

from django.contrib.contenttypes.models import ContentType
from nautobot.users.models import ObjectPermission
from rest_framework.test import APIClient


def logged_in(user):
    """A client of the REST API and of the pages in this process, as this user."""
    client = APIClient()
    client.force_login(user)
    return client


def permit(user, model, *actions, **constraints):
    """Permit the action on all objects of a model, or on those that match the constraints."""
    permission = ObjectPermission.objects.create(
        name=f"{user} {actions} {model.__name__} {constraints}"[:255],
        actions=list(actions),
        constraints=constraints or None,
    )
    permission.object_types.add(ContentType.objects.get_for_model(model))
    permission.users.add(user)
    # Permissions are cached on the user object.
    user.__dict__.pop("_object_perm_cache", None)


def revoke(user, model):
    """Take back what was permitted on a model."""
    ObjectPermission.objects.filter(users=user, object_types__model=model._meta.model_name).delete()
    user.__dict__.pop("_object_perm_cache", None)
