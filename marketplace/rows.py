"""Many rows at once, without a model instance for each: COPY, arrays, and bare instances."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from itertools import islice
from typing import Any, TypeVar
from uuid import UUID

from django.core.serializers.json import DjangoJSONEncoder
from django.db import DEFAULT_DB_ALIAS, connection, models
from django.db.models.base import ModelState
from django.db.models.expressions import RawSQL
from psycopg.adapt import PyFormat, Transformer

from marketplace.public_ids import PublicIdField, new_public_ids

AnyModel = TypeVar("AnyModel", bound=models.Model)


def bare(model: type[AnyModel], columns: dict[str, Any], *, stored: bool) -> AnyModel:
    """An instance of these column values (`attname`s, all of them), without its constructor.

    A tenth of the cost, for sweeps that make thousands. The dictionary becomes the instance's own.
    """
    instance, state = model.__new__(model), ModelState()
    if stored:
        state.adding, state.db = False, DEFAULT_DB_ALIAS
    columns["_state"] = state
    instance.__dict__ = columns
    return instance


def copy_in(
    model: type[models.Model], columns: Sequence[str], rows: Iterable[Sequence[Any]]
) -> None:
    """Write rows of the named columns (`attname`s); the other columns get their fields' defaults.

    A default is asked once for all rows, that of a public id once a row. Nothing is answered: the
    rows' keys are not known afterwards. Constraints and triggers hold as for any insert.
    """
    given = set(columns)
    rest: list[Any] = [
        column
        for column in model._meta.concrete_fields
        if column.attname not in given and not (column.primary_key or column.generated)
        if column.has_default() or column.db_default is models.NOT_PROVIDED
    ]
    named = [column for column in rest if isinstance(column, PublicIdField)]
    same = [column for column in rest if column not in named]
    ending = [_text(column.get_db_prep_save(column.get_default(), connection)) for column in same]
    fields: list[Any] = [*named, *map(model._meta.get_field, columns), *same]
    quoted = ", ".join(connection.ops.quote_name(field.column) for field in fields)
    table = connection.ops.quote_name(model._meta.db_table)
    remaining = iter(rows)
    with (
        connection.cursor() as cursor,
        cursor.copy(f"COPY {table} ({quoted}) FROM STDIN") as copy,
    ):
        while some := list(islice(remaining, LINES)):
            names = [new_public_ids(column.prefix, len(some)) for column in named]
            copy.write(_lines([*names, *zip(*some, strict=True)], ending))


LINES = 1000
"""Lines that go to the server together."""


def _lines(columns: Sequence[Sequence[Any]], ending: Sequence[str]) -> str:
    """Lines for COPY, column by column: what is the same in every line is spelled once."""
    spelled, varying = [], []
    for values in columns:
        first = values[0]
        if values.count(first) == len(values):
            spelled.append(_text(first).replace("%", "%%"))
            continue
        kinds = set(map(type, values))
        if kinds == {int} or (kinds == {str} and not _SPECIAL.search("".join(values))):
            varying.append(values)
        else:
            varying.append([_text(value) for value in values])
        spelled.append("%s")
    line = "\t".join([*spelled, *(text.replace("%", "%%") for text in ending)]) + "\n"
    return "".join(
        [line % row for row in zip(*varying, strict=True)] or [line % ()] * len(columns[0])
    )


def among(column: str, values: Iterable[Any], kind: str = "bigint") -> RawSQL:
    """A condition for `filter`: the column is one of these, however many, in one parameter."""
    return RawSQL(f"{column} = ANY (%s::{kind}[])", [array_of(values)], models.BooleanField())  # noqa: S611


def array_of(values: Iterable[Any]) -> str:
    """An array as PostgreSQL spells it, to be cast: `%s::bigint[]`, `%s::text[]`."""
    return f"{{{','.join([_element(value) for value in values])}}}"


def _element(value: Any) -> str:
    if value is None:
        return "NULL"
    if type(value) is int:
        return str(value)
    text = str(value)
    return f'"{_QUOTED.sub(_escaped, text)}"'


def _text(value: Any) -> str:
    """A value as COPY spells it."""
    spell = _SPELLING.get(type(value))
    if spell:
        return spell(value)
    return _as_text(str(value)) if isinstance(value, str) else _as_the_driver_does(value)


def _as_text(value: str) -> str:
    return value.translate(_ESCAPES) if _SPECIAL.search(value) else value


def _as_the_driver_does(value: Any) -> str:
    """For the kinds of values that are rare here: arrays, dates."""
    dumped = Transformer(connection.connection).get_dumper(value, PyFormat.TEXT).dump(value)
    return "\\N" if dumped is None else _as_text(bytes(dumped).decode())


def _escaped(found: re.Match[str]) -> str:
    return "\\" + found[0]


_SPECIAL = re.compile(r"[\\\t\n\r]")
_QUOTED = re.compile(r'[\\"]')
_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})
_json = DjangoJSONEncoder(sort_keys=True, separators=(",", ":")).encode
_SPELLING: Mapping[type, Callable[[Any], str]] = {
    type(None): lambda value: "\\N",
    bool: lambda value: "t" if value else "f",
    int: str,
    str: _as_text,
    datetime: datetime.isoformat,
    UUID: str,
    dict: lambda value: _as_text(_json(value)),
}
