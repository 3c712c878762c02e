"""The API as a whole: its description, its routers, and how it signs in and refuses."""

from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from ninja import NinjaAPI

from api import account, attachments, cases, document, errors, files, ingest, money, webhooks
from api.auth import Bearer
from notifications.webhooks import VERSION_DATE

api = NinjaAPI(
    title=f"{settings.PLATFORM_NAME} Resolution Center API",
    version="1.0.0",
    description=(
        "Cases, files, refunds, payments and webhooks, call for call and field for field as in"
        f" the Resolution Center API of {settings.PLATFORM_NAME}, version {VERSION_DATE}."
    ),
    urls_namespace="api",
    openapi_url=None,
    docs_url=None,
    auth=Bearer(),
    parser=errors.StrictParser(),
)
errors.install(api)
for part in (account, cases, attachments, files, money, webhooks, ingest):
    api.add_router("", part.router)


@api.get("/openapi.json", auth=None, include_in_schema=False)
def openapi_json(request: HttpRequest) -> dict[str, Any]:
    """The OpenAPI document."""
    return document.openapi(api)


@api.get("/docs", auth=None, include_in_schema=False)
def docs(request: HttpRequest) -> HttpResponse:
    """The page for people."""
    return document.page(request, api)
