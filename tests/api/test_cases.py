"""Cases as the API shows them, and what it lets whom do."""

import json
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from pytest_django import Settings

from api import tokens
from api.models import ApiToken
from marketplace.models import Company, TeamMember, User
from payments.models import Payment
from resolution import cases, evidence, sweeps
from resolution.models import Attachment, Case
from resolution.terms import Actor, Party, Remedy, Verdict
from tests.api.conftest import CASES, SignIn, error_of
from tests.evidence.hostile import picture, upload
from tests.people import MakePayment, make_user

STORY = "The presets were empty files, all sixty of them."
NO, PART = Verdict(Remedy.NONE), Verdict(Remedy.REFUND, 2000)
CREDIT = Verdict(Remedy.CREDIT, 2000)


def shown(response: Any) -> dict[str, Any]:
    assert response.status_code in (200, 201), response.content
    found: dict[str, Any] = json.loads(response.content)
    return found


# ── In Whop's words ───────────────────────────────────────────────────────────────────────────────

Steps = list[tuple[str, str, dict[str, Any]]]
TO_STAFF: Steps = [("deny", "creator", {}), ("appeal", "buyer", {})]
ENDINGS: list[tuple[Steps, tuple[Any, ...]]] = [
    # status, outcome, refund, escalated, appealed by customer and merchant, the buyer's actions
    ([], ("awaiting_merchant", None, None, False, False, False, ["withdraw"])),
    (
        [("request_info", "creator", {})],
        ("awaiting_customer", None, None, False, False, False, ["reply", "withdraw"]),
    ),
    ([("withdraw", "buyer", {})], ("closed", "withdrawn", "none", False, False, False, [])),
    ([("accept", "creator", {})], ("closed", "customer_won", "merchant", False, False, False, [])),
    (
        [("deny", "creator", {})],
        ("closed", "merchant_won", "none", False, False, False, ["appeal"]),
    ),
    (TO_STAFF, ("under_review", None, None, True, True, False, ["withdraw"])),
    (
        [*TO_STAFF, ("ask_party", "staff", {"asks": Party.BUYER})],
        ("awaiting_customer", None, None, True, True, False, ["reply", "withdraw"]),
    ),
    (
        [*TO_STAFF, ("ask_party", "staff", {"asks": Party.CREATOR})],
        ("awaiting_merchant", None, None, True, True, False, ["withdraw"]),
    ),
    (
        [*TO_STAFF, ("decide", "staff", {"verdict": CREDIT})],
        ("closed", "customer_won", "platform", False, True, False, ["appeal"]),
    ),
    (
        [*TO_STAFF, ("decide", "staff", {"verdict": PART}), ("appeal", "creator", {})],
        ("under_review", None, None, True, True, True, []),
    ),
]


@pytest.mark.parametrize(("steps", "expected"), ENDINGS)
def test_a_case_is_told_in_whops_words(
    steps: Steps, expected: tuple[Any, ...], waiting_case: Case, buyer: Actor, creator: Actor,
    staff: Actor, bea: User, sign_in: SignIn,
) -> None:  # fmt: skip
    actors = {"buyer": buyer, "creator": creator, "staff": staff}
    for step, who, more in steps:
        cases.take_step(waiting_case, step, actors[who], message="So.", **more)

    case = shown(sign_in(bea).get(waiting_case.public_id))

    told = ("status", "outcome", "refund", "escalated", "customer_appealed", "merchant_appealed")
    assert (*(case[name] for name in told), case["available_actions"]) == expected


