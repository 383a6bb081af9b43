"""Every private API of Nautobot, Django and DRF that the App uses, each wrapped in one function.

Each docstring says what the private API saves and what happens if it is missing or has changed: the request gets
slower, but never wrong, and never fails. Nothing set here outlives the call it is for. Timings refer to a request that
allocates an address for a guest, which takes 28 ms in all. Imports no other file of the App.
"""

import logging
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from contextvars import ContextVar
from functools import cache as once
from functools import partial
from importlib import import_module
from typing import Any
from uuid import uuid4

from django.conf import settings
from django.core.cache import cache
from django.db import DatabaseError, connection, transaction
from nautobot.apps.api import get_serializer_for_model
from nautobot.apps.models import serialize_object
from nautobot.extras.models import JobHook, ObjectChange, Webhook
from rest_framework.serializers import Serializer

logger = logging.getLogger(__name__)

#: The context that core's serialize_object_v2() passes to its serializers.
_CONTEXT = {"request": None, "depth": 1, "exclude_m2m": False}
#: Relations of an IP address shown in the change log, nearly always empty for a new one.
_RARE_ON_ADDRESS = ("interfaces", "vm_interfaces", "nat_outside_list", "tags")
#: What the deferral of change log entries consists of.
_DEFERRAL = ("defer_object_changes", "deferred_object_changes", "flush_deferred_object_changes")


# Change log


@contextmanager
def log_together() -> Iterator[None]:
    """A block, in a transaction, at whose end the change log entries for everything saved in it are written at once.

    One insert instead of one for each entry, and one query that finds out which relations shown in any are empty. A
    block inside another leaves its entries to it.

    Private: the deferral of the change context, as used by Nautobot's bulk views, but without their savepoint. Without
    it, entries are written one by one.
    """
    context = _change_context()
    if not all(hasattr(context, name) for name in _DEFERRAL) or context.defer_object_changes:
        yield
        return
    before, context.deferred_object_changes = context.deferred_object_changes, {}
    context.defer_object_changes = True
    try:
        yield
        written = dict(context.deferred_object_changes)
        with _empty_relations_known_if_possible(written.values()), _serializers.related_rendered_once():
            context.flush_deferred_object_changes()
        before |= written  # a further change of the same object in this request goes into the same entry
    finally:
        context.defer_object_changes = False
        context.deferred_object_changes = before


@contextmanager
def atomic() -> Iterator[None]:
    """A transaction or savepoint: `transaction.atomic()`, after whose rollback the change log forgets the block, too.

    Nautobot remembers which objects have an entry in this request, so that their later changes go into the same one. It
    would still do so after a rollback: entries would be written for what does not exist, or later changes get none.

    Private: the entries in the change context. Without them, what is remembered stays so.
    """
    entries = getattr(_change_context(), "deferred_object_changes", None)
    known = len(entries) if isinstance(entries, dict) else 0
    is_kept = False
    try:
        with transaction.atomic():
            yield
            is_kept = not transaction.get_rollback()
    finally:
        if isinstance(entries, dict) and not is_kept:
            for key in list(entries)[known:]:
                del entries[key]


def log_afresh() -> None:
    """In a request or Job of many transactions, between two of them: forget what has been logged so far.

    Nautobot keeps every object that was saved, so that its later changes go into the same entry: 300 MB for 20,000
    guests. A later change gets an entry of its own instead.

    Private: the entries in the change context. Without them, Nautobot needs that memory.
    """
    entries = getattr(_change_context(), "deferred_object_changes", None)
    if isinstance(entries, dict):
        entries.clear()


def _change_context() -> Any:
    """The context in which changes are logged; None if they are not, or if Nautobot keeps it elsewhere."""
    try:
        return _attribute("nautobot.extras.signals", "change_context_state").get()
    except (AttributeError, TypeError, LookupError):
        return None


