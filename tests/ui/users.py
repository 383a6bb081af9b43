"""Users with exactly the rights that a test grants."""

from django.contrib.contenttypes.models import ContentType
from nautobot.users.models import ObjectPermission


def permit(user, model, *actions, **constraints):
    """Let the user do this with the objects of a model, or with those that fulfil the constraints."""
    permission = ObjectPermission.objects.create(
        name=f"{user} {actions} {model.__name__} {constraints}"[:255],
        actions=list(actions),
        constraints=constraints or None,
    )
    permission.object_types.add(ContentType.objects.get_for_model(model))
    permission.users.add(user)
    # What a user may is remembered on the object that was asked.
    user.__dict__.pop("_object_perm_cache", None)
