"""At every address another's is like what is not there, and nothing of one reaches another."""

import io
import json
import logging
import re
import zipfile
from collections.abc import Iterator
from itertools import product
from typing import Any

import pytest
from django.core import mail
from django.core.serializers.json import DjangoJSONEncoder
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver, reverse

from api import announced
from config.logs import OneLine
from marketplace.models import User
from notifications import outbox
from notifications.models import WebhookDelivery
from resolution import messages
from tests.access.tenants import MISSING, Tenant
from tests.access.test_policy import Browser, log_in

IDS = {
    "passkey-remove": ["passkey"],
    "api:retrieve_case": ["case"],
    "api:list_events": ["case"],
    "api:accept_case": ["case"],
    "api:deny_case": ["case"],
    "api:request_info": ["case"],
    "api:reply_to_case": ["case"],
    "api:appeal_case": ["case"],
    "api:withdraw_case": ["case"],
    "api:download": ["file"],
    "api:retrieve_file": ["upload"],
    "api:put_content": ["upload"],
    "api:retrieve_refund": ["refund"],
    "api:retrieve_payment": ["payment"],
    "api:retrieve_webhook": ["endpoint"],
    "api:update_webhook": ["endpoint"],
    "api:delete_webhook": ["endpoint"],
    "api:list_deliveries": ["endpoint"],
    "api:replay_delivery": ["endpoint", "delivery"],
    "api:replay": ["endpoint"],
    "api:test_webhook": ["endpoint"],
    "dash-token-revoke": ["company token"],
    "dash-webhook": ["endpoint"],
    "dash-webhook-act": ["endpoint", "=off"],
    "dash-delivery-replay": ["endpoint", "delivery"],
    "hub-token-revoke": ["token"],
    "hub-membership": ["membership"],
    "hub-open-case": ["payment"],
    "hub-open-draft": ["payment"],
    "hub-case": ["case"],
    "hub-live": ["case"],
    "hub-export": ["case"],
    "hub-act": ["case", "=comment"],
    "hub-draft": ["case", "=comment"],
    "dash-case": ["case"],
    "dash-live": ["case"],
    "dash-export": ["case"],
    "dash-act": ["case", "=respond"],
    "dash-draft": ["case", "=respond"],
    "dash-rule": ["rule"],
    "dash-rule-act": ["rule", "=delete"],
    "dash-reply": ["reply"],
    "dash-reply-remove": ["reply"],
    "attachment": ["file"],
    "attachment-bytes": ["file", "=link"],
    "admin:resolution_case_export": ["case", "=bank"],
    "admin:resolution_case_act": ["case", "=decide"],
    "admin:payments_creditaccount_settle": ["rule", "=approve"],
    "admin:view_on_site": ["=1", "rule"],
}
"""What each part of an address names: an id of a kind, or a word that is nobody's (`=`)."""

BEARERS = {"password_reset_confirm", "account-unsubscribe"}
"""What these are given is made to be good for whoever has it."""


def with_parts(patterns: Any = None, inside: str = "", parts: int = 0) -> Iterator[tuple[str, int]]:
    """The name of every address that takes something, and how many parts that is."""
    for found in get_resolver().url_patterns if patterns is None else patterns:
        takes = parts + len(found.pattern.converters)
        if isinstance(found, URLResolver):
            space = f"{found.namespace}:" if found.namespace else inside
            yield from with_parts(found.url_patterns, space, takes)
        elif isinstance(found, URLPattern) and takes and found.name:
            yield inside + found.name, takes


def kinds_of(name: str) -> list[str]:
    """What the parts of an address name; staff's pages are all looked up by the id of something."""
    if name in IDS:
        return IDS[name]
    return ["case" if name.startswith("admin:resolution_case_") else "rule"]


PATTERNS = {name: parts for name, parts in with_parts() if name not in BEARERS}


def test_every_part_of_every_address_is_known() -> None:
    ours = [name for name in PATTERNS if not name.startswith("admin:")]

    assert sorted(IDS.keys() & set(ours)) == sorted(ours)
    assert {name: len(kinds_of(name)) for name in PATTERNS} == PATTERNS


