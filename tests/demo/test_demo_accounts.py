"""What scripts are told of the demo: who logs in, and which payments are good for what."""

import json
from collections import Counter
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth import authenticate
from django.core.management import CommandError, call_command
from pytest_django import Settings

from api import tokens
from marketplace import clock
from marketplace.models import Company, TeamMember, User
from payments.models import Payment
from resolution import cases, eligibility
from resolution.actors import as_creator
from resolution.models import Case
from tests.sandbox_fixture import SandboxClient

pytestmark = pytest.mark.django_db


@pytest.fixture
def listed(told: SandboxClient, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    call_command("demo_accounts", as_json=True)
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_there_are_enough_of_every_role(listed: dict[str, Any]) -> None:
    assert Counter(user["role"] for user in listed["users"]) == {
        "buyer": 6,
        "owner": 3,
        "support": 3,
        "viewer": 3,
        "agent": 2,
        "finance": 2,
    }


def test_everyone_is_listed_once_and_can_log_in(listed: dict[str, Any]) -> None:
    emails = [user["email"] for user in listed["users"]]
    assert len(emails) == len(set(emails))
    first = listed["users"][0]

    assert set(first) == {"role", "email", "password", "user_id", "token"}
    user = authenticate(username=first["email"], password=first["password"])
    assert isinstance(user, User)
    assert user.public_id == first["user_id"]
    token = tokens.find(first["token"])
    assert token
    assert token.user == user


def test_team_members_come_with_their_company(listed: dict[str, Any]) -> None:
    listed_places = {
        (user["user_id"], user["company_id"], user["role"])
        for user in listed["users"]
        if "company_id" in user
    }

    places = TeamMember.objects.exclude(role="admin")
    assert listed_places == set(places.values_list("user__public_id", "company__public_id", "role"))


def test_the_first_buyer_has_much_to_choose_from(listed: dict[str, Any]) -> None:
    walker = listed["users"][0]["email"]
    mine = [row["id"] for row in listed["payments"]["eligible"] if row["buyer"] == walker]
    payments = Payment.objects.filter(public_id__in=mine)

    assert len(mine) == 11
    assert Counter(payments.values_list("company__name", "processor")) == {
        ("Sideproject Club", "stripe"): 3,
        ("Sideproject Club", "paypal"): 3,
        ("Loop & Lens", "stripe"): 3,
        ("Loop & Lens", "paypal"): 2,
    }
    assert not Company.objects.filter(payments__in=payments, rules__isnull=False).exists()


def test_each_payment_is_listed_for_what_it_is_good_for(listed: dict[str, Any]) -> None:
    rows = {kind: len(rows) for kind, rows in listed["payments"].items()}

    assert rows == {
        "eligible": 25,
        "refunded": 2,
        "partly_refunded": 3,
        "expired": 8,
        "crypto": 3,
        "coinbase": 3,
        "has_case": Case.objects.count(),
    }
    assert sum(rows.values()) == Payment.objects.count()


def test_a_case_can_be_opened_for_the_eligible_and_for_no_other(listed: dict[str, Any]) -> None:
    can = set()
    for payment in Payment.objects.select_related("buyer"):
        has_case = Case.objects.filter(payment=payment).exists()
        reason = eligibility.why_not(payment, payment.buyer, now=clock.now(), has_case=has_case)
        if reason is None:
            can.add(payment.public_id)

    payments = listed["payments"]
    assert can == {row["id"] for row in payments["eligible"] + payments["partly_refunded"]}


def test_what_expires_is_no_longer_eligible(
    told: SandboxClient, settings: Settings, tmp_path: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    settings.CLOCK_FILE = str(tmp_path / "clock")
    call_command("demo_advance", days=31)
    capsys.readouterr()

    call_command("demo_accounts", as_json=True)

    payments = json.loads(capsys.readouterr().out)["payments"]
    assert payments["eligible"] == payments["partly_refunded"] == []
    assert len(payments["expired"]) == 36


def test_advancing_moves_every_clock(settings: Settings, tmp_path: Any) -> None:
    settings.DEMO = True
    settings.CLOCK_FILE = str(tmp_path / "clock")

    call_command("demo_advance", "--days", "1.5")
    call_command("demo_advance", "--days", "7")

    assert clock.offset() == timedelta(days=8.5)


@pytest.mark.parametrize("days", ["0", "-1", "nan", "inf", "4000"])
def test_time_only_goes_forward_and_not_too_far(
    days: str, settings: Settings, tmp_path: Any
) -> None:
    settings.DEMO = True
    settings.CLOCK_FILE = str(tmp_path / "clock")

    with pytest.raises(CommandError, match="more than 0 and at most 3650"):
        call_command("demo_advance", f"--days={days}")

    assert clock.offset() == timedelta()


@pytest.mark.parametrize("command", [["demo_accounts"], ["demo_advance", "--days", "1"]])
def test_outside_the_demo_nothing_is_told_or_moved(command: list[str], settings: Settings) -> None:
    settings.DEMO = False

    with pytest.raises(CommandError, match="DEMO=1 is not set"):
        call_command(*command)


def test_without_json_it_is_a_table(
    told: SandboxClient, capsys: pytest.CaptureFixture[str]
) -> None:
    call_command("demo_accounts")

    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["buyer", "Maya", "Okafor", "maya.okafor@buyers.example"]
    assert lines[6].split()[0:3] == ["owner", "Marta", "Nowak"]
    assert lines[-7].split() == ["25", "eligible"]


def test_cases_of_the_demo_are_open_to_the_people_of_the_demo(told: SandboxClient) -> None:
    waiting = Case.objects.filter(state="awaiting_creator", frozen_at=None).first()
    assert waiting
    owner = TeamMember.objects.get(company=waiting.company, role="owner").user

    assert set(cases.steps_for(waiting, as_creator(owner, waiting.company))) == {
        "accept",
        "deny",
        "request_info",
        "comment",
    }
