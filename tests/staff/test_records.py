"""The rest of the administration: what can be looked at, by whom, and nothing edited raw."""

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from django.contrib import admin
from django.core import mail
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from api import ingest
from api.models import FedRecord
from marketplace.models import Company, Product, TeamMember, User
from notifications import outbox
from notifications.models import Notification, Preferences, WebhookDelivery, WebhookEndpoint
from payments import credits as ledger
from payments.models import Discrepancy, Payment, ProviderEvent, Refund
from resolution import cases, messages
from resolution.models import Case, Erasure, Event, Reading, Rule
from resolution.terms import Actor
from tests.people import MakePayment, make_user
from tests.staff.conftest import QUEUE, LogIn, page_of

LISTS = sorted(
    f"{model._meta.app_label}_{model._meta.model_name}" for model in admin.site._registry
)


def at(name: str, *args: object) -> str:
    return reverse(f"admin:{name}", args=args)


@pytest.fixture
def at_roots(db: None, as_user: LogIn) -> Client:
    return as_user(User.objects.create_superuser("root@example.com", "a long secret"))


def test_what_is_registered_is_known() -> None:
    assert LISTS == [
        "api_fedrecord", "marketplace_company", "marketplace_membership", "marketplace_product",
        "marketplace_user", "notifications_notification", "notifications_preferences",
        "notifications_webhookdelivery", "notifications_webhookendpoint",
        "payments_creditaccount", "payments_creditadjustment", "payments_credittransfer",
        "payments_discrepancy", "payments_payment", "payments_providerevent", "payments_refund",
        "resolution_case", "resolution_erasure", "resolution_reading", "resolution_rule",
    ]  # fmt: skip


@pytest.mark.parametrize("name", LISTS)
def test_every_list_is_for_staff_alone(
    at_abes: Client, bea: User, cleo: User, as_user: LogIn, failed: Case, name: str
) -> None:
    address = at(f"{name}_changelist")

    assert at_abes.get(address).status_code == 200
    assert at_abes.get(address, {"q": "zzz"}).status_code == 200
    for person in (bea, cleo):
        assert as_user(person).get(address)["Location"] == f"/admin/login/?next={address}"


STOCK = [name for name in LISTS if name != "resolution_case"]


@pytest.mark.parametrize("name", STOCK)
def test_every_row_can_be_looked_at(
    at_abes: Client, at_sams: Client, at_roots: Client, failed: Case, staff: Actor, name: str
) -> None:
    Rule.objects.create(
        company=failed.company, name="All", position=1, reasons=["fraudulent"], message="Sorry."
    )
    cases.take_step(failed, "credit_instead", staff, message="The card has expired.")
    Discrepancy.objects.create(payment=failed.payment, kind="missing", detail="Not listed.")
    ProviderEvent.objects.create(provider="stripe", event_id="evt_1", type="refund.updated")
    assert staff.user
    ledger.adjust(failed.buyer, "USD", 100, reason="So.", by=staff.user, form_key=uuid4())
    Preferences.objects.create(user=failed.buyer)
    Reading.objects.create(reader=staff.user, case=failed, what="page")
    Erasure.objects.create(person=staff.user, reason="They asked.", words_too=False)
    now = timezone.now()
    endpoint = WebhookEndpoint.objects.create(
        company=failed.company, url="https://shop.example/", events=["refund.created"]
    )
    WebhookDelivery.objects.create(
        endpoint=endpoint, key="k", type="refund.created", about="revt_1", resource="rfnd_1",
        thread="rfnd_1", happened_at=now,
    )  # fmt: skip
    FedRecord.objects.create(kind="user", record_id="user_1", updated_at=now, payload={"a": 1})
    row = row_of(name)
    assert row

    answers = [client.get(at(f"{name}_change", row.pk)) for client in (at_abes, at_sams, at_roots)]

    assert [answer.status_code for answer in answers] == [200, 200, 200]


