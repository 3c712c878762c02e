"""The developers’ pages: who may open them, what is shown once, and what the buttons do."""

import re
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from api import announced, tokens
from api.models import ApiToken
from marketplace.models import Company, TeamMember, User
from notifications import webhooks
from notifications.models import WebhookAttempt, WebhookDelivery, WebhookEndpoint
from resolution import cases
from resolution.models import Case
from resolution.terms import Actor
from tests.api.conftest import SignIn
from tests.people import make_user
from tests.webhooks.receiver import Receiver, receiver  # noqa: F401

HOME = "/dash/resolution-center/developers/"
SECRET = re.compile(r'value="((?:apik|ws)_[^"]+)"')


def at(person: User) -> Client:
    client = Client()
    client.force_login(person)
    return client


def told(response: Any) -> list[str]:
    """What the page after says above everything else."""
    return [str(message) for message in response.context["messages"]]


def test_a_token_is_shown_once_and_works_until_it_is_revoked(
    cleo: User, company: Company, waiting_case: Case
) -> None:
    browser = at(cleo)
    made = browser.post(
        f"{HOME}tokens/new/",
        {"name": "Helpdesk", "scopes": [tokens.READ_CASES], "lifetime": "90"},
    )
    secret = SECRET.findall(made.content.decode())[0]
    program = Client(headers={"Authorization": f"Bearer {secret}"})
    before = program.get("/api/v1/resolution_center_cases")
    home = browser.get(HOME).content.decode()
    token = ApiToken.objects.get()
    revoked = browser.post(f"{HOME}tokens/{token.public_id}/revoke/", follow=True)
    after = program.get("/api/v1/resolution_center_cases")

    assert [case["id"] for case in before.json()["data"]] == [waiting_case.public_id]
    assert (token.company, token.user) == (company, cleo)
    assert token.expires_at is not None
    assert timedelta(days=89) < token.expires_at - timezone.now() < timedelta(days=91)
    assert "Helpdesk" in home
    assert secret not in home
    assert told(revoked) == ["“Helpdesk” no longer works."]
    assert (before.status_code, after.status_code) == (200, 401)


def test_a_form_with_something_missing_says_what(cleo: User, company: Company) -> None:
    token = at(cleo).post(f"{HOME}tokens/new/", {"name": "\u200b", "lifetime": "90"})
    webhook = at(cleo).post(
        f"{HOME}webhooks/new/", {"url": "https://10.0.0.1/", "events": ["refund.created"]}
    )

    assert (token.status_code, webhook.status_code) == (422, 422)
    assert token.context["form"].errors == {
        "name": ["Give the token a name."],
        "scopes": ["Choose at least one thing that the token may do."],
    }
    assert webhook.context["form"].errors == {
        "url": ["This address leads into a private network. Use a public one."]
    }
    assert (ApiToken.objects.count(), WebhookEndpoint.objects.count()) == (0, 0)


def test_a_buyers_own_tokens_are_their_own(bea: User, nia: User) -> None:
    made = at(bea).post(
        "/hub/tokens/new/", {"name": "Mine", "scopes": [tokens.READ_CASES], "lifetime": "never"}
    )
    token = ApiToken.objects.get()
    others = at(nia).post(f"/hub/tokens/{token.public_id}/revoke/")
    page = at(bea).get("/hub/tokens/")
    empty = at(nia).get("/hub/tokens/")
    at(bea).post(f"/hub/tokens/{token.public_id}/revoke/")

    assert len(SECRET.findall(made.content.decode())) == 1
    assert (token.user, token.company, token.expires_at) == (bea, None, None)
    assert others.status_code == 404
    assert (len(page.context["tokens"]), len(empty.context["tokens"])) == (1, 0)
    assert not ApiToken.objects.get().is_usable


