"""Resolution center cases: to list and read them, and to act on them through the one door."""

from collections.abc import Sequence
from functools import reduce
from operator import or_
from typing import Annotated, Any, Literal

from django.conf import settings
from django.db.models import Count, Q
from django.utils.datastructures import MultiValueDict
from ninja import Query, Router, Schema
from ninja.responses import Status
from pydantic import BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

from api import attachments, tokens
from api.attachments import AttachmentIn
from api.auth import ApiRequest, Caller
from api.errors import ApiError, documented, not_found, refuse_form
from api.idempotency import idempotent
from api.paging import Order, PageInfo, QueryIn, Window, moment, number, page_of
from api.shapes import (
    EVENTS,
    OUTCOMES,
    READ_WITH,
    STATUSES,
    CaseOut,
    EventOut,
    OutcomeName,
    ReasonName,
    StatusName,
    actions_for,
    case_out,
    event_out,
    status_of,
)
from marketplace import clock
from payments.models import Payment
from resolution import cases
from resolution.eligibility import NotEligible
from resolution.forms.messages import MAX_MESSAGE, MessageForm
from resolution.forms.opening import FULL, PART, OpenCaseForm
from resolution.models import Case, CaseQuerySet, Event
from resolution.terms import Actor, Party, Reason, State

router = Router(tags=["Resolution center cases"])

# The steps that belong to one side; the other two are open to either.
SIDES = {
    "accept": Party.CREATOR,
    "deny": Party.CREATOR,
    "request_info": Party.CREATOR,
    "withdraw": Party.BUYER,
}
# Whop lets a merchant ask without a word; here every question has one.
QUESTION = "Please tell us more, so that we can look into this."
NAMES = {
    "message": "message",
    "description": "message",
    "reason": "reason",
    "amount": "amount",
    "files": "attachments",
    "uploads": "attachments",
}
"""What the fields of the forms are called here."""

OldestFirst = Literal["asc", "desc"]


def _timestamp(text: Any) -> str:
    try:
        return moment(text).isoformat()
    except ValueError as reason:
        raise PydanticCustomError("timestamp", "This is not an ISO 8601 timestamp") from reason


Timestamp = Annotated[
    str, BeforeValidator(_timestamp), Field(json_schema_extra={"format": "date-time"})
]


AccountId = Annotated[str, Field(pattern="^biz_[A-Za-z0-9]{1,34}$")]
UserId = Annotated[str, Field(pattern="^(user_[A-Za-z0-9]{1,34}|me)$")]
# An id in a path or a body that has another form is one that is not there.
PaymentId = Annotated[str, Field(json_schema_extra={"pattern": "^pay_[A-Za-z0-9]{1,34}$"})]
CaseId = Annotated[str, Field(json_schema_extra={"pattern": "^reso_[A-Za-z0-9]{14}$"})]


class CaseFilter(QueryIn):
    """Which cases. What is given more than once widens: `status=closed&status=under_review`."""

    account_id: AccountId | None = Field(None, description="Only cases against this account.")
    user_id: UserId | None = Field(None, description="Only cases this buyer opened; `me` is you.")
    status: list[StatusName] = Field([], description="Only cases in these statuses.")
    reason: list[ReasonName] = Field([], description="Only cases opened for these reasons.")
    outcome: list[OutcomeName] = Field([], description="Only cases that ended these ways.")
    created_before: Timestamp | None = Field(None, description="An ISO 8601 timestamp.")
    created_after: Timestamp | None = Field(None, description="An ISO 8601 timestamp.")

    def conditions(self, caller: Caller) -> Q:
        """The filter for the database."""
        wanted = Q()
        if self.account_id is not None:
            wanted &= Q(company__public_id=self.account_id)
        if self.user_id is not None:
            who = caller.user.public_id if self.user_id == "me" else self.user_id
            wanted &= Q(buyer__public_id=who)
        if self.status:
            wanted &= reduce(or_, (STATUSES[status] for status in self.status))
            if "closed" not in self.status:  # says nothing new, but there is an index for it
                wanted &= ~Q(state=State.CLOSED)
        if self.reason:
            wanted &= Q(reason__in=self.reason)
        if self.outcome:
            ours = [outcome for outcome, theirs in OUTCOMES.items() if theirs in self.outcome]
            wanted &= Q(outcome__in=ours)
        if self.created_before is not None:
            wanted &= Q(opened_at__lt=self.created_before)
        if self.created_after is not None:
            wanted &= Q(opened_at__gt=self.created_after)
        return wanted