def row_of(name: str) -> Any:
    model: Any = next(
        m for m in admin.site._registry if m._meta.label_lower == name.replace("_", ".")
    )
    return model.objects.order_by("pk").first()


@pytest.mark.parametrize("name", STOCK)
def test_nothing_is_added_changed_or_deleted_by_the_stock_addresses(
    at_abes: Client, failed: Case, name: str
) -> None:
    row = row_of(name)
    rows = (type(row) if row else Rule).objects.order_by("pk")
    before, pk = list(rows.values()), row.pk if row else 1

    answers = [
        at_abes.post(at(f"{name}_add"), {"name": "x", "_save": "1"}),
        at_abes.post(at(f"{name}_change", pk), {"name": "x", "state": "closed", "_save": "1"}),
        at_abes.post(at(f"{name}_delete", pk), {"post": "yes"}),
        at_abes.post(
            at(f"{name}_changelist"),
            {"action": "delete_selected", "_selected_action": [pk], "post": "yes"},
        ),
    ]

    assert 500 not in [answer.status_code for answer in answers]
    assert list(rows.values()) == before


def test_a_case_is_not_edited_even_by_a_superuser(at_roots: Client, escalated: Case) -> None:
    before = (list(Case.objects.values()), Event.objects.count())

    codes = [
        at_roots.post(page_of(escalated), {"state": "closed", "final": "on"}).status_code,
        at_roots.post(QUEUE, {"action": "delete_selected", "_selected_action": [escalated.pk]})
        .status_code,
        at_roots.post(f"{QUEUE}{escalated.pk}/delete/", {"post": "yes"}).status_code,
        at_roots.post(f"{QUEUE}add/", {}).status_code,
    ]  # fmt: skip

    assert codes == [405, 405, 404, 404]
    assert (list(Case.objects.values()), Event.objects.count()) == before


def test_money_is_not_edited_by_a_superuser(at_roots: Client, failed: Case) -> None:
    before = list(Refund.objects.values()) + list(Payment.objects.values())

    codes = [
        at_roots.post(at("payments_refund_change", failed.refund_id), {"state": "succeeded"}),
        at_roots.post(at("payments_payment_change", failed.payment_id), {"refunded_minor": "0"}),
    ]

    assert [answer.status_code for answer in codes] == [403, 403]
    assert list(Refund.objects.values()) + list(Payment.objects.values()) == before


# ── Finding ───────────────────────────────────────────────────────────────────────────────────────


Terms = list[tuple[str, Callable[[Case], str]]]
TERMS: Terms = [
    ("payments_payment", lambda case: case.payment.public_id),
    ("payments_payment", lambda case: case.payment.charge_id),
    ("payments_payment", lambda case: case.buyer.email.upper()),
    ("payments_payment", lambda case: case.company.public_id),
    ("payments_refund", lambda case: case.payment.public_id),
    ("payments_refund", lambda case: case.buyer.public_id),
    ("marketplace_user", lambda case: case.buyer.email),
    ("marketplace_user", lambda case: "bea l"),
    ("marketplace_company", lambda case: "loop"),
    ("marketplace_product", lambda case: case.company.public_id),
    ("marketplace_membership", lambda case: case.buyer.email),
]


@pytest.mark.parametrize(("name", "term"), TERMS)
def test_rows_are_found_by_what_people_have_at_hand(
    at_abes: Client, failed: Case, name: str, term: Callable[[Case], str]
) -> None:
    found = at_abes.get(at(f"{name}_changelist"), {"q": term(failed)}).context["cl"]

    assert [row.public_id for row in found.result_list] == [
        {
            "payments_payment": failed.payment.public_id,
            "payments_refund": getattr(failed.refund, "public_id", ""),
            "marketplace_user": failed.buyer.public_id,
            "marketplace_company": failed.company.public_id,
            "marketplace_product": failed.product.public_id,
            "marketplace_membership": getattr(failed.payment.membership, "public_id", ""),
        }[name]
    ]