def test_the_timeline_is_told_newest_first_without_what_staff_note(
    waiting_case: Case, buyer: Actor, creator: Actor, staff: Actor, cleo: User, sign_in: SignIn
) -> None:
    for step, actor, verdict in (
        ("request_info", creator, None), ("reply", buyer, None), ("deny", creator, None),
        ("appeal", buyer, None), ("note", staff, None), ("decide", staff, NO),
    ):  # fmt: skip
        cases.take_step(waiting_case, step, actor, message=f"My {step}.", verdict=verdict)

    events = shown(sign_in(cleo).get(f"{waiting_case.public_id}/events"))["data"]

    assert [(e["action"], e["reporter_type"], e["details"]) for e in events] == [
        ("denied", "platform", "My decide."),
        ("appealed", "customer", "My appeal."),
        ("denied", "merchant", "My deny."),
        ("responded", "customer", "My reply."),
        ("requested_more_info", "merchant", "My request_info."),
        ("created", "customer", "It is not what the page says."),
    ]
    assert {(e["viewable_by_customer"], e["viewable_by_merchant"]) for e in events} == {
        (True, True)
    }


def test_the_summary_counts_what_the_list_holds(
    waiting_case: Case, make_payment: MakePayment, bea: User, company: Company, sign_in: SignIn
) -> None:
    other = cases.open_case(
        make_payment(), bea, reason="fraudulent", message="Not me.", asked_minor=100
    )
    cases.take_step(other, "withdraw", Actor(Party.BUYER, bea))
    TeamMember.objects.create(company=company, user=bea, role="viewer")  # hers on both sides
    api = sign_in(bea)

    every, some = shown(api.get("summary")), shown(
        api.get("summary", {"status": ["closed", "under_review"], "groups": "outcome"})
    )  # fmt: skip

    assert every["total"] == len(shown(api.get(""))["data"]) == 2
    assert every["groups"]["status"] == {
        "awaiting_merchant": 1, "awaiting_customer": 0, "under_review": 0, "closed": 1,
    }  # fmt: skip
    assert every["groups"]["reason"] == {
        "fraudulent": 1, "product_not_received": 0, "not_as_described": 1,
        "product_unacceptable": 0, "subscription_canceled": 0,
    }  # fmt: skip
    assert some == {
        "groups": {"outcome": {"customer_won": 0, "merchant_won": 0, "withdrawn": 1}},
        "total": 1,
    }


# ── Lists ─────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def six(make_payment: MakePayment, bea: User, creator: Actor) -> list[Case]:
    """Six cases, oldest first; two of them have no date on which an answer is due."""
    opened = [
        cases.open_case(
            make_payment(), bea, reason="fraudulent", message="Not me.", asked_minor=100
        )
        for _ in range(6)
    ]  # fmt: skip
    sweeps.advance([case.pk for case in opened])
    for case in opened[1:3]:
        cases.take_step(case, "withdraw", Actor(Party.BUYER, bea))
    cases.take_step(opened[4], "request_info", creator, message="Why?")
    return list(Case.objects.order_by("opened_at"))


@pytest.mark.parametrize("order", ["created_at", "response_due_at"])
@pytest.mark.parametrize("direction", ["asc", "desc"])
def test_a_list_reads_the_same_forwards_and_backwards(
    six: list[Case], bea: User, sign_in: SignIn, order: str, direction: str
) -> None:
    api, sorted_by = sign_in(bea), {"order": order, "direction": direction}
    whole = [case["id"] for case in shown(api.get("", sorted_by))["data"]]

    forwards: list[str] = []
    query: dict[str, Any] = {"first": 4}
    while True:
        page = shown(api.get("", sorted_by | query))
        forwards += [case["id"] for case in page["data"]]
        if not page["page_info"]["has_next_page"]:
            break
        query = {"first": 4, "after": page["page_info"]["end_cursor"]}
    backwards: list[str] = []
    query = {"last": 4}
    while True:
        page = shown(api.get("", sorted_by | query))
        backwards = [case["id"] for case in page["data"]] + backwards
        if not page["page_info"]["has_previous_page"]:
            break
        query = {"last": 4, "before": page["page_info"]["start_cursor"]}

    dated = sorted((c for c in six if c.due_at), key=lambda c: (c.due_at, c.pk))
    undated = [c for c in six if not c.due_at]
    in_order = six if order == "created_at" else dated
    in_order = in_order[::-1] if direction == "desc" else in_order
    if order == "response_due_at":
        in_order = in_order + (undated[::-1] if direction == "desc" else undated)
    assert whole == [case.public_id for case in in_order]
    assert forwards == whole
    assert backwards == whole