class CaseListQuery(CaseFilter, Window):
    """Which cases, in which order, and which part of the list."""

    order: Literal["created_at", "response_due_at"] = "created_at"
    direction: OldestFirst = "desc"

    @property
    def sorted_by(self) -> Order:
        falls = self.direction == "desc"
        if self.order == "created_at":
            return Order("created_at", "opened_at", falls)
        return Order("response_due_at", "due_at", falls, nullable=True)


class SummaryQuery(CaseFilter):
    """Which cases to count, and by what."""

    groups: list[Literal["status", "reason", "outcome"]] = Field(
        [], description="Which breakdowns; all of them unless said."
    )


class CasePage(Schema):
    """A page of cases."""

    data: list[CaseOut]
    page_info: PageInfo


class EventPage(Schema):
    """A page of a timeline, newest first."""

    data: list[EventOut]
    page_info: PageInfo


class Summary(Schema):
    """How many cases there are, by the groups that were asked for."""

    groups: dict[str, dict[str, int]]
    total: int


class Strict(Schema):
    """A body that holds nothing but what is named, each of its own type."""

    model_config = ConfigDict(extra="forbid", strict=True)


def told(least: int, most: int) -> dict[str, Any]:
    """How long a message is and what it is made of, for the document. The forms see to it."""
    return {"minLength": least, "maxLength": most, "pattern": "^[^\\u0000]+$"}


Message = Annotated[str, Field(json_schema_extra=told(1, MAX_MESSAGE))]
Files = Annotated[list[AttachmentIn], Field(json_schema_extra={"maxItems": settings.MAX_FILES})]
Amount = Annotated[
    str | float,
    Field(
        json_schema_extra={
            "anyOf": [
                {"type": "number", "exclusiveMinimum": 0},
                {"type": "string", "pattern": r"^[0-9]{1,12}(\.[0-9]{1,3})?$"},
            ]
        }
    ),
]


class NewCaseIn(Strict):
    """A new case. `amount` is ours: part of the payment, in whole units; all of it unless given."""

    receipt_id: PaymentId = Field(description="The payment.")
    reason: ReasonName
    message: Message = Field(description="What happened.")
    attachments: Files | None = None
    amount: Amount | None = None


class WordsIn(Strict):
    """A message, and up to three files with it."""

    message: Message
    attachments: Files | None = None


class AcceptIn(Strict):
    """What may go with the money."""

    message: Message | None = None
    attachments: Files | None = None
    terminate_membership: bool | None = Field(
        default=None, description="End the buyer’s membership, too, and with it their access."
    )


class QuestionIn(Strict):
    """What the merchant wants to know."""

    message: Message | None = None
    attachments: Files | None = None


class NothingIn(Strict):
    """Nothing besides the call itself."""


CASE = {200: CaseOut, **documented(404, 409, 413, 415, 422)}
PAGE_ORDER = Order("event", "seq", read=number)


# ── Reading ───────────────────────────────────────────────────────────────────────────────────────


@router.get(
    "/resolution_center_cases",
    response={200: CasePage, **documented()},
    operation_id="list_resolution_center_cases",
)
def list_cases(request: ApiRequest, query: Query[CaseListQuery]) -> CasePage:
    """List the cases you opened and those against accounts you are a team member of."""
    caller = request.auth
    caller.needs(tokens.READ_CASES)
    wanted = query.conditions(caller)
    sides = [side.filter(wanted) for side in caller.lists()]
    rows = Case.objects.select_related(*READ_WITH)
    found, info = page_of(sides, rows, query.sorted_by, query)
    return CasePage(data=[_shown(caller, case) for case in found], page_info=info)


@router.get(
    "/resolution_center_cases/summary",
    response={200: Summary, **documented()},
    operation_id="summarize_resolution_center_cases",
)
def summary(request: ApiRequest, query: Query[SummaryQuery]) -> Summary:
    """Count the cases that the same filters list, by status, reason and outcome."""
    caller = request.auth
    caller.needs(tokens.READ_CASES)
    wanted = query.conditions(caller)
    counted: dict[str, dict[str, int]] = {
        "status": dict.fromkeys(STATUSES, 0),
        "reason": dict.fromkeys(Reason.values, 0),
        "outcome": dict.fromkeys(OUTCOMES.values(), 0),
    }
    total = 0
    for side in _disjoint(caller):
        rows = side.filter(wanted).order_by().values("state", "waiting_on", "reason", "outcome")
        for row in rows.annotate(number=Count("pk")):
            fields: dict[str, Any] = dict(row)
            number_of = fields.pop("number")
            total += number_of
            case = Case(**fields)
            counted["status"][status_of(case)] += number_of
            counted["reason"][case.reason] += number_of
            if case.outcome in OUTCOMES:
                counted["outcome"][OUTCOMES[case.outcome]] += number_of
    asked: list[str] = [*query.groups] or list(counted)
    return Summary(groups={name: counted[name] for name in counted if name in asked}, total=total)


