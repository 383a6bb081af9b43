"""Every private API of Nautobot, Django and DRF that the App uses, each wrapped in one function.

Each docstring says what the private API saves and what happens if it is missing or has changed: the request gets
slower, but never wrong, and never fails. Nothing set here outlives the call it is for. Timings refer to a request that
allocates an address for a guest, which takes 28 ms in all. Imports no other file of the App.
"""

import logging
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from contextvars import ContextVar
from functools import cache, partial
from importlib import import_module
from typing import Any

from django.conf import settings
from django.db import DatabaseError, connection
from nautobot.apps.api import get_serializer_for_model
from nautobot.apps.models import serialize_object
from nautobot.extras.models import ObjectChange

logger = logging.getLogger(__name__)

#: The context that core's serialize_object_v2() passes to its serializers.
_CONTEXT = {"request": None, "depth": 1, "exclude_m2m": False}
#: Relations of an IP address shown in the change log, nearly always empty for a new one.
_RARE_ON_ADDRESS = ("interfaces", "vm_interfaces", "nat_outside_list", "tags")


# Change log


def log_together() -> AbstractContextManager[None]:
    """A block at whose end the change log entries for everything saved in it are written at once, if there is a log.

    Private: the change context and its deferral, as used by Nautobot's bulk views. Without it, entries are written one
    by one.
    """
    deferred = _attribute("nautobot.extras.context_managers", "deferred_change_logging_for_bulk_operation")
    context = _change_context()
    try:
        if context is None or context.defer_object_changes:
            return nullcontext()
        return deferred()
    except (AttributeError, TypeError):
        return nullcontext()


def _change_context() -> Any:
    """The context in which changes are logged; None if they are not, or if Nautobot keeps it elsewhere."""
    try:
        return _attribute("nautobot.extras.signals", "change_context_state").get()
    except (AttributeError, TypeError, LookupError):
        return None


def log_cheaply(instance: Any) -> None:
    """Make the next change log entry of `instance`, which is about to be saved, at a fraction of the cost.

    An entry contains its object and related objects as rendered by the REST API. Nautobot builds new serializers for
    each entry (7 ms); here they are built once and kept. And Django runs a query for each relation shown (10 ms); here
    one query finds out which of them are empty.

    Private: `to_objectchange` as an attribute of the instance, Django's cache of prefetched objects. A model that
    overrides `to_objectchange` is left alone. If anything goes wrong here, Nautobot creates the entry; only a database
    error is passed on, because the transaction is lost with it. Without a change log there is no entry, so nothing is
    set that would stay on the instance.
    """
    if _change_context() is None:
        return
    core = _attribute("nautobot.extras.models", "ChangeLoggedModel", "to_objectchange")
    if core is not None and type(instance).to_objectchange is core:
        instance.to_objectchange = partial(_objectchange, instance)


def _objectchange(instance: Any, action: str, **more: Any) -> Any:
    """Same result as `ChangeLoggedModel.to_objectchange`, which is called if there are `more` arguments."""
    instance.__dict__.pop("to_objectchange", None)  # for this one entry only
    if more:
        return instance.to_objectchange(action, **more)
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
    except Exception:  # whatever has changed in Nautobot, its own method still works
        _warn_once(type(instance).__name__)
        return instance.to_objectchange(action)


@cache
def _warn_once(model: str) -> None:
    """In an `except` block: what went wrong, once for each model and process."""
    logger.warning("change log entries of %s are left to Nautobot, slower", model, exc_info=True)


class _Serializers(threading.local):
    """A serializer for each model, per thread: DRF does not document serializers as thread-safe."""

    def __init__(self) -> None:
        self._kept: dict[type, Any] = {}

    def of(self, model: type) -> Any:
        if model not in self._kept:
            base = get_serializer_for_model(model)
            # Every serializer that Nautobot creates sets the depth on its class, so use a separate class here.
            meta = type("Meta", (base.Meta,), {})
            self._kept[model] = type(base.__name__, (base,), {"Meta": meta})(context=_CONTEXT)
        return self._kept[model]


_serializers = _Serializers()


