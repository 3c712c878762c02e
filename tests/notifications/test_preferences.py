"""What people get by e-mail: what they choose, when, and what their address takes."""

import hmac
import json
import re
import time
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from django.test import Client
from django.urls import reverse
from pytest_django import Settings

from marketplace import clock
from marketplace.models import User
from notifications import preferences
from notifications.models import Notification, Preferences
from resolution import cases, tasks
from resolution.models import Case
from resolution.terms import Actor
from tests.conftest import Later
from tests.notifications.conftest import MailServer

SECRET = "known to both"


@pytest.fixture
def beas(client: Client, bea: User) -> Client:
    client.force_login(bea)
    return client


def states(of: User) -> dict[str, str]:
    return dict(Notification.objects.filter(recipient=of).values_list("kind", "state"))


# ── What they choose ──────────────────────────────────────────────────────────────────────────────


def test_what_is_switched_off_stays_in_the_app_and_what_is_needed_leaves(
    mail_server: MailServer, beas: Client, waiting_case: Case, bea: User, creator: Actor
) -> None:
    beas.post(reverse("account-mail"), {"quiet_from": "22", "quiet_until": "8"})
    cases.take_step(waiting_case, "comment", creator, message="Hello.")
    cases.take_step(Case.objects.get(pk=waiting_case.pk), "deny", creator, message="No.")

    tasks.deliver()

    to_bea = mail_server.headlines(bea.email)
    assert [line.partition(".")[0] for line in to_bea] == ["Loop & Lens denied your request"]
    assert states(bea) == {"open_case": "muted", "comment": "muted", "deny": "sent"}
    assert Preferences.objects.get(user=bea).muted == ["comments", "news", "early_reminders"]


def test_in_quiet_hours_only_what_can_wait_waits(
    mail_server: MailServer, later: Later, waiting_case: Case, bea: User, creator: Actor
) -> None:
    User.objects.filter(pk=bea.pk).update(time_zone="Asia/Tokyo")
    preferences.choose(bea, quiet_from=22, quiet_until=8)
    tokyo = clock.now().astimezone(ZoneInfo("Asia/Tokyo"))
    later(preferences.next_time(tokyo, 23) - tokyo)
    cases.take_step(waiting_case, "request_info", creator, message="Which?")
    cases.take_step(Case.objects.get(pk=waiting_case.pk), "comment", creator, message="Hello.")

    tasks.deliver()
    at_night = states(bea)
    waiting = Notification.objects.get(recipient=bea, kind="comment")
    later(timedelta(hours=9, minutes=1))
    tasks.deliver()

    assert at_night == {"open_case": "pending", "request_info": "sent", "comment": "pending"}
    assert waiting.attempts == 0
    assert waiting.next_attempt_at.astimezone(tokyo.tzinfo).hour == 8
    assert states(bea)["comment"] == "sent"


@pytest.mark.parametrize(
    ("hours", "hour", "waits_for"),
    [((22, 8), 23, 8), ((22, 8), 7, 8), ((22, 8), 8, None), ((1, 5), 3, 5), ((1, 5), 5, None)],
)
def test_quiet_hours_may_go_over_midnight(
    bea: User, hours: tuple[int, int], hour: int, waits_for: int | None
) -> None:
    preferences.choose(bea, quiet_from=hours[0], quiet_until=hours[1])
    now = datetime(2026, 7, 8, hour, 15, tzinfo=ZoneInfo("UTC"))

    until = preferences.waits_until(User.objects.get(pk=bea.pk), "news", now)

    assert (until.hour if until else None) == waits_for
    assert preferences.waits_until(User.objects.get(pk=bea.pk), "", now) is None


def test_hours_that_are_none_are_refused(beas: Client, bea: User) -> None:
    answer = beas.post(
        reverse("account-mail"), {"quiet": "on", "quiet_from": "8", "quiet_until": "8"}
    )

    assert answer.status_code == 422
    assert "Choose an hour that differs from the first." in answer.content.decode()
    assert not Preferences.objects.exists()


def test_somebody_sets_their_name_and_time_zone(beas: Client, bea: User) -> None:
    done = beas.post(
        reverse("account"), {"name": "Bea Berg", "language": "en", "time_zone": "Asia/Tokyo"}
    )
    refused = beas.post(reverse("account"), {"name": " ", "time_zone": "Mars/Olympus"})

    bea.refresh_from_db()
    assert (done.status_code, refused.status_code) == (302, 422)
    assert (bea.name, bea.time_zone) == ("Bea Berg", "Asia/Tokyo")
    assert "times are shown in your time zone, jst." in beas.get("/hub/").content.decode().lower()


# ── One click ─────────────────────────────────────────────────────────────────────────────────────