def _disjoint(caller: Caller) -> list[CaseQuerySet]:
    """The caller's lists, with what somebody bought from their own company counted once."""
    lists = caller.lists()
    if caller.as_buyer() is None:
        return lists
    return [lists[0], *(side.exclude(buyer=caller.user) for side in lists[1:])]


@router.get(
    "/resolution_center_cases/{case_id}",
    response={200: CaseOut, **documented(404)},
    operation_id="retrieve_resolution_center_case",
)
def retrieve_case(request: ApiRequest, case_id: CaseId) -> CaseOut:
    """Retrieve a case."""
    caller = request.auth
    caller.needs(tokens.READ_CASES)
    return _shown(caller, _find(caller, case_id))


@router.get(
    "/resolution_center_cases/{case_id}/events",
    response={200: EventPage, **documented(404)},
    operation_id="list_resolution_center_case_events",
)
def list_events(request: ApiRequest, case_id: CaseId, query: Query[Window]) -> EventPage:
    """List a case's timeline, newest first."""
    caller = request.auth
    caller.needs(tokens.READ_CASES)
    case = _find(caller, case_id)
    seen = Event.objects.filter(case=case, staff_only=False, step__in=EVENTS)
    rows = Event.objects.prefetch_related("attachments")
    found, info = page_of([seen], rows, PAGE_ORDER, query)
    return EventPage(data=[_event_shown(caller, event) for event in found], page_info=info)


def _event_shown(caller: Caller, event: Event) -> EventOut:
    files = sorted(event.attachments.all(), key=lambda file: file.position or 0)
    return event_out(event, [attachments.attachment_out(file, caller.token) for file in files])


def _find(caller: Caller, public_id: str) -> Case:
    """The case, when the caller sees it; otherwise there is none."""
    first, *others = (side.filter(public_id=public_id).values("pk") for side in caller.lists())
    seen = first.union(*others)
    case = Case.objects.select_related(*READ_WITH).filter(pk__in=seen).first()
    if case is None:
        raise not_found("case", "id")
    return case


def _shown(caller: Caller, case: Case) -> CaseOut:
    return case_out(
        case,
        actions=actions_for(case, caller.actors_on(case), now=clock.now()),
        shows_email=caller.may(tokens.READ_EMAIL),
    )


# ── Acting ────────────────────────────────────────────────────────────────────────────────────────


@router.post(
    "/resolution_center_cases",
    response={201: CaseOut, **documented(404, 409, 413, 415, 422)},
    operation_id="create_resolution_center_case",
)
@idempotent
def create_case(request: ApiRequest, body: NewCaseIn) -> Status[CaseOut]:
    """Open a case, as the buyer, for one of your own payments."""
    caller = request.auth
    caller.needs(tokens.MANAGE_CASES)
    if caller.as_buyer() is None:
        raise ApiError(403, "not_allowed", "A company can’t open a case. Use a personal token.")
    payment = (
        Payment.objects.select_related("company", "product", "membership")
        .filter(buyer=caller.user, public_id=body.receipt_id)
        .first()
    )
    if payment is None:
        raise not_found("payment", "receipt_id")
    data: dict[str, list[str] | None] = {
        "reason": [body.reason],
        "ask": [FULL if body.amount is None else PART],
        "amount": ["" if body.amount is None else str(body.amount)],
        "description": [body.message],
        "uploads": attachments.uploads_of(caller, body.attachments or ()),
    }
    form = OpenCaseForm(MultiValueDict(data), payment=payment, user=caller.user, least=1)
    if not form.is_valid():
        raise refuse_form(form, NAMES)
    try:
        case = cases.open_case(
            payment,
            caller.user,
            reason=form.cleaned_data["reason"],
            message=form.cleaned_data["description"],
            asked_minor=form.cleaned_data["asked_minor"],
            files=form.files_to_send,
        )
    except NotEligible as reason:
        status = 409 if reason.code == "has_case" else 422
        raise ApiError(status, reason.code, reason.sentence, param="receipt_id") from reason
    except cases.StepRefused as refusal:
        raise ApiError(409, "conflict", str(refusal)) from refusal
    return Status(201, _shown(caller, _find(caller, case.public_id)))


