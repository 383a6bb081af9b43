"""The change log of new objects: the entries that Nautobot writes, at a fraction of the cost.

An entry holds its object as the REST API shows it, with what it refers to. Nautobot builds the serializers for that
anew for each entry, which takes longer than all the rest of a save; here they are built once and kept.
"""

import threading
from contextlib import contextmanager
from functools import partial

from nautobot.apps.api import get_serializer_for_model
from nautobot.core.models.utils import serialize_object
from nautobot.extras.constants import CHANGELOG_MAX_OBJECT_REPR
from nautobot.extras.context_managers import deferred_change_logging_for_bulk_operation
from nautobot.extras.models import ChangeLoggedModel, ObjectChange
from nautobot.extras.signals import change_context_state

#: What core's serialize_object_v2() tells its serializers.
CONTEXT = {"request": None, "depth": 1, "exclude_m2m": False}


@contextmanager
def logged_together():
    """Write the entries of all that is saved within at once, if there is a change log at all."""
    context = change_context_state.get()
    if context is None or context.defer_object_changes:
        yield
        return
    with deferred_change_logging_for_bulk_operation():
        yield


def expect_entry(instance):
    """Have the next entry of `instance`, which is about to be saved, made from a serializer that is kept."""
    # A model with an entry of its own making keeps it.
    if type(instance).to_objectchange is ChangeLoggedModel.to_objectchange:
        instance.to_objectchange = partial(_objectchange, instance)


def _objectchange(instance, action):
    """What `ChangeLoggedModel.to_objectchange` makes."""
    del instance.to_objectchange
    return ObjectChange(
        changed_object=instance,
        object_repr=str(instance)[:CHANGELOG_MAX_OBJECT_REPR],
        action=action,
        object_data=serialize_object(instance),
        object_data_v2=_serializers.of(type(instance)).to_representation(instance),
    )


class _Serializers(threading.local):
    """A serializer for each model, of this thread alone: nobody has promised that they can be shared."""

    def __init__(self):
        self._kept = {}

    def of(self, model):
        if model not in self._kept:
            base = get_serializer_for_model(model)
            # Each serializer that Nautobot makes sets the depth of its class, so this one has a class of its own.
            meta = type("Meta", (base.Meta,), {})
            self._kept[model] = type(base.__name__, (base,), {"Meta": meta})(context=CONTEXT)
        return self._kept[model]


_serializers = _Serializers()