def test_a_page_is_not_moved_by_what_was_opened_since(
    six: list[Case], make_payment: MakePayment, bea: User, sign_in: SignIn
) -> None:
    api = sign_in(bea)
    first = shown(api.get("", {"first": 2}))
    cases.open_case(make_payment(), bea, reason="fraudulent", message="Not me.", asked_minor=100)

    second = shown(api.get("", {"first": 2, "after": first["page_info"]["end_cursor"]}))
    newer = shown(api.get("", {"last": 5, "before": first["page_info"]["start_cursor"]}))

    ids = [case.public_id for case in reversed(six)]
    assert [case["id"] for case in first["data"]] == ids[:2]
    assert [case["id"] for case in second["data"]] == ids[2:4]
    assert [case["id"] for case in newer["data"]] == [Case.objects.latest("opened_at").public_id]


def test_filters_narrow_and_their_repeats_widen(
    six: list[Case], waiting_case: Case, bea: User, company: Company, sign_in: SignIn
) -> None:
    api = sign_in(bea)

    def ids(**query: Any) -> list[str]:
        return sorted(case["id"] for case in shown(api.get("", query))["data"])

    of_six = [case.public_id for case in six]
    assert ids(status="awaiting_customer") == [of_six[4]]
    assert ids(status=["awaiting_customer", "closed"]) == sorted([of_six[4], *of_six[1:3]])
    assert ids(reason="not_as_described") == [waiting_case.public_id]
    assert ids(outcome=["withdrawn", "merchant_won"]) == sorted(of_six[1:3])
    assert ids(created_after=six[4].opened_at.isoformat(), reason="fraudulent") == [of_six[5]]
    assert ids(created_before=six[1].opened_at.isoformat(), reason="fraudulent") == [of_six[0]]
    assert len(ids(user_id="me")) == len(ids(account_id=company.public_id)) == 7
    assert ids(user_id="user_nobody") == ids(account_id="biz_nobody") == []


def test_a_page_costs_three_queries_however_long_it_is(
    six: list[Case], bea: User, cleo: User, company: Company, sign_in: SignIn
) -> None:
    TeamMember.objects.create(company=company, user=bea, role="viewer")
    counts = {}

    for who in (bea, cleo):
        api = sign_in(who)
        api.get("/api/v1/me")  # notes that the token is used, which costs one more each minute
        for size in (1, 6):
            with CaptureQueriesContext(connection) as queries:
                page = shown(api.get("", {"first": size}))
            assert len(page["data"]) == size
            counts[who.name, size] = len(queries)

    assert set(counts.values()) == {3}


# ── Who sees and does what ────────────────────────────────────────────────────────────────────────


def test_another_case_is_like_one_that_does_not_exist(
    waiting_case: Case, nia: User, sam: User, cleo: User, sign_in: SignIn
) -> None:
    nobody = "reso_00000000000000"
    others = Company.objects.get(name="Nia’s Night School")
    TeamMember.objects.create(company=others, user=cleo, role="owner")
    programs = [sign_in(nia), sign_in(sam), sign_in(cleo, company=others)]

    answers = [
        (call(waiting_case.public_id), call(nobody))
        for api in programs
        for call in (
            lambda i, api=api: api.get(i),
            lambda i, api=api: api.get(f"{i}/events"),
            lambda i, api=api: api.post(f"{i}/accept"),
            lambda i, api=api: api.post(f"{i}/reply", {"message": "Hello."}),
        )
    ]

    assert {error_of(theirs) for theirs, _ in answers} == {(404, "not_found", "id")}
    assert all(theirs.content == none.content for theirs, none in answers)
    assert [shown(api.get(""))["data"] for api in programs] == [[], [], []]
    assert waiting_case.events.count() == 2


