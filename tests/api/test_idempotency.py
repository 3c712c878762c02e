"""A POST that is sent twice with one key."""

from datetime import timedelta

import pytest
from django.utils import timezone

from api import tasks
from api.models import KeptAnswer
from marketplace.models import User
from resolution.models import Case
from tests.api.conftest import SignIn, error_of


def test_a_repeat_gets_the_first_answer_whatever_has_happened_since(
    waiting_case: Case, cleo: User, sign_in: SignIn
) -> None:
    api, deny = sign_in(cleo), f"{waiting_case.public_id}/deny"

    first = api.post(deny, {"message": "No."}, key="k")
    api.post(f"{waiting_case.public_id}/appeal", {"message": "But."})
    second = api.post(deny, {"message": "No."}, key="k")

    assert (first.status_code, second.status_code) == (200, 200)
    assert second.content == first.content
    assert second.headers["Idempotent-Replayed"] == "true"
    assert waiting_case.events.filter(step="deny").count() == 1


@pytest.mark.parametrize("key", ["", "a" * 256, "é", "a\tb"])
def test_a_key_has_1_to_255_printable_characters(
    waiting_case: Case, cleo: User, sign_in: SignIn, key: str
) -> None:
    api = sign_in(cleo)
    api.headers["Idempotency-Key"] = key

    answer = api.post(f"{waiting_case.public_id}/accept")

    assert error_of(answer) == (400, "parameter_invalid", "Idempotency-Key")
    assert waiting_case.events.count() == 2


def test_a_key_is_good_for_one_address_and_one_token(
    waiting_case: Case, bea: User, cleo: User, sign_in: SignIn
) -> None:
    merchant, buyer = sign_in(cleo), sign_in(bea)
    merchant.post(f"{waiting_case.public_id}/request_info", key="k")

    elsewhere = merchant.post(f"{waiting_case.public_id}/accept", key="k")
    anothers = buyer.post(f"{waiting_case.public_id}/withdraw", key="k")

    assert error_of(elsewhere) == (409, "idempotency_key_reused", "Idempotency-Key")
    assert anothers.status_code == 200


def test_what_was_refused_may_be_sent_again_with_the_same_key(
    waiting_case: Case, cleo: User, sign_in: SignIn
) -> None:
    api, deny = sign_in(cleo), f"{waiting_case.public_id}/deny"

    refused = api.post(deny, {"message": " "}, key="k")
    taken = api.post(deny, {"message": "No."}, key="k")

    assert error_of(refused) == (422, "parameter_missing", "message")
    assert taken.status_code == 200


def test_an_answer_is_kept_for_a_day(waiting_case: Case, cleo: User, sign_in: SignIn) -> None:
    api, ask = sign_in(cleo), f"{waiting_case.public_id}/request_info"
    api.post(ask, key="old")
    api.post(ask, key="older")
    KeptAnswer.objects.update(created_at=timezone.now() - timedelta(hours=24))

    anew = api.post(ask, key="old")
    tasks.sweep_answers()

    assert "Idempotent-Replayed" not in anew.headers
    assert waiting_case.events.filter(step="request_info").count() == 3
    assert list(KeptAnswer.objects.values_list("key", flat=True)) == ["old"]
