"""The decision page and its acts: what they do, who may not, and that no text is ever lost."""

from datetime import timedelta

import pytest
from django.test import Client

from marketplace.models import TeamMember, User
from notifications.models import Notification
from payments import credits
from payments.models import Payment, Refund
from resolution import cases, sweeps
from resolution.models import Case, Event
from resolution.terms import Actor
from tests.conftest import Later
from tests.staff.conftest import (
    QUEUE,
    WHY,
    LogIn,
    MakeWaiting,
    act_of,
    decision,
    now_at,
    page_of,
    steps,
    words_for,
)

ACTS = ("decide", "ask", "comment", "note", "retry", "credits", "paid")


# ── Deciding ──────────────────────────────────────────────────────────────────────────────────────


def test_a_refund_is_decided_with_its_reasons(at_sams: Client, sam: User, escalated: Case) -> None:
    sent = decision(escalated, amount="$32.00", note="Half the presets are there.")

    answer = at_sams.post(act_of(escalated, "decide"), sent)

    assert answer["Location"] == page_of(escalated)
    case = now_at(escalated)
    assert (case.state, case.remedy, case.remedy_minor, case.money, case.first_decider) == (
        "decided", "refund", 3200, "promised", sam,
    )  # fmt: skip
    told = case.events.get(step="decide")
    assert told.message == WHY
    assert told.data["looked_at"] == ["The payment", "The product’s page"]
    note = case.events.get(step="note")
    assert (note.message, note.staff_only, note.actor) == (
        "Half the presets are there.", True, sam,
    )  # fmt: skip
    assert list(Refund.objects.values_list("amount_minor", "state")) == [(3200, "held")]


def test_credits_are_decided(at_sams: Client, escalated: Case) -> None:
    at_sams.post(
        act_of(escalated, "decide"),
        decision(escalated, outcome="credit", credits="10", amount="", do="credit"),
    )

    case = now_at(escalated)
    assert (case.remedy, case.remedy_minor) == ("credit", 1000)
    assert not Refund.objects.exists()
    assert "note" not in steps(case)


def test_no_refund_is_decided_whatever_stands_in_the_other_fields(
    at_sams: Client, escalated: Case
) -> None:
    at_sams.post(
        act_of(escalated, "decide"),
        decision(escalated, outcome="none", amount="a lot", do="none", looked_at=[]),
    )

    case = now_at(escalated)
    assert (case.remedy, case.remedy_minor, case.outcome) == ("none", 0, "creator_won")


def test_a_decision_sent_twice_counts_once(at_sams: Client, escalated: Case) -> None:
    sent = decision(escalated, note="Once.")

    answers = [at_sams.post(act_of(escalated, "decide"), sent) for _ in range(2)]

    assert [answer["Location"] for answer in answers] == [page_of(escalated)] * 2
    assert steps(escalated)[-2:] == ["decide", "note"]
    assert Refund.objects.count() == 1


def test_a_late_decision_gets_a_page_that_says_what_is_so_now(
    at_sams: Client, at_adas: Client, escalated: Case
) -> None:
    late = decision(escalated, why="I would have given half.", note="A note as well.")
    at_adas.post(act_of(escalated, "decide"), decision(escalated))

    answer = at_sams.post(act_of(escalated, "decide"), late)

    assert answer.status_code == 409
    assert dict(answer.context["kept"]) == {
        "Amount": "64.00", "Why": "I would have given half.", "Internal note": "A note as well.",
    }  # fmt: skip
    assert answer.context["reason"].startswith("Ada Moss took a step in the meantime: “Decide”, ")
    assert steps(escalated).count("decide") == 1


def test_a_withdrawn_case_refuses_a_decision_kindly(
    at_sams: Client, escalated: Case, buyer: Actor
) -> None:
    late = decision(escalated)
    cases.take_step(escalated, "withdraw", buyer)

    answer = at_sams.post(act_of(escalated, "decide"), late)

    assert (answer.status_code, now_at(escalated).state) == (409, "closed")
    assert WHY in answer.content.decode()