def test_an_act_needs_the_side_the_role_and_the_scope(
    waiting_case: Case, bea: User, cleo: User, company: Company, payment: Payment, sign_in: SignIn
) -> None:
    viewer = make_user("Vera Moss")
    TeamMember.objects.create(company=company, user=viewer, role="viewer")
    accept, create = f"{waiting_case.public_id}/accept", {
        "receipt_id": payment.public_id, "reason": "fraudulent", "message": STORY,
    }  # fmt: skip

    refused = [
        error_of(sign_in(bea).post(accept)),
        error_of(sign_in(viewer).post(accept)),
        error_of(sign_in(cleo).post(f"{waiting_case.public_id}/withdraw")),
        error_of(sign_in(cleo, tokens.READ_CASES).post(accept)),
        error_of(sign_in(cleo, tokens.MANAGE_CASES).get("")),
        error_of(sign_in(cleo, company=company).post("", create)),
    ]

    not_allowed, no_scope = (403, "not_allowed", None), (403, "missing_scope", None)
    assert refused == [not_allowed, not_allowed, not_allowed, no_scope, no_scope, not_allowed]
    assert waiting_case.events.count() == 2
    assert shown(sign_in(cleo, tokens.ALL_OF_CASES).post(accept))["status"] == "closed"


def test_an_address_is_shown_with_its_scope_alone(
    waiting_case: Case, cleo: User, bea: User, sign_in: SignIn
) -> None:
    with_scope = sign_in(cleo, tokens.READ_CASES, tokens.READ_EMAIL)
    without = sign_in(cleo, tokens.READ_CASES)

    seen = [shown(api.get(waiting_case.public_id))["buyer"] for api in (with_scope, without)]

    assert [buyer["email"] for buyer in seen] == [bea.email, None]
    assert [buyer["name"] for buyer in seen] == [bea.name, bea.name]


def test_whoever_bought_from_their_own_company_has_the_acts_of_both_sides(
    waiting_case: Case, bea: User, company: Company, sign_in: SignIn
) -> None:
    TeamMember.objects.create(company=company, user=bea, role="owner")
    api = sign_in(bea)

    before = shown(api.get(waiting_case.public_id))["available_actions"]
    denied = shown(api.post(f"{waiting_case.public_id}/deny", {"message": "No."}))

    assert before == ["accept", "deny", "request_info", "withdraw"]
    assert denied["available_actions"] == ["appeal"]
    assert len(shown(api.get(""))["data"]) == 1


# ── Opening ───────────────────────────────────────────────────────────────────────────────────────


def test_a_case_can_ask_for_a_part(payment: Payment, bea: User, sign_in: SignIn) -> None:
    body = {"receipt_id": payment.public_id, "reason": "fraudulent", "message": STORY}

    refused = [
        error_of(sign_in(bea).post("", body | {"amount": amount}))
        for amount in (0, -1, 64.01, "NaN", "1e309", "12,5")
    ]
    created = sign_in(bea).post("", body | {"amount": 12.5})

    assert set(refused) == {(422, "parameter_invalid", "amount")}
    assert created.status_code == 201
    assert shown(created)["amount"] == 12.5
    assert Case.objects.get().asked_minor == 1250


@pytest.mark.parametrize(
    ("fields", "refused"),
    [
        ({"processor": "crypto"}, (422, "crypto", "receipt_id")),
        ({"refunded_minor": 6400}, (422, "refunded", "receipt_id")),
        ({"chargeback": "open"}, (422, "chargeback", "receipt_id")),
    ],
)
def test_a_payment_that_is_not_eligible_is_refused_for_its_own_reason(
    fields: dict[str, Any], refused: tuple[Any, ...], make_payment: MakePayment, bea: User,
    sign_in: SignIn,
) -> None:  # fmt: skip
    body = {"reason": "fraudulent", "message": STORY}
    body["receipt_id"] = make_payment(**fields).public_id

    answer = sign_in(bea).post("", body)

    assert error_of(answer) == refused
    assert not Case.objects.exists()