def test_one_click_in_the_mail_program_ends_such_mail_and_a_look_does_not(
    mail_server: MailServer, client: Client, waiting_case: Case, bea: User, creator: Actor
) -> None:
    cases.take_step(waiting_case, "comment", creator, message="Hello.")
    cases.take_step(Case.objects.get(pk=waiting_case.pk), "deny", creator, message="No.")
    tasks.deliver()
    opened, wrote, denied = (mail for mail in mail_server.received if mail["To"] == bea.email)
    link = str(wrote["List-Unsubscribe"]).strip("<>").replace("https://rc.example:8443", "")

    looked = client.get(link)
    after_look = Preferences.objects.count()
    clicked = client.post(link, {"List-Unsubscribe": "One-Click"})
    again = client.post(link, {"List-Unsubscribe": "One-Click"})

    assert wrote["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert (denied["List-Unsubscribe"], opened["List-Unsubscribe"] is None) == (None, False)
    assert [a.status_code for a in (looked, clicked, again)] == [200, 200, 200]
    assert (after_look, Preferences.objects.get(user=bea).muted) == (0, ["comments"])


@pytest.mark.parametrize("change", ["user", "group", "signature"])
def test_a_link_that_we_did_not_make_is_not_found(
    client: Client, bea: User, cleo: User, change: str
) -> None:
    token = preferences.stop_token(bea, "news")
    forged = {
        "user": token.replace(bea.public_id, cleo.public_id),
        "group": preferences.stop_token(bea, "everything"),
        "signature": token[:-1] + ("A" if token[-1] != "A" else "B"),
    }[change]

    assert client.post(reverse("account-unsubscribe", args=[forged])).status_code == 404
    assert not Preferences.objects.exists()


# ── What the address takes ────────────────────────────────────────────────────────────────────────


def report(client: Client, *events: object, secret: str = SECRET, ago: int = 0) -> int:
    body = json.dumps({"events": events}).encode()
    at = int(time.time()) - ago
    mark = hmac.new(secret.encode(), f"{at}.".encode() + body, "sha256").hexdigest()
    return client.post(
        reverse("email_reports"), body, content_type="application/json",
        headers={"Email-Signature": f"t={at},v1={mark}"},
    ).status_code  # fmt: skip


def test_a_bounce_for_good_ends_mail_to_the_address_until_staff_say_it_works(
    mail_server: MailServer, settings: Settings, waiting_case: Case, bea: User, sam: User,
    creator: Actor,
) -> None:  # fmt: skip
    settings.EMAIL_WEBHOOK_SECRET = SECRET
    client, sams = Client(), Client()
    sams.force_login(sam)
    tasks.deliver()
    [first] = (mail for mail in mail_server.received if mail["To"] == bea.email)
    bounce = {
        "type": "bounce", "permanent": True, "address": bea.email.upper(),
        "message_id": first["Message-ID"], "reason": "550 5.1.1 no such user",
    }  # fmt: skip

    taken = [report(client, bounce), report(client, bounce)]
    cases.take_step(waiting_case, "deny", creator, message="No.")
    tasks.deliver()
    kept = Notification.objects.get(recipient=bea, kind="deny")
    page = sams.get(reverse("admin:notifications_preferences_change", args=[bea.pk]))
    sams.post(reverse("admin:notifications_preferences_works_again", args=[bea.pk]))

    assert taken == [200, 200]
    assert states(bea) == {"open_case": "dead", "deny": "muted"}
    assert kept.error == "Their address refuses e-mail: 550 5.1.1 no such user"
    assert "The address works again" in page.content.decode()
    assert preferences.why_only_in_app(User.objects.get(pk=bea.pk), "") == ""


def test_a_new_address_is_written_to_although_the_old_one_refused(bea: User) -> None:
    preferences.mark_refused(bea.email, "550")
    User.objects.filter(pk=bea.pk).update(email="bea@new.example")

    assert preferences.why_only_in_app(User.objects.get(pk=bea.pk), "") == ""


def test_who_complains_gets_only_what_they_need(
    client: Client, settings: Settings, bea: User
) -> None:
    settings.EMAIL_WEBHOOK_SECRET = SECRET

    answers = [
        report(client, {"type": "complaint", "address": bea.email}),
        report(client, {"type": "bounce", "permanent": False, "address": bea.email}),
    ]

    told = User.objects.get(pk=bea.pk)
    assert answers == [200, 200]
    assert preferences.why_only_in_app(told, "news") == preferences.COMPLAINED
    assert preferences.why_only_in_app(told, "") == ""


@pytest.mark.parametrize(
    ("events", "more"),
    [
        ([{"type": "bounce"}], {"secret": "another"}), ([{"type": "bounce"}], {"ago": 400}),
        (["bounce"], {}), ([{}], {}), ([{"type": "bounce", "address": 5}], {}),
    ],
)  # fmt: skip
def test_a_report_that_is_not_the_mail_services_is_refused(
    client: Client, settings: Settings, db: None, events: list[object], more: dict[str, int]
) -> None:
    settings.EMAIL_WEBHOOK_SECRET = SECRET

    assert report(client, *events, **more) == 400  # type: ignore[arg-type]
    assert not Preferences.objects.exists()


def test_odd_characters_in_a_report_do_no_harm(
    client: Client, settings: Settings, bea: User
) -> None:
    settings.EMAIL_WEBHOOK_SECRET = SECRET
    odd = {
        "type": "bounce", "permanent": True, "address": bea.email, "message_id": "\x00\ud800",
        "reason": "x\x00" * 400,
    }  # fmt: skip

    assert report(client, odd) == 200
    assert re.fullmatch(r"[x ]+", Preferences.objects.get(user=bea).refused_why)
