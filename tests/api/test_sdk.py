"""The official client against a live server: every method, blocking and not, and all at once."""

import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from django.test import Client
from pytest_django import Settings
from pytest_django.live_server_helper import LiveServer
from whop_sdk.core.parse_error import ParsingError
from whop_sdk.errors import ConflictError
from whop_sdk.types import ResolutionCenterCase

from api import tokens
from api.models import KeptAnswer
from marketplace.models import Membership, User
from payments.models import Payment, Refund
from resolution import cases, evidence, sweeps
from resolution.models import Case, Event
from resolution.terms import Actor, Remedy, Verdict
from tests.api.sdk import Program, check_whole
from tests.evidence.hostile import picture, upload
from tests.people import MakePayment

DOCUMENTATION = Path(__file__).parents[2] / "docs" / "api.md"
STORY = "The presets were empty files, all sixty of them."

MakeProgram = Callable[..., Program]


@pytest.fixture
def program(live_server: LiveServer, settings: Settings) -> Iterator[MakeProgram]:
    """`program(bea)`, a client with a token of hers."""
    settings.SITE_URL = live_server.url
    made: list[Program] = []

    def make(user: User, *, is_async: bool = False) -> Program:
        _, secret = tokens.make(user, "SDK", list(tokens.SCOPES))
        made.append(Program(live_server.url, secret, is_async=is_async))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.mark.parametrize("is_async", [False, True])
def test_every_method_of_the_client_works(
    program: MakeProgram, bea: User, cleo: User, creator: Actor, make_payment: MakePayment,
    is_async: bool,
) -> None:  # fmt: skip
    buyer, merchant = program(bea, is_async=is_async), program(cleo, is_async=is_async)
    file = evidence.accept(upload("a.png", picture()), bea)
    opened = [
        buyer.call(
            "create", receipt_id=make_payment().public_id, reason="not_as_described", message=STORY
        )
        for _ in range(3)
    ]
    sweeps.advance(list(Case.objects.values_list("pk", flat=True)))
    first, second, third = (case.id for case in opened)

    told = [
        merchant.call("request_info", id=first),
        buyer.call("reply", id=first, message="See.", attachments=[{"id": file.public_id}]),
        merchant.call("deny", id=first, message="It says so on the page."),
        buyer.call("appeal", id=first, message="It does not."),
        merchant.call("accept", id=second, message="Sorry.", terminate_membership=True),
        buyer.call("withdraw", id=third),
    ]

    assert [(case.id, case.status, case.outcome) for case in told] == [
        (first, "awaiting_customer", None),
        (first, "awaiting_merchant", None),
        (first, "closed", "merchant_won"),
        (first, "under_review", None),
        (second, "closed", "customer_won"),
        (third, "closed", "withdrawn"),
    ]
    assert buyer.call("retrieve", id=first) == told[3]
    assert Membership.objects.get().status == "ended"
    pages = merchant.pages("list", first=2, status=["under_review", "closed"])
    assert [[case.id for case in page] for page in pages] == [[third, second], [first], []]
    summary = buyer.call("summary", user_id="me", reason="not_as_described")
    assert (summary.total, summary.groups.outcome.customer_won) == (3, 1)
    events = merchant.pages("events", id=first, first=3)
    assert [[event.action for event in page] for page in events] == [
        ["appealed", "denied", "responded"], ["requested_more_info", "created"], [],
    ]  # fmt: skip
    address = events[0][2].attachments[0].url
    assert httpx.get(address).content == file.file.read()
    with pytest.raises(ConflictError) as refused:
        merchant.call("accept", id=second)
    assert refused.value.body["error"]["message"] == (
        "This case has moved on, so that is no longer possible."
    )


def test_the_check_sees_what_the_client_would_overlook(
    program: MakeProgram, bea: User, waiting_case: Case
) -> None:
    whole = program(bea).call("retrieve", id=waiting_case.public_id).model_dump()
    optional = {name: value for name, value in whole.items() if name != "plan_id"}

    with pytest.raises(AssertionError, match=r"^ResolutionCenterCase\.plan_id$"):
        check_whole(ResolutionCenterCase(**optional))
    with pytest.raises(AssertionError, match=r"status is 'open'"):
        check_whole(ResolutionCenterCase(**whole | {"status": "open"}))
    check_whole(ResolutionCenterCase(**whole))


def test_the_client_refuses_a_case_without_a_required_field(
    httpx_answers: Callable[[Any], Program], waiting_case: Case
) -> None:
    lacking = {"id": waiting_case.public_id, "amount": 1.0}

    with pytest.raises(ParsingError):
        httpx_answers(lacking).call("retrieve", id=waiting_case.public_id)


@pytest.fixture
def httpx_answers() -> Callable[[Any], Program]:
    """A client that is answered by us rather than by a server."""

    def make(body: Any) -> Program:
        program = Program("http://nowhere.example", "apik_x")
        transport = httpx.MockTransport(lambda request: httpx.Response(200, json=body))
        program.client._client_wrapper.httpx_client.httpx_client = httpx.Client(transport=transport)
        return program

    return make