def test_anothers_payment_is_like_none_and_one_with_a_case_is_a_conflict(
    case: Case, nia: User, bea: User, sign_in: SignIn
) -> None:
    body = {"reason": "fraudulent", "message": STORY, "receipt_id": case.payment.public_id}

    strangers, again = sign_in(nia).post("", body), sign_in(bea).post("", body)

    assert error_of(strangers) == (404, "not_found", "receipt_id")
    assert error_of(again) == (409, "has_case", "receipt_id")
    assert Case.objects.count() == 1


# ── Words and files ───────────────────────────────────────────────────────────────────────────────

BAD_BODIES: list[tuple[Any, tuple[int, str, str | None]]] = [
    ("", (400, "parameter_missing", None)),
    ("{", (400, "invalid_json", None)),
    (b"\xff\xfe", (400, "invalid_json", None)),
    ("[" * 100_000, (400, "invalid_json", None)),
    ('{"message": NaN}', (400, "invalid_json", None)),
    ("[]", (400, "parameter_invalid", None)),
    ("null", (400, "parameter_invalid", None)),
    ("{}", (400, "parameter_missing", "message")),
    ('{"message": 1}', (400, "parameter_invalid", "message")),
    ('{"message": null}', (400, "parameter_invalid", "message")),
    ('{"message": "a\\u0000b"}', (400, "unsupported_character", "message")),
    ('{"message": "a\\ud800b"}', (400, "unsupported_character", "message")),
    ('{"mess\\u0000age": "a"}', (400, "unsupported_character", None)),
    ('{"message": "a", "state": "closed"}', (400, "parameter_unknown", "state")),
    ('{"message": "a", "final": true}', (400, "parameter_unknown", "final")),
    ('{"message": " \\u200b "}', (422, "parameter_missing", "message")),
    (json.dumps({"message": "a" * 4001}), (422, "parameter_invalid", "message")),
    (json.dumps({"message": "a" * 3_000_000}), (413, "payload_too_large", None)),
    ('{"message": "a", "attachments": {}}', (400, "parameter_invalid", "attachments")),
    ('{"message": "a", "attachments": [{}]}', (404, "not_found", "attachments")),
    (
        '{"message": "a", "attachments": [{"id": "att_00000000000000"}]}',
        (404, "not_found", "attachments"),
    ),
    (
        '{"message": "a", "attachments": [{"url": "http://x"}]}',
        (400, "parameter_unknown", "attachments.0.url"),
    ),
    ('{"message": "Nobody has asked."}', (409, "conflict", None)),
]


def test_a_bad_body_is_refused_with_its_reason_and_changes_nothing(
    waiting_case: Case, bea: User, sign_in: SignIn
) -> None:
    api, reply = sign_in(bea), f"{waiting_case.public_id}/reply"

    found = [(raw, error_of(api.post(reply, raw=raw))) for raw, _ in BAD_BODIES]
    as_form = api.client.post(f"{CASES}/{reply}", {"message": "a"}, headers=api.headers)

    assert found == BAD_BODIES
    assert error_of(as_form) == (415, "unsupported_media_type", None)
    assert waiting_case.events.count() == 2


