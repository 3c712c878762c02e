"""What the API says of itself, and whether it is so."""

import json
from collections import Counter
from collections.abc import Callable

from django.core.management import call_command
from django.test import Client
from ninja import Schema
from ninja.constants import NOT_SET

from api.idempotency import idempotent
from api.urls import api


def test_the_document_in_the_repository_is_current() -> None:
    call_command("openapi", check=True)


def test_the_document_is_served_to_everybody(client: Client) -> None:
    document = json.loads(client.get("/api/v1/openapi.json").content)

    assert document["openapi"] == "3.1.0"
    assert "/api/v1/resolution_center_cases/{case_id}/accept" in document["paths"]


def test_every_call_with_a_token_tells_its_errors_and_every_post_can_be_repeated() -> None:
    operations = [
        operation
        for _, router in api._routers
        for view in router.path_operations.values()
        for operation in view.operations
        if operation.include_in_schema and operation.auth_param is NOT_SET
    ]

    lacking = [o.path for o in operations if not {400, 401, 403, 429} <= set(o.response_models)]
    once = [o.path for o in operations if "POST" in o.methods and not is_idempotent(o.view_func)]

    assert lacking == []
    assert once == []


def is_idempotent(view: Callable[..., object]) -> bool:
    return view.__code__.co_filename == idempotent.__code__.co_filename


def test_the_page_shows_every_call(client: Client) -> None:
    paths = api.get_openapi_schema()["paths"]

    page = client.get("/api/v1/docs").content.decode()

    assert [path for path in paths if f" {path}</code>" not in page] == []


def test_no_two_schemas_share_a_name() -> None:
    """The document knows a schema by its class's name: of two with one name it would show one."""
    names = Counter(schema.__name__ for schema in subclasses(Schema) if is_ours(schema))

    assert [name for name, count in names.items() if count > 1] == []


def subclasses(schema: type[Schema]) -> set[type[Schema]]:
    below = set(schema.__subclasses__())
    return below.union(*(subclasses(each) for each in below))


def is_ours(schema: type[Schema]) -> bool:
    return schema.__module__.startswith("api.")