# ── Two tenants ───────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def tenants(sam: User) -> tuple[Tenant, Tenant]:
    """One who looks around, and one who has everything that could be found."""
    return Tenant("canary6641", sam), Tenant("canary7392", sam)


Caller = tuple[Client, dict[str, str]]


def callers_of(tenant: Tenant) -> dict[str, Caller]:
    """Each way in which a tenant can ask: as people in a browser, and by a program."""
    found: dict[str, Caller] = {}
    for person, user in {"buyer": tenant.buyer, "owner": tenant.owner}.items():
        browser = Browser(raise_request_exception=False)
        log_in(browser, user)
        found[person] = browser, {}
    for program, secret in {"own": tenant.own_secret, "company": tenant.company_secret}.items():
        headers = {"Authorization": f"Bearer {secret}"}
        found[f"{program} program"] = Client(raise_request_exception=False), headers
    return found


def who_asks(name: str) -> tuple[str, str]:
    return ("own program", "company program") if name.startswith("api:") else ("buyer", "owner")


def parts_of(name: str, ids: dict[str, Any]) -> list[Any]:
    return [kind[1:] if kind[0] == "=" else ids[kind] for kind in kinds_of(name)]


BODIES = {
    **dict.fromkeys(
        ("api:deny_case", "api:request_info", "api:reply_to_case", "api:appeal_case"),
        b'{"message": "So."}',
    ),
    "api:replay": b'{"sent_after": "2026-01-01T00:00:00Z"}',
    "api:test_webhook": b'{"event": "refund.created"}',
}
"""What a call has to come with before it is looked at whose the thing is."""


def told(caller: Caller, method: str, name: str, address: str, parts: list[Any]) -> tuple[Any, ...]:
    """All that can be told of an answer, without what was asked for and what is new each time."""
    client, headers = caller
    body = BODIES.get(name, b"{}")
    answer = client.generic(method, address, body, "application/json", headers=headers)
    text = re.sub(r'(csrfmiddlewaretoken" value=)"\w+"', r"\1", answer.content.decode())
    text = text.replace(answer["X-Request-ID"], "")
    its_own = ("Expires", "Content-Length", "X-Request-ID")
    said = {k: v for k, v in answer.headers.items() if k not in its_own}
    for part in parts:
        text = text.replace(f"/{part}/", "/ID/")
        said = {k: v.replace(f"/{part}/", "/ID/") for k, v in said.items()}
    return answer.status_code, text, said


def test_anothers_is_answered_like_one_that_does_not_exist(
    tenants: tuple[Tenant, Tenant],
) -> None:
    here, there = tenants
    callers = callers_of(here)
    different, statuses, not_there = [], set[int](), set[str]()

    for name in PATTERNS:
        kinds, own = kinds_of(name), parts_of(name, here.ids)
        methods = (
            ("GET", "POST", "PATCH", "PUT", "DELETE") if name[:4] == "api:" else ("GET", "POST")
        )
        swaps = [place for place, kind in enumerate(kinds) if kind[0] != "="]
        for place, method, who in product(swaps, methods, who_asks(name)):
            theirs, none = [*own], [*own]
            theirs[place], none[place] = there.ids[kinds[place]], MISSING[kinds[place]]
            answers = [
                told(
                    callers[who], method, name, reverse(name, args=parts) + here.query(name), parts
                )
                for parts in (theirs, none)
            ]
            statuses.add(answers[0][0])
            if answers[0][0] == 404:
                not_there.add(name)
            if answers[0] != answers[1]:
                different.append((name, place, method, who, *(answer[0] for answer in answers)))

    assert different == []
    assert statuses == {302, 401, 403, 404, 405}
    assert {name for name in PATTERNS if not name.startswith("admin:")} - not_there == set()


# ── Nothing of one leaks to another ───────────────────────────────────────────────────────────────