def test_a_payment_leads_to_its_case(at_abes: Client, failed: Case) -> None:
    page = at_abes.get(at("payments_payment_change", failed.payment_id)).content.decode()

    assert f'href="{QUEUE}?q={failed.payment.public_id}"' in page
    assert failed.refund
    assert failed.refund.public_id in page


@pytest.mark.parametrize("count", [3, 30])
def test_the_list_of_payments_takes_four_queries_however_long(
    at_abes: Client, make_payment: MakePayment, count: int
) -> None:
    for _ in range(count):
        make_payment()

    with CaptureQueriesContext(connection) as queries:
        at_abes.get(at("payments_payment_changelist"))

    assert len(queries) == 4  # session, user, a count that stops early, rows


# ── People and teams ──────────────────────────────────────────────────────────────────────────────


def person(user: User, **changes: str) -> dict[str, str]:
    return {
        "name": user.name, "email": user.email, "time_zone": "UTC", "is_active": "on",
        "team_places-TOTAL_FORMS": "0", "team_places-INITIAL_FORMS": "0", "_save": "Save",
    } | changes  # fmt: skip


def test_finance_corrects_a_buyer_and_no_colleague(
    at_sams: Client, at_abes: Client, bea: User, ada: User
) -> None:
    change = {"name": "New Name", "is_staff": "on", "is_superuser": "on", "staff_role": "finance"}

    codes = [
        at_sams.post(at("marketplace_user_change", bea.pk), person(bea, **change)).status_code,
        at_sams.post(at("marketplace_user_change", ada.pk), person(ada, **change)).status_code,
        at_abes.post(at("marketplace_user_change", bea.pk), person(bea, name="No")).status_code,
        at_sams.post(at("marketplace_user_add"), person(bea, email="new@example.com")).status_code,
    ]

    assert codes == [302, 403, 403, 403]
    bea.refresh_from_db()
    ada.refresh_from_db()
    assert (bea.name, bea.is_staff, bea.is_superuser, bea.staff_role) == (
        "New Name", False, False, "",
    )  # fmt: skip
    assert (ada.name, ada.is_superuser) == ("Ada Moss", False)


def test_a_superuser_takes_somebody_on_who_sets_their_own_password(at_roots: Client) -> None:
    sent = {
        "name": "Ida Berg", "email": "Ida@Example.com", "time_zone": "UTC", "is_active": "on",
        "is_staff": "on", "staff_role": "agent", "_save": "Save",
        "team_places-TOTAL_FORMS": "0", "team_places-INITIAL_FORMS": "0",
    }  # fmt: skip

    answer = at_roots.post(at("marketplace_user_add"), sent)
    at_roots.post(reverse("password_reset"), {"email": "ida@example.com"})
    outbox.deliver(messages.compose)

    assert answer.status_code == 302
    ida = User.objects.get(email="ida@example.com")
    assert (ida.name, ida.staff_role, ida.is_superuser) == ("Ida Berg", "agent", False)
    assert [message.to for message in mail.outbox] == [["ida@example.com"]]


def test_a_team_is_changed_and_keeps_an_owner(
    at_sams: Client, company: Company, cleo: User, product: Product
) -> None:
    place = TeamMember.objects.get(company=company)
    new = make_user("Ola Nord")
    sent = {
        "name": company.name, "_save": "Save", "members-TOTAL_FORMS": "2",
        "members-INITIAL_FORMS": "1", "members-0-id": place.pk, "members-0-company": company.pk,
        "members-0-user": cleo.pk, "members-0-role": "owner", "members-1-company": company.pk,
        "members-1-user": new.pk, "members-1-role": "support",
    }  # fmt: skip

    refused = at_sams.post(
        at("marketplace_company_change", company.pk), sent | {"members-0-role": "viewer"}
    )
    at_sams.post(at("marketplace_company_change", company.pk), sent)

    assert "A company needs an owner." in refused.content.decode()
    assert sorted(company.members.values_list("user", "role")) == sorted(
        [(cleo.pk, "owner"), (new.pk, "support")]
    )


