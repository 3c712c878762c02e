"""Queries that pages ask all the time: put together by Django once, then asked with other values.

Putting a query together costs Django several times what PostgreSQL needs to answer it. What such a
query says still stands in one place, as a QuerySet; only its values differ from one asking to the
next.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Generic, TypeVar

from django.db import DEFAULT_DB_ALIAS, connection
from django.db.models import QuerySet
from django.db.models.query import FlatValuesListIterable, ModelIterable
from psycopg import Cursor
from psycopg.sql import Literal

from marketplace.rows import bare

Found = TypeVar("Found")

Rows = Iterable[Sequence[Any]]


class Statement(Generic[Found]):
    """One query, whose `build` makes a QuerySet of models, or of `values_list`, for values.

    It is called once, with a stand-in for each value, and what it makes is asked with the real ones
    in their places; so it must put them into the query as they are, and never look at them. `kinds`
    are the values' types: int, str or datetime. Values that are None need a statement of their own.

    Models are bare (`rows.bare`): as the query's own would be, but for their constructor.

    PostgreSQL keeps its plan for all values alike, where the connection lets it
    (`prepare_threshold`). `skewed` says that a good plan depends on them: it is made each time.
    """

    def __init__(
        self, build: Callable[..., "QuerySet[Any, Any]"], *kinds: type, skewed: bool = False
    ) -> None:
        self._build, self._kinds, self._skewed = build, kinds, skewed
        self._made: tuple[str, Sequence[int], Callable[[Rows], list[Any]]] | None = None

    def __call__(self, *values: Any) -> list[Found]:
        """All that the query finds for these values."""
        sql, places, shape = self._made or self._make()
        # A prepared statement is not told to who counts queries and reads them.
        plain = self._skewed or connection.queries_logged
        with connection.cursor() if plain else _preparing_cursor() as cursor:
            cursor.execute(sql, [values[place] for place in places])
            return shape(cursor.fetchall())

    def first(self, *values: Any) -> Found | None:
        """The first that it finds, or None."""
        return next(iter(self(*values)), None)

    def _make(self) -> tuple[str, Sequence[int], Callable[[Rows], list[Any]]]:
        standing_in = [_stand_in(kind, n) for n, kind in enumerate(self._kinds)]
        query = self._build(*standing_in)
        compiler: Any = query.query.get_compiler(DEFAULT_DB_ALIAS)
        written, params = compiler.as_sql()
        sql, places = "", []
        *parts, end = _MARK.split(written)
        for part, value in zip(parts, params, strict=True):
            sql += part
            if value in standing_in:
                places.append(standing_in.index(value))
                sql += f"%s::{_TYPES[self._kinds[places[-1]]]}"
            else:  # a constant stands in the text, where the planner can see it
                sql += Literal(value).as_string(connection.connection).replace("%", "%%")
        assert not any(str(value) in sql for value in standing_in), "a value is not sent as it is"
        self._made = sql + end, places, _shape(query, compiler)
        return self._made


def _preparing_cursor() -> Any:
    """A cursor that sends values beside the statement, so that PostgreSQL can keep its plan."""
    connection.close_if_health_check_failed()
    connection.ensure_connection()
    return connection._prepare_cursor(Cursor(connection.connection))  # type: ignore[attr-defined]  # noqa: SLF001


_MARK = re.compile(r"(?<!%)%s")
_TYPES: Mapping[type, str] = {int: "bigint", str: "text", datetime: "timestamptz"}


def _stand_in(kind: type, n: int) -> Any:
    """A value of this kind that no query holds for another reason."""
    if kind is int:
        return 2_146_999_931 + n
    if kind is str:
        return f"\ufffe{n}"
    assert kind is datetime, f"no stand-in for {kind}"
    return datetime(1, 1, 2, tzinfo=UTC) + timedelta(microseconds=n)


def _shape(query: Any, compiler: Any) -> Callable[[Rows], list[Any]]:
    """What makes of rows whatever iterating over the query would have given."""
    converters = compiler.get_converters([column for column, _, _ in compiler.select])
    kind = query._iterable_class  # noqa: SLF001
    if issubclass(kind, ModelIterable):
        finish = _maker(compiler)
    else:
        finish = _firsts if issubclass(kind, FlatValuesListIterable) else _tuples

    def shape(rows: Rows) -> list[Any]:
        return finish(compiler.apply_converters(rows, converters) if converters else rows)

    return shape


def _firsts(rows: Rows) -> list[Any]:
    return [row[0] for row in rows]


def _tuples(rows: Rows) -> list[Any]:
    return [tuple(row) for row in rows]


def _maker(compiler: Any) -> Callable[[Rows], list[Any]]:
    """What turns rows into models, with what they refer to and what they are annotated with."""
    root = _instance_of(compiler.klass_info, compiler.select)
    annotated = list(compiler.annotation_col_map.items())

    def make(rows: Rows) -> list[Any]:
        made = []
        for row in rows:
            instance = root(row)
            for name, place in annotated:
                instance.__dict__[name] = row[place]
            made.append(instance)
        return made

    return make


def _instance_of(info: dict[str, Any], select: Sequence[Any]) -> Callable[[Sequence[Any]], Any]:
    model, places = info["model"], info["select_fields"]
    names = [select[place][0].target.attname for place in places]
    key = places[names.index(model._meta.pk.attname)]
    run = slice(places[0], places[-1] + 1)
    assert list(range(run.start, run.stop)) == list(places), "columns are not side by side"
    related = [
        (_instance_of(other, select), other["local_setter"], other["remote_setter"])
        for other in info.get("related_klass_infos", ())
    ]

    def instance_of(row: Sequence[Any]) -> Any:
        if row[key] is None:
            return None
        instance = bare(model, dict(zip(names, row[run], strict=True)), stored=True)
        for other_of, set_here, set_there in related:
            other = other_of(row)
            set_here(instance, other)
            if other is not None:
                set_there(other, instance)
        return instance

    return instance_of
