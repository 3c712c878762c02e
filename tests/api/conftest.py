"""Tokens of the people of the tests, and a client that sends one."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from api import tokens
from marketplace.models import Company, User

CASES = "/api/v1/resolution_center_cases"


class Api:
    """A program with a token, or without one."""

    def __init__(self, secret: str = "") -> None:
        self.headers = {"Authorization": f"Bearer {secret}"} if secret else {}
        self.client = Client(raise_request_exception=False)

    def get(self, path: str, query: Any = None, **headers: str) -> Any:
        return self.client.get(_full(path), query, headers=self.headers | headers)

    def post(self, path: str, body: Any = None, *, key: str = "", raw: Any = None) -> Any:
        """Send a body as JSON, or `raw` as it is."""
        headers = self.headers | ({"Idempotency-Key": key} if key else {})
        data = raw if raw is not None else json.dumps(body or {})
        return self.client.post(
            _full(path), data, content_type="application/json", headers=headers
        )  # fmt: skip


def _full(path: str) -> str:
    return path if path.startswith("/") else f"{CASES}/{path}".rstrip("/")


def error_of(response: Any) -> tuple[int, str, str | None]:
    """What was refused: the status, the code, and the field it is about."""
    error = json.loads(response.content)["error"]
    assert sorted(error) == ["code", "message", "param", "type"]
    return response.status_code, error["code"], error["param"]


SignIn = Callable[..., Api]


@pytest.fixture
def sign_in() -> SignIn:
    """`sign_in(cleo)`, with every scope unless told otherwise."""

    def make(user: User, *scopes: str, company: Company | None = None) -> Api:
        _, secret = tokens.make(user, "Tests", scopes or list(tokens.SCOPES), company=company)
        return Api(secret)

    return make
