"""Who gets in with which token, and as whom."""

import json
from datetime import timedelta

import pytest
from django.core.management import call_command
from django.utils import timezone
from pytest_django import Settings

from api import limits, tokens
from api.models import ApiToken
from marketplace.models import Company, TeamMember, User
from tests.api.conftest import Api, SignIn, error_of
from tests.people import make_user

ME = "/api/v1/me"


def test_a_token_says_whose_it_is_and_what_it_may_do(
    sign_in: SignIn, cleo: User, company: Company
) -> None:
    api = sign_in(cleo, tokens.READ_CASES, company=company)

    response = api.get(ME)

    token = ApiToken.objects.get()
    assert json.loads(response.content) == {
        "id": cleo.public_id,
        "name": cleo.name,
        "email": cleo.email,
        "token_id": token.public_id,
        "scopes": ["payment:resolution_center_case:read"],
        "account_id": company.public_id,
        "accounts": [{"id": company.public_id, "title": company.name, "role": "owner"}],
    }


def test_only_the_sha256_of_a_token_is_kept(bea: User) -> None:
    token, secret = tokens.make(bea, "Mine", [tokens.READ_CASES])

    row = ApiToken.objects.filter(pk=token.pk).values().get()

    assert secret not in str(row)
    assert row["digest"] == tokens.digest_of(secret)
    assert row["ends_in"] == secret[-4:]


@pytest.mark.parametrize("what", ["none", "made up", "revoked", "expired", "inactive", "cookie"])
def test_without_a_token_that_is_good_now_nobody_gets_in(bea: User, what: str) -> None:
    token, secret = tokens.make(bea, "Mine", [tokens.READ_CASES])
    api = Api({"none": "", "made up": "apik_made_up", "cookie": ""}.get(what, secret))
    if what == "revoked":
        tokens.revoke(token)
    if what == "expired":
        ApiToken.objects.update(expires_at=timezone.now())
    if what == "inactive":
        User.objects.update(is_active=False)
    if what == "cookie":
        api.client.force_login(bea)

    response = api.get(ME)

    assert error_of(response) == (401, "invalid_token", None)
    assert response.headers["WWW-Authenticate"] == 'Bearer realm="api"'
    assert ApiToken.objects.get().last_used_at is None


def test_a_company_token_dies_when_its_maker_leaves(
    sign_in: SignIn, cleo: User, company: Company
) -> None:
    api = sign_in(cleo, company=company)
    TeamMember.objects.filter(user=cleo).delete()

    response = api.get(ME)

    assert error_of(response) == (401, "invalid_token", None)


def test_support_can_make_no_token_for_a_company(company: Company) -> None:
    felix = make_user("Felix Grant")
    TeamMember.objects.create(company=company, user=felix, role="support")

    with pytest.raises(tokens.TokenRefused) as refused:
        tokens.make(felix, "Mine", [tokens.READ_CASES], company=company)

    assert str(refused.value) == "Only an owner or an admin can make tokens for a company."
    assert not ApiToken.objects.exists()


def test_use_is_noted_at_most_once_a_minute(sign_in: SignIn, bea: User) -> None:
    api = sign_in(bea)
    recent = timezone.now() - timedelta(seconds=30)
    long_ago = timezone.now() - timedelta(seconds=90)

    noted = []
    for before in (None, recent, long_ago):
        ApiToken.objects.update(last_used_at=before)
        api.get(ME)
        noted.append(ApiToken.objects.get().last_used_at != before)

    assert noted == [True, False, True]


def test_the_command_prints_a_token_that_works(
    bea: User, capsys: pytest.CaptureFixture[str]
) -> None:
    call_command("create_api_token", bea.email, "--scope", tokens.READ_CASES, "--days", "30")

    secret = capsys.readouterr().out.strip()

    assert Api(secret).get(ME).status_code == 200
    assert ApiToken.objects.get().scopes == [tokens.READ_CASES]


def test_one_request_too_many_is_told_when_to_come_back(
    sign_in: SignIn, bea: User, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.API_REQUESTS_A_MINUTE = 2
    monkeypatch.setattr(limits.time, "time", lambda: 1_000_000_000.0 + 60 * bea.pk)
    api, other = sign_in(bea), sign_in(bea)

    responses = [api.get(ME) for _ in range(3)]

    assert [response.status_code for response in responses] == [200, 200, 429]
    assert error_of(responses[2]) == (429, "rate_limited", None)
    assert responses[2].headers["Retry-After"] == "20"
    assert other.get(ME).status_code == 200


def test_without_redis_nobody_is_held_up(
    sign_in: SignIn, bea: User, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.API_REQUESTS_A_MINUTE = 0
    settings.REDIS_URL = "redis://127.0.0.1:1"
    limits._counter.cache_clear()
    monkeypatch.setattr(limits, "_resting_until", 0.0)

    response = sign_in(bea).get(ME)

    limits._counter.cache_clear()
    assert response.status_code == 200
    assert limits._resting_until > 0