@pytest.mark.parametrize("role", ["support", "viewer"])
def test_only_owners_and_admins_manage_a_companys(
    company: Company, cleo: User, sign_in: SignIn, role: str
) -> None:
    helper = make_user("Sue Port")
    TeamMember.objects.create(company=company, user=helper, role=role)
    sign_in(cleo, company=company)
    endpoint = webhooks.make_endpoint(company, "https://93.184.216.34/", ["refund.created"])
    token = ApiToken.objects.get()
    browser = at(helper)
    answers = [
        browser.get(HOME),
        browser.post(f"{HOME}tokens/{token.public_id}/revoke/"),
        browser.get(reverse("dash-webhook", args=[endpoint.public_id])),
        browser.post(reverse("dash-webhook-act", args=[endpoint.public_id, "delete"])),
    ]

    assert [answer.status_code for answer in answers] == [403, 403, 403, 403]
    assert ApiToken.objects.get().is_usable
    assert "Developers" not in browser.get("/dash/resolution-center/").content.decode()


def test_a_webhook_from_its_making_to_its_end(
    receiver: Receiver,  # noqa: F811
    cleo: User,
    company: Company,
    waiting_case: Case,
    creator: Actor,
) -> None:
    browser = at(cleo)
    made = browser.post(
        f"{HOME}webhooks/new/", {"url": f"{receiver.url}/hook", "events": list(webhooks.EVENTS)}
    )
    secret = SECRET.findall(made.content.decode())[0]
    endpoint = WebhookEndpoint.objects.get()
    page = reverse("dash-webhook", args=[endpoint.public_id])

    def act(name: str, data: Any = None) -> list[str]:
        return told(browser.post(f"{page}{name}/", data, follow=True))

    tried = act("test", {"event": "refund.created"})
    receiver.codes = [500]
    cases.take_step(waiting_case, "deny", creator, message="It does what it says.")
    webhooks.deliver(announced.compose)
    failed = WebhookAttempt.objects.get(success=False)
    replayed = act(f"deliveries/{failed.public_id}/replay")
    shown = browser.get(page)
    off = act("off")
    refused = act("test", {"event": "nonsense"})
    on = act("on")
    WebhookDelivery.objects.update(state="dead")
    again = act("replay")
    rolled = browser.post(f"{page}secret/")
    gone = act("delete")

    assert made.status_code == 200
    assert secret not in shown.content.decode()
    assert tried == ["Sent. The endpoint answered 200."]
    assert replayed == ["Sent. The endpoint answered 200."]
    assert [(one["code"], one["replayed"]) for one in shown.context["attempts"]] == [
        (200, True), (500, False), (200, False),
    ]  # fmt: skip
    assert (off, refused, on) == (
        ["The webhook is off."], ["Choose one of the events."], ["The webhook is on."],
    )  # fmt: skip
    assert again == ["What failed is being sent again."]
    assert SECRET.findall(rolled.content.decode()) != [secret]
    assert gone == ["The webhook is deleted."]
    for one in receiver.received:
        assert one.checked(secret)["account_id"] == company.public_id


def test_the_log_of_a_webhook_is_paged(cleo: User, company: Company) -> None:
    endpoint = webhooks.make_endpoint(company, "https://93.184.216.34/", ["refund.created"])
    now = timezone.now()
    WebhookAttempt.objects.bulk_create(
        WebhookAttempt(
            endpoint=endpoint, type="refund.created", request_body="{}", success=True, seconds=0.1,
            number=number, sent_at=now - timedelta(minutes=number),
        )
        for number in range(30)
    )  # fmt: skip
    page = reverse("dash-webhook", args=[endpoint.public_id])
    first = at(cleo).get(page)
    second = at(cleo).get(first.context["older_href"])
    foreign = at(cleo).get(page, {"after": "nonsense"})

    numbers = [[one["number"] for one in got.context["attempts"]] for got in (first, second)]
    assert numbers == [list(range(25)), list(range(25, 30))]
    assert second.context["older_href"] == ""
    assert len(foreign.context["attempts"]) == 25