# ── Messages ──────────────────────────────────────────────────────────────────────────────────────


def test_a_message_that_was_given_up_is_sent_again(at_abes: Client, waiting_case: Case) -> None:
    message = Notification.objects.earliest("pk")
    Notification.objects.filter(pk=message.pk).update(state="dead", attempts=12, error="550")
    address = at("notifications_notification_send_again", message.pk)

    listed = at_abes.get(at("notifications_notification_changelist"), {"state": "dead"})
    page = at_abes.get(at("notifications_notification_change", message.pk)).content.decode()
    said = [
        [str(m) for m in at_abes.post(address, follow=True).context["messages"]] for _ in range(2)
    ]

    assert [row.pk for row in listed.context["cl"].result_list] == [message.pk]
    assert f'action="{address}"' in page
    assert said == [
        ["It leaves again within a minute."],
        ["This message was not given up, so nothing was done."],
    ]
    message.refresh_from_db()
    assert (message.state, message.attempts) == ("pending", 0)


def test_looking_sends_nothing_again(at_abes: Client, bea: User, as_user: LogIn) -> None:
    message = Notification.objects.create(
        key="k", recipient=bea, kind="comment", about="revt_1", thread="reso_1", state="dead"
    )
    address = at("notifications_notification_send_again", message.pk)

    at_abes.get(address)
    as_user(bea).post(address)

    message.refresh_from_db()
    assert message.state == "dead"


# ── The index ─────────────────────────────────────────────────────────────────────────────────────


def test_the_index_shows_cases_first(at_abes: Client) -> None:
    page = at_abes.get("/admin/").content.decode()

    places = [page.index(f"/admin/{part}/") for part in ("resolution/case", "marketplace/user")]
    assert places == sorted(places)
    assert "/admin/auth/" not in page


# ── What the marketplace told us ──────────────────────────────────────────────────────────────────


def test_a_record_that_waits_is_found_and_tried_once_more(
    at_abes: Client, company: Company
) -> None:
    record = {"type": "product", "id": "prod_9", "account_id": "biz_9", "title": "Nine",
              "price": "9.00", "currency": "usd", "interval": "once",
              "updated_at": "2026-01-01T00:00:00Z"}  # fmt: skip
    ingest.take_in([record, {**record, "id": "prod_8", "account_id": company.public_id}])
    waiting = FedRecord.objects.get(record_id="prod_9")
    again = at("api_fedrecord_try_again", waiting.pk)
    listed = [
        [row.record_id for row in at_abes.get(at("api_fedrecord_changelist"), query).context["cl"]
         .result_list]
        for query in ({"standing": "waiting"}, {"standing": "refused"}, {"q": "prod_8"})
    ]  # fmt: skip

    early = at_abes.post(again, follow=True).content.decode()
    Company.objects.filter(pk=company.pk).update(public_id="biz_9")
    late = at_abes.post(again, follow=True).content.decode()

    assert listed == [["prod_9"], [], ["prod_8"]]
    assert "It still waits for another record." in early
    assert "It is applied." in late
    assert Product.objects.get(public_id="prod_9").company == company


def test_the_secret_of_an_endpoint_is_shown_nowhere(at_sams: Client, company: Company) -> None:
    endpoint = WebhookEndpoint.objects.create(
        company=company, url="https://shop.example/", events=["refund.created"]
    )
    pages = [
        at_sams.get(at("notifications_webhookendpoint_changelist"), {"q": company.public_id}),
        at_sams.get(at("notifications_webhookendpoint_change", endpoint.pk)),
    ]

    assert ["shop.example" in page.content.decode() for page in pages] == [True, True]
    assert [endpoint.secret in page.content.decode() for page in pages] == [False, False]
