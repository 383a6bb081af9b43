"""Every private of Nautobot, Django and DRF that the App touches, each as one function.

Each says what it buys, how it is fenced, and what happens where the private is gone or has another shape: the request
is slower, never wrong and never an error. Nothing that is set here outlives the call it is for. The milliseconds are
of a request of 28 ms in all that takes an address for a guest. Imports no other file of the App.
"""

import logging
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from functools import partial
from importlib import import_module
from typing import Any

from django.conf import settings
from django.db import DatabaseError, connection
from nautobot.apps.api import get_serializer_for_model
from nautobot.apps.models import serialize_object
from nautobot.extras.models import ObjectChange

logger = logging.getLogger(__name__)

#: What core's serialize_object_v2() gives its serializers.
_CONTEXT = {"request": None, "depth": 1, "exclude_m2m": False}
#: What the change log shows of an IP address that a new one nearly always lacks.
_RARE_ON_ADDRESS = ("interfaces", "vm_interfaces", "nat_outside_list", "tags")


# Change log


def log_together() -> AbstractContextManager[None]:
    """A block at whose end the change log entries of all that was saved in it are written at once, if there is a log.

    Private: the change context and its deferral, which Nautobot's bulk views use. Without it each entry is written by
    itself.
    """
    state = _attribute("nautobot.extras.signals", "change_context_state")
    deferred = _attribute("nautobot.extras.context_managers", "deferred_change_logging_for_bulk_operation")
    try:
        context = state.get()
        if context is None or context.defer_object_changes:
            return nullcontext()
        return deferred()
    except (AttributeError, TypeError):
        return nullcontext()


def log_cheaply(instance: Any) -> None:
    """Have the next change log entry of `instance`, which is about to be saved, made at a fraction of the cost.

    An entry holds its object as the REST API shows it, with what it refers to. Nautobot builds the serializers for
    that anew for each entry (7 ms); here they are built once and kept. And Django composes a query for each relation
    that is shown (10 ms); here one query tells which of them are empty.

    Private: `to_objectchange` as an attribute of the instance, Django's cache of prefetched objects. A model with an
    entry of its own making keeps it, and whatever goes wrong here leaves the entry to Nautobot.
    """
    core = _attribute("nautobot.extras.models", "ChangeLoggedModel", "to_objectchange")
    if core is not None and type(instance).to_objectchange is core:
        instance.to_objectchange = partial(_objectchange, instance)


def _objectchange(instance: Any, action: str) -> Any:
    """What `ChangeLoggedModel.to_objectchange` makes."""
    instance.__dict__.pop("to_objectchange", None)  # for this one entry only
    try:
        with _empty_relations_known(instance):
            return ObjectChange(
                changed_object=instance,
                object_repr=str(instance)[: _attribute("nautobot.extras.constants", "CHANGELOG_MAX_OBJECT_REPR")],
                action=action,
                object_data=serialize_object(instance),
                object_data_v2=_serializers.of(type(instance)).to_representation(instance),
            )
    except DatabaseError:
        raise
    except Exception:  # whatever Nautobot has changed: it knows itself how to make the entry
        logger.warning("change log entry of %s: leaving it to Nautobot", type(instance).__name__, exc_info=True)
        return instance.to_objectchange(action)


class _Serializers(threading.local):
    """A serializer for each model, of this thread alone: nobody has promised that they can be shared."""

    def __init__(self) -> None:
        self._kept: dict[type, Any] = {}

    def of(self, model: type) -> Any:
        if model not in self._kept:
            base = get_serializer_for_model(model)
            # Each serializer that Nautobot makes sets the depth of its class, so this one has a class of its own.
            meta = type("Meta", (base.Meta,), {})
            self._kept[model] = type(base.__name__, (base,), {"Meta": meta})(context=_CONTEXT)
        return self._kept[model]


_serializers = _Serializers()


@contextmanager
def _empty_relations_known(instance: Any) -> Iterator[None]:
    """While the block lasts, Django knows which relations of `instance`, and of its parent, are empty.

    Other receivers of `post_save` may have attached something already: what is empty is asked, not assumed.
    """
    empty = _empty(_rarely_used(instance))
    with ExitStack() as stack:
        for thing in {id(thing): thing for thing, _ in empty}.values():
            before = thing.__dict__.get("_prefetched_objects_cache")
            stack.callback(_set_prefetched, thing, before)
            nothing = {name: _nothing(type(thing), name) for of, name in empty if of is thing}
            _set_prefetched(thing, {**(before or {}), **nothing})
        yield


