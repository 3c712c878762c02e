"""The official client, in both its forms, and a check that it was given every field it knows."""

import asyncio
from collections.abc import Iterator
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel
from whop_sdk import AsyncWhop, Whop
from whop_sdk.environment import WhopEnvironment


class Program:
    """Somebody's program: `call("retrieve", id=…)` and `pages("list")`, blocking or not."""

    resource = "resolution_center_cases"

    def __init__(self, base_url: str, secret: str, *, is_async: bool = False) -> None:
        self._runner = asyncio.Runner() if is_async else None
        api = f"{base_url}/api/v1"
        make = AsyncWhop if is_async else Whop
        self.client: Any = make(
            token=secret, environment=WhopEnvironment(api=api, vault=api), max_retries=0
        )

    def close(self) -> None:
        """Hang up, so that the server's threads end."""
        connection = self.client._client_wrapper.httpx_client.httpx_client
        if self._runner:
            self._runner.run(connection.aclose())
            self._runner.close()
        else:
            connection.close()

    def call(self, name: str, /, **arguments: Any) -> Any:
        """What a method answers, with every field in its place."""
        found = self._run(getattr(getattr(self.client, self.resource), name)(**arguments))
        check_whole(found)
        return found

    def pages(self, name: str, /, **arguments: Any) -> list[list[Any]]:
        """What each page of a list holds, as far as the client goes on by itself."""
        pager = self._run(getattr(getattr(self.client, self.resource), name)(**arguments))
        pages = []
        while pager is not None:
            check_whole(pager.response)
            pages.append(list(pager.items or ()))
            pager = self._run(pager.get_next()) if pager.has_next else None
        return pages

    def _run(self, answer: Any) -> Any:
        return self._runner.run(answer) if self._runner else answer


def check_whole(found: Any) -> None:
    """Fail unless a parsed answer has every field that its model names, with a value it knows.

    The client itself only fails where a required field is missing. Optional ones default, and an
    unknown word passes, which would hide that we forgot something.
    """
    lacking = list(_lacking(found, type(found).__name__))
    assert not lacking, ", ".join(lacking)


def _lacking(found: Any, where: str) -> Iterator[str]:
    if isinstance(found, list):
        for number, inner in enumerate(found):
            yield from _lacking(inner, f"{where}[{number}]")
    if not isinstance(found, BaseModel):
        return
    for name, field in type(found).model_fields.items():
        place, value = f"{where}.{name}", getattr(found, name)
        if name not in found.model_fields_set:
            yield place
        known = list(_words(field.annotation))
        if known and value is not None:
            yield from (
                f"{place} is {word!r}"
                for word in (value if isinstance(value, list) else [value])
                if word not in known
            )
        yield from _lacking(value, place)


def _words(annotation: Any) -> Iterator[Any]:
    """The words of every Literal in an annotation."""
    if get_origin(annotation) is Literal:
        yield from get_args(annotation)
    else:
        for inner in get_args(annotation):
            yield from _words(inner)