@pytest.mark.parametrize(
    ("changes", "field", "sentence"),
    [
        ({"outcome": ""}, "outcome", "Choose an outcome."),
        ({"outcome": "all"}, "outcome",
         "Select a valid choice. all is not one of the available choices."),
        ({"why": " \u200b "}, "why", "Say why. Both sides read it."),
        ({"amount": ""}, "amount", "Enter an amount above zero and up to $64.00, in figures only."),
        ({"amount": "64.01"}, "amount", "That is more than can be given. Enter up to $64.00."),
        ({"amount": "0"}, "amount", "Enter an amount above zero and up to $64.00."),
        ({"amount": "NaN"}, "amount",
         "Enter an amount above zero and up to $64.00, in figures only."),
        ({"outcome": "credit", "do": "credit", "credits": "-1"}, "credits",
         "Enter an amount above zero and up to $64.00, in figures only."),
        ({"do": "none"}, "outcome", "The button did not match the outcome. Choose once more."),
        ({"shown_amount": "3200"}, "amount",
         "You changed the amount to $64.00. Look at what it means once more."),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_and_what_was_typed_is_kept(
    at_sams: Client, escalated: Case, changes: dict[str, str], field: str, sentence: str
) -> None:
    sent = decision(escalated, note="Keep me.") | changes

    answer = at_sams.post(act_of(escalated, "decide"), sent)

    assert answer.status_code == 422
    form = answer.context["refused"]
    assert form.errors == {field: [sentence]}
    assert {name: form[name].value() for name in ("why", "amount", "note", "looked_at")} == {
        name: sent[name] for name in ("why", "amount", "note", "looked_at")
    }
    assert str(form["form_key"].value()) == sent["form_key"]
    assert "<title>Error: " in answer.content.decode()
    assert now_at(escalated).version == escalated.version


def test_a_form_without_its_marks_is_refused(at_sams: Client, escalated: Case) -> None:
    answer = at_sams.post(act_of(escalated, "decide"), {"outcome": "none", "why": WHY})

    assert (answer.status_code, now_at(escalated).state) == (422, "escalated")


def test_nothing_is_chosen_beforehand(at_sams: Client, escalated: Case) -> None:
    page = at_sams.get(page_of(escalated))

    assert page.status_code == 200
    form = page.context["decision"]["form"]
    assert [form[name].value() for name in ("outcome", "amount", "looked_at", "why")] == [None] * 4
    assert " checked" not in page.content.decode()


def test_half_and_all_fill_the_amount_and_keep_the_rest(at_sams: Client, escalated: Case) -> None:
    sent = decision(escalated, amount="", note="Mine.")
    del sent["do"]

    pages = [
        at_sams.post(act_of(escalated, "decide"), sent | {"fill": fill}) for fill in ("half", "all")
    ]

    forms = [page.context["decision"]["form"] for page in pages]
    assert [form["amount"].value() for form in forms] == ["32.00", "64.00"]
    assert {form["why"].value() for form in forms} == {WHY}
    assert pages[0].context["decision"]["consequences"][0] == (
        "refund",
        [("Bea, Visa ending 4242", "+$32.00"), ("Loop & Lens", "−$32.00"), ("Whop", "$0.00")],
        "Refund $32.00 and tell both",
    )
    assert now_at(escalated).state == "escalated"


def test_a_sum_that_its_provider_cannot_pay_back_is_refused_and_half_is_one_that_it_can(
    at_sams: Client, make_waiting: MakeWaiting
) -> None:
    dinars = make_waiting(currency="KWD", amount_minor=6430)
    sent = decision(dinars, amount="4.505")

    refused = at_sams.post(act_of(dinars, "decide"), sent)
    half = at_sams.post(act_of(dinars, "decide"), sent | {"do": "", "fill": "half"})

    assert refused.context["decision"]["form"].errors == {
        "amount": ["It can’t be paid back to the last digit. Enter KWD\xa04.500 or KWD\xa04.510."]
    }
    assert half.context["decision"]["form"]["amount"].value() == "3.210"
    assert now_at(dinars).state == "escalated"


def test_the_preview_is_what_both_sides_read_later(
    at_sams: Client, escalated: Case, buyer: Actor
) -> None:
    sent = decision(escalated, do="preview")

    previews = at_sams.post(act_of(escalated, "decide"), sent).context["previews"]

    assert now_at(escalated).state == "escalated"
    assert [(side, read["title"], read["why"], read["looked_at"]) for side, read in previews] == [
        (side, "Decision: refund $64.00", WHY, sent["looked_at"])
        for side in (escalated.buyer.name, escalated.company.name)
    ]
    assert [read["next"].split(" back ")[0] for _, read in previews] == [
        f"$64.00 goes from {escalated.company.name}’s balance",
        "$64.00 goes from your balance",
    ]


def test_a_preview_of_nothing_says_what_is_missing(at_sams: Client, escalated: Case) -> None:
    answer = at_sams.post(act_of(escalated, "decide"), decision(escalated, do="preview", why=""))

    assert (answer.status_code, answer.context["previews"]) == (422, ())


# ── Who may not ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("act", ACTS)
def test_buyers_and_creators_are_sent_to_the_login_by_every_act(
    bea: User, cleo: User, as_user: LogIn, escalated: Case, act: str
) -> None:
    address = act_of(escalated, act)

    answers = [as_user(person).post(address, decision(escalated)) for person in (bea, cleo)]

    assert [answer["Location"] for answer in answers] == [f"/admin/login/?next={address}"] * 2
    assert now_at(escalated).version == escalated.version


def test_an_agent_over_the_limit_reads_who_can(
    at_abes: Client, sam: User, ada: User, make_waiting: MakeWaiting
) -> None:
    case = make_waiting(amount_minor=30_000)

    page = at_abes.get(page_of(case))
    answer = at_abes.post(act_of(case, "decide"), decision(case, amount="10"))

    sentence = (
        "You decide cases of up to $250.00, and this one asks for $300.00. "
        "Ada Moss or Sam Reyes can."
    )
    assert (page.context["decision"]["decides"], page.context["why_not"]) == (False, sentence)
    assert (answer.status_code, answer.context["reason"]) == (403, sentence)
    assert dict(answer.context["kept"])["Why"] == WHY
    assert now_at(case).state == "escalated"


def test_an_agent_decides_on_a_small_sum(at_abes: Client, escalated: Case) -> None:
    at_abes.post(act_of(escalated, "decide"), decision(escalated))

    assert now_at(escalated).state == "decided"


def test_whoever_decided_first_does_not_review_it(
    at_sams: Client, at_adas: Client, appealed: Case
) -> None:
    page = at_sams.get(page_of(appealed))
    refused = at_sams.post(act_of(appealed, "decide"), decision(appealed))
    at_adas.post(act_of(appealed, "decide"), decision(appealed))

    assert page.context["why_not"] == (
        "You decided this case first, so somebody else does the final review. Ada Moss can."
    )
    assert refused.status_code == 403
    case = now_at(appealed)
    assert (case.state, case.final, case.money) == ("decided", True, "requested")
    assert steps(case)[-1] == "decide_final"


def test_a_sole_reviewer_says_why_and_it_is_recorded(at_sams: Client, appealed: Case) -> None:
    silent = at_sams.post(act_of(appealed, "decide"), decision(appealed))
    at_sams.post(
        act_of(appealed, "decide"),
        decision(appealed, alone_because="Nobody else works here.", note="And a note."),
    )

    assert (silent.status_code, silent.context["refused"].errors) == (
        422, {"alone_because": ["Say why nobody else reviews this case."]},
    )  # fmt: skip
    assert steps(appealed)[-2:] == ["decide_final_alone", "note"]
    events = appealed.events
    assert events.get(step="decide_final_alone").data["alone_because"] == "Nobody else works here."
    assert (
        events.get(step="note").message == "Decided alone: Nobody else works here.\n\nAnd a note."
    )


def test_a_party_to_the_case_sees_the_reason_and_no_forms(
    at_sams: Client, sam: User, escalated: Case, other_staff: Actor
) -> None:
    TeamMember.objects.create(company=escalated.company, user=sam, role="viewer")
    cases.take_step(escalated, "note", other_staff, message="Sam must not read this.")
    before = Event.objects.count()

    page = at_sams.get(page_of(escalated))
    answers = [at_sams.post(act_of(escalated, act), decision(escalated)) for act in ACTS]
    assign = at_sams.post(f"{QUEUE}{escalated.public_id}/assign/", {"seen": 0})

    assert set(page.context["forms"].values()) == {None}
    assert "You are a party to this case" in page.content.decode()
    assert "Sam must not read this." not in page.content.decode()
    assert [answer.status_code for answer in [*answers, assign]] == [403] * 8
    assert Event.objects.count() == before
    assert now_at(escalated).assigned_to is None


def test_nobody_decides_while_the_bank_looks_into_it(
    at_sams: Client, escalated: Case, payment: Payment
) -> None:
    from resolution.terms import SYSTEM

    cases.take_step(escalated, "freeze", SYSTEM)

    page = at_sams.get(page_of(escalated))
    answer = at_sams.post(act_of(escalated, "decide"), decision(escalated))

    assert page.context["decision"] is None
    assert page.context["why_not"].startswith("The buyer’s bank is looking into this payment.")
    assert answer.status_code == 403


# ── The other acts ────────────────────────────────────────────────────────────────────────────────


def test_a_side_is_asked(at_sams: Client, escalated: Case) -> None:
    at_sams.post(
        act_of(escalated, "ask"), words_for(escalated, asks="buyer", message="Which are the same?")
    )

    page = at_sams.get(page_of(escalated))
    case = now_at(escalated)
    assert page.context["decision"]["waits_for"].startswith("Bea Lind has until ")
    assert (case.state, case.waiting_on, case.events.last().message) == (  # type: ignore[union-attr]
        "escalated", "buyer", "Which are the same?",
    )  # fmt: skip


@pytest.mark.parametrize("fields", [{"asks": "nobody"}, {"asks": "buyer", "message": ""}, {}])
def test_a_question_to_nobody_or_of_nothing_is_refused(
    at_sams: Client, escalated: Case, fields: dict[str, str]
) -> None:
    sent = words_for(escalated, message="Which?") | fields

    answer = at_sams.post(act_of(escalated, "ask"), sent)

    assert answer.status_code == 422
    assert answer.context["forms"]["ask"]["message"].value() == sent["message"]
    assert now_at(escalated).waiting_on == "staff"


def test_a_comment_reaches_both_sides_and_a_note_nobody(
    at_sams: Client, escalated: Case, bea: User, cleo: User
) -> None:
    at_sams.post(act_of(escalated, "comment"), words_for(escalated, message="We are on it."))
    at_sams.post(act_of(escalated, "note"), words_for(escalated, message="Looks right."))

    assert steps(escalated)[-2:] == ["comment", "note"]
    told = Notification.objects.filter(kind__in=["comment", "note"])
    assert sorted(told.values_list("kind", "recipient_id")) == sorted(
        [("comment", bea.pk), ("comment", cleo.pk)]
    )


def test_a_note_can_still_be_written_on_a_closed_case(
    at_sams: Client, escalated: Case, buyer: Actor
) -> None:
    cases.take_step(escalated, "withdraw", buyer)

    at_sams.post(act_of(escalated, "note"), words_for(escalated, message="For the record."))
    answer = at_sams.post(act_of(escalated, "comment"), words_for(escalated, message="Hello?"))

    assert steps(escalated)[-1] == "note"
    assert (answer.status_code, dict(answer.context["kept"])) == (
        403, {"Message to both sides": "Hello?"},
    )  # fmt: skip


# ── A refund that failed ──────────────────────────────────────────────────────────────────────────


def test_a_failed_refund_is_sent_once_more(at_sams: Client, failed: Case) -> None:
    sent = words_for(failed)
    for _ in range(2):
        at_sams.post(act_of(failed, "retry"), sent)

    assert now_at(failed).money == "requested"
    assert list(Refund.objects.order_by("pk").values_list("amount_minor", "state")) == [
        (6400, "failed"), (6400, "pending"),
    ]  # fmt: skip


def test_credits_are_given_instead(at_sams: Client, failed: Case, bea: User) -> None:
    silent = at_sams.post(act_of(failed, "credits"), words_for(failed, message=" "))
    at_sams.post(act_of(failed, "credits"), words_for(failed, message="Your card has expired."))

    assert silent.status_code == 422
    assert credits.balances(bea) == [("USD", 6400)]
    assert now_at(failed).money == "arrived"


def test_a_refund_is_marked_as_paid_by_hand(at_sams: Client, failed: Case) -> None:
    bare = at_sams.post(act_of(failed, "paid"), words_for(failed, message="By bank transfer."))
    at_sams.post(
        act_of(failed, "paid"),
        words_for(failed, message="By bank transfer.", reference="SEPA 4711"),
    )

    assert bare.context["refused"].errors == {"reference": ["Note the reference of the transfer."]}
    case = now_at(failed)
    assert (case.money, case.events.get(step="mark_paid").data["reference"]) == (
        "by_hand", "SEPA 4711",
    )  # fmt: skip


def test_only_finance_sees_to_a_failed_refund(at_abes: Client, failed: Case, sam: User) -> None:
    page = at_abes.get(page_of(failed))
    answers = [
        at_abes.post(act_of(failed, act), words_for(failed, message="x", reference="x"))
        for act in ("retry", "credits", "paid")
    ]

    assert page.context["money"]["finance"] == "Finance sees to it: Sam Reyes."
    assert [answer.status_code for answer in answers] == [403] * 3
    assert now_at(failed).version == failed.version


# ── The page ──────────────────────────────────────────────────────────────────────────────────────


def test_the_page_holds_both_claims_and_our_records(at_sams: Client, appealed: Case) -> None:
    context = at_sams.get(page_of(appealed)).context

    assert [(claim.title, claim.said) for claim in context["claims"]] == [
        ("Bea says", [
            ("", "It is not what the page says.", True), ("Appeal", "Count them.", False),
            ("Appeal", "Six of them are the same.", False),
        ]),
        ("Loop & Lens says", [("", "It is as the page says.", True)]),
    ]  # fmt: skip
    assert [fact.name for fact in context["facts"]] == [
        "Asked for", "Payment", "Given back so far", "Chargeback", "Product", "Membership",
        "Buyer", "Creator", "Decided so far",
    ]  # fmt: skip


def test_similar_cases_are_counted_by_how_they_ended(
    at_sams: Client, make_waiting: MakeWaiting, other_staff: Actor, later: Later
) -> None:
    from resolution.terms import Remedy, Verdict

    for verdict in (Verdict(Remedy.NONE), Verdict(Remedy.NONE), Verdict(Remedy.CREDIT, 6400)):
        cases.take_step(make_waiting(), "decide", other_staff, message="Seen.", verdict=verdict)
    make_waiting(amount_minor=900)
    later(timedelta(days=8))
    sweeps.sweep()
    case = make_waiting()

    similar = at_sams.get(page_of(case)).context["similar"]

    assert similar.bars == [("No refund", 2, 67), ("Whop Credits", 1, 33)]
    assert similar.like == "Product not as described, one-time purchases, $50 to $250"
    assert [why for _, why, _ in similar.closest] == ["Seen."] * 3


def test_the_page_takes_as_many_queries_however_long_the_timeline(
    at_sams: Client, escalated: Case, staff: Actor, django_assert_num_queries: object
) -> None:
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    at_sams.get(page_of(escalated))  # the first look is noted once
    with CaptureQueriesContext(connection) as short:
        at_sams.get(page_of(escalated))
    for number in range(20):
        cases.take_step(escalated, "comment", staff, message=f"Message {number}.")
    with CaptureQueriesContext(connection) as long:
        at_sams.get(page_of(escalated))

    assert len(long) == len(short)


def test_a_strange_address_is_not_found(at_sams: Client, escalated: Case) -> None:
    addresses = [
        f"{QUEUE}reso_nothing/change/", f"{QUEUE}{escalated.pk}/change/",
        f"{QUEUE}{escalated.public_id}/reopen/", f"{QUEUE}add/",
    ]  # fmt: skip

    assert [at_sams.get(address).status_code for address in addresses] == [404] * 4


def test_an_act_that_is_opened_leads_to_its_page(at_sams: Client, escalated: Case) -> None:
    assert at_sams.get(act_of(escalated, "decide"))["Location"] == page_of(escalated)


def test_the_texts_of_others_stay_text(
    at_sams: Client, escalated: Case, buyer: Actor, payment: Payment
) -> None:
    cases.take_step(escalated, "comment", buyer, message="<script>alert(1)</script>{{ 7*7 }}")
    User.objects.filter(pk=payment.buyer_id).update(name="<b>Bea</b>")

    page = at_sams.get(page_of(escalated)).content.decode()

    assert "<script>alert" not in page
    assert "<b>Bea</b>" not in page
    assert "{{ 7*7 }}" in page
    assert "style=" not in page.split("<main", 1)[-1]


def test_an_unknown_key_is_no_key(at_sams: Client, escalated: Case) -> None:
    answer = at_sams.post(
        act_of(escalated, "note"), words_for(escalated, message="Hi.", form_key="not-a-key")
    )

    assert answer.status_code == 422
    assert "note" not in steps(escalated)
