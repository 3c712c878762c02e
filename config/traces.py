"""Traces by OpenTelemetry: of requests, statements, calls to providers, and tasks.

Imported only where OTEL_EXPORTER_OTLP_ENDPOINT is set. A span has names and times, never an address
with what somebody typed into it, a parameter of a statement, or who asked from where.
"""

from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.celery import CeleryInstrumentor
from opentelemetry.instrumentation.django import DjangoInstrumentor
from opentelemetry.instrumentation.psycopg import PsycopgInstrumentor
from opentelemetry.instrumentation.requests import RequestsInstrumentor
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Span, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

PERSONAL = frozenset(
    {
        *("http.url", "http.target", "url.full", "url.path", "url.query"),
        *("http.user_agent", "user_agent.original"),
        *("net.peer.ip", "http.client_ip", "client.address", "network.peer.address"),
    }
)


def start(process: str) -> TracerProvider:
    """Send the spans of this process, from now on; to be called once in each."""
    provider = TracerProvider(
        resource=Resource.create(
            {"service.name": "resolution-center", "service.instance.role": process}
        )
    )
    exporter = OTLPSpanExporter(endpoint=f"{settings.TRACES_TO}/v1/traces")
    provider.add_span_processor(BatchSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    DjangoInstrumentor().instrument(request_hook=_be_discreet, response_hook=_name_the_request)
    PsycopgInstrumentor().instrument()
    RequestsInstrumentor().instrument(request_hook=_be_discreet)
    CeleryInstrumentor().instrument()
    return provider


def _be_discreet(span: Span, request: Any) -> None:
    if not span.is_recording():
        return
    for name in PERSONAL & set(span.attributes or ()):
        span.set_attribute(name, "")


def _name_the_request(span: Span, request: HttpRequest, response: HttpResponse) -> None:
    if span.is_recording():
        span.set_attribute("resolution.request", request.META.get("REQUEST_ID", ""))