BAD_QUERIES: list[tuple[str, tuple[int, str, str | None]]] = [
    ("?first=0", (400, "parameter_invalid", "first")),
    ("?first=101", (400, "parameter_invalid", "first")),
    ("?first=x", (400, "parameter_invalid", "first")),
    ("?first=1&last=1", (400, "parameter_invalid", "last")),
    ("?after=%00", (400, "bad_request", None)),
    ("?after=nonsense", (400, "invalid_cursor", "after")),
    ("?before=W10", (400, "invalid_cursor", "before")),  # []
    ("?after=WyJldmVudCIsMSwxXQ", (400, "invalid_cursor", "after")),  # of a timeline
    ("?after=WyJjcmVhdGVkX2F0IixudWxsLDFd", (400, "invalid_cursor", "after")),  # without a date
    ("?after=" + "A" * 401, (400, "parameter_invalid", "after")),
    ("?status=open", (400, "parameter_invalid", "status")),
    ("?status=closed&status=x", (400, "parameter_invalid", "status")),
    ("?order=amount", (400, "parameter_invalid", "order")),
    ("?created_after=yesterday", (400, "parameter_invalid", "created_after")),
    ("?created_before=0001-01-01T00:00:00%2B14:00", (400, "parameter_invalid", "created_before")),
    ("?statuses=closed", (400, "parameter_unknown", "statuses")),
    ("?user_id=null", (400, "parameter_invalid", "user_id")),
    ("?account_id=user_1", (400, "parameter_invalid", "account_id")),
    ("?user_id=me&user_id=me", (400, "parameter_repeated", "user_id")),
    ("/%00", (400, "bad_request", None)),
    ("/%ED%A0%80", (404, "not_found", "id")),
    ("/reso_1/nowhere", (404, "not_found", None)),
]


def test_a_bad_address_is_refused_with_its_reason(db: None, bea: User, sign_in: SignIn) -> None:
    api = sign_in(bea)

    found = [(query, error_of(api.get(f"{CASES}{query}"))) for query, _ in BAD_QUERIES]
    wrong_method = api.client.delete(CASES, headers=api.headers)

    assert found == BAD_QUERIES
    assert error_of(wrong_method) == (405, "method_not_allowed", None)
    assert sorted(wrong_method.headers["Allow"].split(", ")) == ["GET", "POST"]


def test_files_go_with_an_act_and_their_addresses_are_good_while_the_token_is(
    waiting_case: Case, creator: Actor, bea: User, cleo: User, nia: User, sign_in: SignIn,
    settings: Settings,
) -> None:  # fmt: skip
    mine = evidence.accept(upload("a.png", picture()), bea)
    theirs = evidence.accept(upload("b.png", picture()), nia)
    api, reader = sign_in(bea), sign_in(cleo)
    cases.take_step(waiting_case, "request_info", creator, message="Show us.")
    reply = f"{waiting_case.public_id}/reply"

    stolen = api.post(reply, {"message": "Here.", "attachments": [{"id": theirs.public_id}]})
    sent = api.post(reply, {"message": "Here.", "attachments": [{"id": mine.public_id}]})
    event = shown(reader.get(f"{waiting_case.public_id}/events", {"first": 1}))["data"][0]
    file = event["attachments"][0]
    address = file["url"].removeprefix("https://testserver")

    assert error_of(stolen) == (404, "not_found", "attachments")
    assert shown(sent)["status"] == "awaiting_merchant"
    assert (file["id"], file["filename"], file["content_type"]) == (
        mine.public_id, "a.png", "image/png",
    )  # fmt: skip
    bytes_of: Any = reader.client.get(address)
    assert b"".join(bytes_of.streaming_content) == Attachment.objects.get(pk=mine.pk).file.read()
    assert error_of(reader.client.get(f"{address}x")) == (404, "not_found", None)
    assert error_of(reader.client.get(address.replace(mine.public_id, theirs.public_id))) == (
        404, "not_found", None,
    )  # fmt: skip
    settings.FILE_LINK_SECONDS = -1
    assert error_of(reader.client.get(address)) == (404, "not_found", None)
    settings.FILE_LINK_SECONDS = 300
    assert reader.client.get(address).status_code == 200
    tokens.revoke(ApiToken.objects.get(user=cleo))
    assert error_of(reader.client.get(address)) == (404, "not_found", None)