def _rarely_used(instance: Any) -> list[tuple[Any, str]]:
    """The relations, `(object, name)`, that an entry of `instance` shows and that are nearly always empty."""
    label = type(instance)._meta.label_lower
    if label == "ipam.ipaddress":
        return [*((instance, name) for name in _RARE_ON_ADDRESS), (instance.parent, "vrfs")]
    if label == "nautobot_pve_ipam.allocation":
        return [(instance, "tags"), *((instance.ip_address, name) for name in _RARE_ON_ADDRESS)]
    return []


def _empty(relations: list[tuple[Any, str]]) -> list[tuple[Any, str]]:
    """Those of the relations, `(object, name)`, that lead to nothing; one query."""
    if not relations:
        return []
    sql = ", ".join(_exists_sql(type(thing), name) for thing, name in relations)
    keys = [thing._meta.pk.get_db_prep_value(thing.pk, connection) for thing, _ in relations]
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {sql}", keys)
        row = cursor.fetchone()
    return [relation for relation, exists in zip(relations, row, strict=True) if not exists]


def _exists_sql(model: Any, name: str) -> str:
    """Whether the relation of an object, whose primary key is the one parameter, leads to anything."""
    field = model._meta.get_field(name)
    if field.many_to_many and field.auto_created:  # the other side of somebody else's many-to-many field
        table, column = field.through._meta.db_table, field.field.m2m_reverse_name()
    elif field.many_to_many:
        table, column = field.m2m_db_table(), field.m2m_column_name()
    else:
        table, column = field.related_model._meta.db_table, field.field.column
    quote = connection.ops.quote_name
    return f"EXISTS (SELECT 1 FROM {quote(table)} WHERE {quote(column)} = %s)"  # noqa: S608  (no value of anybody's)


def _nothing(model: Any, name: str) -> Any:
    queryset = model._meta.get_field(name).related_model.objects.none()
    queryset._result_cache = []  # as prefetching does: Django would compose SQL even for nothing
    return queryset


def _set_prefetched(thing: Any, cache: dict[str, Any] | None) -> None:
    if cache is None:
        thing.__dict__.pop("_prefetched_objects_cache", None)
    else:
        thing._prefetched_objects_cache = cache


# Models


def know_parent(address: Any, prefix: Any) -> None:
    """Tell a new IP address its parent, which core's clean() would look up again (3 ms).

    Private: `_closest_parent_cache`, in which core keeps what it has looked up itself. Without it core looks it up.
    """
    if isinstance(getattr(address, "_closest_parent_cache", None), dict):
        address._closest_parent_cache[prefix.namespace_id, address.host] = prefix


def value_before_save(instance: Any, name: str) -> Any:
    """The value of a field before the save that is under way, in a receiver of `post_save`.

    Private: the snapshot, `_parent_id` for `parent_id`, that core's IPAM models keep of themselves until a save is
    over. Without it this is the value that was saved: a search cursor may then stay too high, which costs a search
    time, never an address.
    """
    before = getattr(instance, f"_{name}", None)
    return getattr(instance, name) if before is None else before


def is_unrestricted(queryset: Any) -> bool:
    """Whether a queryset has no condition at all: for a superuser, or a permission without constraints.

    Private: the conditions of a query. Without them the answer is no, and the caller asks the database.
    """
    conditions = getattr(getattr(queryset, "query", None), "where", None)
    return conditions is not None and not conditions


# Requests


def declared_fields(serializer_class: Any) -> dict[str, Any]:
    """The fields that a serializer class declares, to copy only those that a request names (2 ms).

    Private: `_declared_fields` of DRF. Without it all are copied first.
    """
    fields = getattr(serializer_class, "_declared_fields", None)
    return fields if isinstance(fields, dict) else dict(_plain_fields(serializer_class))


def _plain_fields(serializer_class: Any) -> dict[str, Any]:
    base = _attribute("rest_framework.serializers", "Serializer")
    return base.get_fields(serializer_class())


def hang_answer(request: Any, response: Any) -> None:
    """Keep the view's answer where the outermost middleware finds it when Nautobot fails after the view.

    Private: the Django request inside DRF's. Without it such a failure is answered with 503, though all was done.
    """
    inner = getattr(request, "_request", None)
    if inner is not None:
        inner.pve_ipam_answer = response


def put_outermost(middleware: str) -> None:
    """Put a middleware around all others.

    Private: the settings' middleware, changed while Apps start. An App's attribute `middleware` would put it inside
    of Nautobot's own, whose failures it is for.
    """
    if middleware not in settings.MIDDLEWARE:
        settings.MIDDLEWARE = [middleware, *settings.MIDDLEWARE]


def _attribute(module: str, *names: str) -> Any:
    """What a module has under these names, or None where it, or one of them, is gone."""
    try:
        found: Any = import_module(module)
    except ImportError:
        return None
    for name in names:
        found = getattr(found, name, None)
    return found
