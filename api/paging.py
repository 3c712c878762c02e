"""Lists, a page at a time. A cursor names a place in the order, so inserts never shift a page."""

import base64
import binascii
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Self, TypeVar, get_origin

from django.db.models import F, Model, Q, QuerySet
from ninja import Schema
from pydantic import Field, ValidationInfo, model_validator
from pydantic_core import PydanticCustomError

from api.errors import ApiError

DEFAULT, MOST = 25, 100
BIGGEST = 2**63 - 1

Row = TypeVar("Row", bound=Model)
Count = Annotated[int, Field(ge=1, le=MOST)]
CursorText = Annotated[
    str, Field(max_length=400, json_schema_extra={"pattern": "^[A-Za-z0-9_-]+$"})
]


class QueryIn(Schema):
    """Parameters of an address; what would be overlooked is refused: unknown ones, and repeats."""

    @model_validator(mode="after")
    def _overlooks_none(self, info: ValidationInfo) -> Self:
        request, fields = (info.context or {}).get("request"), type(self).model_fields
        for name, values in request.GET.lists() if request is not None else ():
            if name not in fields:
                raise PydanticCustomError("parameter_unknown", "It is unknown", {"param": name})
            if len(values) > 1 and get_origin(fields[name].annotation) is not list:
                raise PydanticCustomError("parameter_repeated", "Send it once", {"param": name})
        return self


class Window(QueryIn):
    """Which part of a list: so many from its start (after a cursor), or from its end."""

    first: Count | None = Field(None, description="How many from the start, 25 unless said.")
    after: CursorText | None = Field(None, description="Only what comes after this cursor.")
    last: Count | None = Field(None, description="How many from the end instead.")
    before: CursorText | None = Field(None, description="Only what comes before this cursor.")


class PageInfo(Schema):
    """Where a page lies in its list."""

    has_next_page: bool
    has_previous_page: bool
    start_cursor: str | None
    end_cursor: str | None


NOTHING = PageInfo(has_next_page=False, has_previous_page=False, start_cursor=None, end_cursor=None)


def moment(text: Any) -> datetime:
    """A date in UTC out of its ISO 8601 text; ValueError when it is none."""
    found = datetime.fromisoformat(str(text))
    try:
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except OverflowError as reason:
        raise ValueError("out of range") from reason


def number(value: Any) -> int:
    """A number of a cursor; ValueError when it is none that a column holds."""
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**31:
        raise ValueError("not a number")
    return value


@dataclass(frozen=True)
class Order:
    """By which column a list is sorted, its id second. What has no value comes last, always."""

    name: str
    column: str
    descending: bool = True
    nullable: bool = False
    read: Callable[[Any], Any] = moment

    def columns(self, *, backwards: bool) -> list[Any]:
        """For `order_by`."""
        falls = self.descending != backwards
        pk = "-pk" if falls else "pk"
        if not self.nullable:
            return [f"-{self.column}" if falls else self.column, pk]
        end = {"nulls_first": True} if backwards else {"nulls_last": True}
        column = F(self.column)
        return [column.desc(**end) if falls else column.asc(**end), pk]

    def after(self, place: tuple[Any, int]) -> Q:
        """The rows that come after a place."""
        value, pk = place
        way = "lt" if self.descending else "gt"
        tie = Q(**{f"pk__{way}": pk})
        if value is None:
            return Q(**{f"{self.column}__isnull": True}) & tie
        rows = self._beyond(way, value, tie)
        return rows | Q(**{f"{self.column}__isnull": True}) if self.nullable else rows

    def before(self, place: tuple[Any, int]) -> Q:
        """The rows that come before a place."""
        value, pk = place
        way = "gt" if self.descending else "lt"
        tie = Q(**{f"pk__{way}": pk})
        if value is None:
            return Q(**{f"{self.column}__isnull": False}) | tie
        return self._beyond(way, value, tie)

    def _beyond(self, way: str, value: Any, tie: Q) -> Q:
        # The first condition says nothing new, but an index can be read by it.
        return Q(**{f"{self.column}__{way}e": value}) & (
            Q(**{f"{self.column}__{way}": value}) | tie
        )

    def cursor(self, row: Model) -> str:
        """The place of a row, in letters that mean nothing to anybody else."""
        value = getattr(row, self.column)
        told = value.isoformat() if isinstance(value, datetime) else value
        text = json.dumps([self.name, told, row.pk], separators=(",", ":"))
        return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")

    def place(self, cursor: str, param: str) -> tuple[Any, int]:
        """What a cursor of this order names; ApiError when it is none."""
        try:
            padded = cursor + "=" * (-len(cursor) % 4)
            text = base64.b64decode(padded.encode("ascii"), altchars=b"-_", validate=True)
            name, value, pk = json.loads(text)
            known = name == self.name and type(pk) is int and 0 < pk <= BIGGEST
            if known and (value is not None or self.nullable):
                return (value if value is None else self.read(value)), pk
        except (binascii.Error, ValueError, TypeError, RecursionError) as reason:
            raise _foreign_cursor(param) from reason
        raise _foreign_cursor(param)


def _foreign_cursor(param: str) -> ApiError:
    return ApiError(400, "invalid_cursor", "This cursor is not one of this list.", param=param)


def page_of(
    sides: Sequence["QuerySet[Row]"], rows: "QuerySet[Row]", order: Order, window: Window
) -> tuple[list[Row], PageInfo]:
    """One page out of several lists, in one query, however long they are.

    `sides` say which rows, each so that an index gives them in order; `rows` says what is read of
    those on the page. A row that is on two sides is on the page once.
    """
    if window.first is not None and window.last is not None:
        raise ApiError(400, "parameter_invalid", "Send “first” or “last”, not both.", param="last")
    backwards = window.last is not None
    size = (window.last if backwards else window.first) or DEFAULT
    bounds = Q()
    if window.after is not None:
        bounds &= order.after(order.place(window.after, "after"))
    if window.before is not None:
        bounds &= order.before(order.place(window.before, "before"))
    columns = order.columns(backwards=backwards)
    if not sides:
        return [], NOTHING
    first, *others = (
        side.filter(bounds).order_by(*columns).values("pk")[: size + 1] for side in sides
    )
    # Not one condition for each side: with OR between them the whole table would be read.
    nearest = first.union(*others, all=True) if others else first
    found = list(rows.filter(pk__in=nearest).order_by(*columns)[: size + 1])
    more, found = len(found) > size, found[:size]
    if backwards:
        found.reverse()
    info = PageInfo(
        has_next_page=window.before is not None if backwards else more,
        has_previous_page=more if backwards else window.after is not None,
        start_cursor=order.cursor(found[0]) if found else None,
        end_cursor=order.cursor(found[-1]) if found else None,
    )
    return found, info
