"""Run as a program: migrate the database of the environment, telling which of how many migrations it is at."""

import contextlib
import functools
import gc
import io
import logging
import sys
import time

import nautobot
from django.apps import apps
from django.core.management import call_command
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.state import ProjectState
from django.db.migrations.utils import resolve_relation
from django.db.models import Field

LINES_WITHOUT_TERMINAL = 20


class Progress:
    """A stream for `migrate` that turns its lines into one line of progress."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.done = 0
        self.started = time.monotonic()
        self.terminal = sys.stdout
        self.partial = ""

    def write(self, text: str) -> None:
        *lines, self.partial = (self.partial + text).split("\n")
        for line in lines:
            if line.strip().startswith("Applying "):
                self.done += 1
                self.show(line.split()[1].rstrip("."))

    def show(self, migration: str) -> None:
        minutes, seconds = divmod(int(time.monotonic() - self.started), 60)
        line = f"  migration {self.done} of {self.total}, {minutes}:{seconds:02d}  {migration}"
        if self.terminal.isatty():
            end = "\n" if self.done == self.total else ""
            print(f"\r{line[:78]:<78}", end=end, file=self.terminal, flush=True)
        elif self.done == self.total or self.done % max(1, self.total // LINES_WITHOUT_TERMINAL) == 0:
            print(line, file=self.terminal, flush=True)

    def flush(self) -> None:
        """Nothing is held back."""

    def isatty(self) -> bool:
        return False


def remember_fields() -> None:
    """Django renders models anew for most migrations, and for each takes all their fields apart to copy them: a third
    of the time. What that gives is the same each time, except for relations, which follow what is renamed.
    """
    clone = Field.clone

    def quick_clone(field: Field) -> Field:
        if field.remote_field or hasattr(field, "field_names"):
            return clone(field)
        kept = vars(field)
        if "taken_apart" not in kept:
            kept["taken_apart"] = field.deconstruct()
        _, _, args, kwargs = kept["taken_apart"]
        return type(field)(*args, **kwargs)

    Field.clone = quick_clone
    # Whenever Django renders models, it forgets what it has looked up for relations.
    apps.get_swappable_settings_name = functools.cache(apps.get_swappable_settings_name)


def render_fewer_models() -> None:
    """Whenever an operation changes the state of a model, Django renders it anew along with what is related to it, and
    with what is related to that: most of the time. But to change the schema, an operation needs the model alone or, if
    the change is about a relation, its neighbours. For operations that run Python, Django renders all models that it
    has left out.
    """

    def few(state: ProjectState, app_label: str, model_name: str, delay: bool = False) -> set[tuple[str, str]]:
        state.is_delayed = True
        model = app_label, model_name
        if delay:
            return {model}
        relations = [field.remote_field for field in state.models[model].fields.values() if field.is_relation]
        named = [end for relation in relations for end in (relation.model, getattr(relation, "through", None)) if end]
        return {model, *state.relations[model], *(resolve_relation(end, *model) for end in named)}

    ProjectState._find_reload_model = few


def main() -> None:
    logging.disable(logging.INFO)
    nautobot.setup()
    gc.freeze()  # a quarter of the time went into garbage collection
    gc.set_threshold(200_000, 20, 100)
    remember_fields()
    render_fewer_models()
    executor = MigrationExecutor(connection)
    total = len(executor.migration_plan(executor.loader.graph.leaf_nodes()))
    progress = Progress(total)
    with contextlib.redirect_stdout(io.StringIO()):  # some migrations print what they do
        call_command("migrate", interactive=False, stdout=progress, no_color=True)


if __name__ == "__main__":
    main()