def spare_announcements() -> None:
    """At the end of a request: if nobody listens to what it has changed, tell Nautobot that it has changed nothing.

    After the response, Nautobot reads each change log entry back, several times, and looks for webhooks, job hooks and
    event brokers (9 ms for each entry). One query finds out whether there are any for the kinds of objects changed.

    Private: the ID of the change context, by which Nautobot finds the entries, and the list of event brokers. Without
    them, Nautobot looks for itself.
    """
    context = _change_context()
    if not hasattr(context, "change_id") or _attribute("nautobot.core.events", "_EVENT_BROKERS") != []:
        return
    tables = (model.content_types.through._meta.db_table for model in (Webhook, JobHook))
    hooks = (
        f"EXISTS (SELECT 1 FROM {table} hook WHERE hook.contenttype_id = entry.changed_object_type_id)"  # noqa: S608
        for table in map(connection.ops.quote_name, tables)
    )
    sql = f"SELECT 1 FROM extras_objectchange entry WHERE request_id = %s AND ({' OR '.join(hooks)})"  # noqa: S608
    id_ = ObjectChange._meta.get_field("request_id").get_db_prep_value(context.change_id, connection)
    with connection.cursor() as cursor:
        cursor.execute(sql, [id_])
        if not cursor.fetchall():
            context.change_id = uuid4()


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
        with _empty_relations_known([instance]):
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


@once
def _warn_once(model: str) -> None:
    """In an `except` block: what went wrong, once for each model and process."""
    logger.warning("change log entries of %s are left to Nautobot, slower", model, exc_info=True)


class _Serializers(threading.local):
    """A serializer for each model, per thread: DRF does not document serializers as thread-safe."""

    def __init__(self) -> None:
        self._kept: dict[type, Any] = {}
        #: In a block of `related_rendered_once`: what has been rendered, by the field and the object, with that.
        self._rendered: dict[tuple[int, int], tuple[Any, Any]] | None = None

    @contextmanager
    def related_rendered_once(self) -> Iterator[None]:
        """A block in which what many objects have in common, as their parent prefix, is rendered once."""
        before, self._rendered = self._rendered, {}
        try:
            yield
        finally:
            self._rendered = before

    def _render(self, field: Any, render: Any, related: Any) -> Any:
        if self._rendered is None:
            return render(related)
        key = id(field), id(related)
        if key not in self._rendered:
            self._rendered[key] = related, render(related)
        return self._rendered[key][1]

    def of(self, model: type) -> Any:
        if model not in self._kept:
            base = get_serializer_for_model(model)
            # Every serializer that Nautobot creates sets the depth on its class, so use a separate class here.
            meta = type("Meta", (base.Meta,), {})
            self._kept[model] = type(base.__name__, (base,), {"Meta": meta})(context=_CONTEXT)
            for field in self._kept[model].fields.values():
                if isinstance(field, Serializer):
                    field.to_representation = partial(self._render, field, field.to_representation)
        return self._kept[model]


_serializers = _Serializers()


@contextmanager
def _empty_relations_known_if_possible(entries: Iterable[Any]) -> Iterator[None]:
    """Within the block, Django knows which relations of all instances in these deferred entries are empty."""
    with ExitStack() as stack:
        try:
            instances = [entry["instance"] for of_one in entries for entry in of_one]
            stack.enter_context(_empty_relations_known(instances))
        except DatabaseError:
            raise
        except Exception:  # then each entry asks for itself
            _warn_once("several objects")
        yield


@contextmanager
def _empty_relations_known(instances: Sequence[Any]) -> Iterator[None]:
    """Within the block, Django knows which relations of the instances, and of their parents, are empty.

    Other receivers of `post_save` may already have attached something, so this is queried, not assumed.
    """
    relations = {(id(thing), name): (thing, name) for instance in instances for thing, name in _rarely_used(instance)}
    nothing: dict[int, dict[str, Any]] = {}
    things: dict[int, Any] = {}
    for thing, name in _empty(relations.values()):
        things[id(thing)] = thing
        nothing.setdefault(id(thing), {})[name] = _nothing(type(thing), name)
    with ExitStack() as stack:
        for key, thing in things.items():
            before = thing.__dict__.get("_prefetched_objects_cache")
            stack.callback(_set_prefetched, thing, before)
            _set_prefetched(thing, {**(before or {}), **nothing[key]})
        yield