def test_one_request_sent_eight_times_at_once_acts_once(
    live_server: LiveServer, bea: User, make_payment: MakePayment
) -> None:
    _, secret = tokens.make(bea, "Race", list(tokens.SCOPES))
    body = {"receipt_id": make_payment().public_id, "reason": "fraudulent", "message": STORY}
    other = body | {"receipt_id": make_payment().public_id}
    headers = {"Authorization": f"Bearer {secret}", "Idempotency-Key": "order-1"}
    address = f"{live_server.url}/api/v1/resolution_center_cases"

    def send(number: int) -> httpx.Response:
        return httpx.post(address, json=body, headers=headers)

    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(send, range(8)))
    changed = httpx.post(address, json=other, headers=headers)
    again = httpx.post(address, json=dict(reversed(body.items())), headers=headers)

    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.content for answer in answers}) == 1
    assert sorted(a.headers.get("Idempotent-Replayed", "") for a in answers) == ["", *["true"] * 7]
    assert (changed.status_code, changed.json()["error"]["code"]) == (409, "idempotency_key_reused")
    assert again.content == answers[0].content
    assert (Case.objects.count(), Event.objects.count(), KeptAnswer.objects.count()) == (1, 1, 1)


def test_the_buyer_is_a_program_and_the_creator_sits_at_a_browser(
    program: MakeProgram, bea: User, cleo: User, staff: Actor, make_payment: MakePayment,
    client: Client,
) -> None:  # fmt: skip
    buyer = program(bea)
    client.force_login(cleo)
    made = buyer.call(
        "create", receipt_id=make_payment().public_id, reason="not_as_described", message=STORY
    )
    case = Case.objects.get(public_id=made.id)
    sweeps.advance([case.pk])

    def respond(action: str, message: str) -> int:
        case.refresh_from_db()
        page = f"/dash/resolution-center/cases/{case.public_id}/respond/"
        words = {"action": action, "do": action, f"{action}_message": message}
        return client.post(page, words | {"version": case.version}).status_code

    asked = respond("request_info", "Which files are empty?")
    seen = buyer.call("retrieve", id=made.id)
    question = buyer.pages("events", id=made.id)[0][0]
    replied = buyer.call("reply", id=made.id, message="All of them, from the first on.")
    denied = respond("deny", "They open for us.")
    appealed = buyer.call("appeal", id=made.id, message="They do not for me.")
    verdict = Verdict(Remedy.REFUND, 6400)
    cases.take_step(case, "decide", staff, message="They are empty.", verdict=verdict)
    page = client.get(f"/dash/resolution-center/cases/{made.id}/").content.decode()

    assert (asked, denied) == (302, 302)
    assert (seen.status, seen.available_actions) == ("awaiting_customer", ["reply", "withdraw"])
    assert (question.reporter_type, question.details) == ("merchant", "Which files are empty?")
    assert (replied.status, appealed.status) == ("awaiting_merchant", "under_review")
    assert "All of them, from the first on." in page
    assert "They do not for me." in page
    decided = buyer.call("retrieve", id=made.id)
    assert (decided.outcome, decided.refund, decided.available_actions) == (
        "customer_won", "merchant", [],
    )  # fmt: skip
    assert Refund.objects.get().state == "held"


def test_the_walk_in_the_documentation_can_be_walked(
    live_server: LiveServer, settings: Settings, bea: User, cleo: User, payment: Payment,
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    settings.SITE_URL = live_server.url
    monkeypatch.chdir(tmp_path)
    Path("folder.png").write_bytes(picture())
    [walk] = re.findall(r"```python\n(.*?)```", DOCUMENTATION.read_text(), re.DOTALL)
    for name, value in {
        "http://localhost:8000": live_server.url,
        "apik_buyer…": tokens.make(bea, "Walk", list(tokens.SCOPES))[1],
        "apik_merchant…": tokens.make(cleo, "Walk", list(tokens.SCOPES))[1],
        "pay_…": payment.public_id,
    }.items():
        assert walk.count(name) == 1
        walk = walk.replace(name, value)
    opening, rest = walk.split("# A moment later")
    names: dict[str, Any] = {}

    exec(opening, names)
    sweeps.advance([Case.objects.get().pk])
    exec(f"#{rest}", names)
    for program in (names["buyer"], names["merchant"]):
        program._client_wrapper.httpx_client.httpx_client.close()

    told = capsys.readouterr().out
    assert "under_review True" in told
    assert told.count("\n") == 9
    steps = Event.objects.values_list("step", flat=True)
    assert list(steps) == [
        "open_case", "notify_creator", "request_info", "reply", "deny", "appeal",
    ]  # fmt: skip
    assert Event.objects.get(step="reply").attachments.count() == 1