SHOWS_THEIR_OWN = {
    ("buyer", "hub"), ("buyer", "hub-cases"), ("buyer", "hub-case"), ("buyer", "hub-export"),
    ("buyer", "hub-membership"), ("buyer", "hub-open-case"), ("buyer", "hub-tokens"),
    ("buyer", "hub-notices"), ("buyer", "hub-credits"), ("owner", "dash-cases"),
    ("owner", "dash-cases-csv"), ("owner", "dash-case"), ("owner", "dash-export"),
    ("owner", "dash-rules"), ("owner", "dash-rule"), ("owner", "dash-replies"),
    ("owner", "dash-reply"), ("owner", "dash-developers"), ("owner", "dash-webhook"),
    ("owner", "dash-insights"), ("owner", "dash-notices"), ("own program", "api:list_cases"),
    ("own program", "api:list_events"), ("own program", "api:list_payments"),
    ("company program", "api:list_cases"), ("company program", "api:list_webhooks"),
    ("company program", "api:list_deliveries"),
}  # fmt: skip
"""Where a mark is seen by whose it is: otherwise not to see it would say nothing."""


def everywhere(name: str, mine: Tenant, other: Tenant, callers: dict[str, Caller]) -> Iterator[str]:
    """An address as it is, with one's own ids, with another's, and asking for another's things."""
    if name == "attachment-bytes":
        return
    if name not in PATTERNS:
        address = reverse(name)
        yield from (address, f"{address}?company={other.company.public_id}", f"{address}?q=Cleo")
        return
    yield reverse(name, args=parts_of(name, mine.ids)) + mine.query(name)
    yield reverse(name, args=parts_of(name, other.ids)) + mine.query(name)


def content_of(answer: Any) -> str:
    """All of an answer as text: what is packed is unpacked."""
    body = answer.getvalue()
    if body.startswith(b"PK"):
        packed = zipfile.ZipFile(io.BytesIO(body))
        body = b"\n".join(
            [*map(packed.read, packed.namelist()), *map(str.encode, packed.namelist())]
        )
    return f"{answer.headers}\n{body.decode(errors='replace')}"


@pytest.fixture
def lines() -> Iterator[list[str]]:
    """What is logged, as it is written."""
    written: list[str] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            written.append(OneLine().format(record))

    handler, root = Keep(logging.INFO), logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    yield written
    root.removeHandler(handler)
    root.setLevel(level)


def test_nothing_of_one_reaches_another(tenants: tuple[Tenant, Tenant], lines: list[str]) -> None:
    here, there = tenants
    callers = callers_of(here)
    names = {name for name in all_names() if not name.startswith("admin") and name not in BEARERS}
    leaks, own = [], set()

    for name in sorted(names):
        for who in who_asks(name):
            client, headers = callers[who]
            for address in everywhere(name, here, there, callers):
                said = content_of(client.get(address, headers=headers))
                if here.mark in said:
                    own.add((who, name))
                if there.mark in said or here.note in said:
                    leaks.append((who, address))

    assert leaks == []
    assert SHOWS_THEIR_OWN - own == set()
    assert [line for line in lines if here.mark in line or there.mark in line] == []
    assert lines != []


def all_names(patterns: Any = None, inside: str = "") -> Iterator[str]:
    for found in get_resolver().url_patterns if patterns is None else patterns:
        if isinstance(found, URLResolver):
            space = f"{found.namespace}:" if found.namespace else inside
            yield from all_names(found.url_patterns, space)
        elif found.name:
            yield inside + found.name


def test_messages_and_webhooks_tell_each_tenant_of_their_own(
    tenants: tuple[Tenant, Tenant], lines: list[str]
) -> None:
    while outbox.deliver(messages.compose):
        pass
    deliveries = list(WebhookDelivery.objects.select_related("endpoint"))
    bodies = announced.compose(deliveries)

    for mine, other in (tenants, tenants[::-1]):
        addresses = {mine.buyer.email, mine.owner.email}
        letters = [letter for letter in mail.outbox if set(letter.to) <= addresses]
        told = [
            json.dumps(bodies[one.pk], cls=DjangoJSONEncoder)
            for one in deliveries
            if one.endpoint == mine.endpoint
        ]
        everything = [str(letter.message()) for letter in letters]
        everything += [str(letter.body) for letter in letters] + told

        assert (len(letters) > 4, len(told) > 4) == (True, True)
        assert [text for text in everything if mine.mark in text] != []
        assert [text for text in everything if other.mark in text or mine.note in text] == []
    assert [line for line in lines if any(tenant.mark in line for tenant in tenants)] == []