@router.post(
    "/resolution_center_cases/{case_id}/accept",
    response=CASE,
    operation_id="accept_resolution_center_case",
)
@idempotent
def accept_case(request: ApiRequest, case_id: CaseId, body: AcceptIn | None = None) -> CaseOut:
    """Accept, as the merchant: the buyer gets back what they asked for."""
    body = body or AcceptIn()
    return _act(
        request,
        case_id,
        "accept",
        body.message or "",
        body.attachments,
        ends_membership=bool(body.terminate_membership),
    )


@router.post(
    "/resolution_center_cases/{case_id}/deny",
    response=CASE,
    operation_id="deny_resolution_center_case",
)
@idempotent
def deny_case(request: ApiRequest, case_id: CaseId, body: WordsIn) -> CaseOut:
    """Deny, as the merchant, and say why. The buyer may appeal."""
    return _act(request, case_id, "deny", body.message, body.attachments)


@router.post(
    "/resolution_center_cases/{case_id}/request_info",
    response=CASE,
    operation_id="request_info_resolution_center_case",
)
@idempotent
def request_info(request: ApiRequest, case_id: CaseId, body: QuestionIn | None = None) -> CaseOut:
    """Ask the buyer for more, as the merchant; at most three times a case."""
    body = body or QuestionIn()
    message = QUESTION if body.message is None else body.message
    return _act(request, case_id, "request_info", message, body.attachments)


@router.post(
    "/resolution_center_cases/{case_id}/reply",
    response=CASE,
    operation_id="reply_resolution_center_case",
)
@idempotent
def reply_to_case(request: ApiRequest, case_id: CaseId, body: WordsIn) -> CaseOut:
    """Answer, as the side that was asked."""
    return _act(request, case_id, "reply", body.message, body.attachments)


@router.post(
    "/resolution_center_cases/{case_id}/appeal",
    response=CASE,
    operation_id="appeal_resolution_center_case",
)
@idempotent
def appeal_case(request: ApiRequest, case_id: CaseId, body: WordsIn) -> CaseOut:
    """Appeal a decision, as a side that did not get all it asked for."""
    return _act(request, case_id, "appeal", body.message, body.attachments)


@router.post(
    "/resolution_center_cases/{case_id}/withdraw",
    response=CASE,
    operation_id="withdraw_resolution_center_case",
)
@idempotent
def withdraw_case(request: ApiRequest, case_id: CaseId, body: NothingIn | None = None) -> CaseOut:
    """Withdraw a case, as the buyer who opened it. That is final."""
    return _act(request, case_id, "withdraw", "", None)


def _act(
    request: ApiRequest,
    public_id: str,
    step: str,
    message: str,
    files: Sequence[AttachmentIn] | None,
    *,
    ends_membership: bool = False,
) -> CaseOut:
    """Check what was sent as the web's form does, knock at the door, and show the case after."""
    caller = request.auth
    caller.needs(tokens.MANAGE_CASES)
    case = _find(caller, public_id)
    actor = _actor_for(caller, case, step)
    uploads = attachments.uploads_of(caller, files or ())
    form = MessageForm(
        MultiValueDict({"message": [message], "uploads": uploads}),
        user=caller.user,
        message_required=step not in ("accept", "withdraw"),
    )
    if not form.is_valid():
        raise refuse_form(form, NAMES)
    try:
        cases.take_step(
            case,
            step,
            actor,
            message=form.cleaned_data["message"],
            files=form.files_to_send,
            ends_membership=ends_membership,
        )
    except cases.NotAllowed as refusal:
        raise ApiError(403, "not_allowed", str(refusal)) from refusal
    except cases.StepRefused as refusal:
        raise ApiError(409, "conflict", str(refusal)) from refusal
    return _shown(caller, _find(caller, public_id))


def _actor_for(caller: Caller, case: Case, step: str) -> Actor:
    """The capacity in which the step is theirs to take; of two, the one that it is open to."""
    side = SIDES.get(step)
    actors = [a for a in caller.actors_on(case) if side is None or a.party == side]
    if not actors:
        who = "merchant" if side == Party.CREATOR else "buyer"
        raise ApiError(403, "not_allowed", f"Only the {who} can do that.")
    now = clock.now()
    able = [actor for actor in actors if step in cases.steps_for(case, actor, now=now)]
    return (able or actors)[0]