@contextmanager
def _empty_relations_known(instance: Any) -> Iterator[None]:
    """Within the block, Django knows which relations of `instance`, and of its parent, are empty.

    Other receivers of `post_save` may already have attached something, so this is queried, not assumed.
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
    """The relations, `(object, name)`, shown in an entry of `instance` that are nearly always empty."""
    label = type(instance)._meta.label_lower
    if label == "ipam.ipaddress":
        return [*((instance, name) for name in _RARE_ON_ADDRESS), (instance.parent, "vrfs")]
    if label == "nautobot_pve_ipam.allocation":
        return [(instance, "tags"), *((instance.ip_address, name) for name in _RARE_ON_ADDRESS)]
    return []


def _empty(relations: list[tuple[Any, str]]) -> list[tuple[Any, str]]:
    """The relations, `(object, name)`, that are empty; one query."""
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
    if name == "tags":  # generic: of any object, by its id
        table, column = field.through._meta.db_table, "object_id"
    elif field.many_to_many:  # the other side of somebody else's many-to-many field
        table, column = field.through._meta.db_table, field.field.m2m_reverse_name()
    else:
        table, column = field.related_model._meta.db_table, field.field.column
    quote = connection.ops.quote_name
    return f"EXISTS (SELECT 1 FROM {quote(table)} WHERE {quote(column)} = %s)"  # noqa: S608  (no user input)


def _nothing(model: Any, name: str) -> Any:
    queryset = model._meta.get_field(name).related_model.objects.none()
    queryset._result_cache = []  # as prefetching does; none() alone would still compile SQL
    return queryset


def _set_prefetched(thing: Any, cache: dict[str, Any] | None) -> None:
    if cache is None:
        thing.__dict__.pop("_prefetched_objects_cache", None)
    else:
        thing._prefetched_objects_cache = cache


# Models


def know_parent(address: Any, prefix: Any) -> None:
    """Set the parent of a new IP address, which core's clean() would otherwise look up again (3 ms).

    Private: `_closest_parent_cache`, core's cache of its own lookups. Without it, core looks up the parent.
    """
    if isinstance(getattr(address, "_closest_parent_cache", None), dict):
        address._closest_parent_cache[prefix.namespace_id, address.host] = prefix


def value_before_save(instance: Any, name: str) -> Any:
    """The value of a field before the current save, for use in a receiver of `post_save`.

    Private: the old values, such as `_parent_id` for `parent_id`, that core's IPAM models keep until a save is done.
    Without them this returns the new value: a search cursor may then stay too high, which costs a search time, but
    never loses an address.
    """
    before = getattr(instance, f"_{name}", None)
    return getattr(instance, name) if before is None else before


def is_unrestricted(queryset: Any) -> bool:
    """Whether a queryset has no conditions at all: for a superuser, or a permission without constraints.

    Private: the conditions of a query. Without them this returns False, and the caller queries the database.
    """
    conditions = getattr(getattr(queryset, "query", None), "where", None)
    return conditions is not None and not conditions


# Requests


def declared_fields(serializer_class: Any) -> dict[str, Any]:
    """The fields declared by a serializer class, so that only those used in a request are copied (2 ms).

    Private: `_declared_fields` of DRF. Without it, all fields are copied first.
    """
    fields = getattr(serializer_class, "_declared_fields", None)
    return fields if isinstance(fields, dict) else dict(_plain_fields(serializer_class))


def _plain_fields(serializer_class: Any) -> dict[str, Any]:
    base = _attribute("rest_framework.serializers", "Serializer")
    return base.get_fields(serializer_class())


#: The Django request that is being answered, for what Nautobot calls without one: metrics. None outside of requests.
#: Set by our outermost middleware; Nautobot and DRF set its `user`.
current_request: ContextVar[Any] = ContextVar("pve_ipam_current_request", default=None)


def hang_answer(request: Any, response: Any) -> None:
    """Store the view's response where the outermost middleware finds it if Nautobot fails after the view.

    Private: the Django request inside DRF's. Without it, such a failure results in a 503 although the work was done.
    """
    inner = getattr(request, "_request", None)
    if inner is not None:
        inner.pve_ipam_answer = response


def put_outermost(middleware: str) -> None:
    """Install a middleware outside all others.

    Private: changes settings.MIDDLEWARE while Apps are loaded. An App's `middleware` attribute would place it inside
    Nautobot's own middleware, whose failures it has to handle.
    """
    if middleware not in settings.MIDDLEWARE:
        settings.MIDDLEWARE = [middleware, *settings.MIDDLEWARE]


def _attribute(module: str, *names: str) -> Any:
    """The (nested) attribute of a module, or None if the module or any attribute does not exist."""
    try:
        found: Any = import_module(module)
    except ImportError:
        return None
    for name in names:
        found = getattr(found, name, None)
    return found