def _rarely_used(instance: Any) -> list[tuple[Any, str]]:
    """The relations, `(object, name)`, shown in an entry of `instance` that are nearly always empty.

    Without those that Django knows already.
    """
    label = type(instance)._meta.label_lower
    relations: list[tuple[Any, str]] = []
    if label == "ipam.ipaddress":
        relations = [*((instance, name) for name in _RARE_ON_ADDRESS), (instance.parent, "vrfs")]
    elif label == "nautobot_pve_ipam.allocation":
        relations = [(instance, "tags"), *((instance.ip_address, name) for name in _RARE_ON_ADDRESS)]
    return [(thing, name) for thing, name in relations if name not in getattr(thing, "_prefetched_objects_cache", {})]


def _empty(relations: Iterable[tuple[Any, str]]) -> list[tuple[Any, str]]:
    """The relations, `(object, name)`, that are empty; one query."""
    keys: dict[tuple[type, str], list[Any]] = {}
    for thing, name in relations:
        keys.setdefault((type(thing), name), []).append(thing._meta.pk.get_db_prep_value(thing.pk, connection))
    if not keys:
        return []
    parts = [_used_sql(place, *relation, len(ids)) for place, (relation, ids) in enumerate(keys.items())]
    with connection.cursor() as cursor:
        cursor.execute(" UNION ALL ".join(parts), [id_ for ids in keys.values() for id_ in ids])
        used = {(place, str(id_)) for place, id_ in cursor.fetchall()}  # MariaDB has UUIDs as text in rows
    places = {relation: place for place, relation in enumerate(keys)}
    return [
        (thing, name)
        for thing, name in relations
        if (places[type(thing), name], str(thing._meta.pk.get_db_prep_value(thing.pk, connection))) not in used
    ]


def _used_sql(place: int, model: Any, name: str, count: int) -> str:
    """`place` and the primary key of each object, of `count` given as parameters, whose relation leads to anything."""
    field = model._meta.get_field(name)
    if name == "tags":  # generic: of any object, by its id
        table, column = field.through._meta.db_table, "object_id"
    elif field.many_to_many:  # the other side of somebody else's many-to-many field
        table, column = field.through._meta.db_table, field.field.m2m_reverse_name()
    else:
        table, column = field.related_model._meta.db_table, field.field.column
    table, column = map(connection.ops.quote_name, (table, column))
    keys = ", ".join(["%s"] * count)
    return f"SELECT DISTINCT {place}, {column} FROM {table} WHERE {column} IN ({keys})"  # noqa: S608  (no user input)


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


#: The keys of what was looked up in all blocks so far.
_looked_up: dict[str, None] = {}


@contextmanager
def look_up_at_once() -> Iterator[None]:
    """A block in which Nautobot asks Redis for the custom fields, relationships and the like of each model, one by one:
    what earlier blocks needed is fetched at once instead (2 ms), and kept for the block even outside of requests.

    Private: Nautobot's own cache for one request. Without it, each is asked for when it is needed.
    """
    of_this_request = _attribute("nautobot.core.utils.cache", "get_request_cache")
    opened = _attribute("nautobot.core.utils.cache", "request_cache") or nullcontext
    with opened():
        known = of_this_request and of_this_request()
        if not isinstance(known, dict):
            yield
            return
        if missing := [key for key in list(_looked_up) if key not in known]:
            known.update((key, value) for key, value in cache.get_many(missing).items() if value is not None)
        yield
        _looked_up.update(dict.fromkeys(known))


def know_parent(address: Any, prefix: Any) -> None:
    """Set the parent of a new IP address, which core's clean() would otherwise look up again (3 ms).

    Private: `_closest_parent_cache`, core's cache of its own lookups. Without it, core looks up the parent.
    """
    if isinstance(getattr(address, "_closest_parent_cache", None), dict):
        address._closest_parent_cache[prefix.namespace_id, address.host] = prefix


def value_before_save(instance: Any, name: str) -> Any:
    """The value of a field before the current save, for use in a validator and in a receiver of `post_save`.

    Private: the old values, such as `_parent_id` for `parent_id`, that core's IPAM models keep until a save is done.
    Without them this returns the new value: a search cursor may then stay too high, which costs a search time, but
    never loses an address; and an edit of a prefix that does not suit PVE's records is not refused.
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
