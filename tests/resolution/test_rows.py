"""What goes in by COPY or as an array comes out as it was, and a hash covers one spelling only."""

import hashlib
from datetime import UTC, datetime

import pytest
from django.db import connection

from marketplace.models import Company
from marketplace.public_ids import ALPHABET, new_public_ids
from marketplace.rows import array_of, copy_in
from resolution.models import Event, SavedReply, canonical

AWKWARD = [
    "",
    "NULL",
    r"\N",
    "a\tb\nc\rd",
    'a "word", a \\ and {braces}',
    "100 %s %(x)s",
    "naïve 🙂 \u202e",
]


@pytest.mark.parametrize("texts", [AWKWARD, ["50 % \\ off"] * 3, ["plain", "words"]])
def test_any_text_goes_in_by_copy_as_it_is(company: Company, texts: list[str]) -> None:
    rows = [(company.pk, f"Reply {number}", text) for number, text in enumerate(texts)]

    copy_in(SavedReply, ["company_id", "title", "text"], rows)

    written = SavedReply.objects.order_by("pk").values_list("company_id", "title", "text")
    assert list(written) == rows
    assert set(SavedReply.objects.values_list("version", flat=True)) == {1}


@pytest.mark.django_db
def test_any_text_travels_in_an_array() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT %s::text[], %s::bigint[]", [array_of(AWKWARD), array_of([1, None])])

        assert cursor.fetchone() == (AWKWARD, [1, None])


@pytest.mark.parametrize("sealed", ["", "f" * 64])
@pytest.mark.parametrize("message", AWKWARD)
def test_the_hash_is_of_the_canonical_row(message: str, sealed: str) -> None:
    at = datetime(2026, 11, 28, 12, 0, 0, tzinfo=UTC)
    event = Event(
        public_id="revt_1", seq=7, step="reply", party="buyer", actor_id=4, state_before="open",
        state_after="closed", message=message, data={"z": [1, None], "a": "é\n"}, created_at=at,
        previous_hash="ab", words_digest=sealed,
    )  # fmt: skip
    row = {
        "id": "revt_1", "case": "reso_1", "seq": 7, "step": "reply", "party": "buyer", "actor": 4,
        "before": "open", "after": "closed", "data": {"z": [1, None], "a": "é\n"},
        "staff_only": False, "at": "2026-11-28T12:00:00.000000+00:00", "files": [],
        **({"words": sealed} if sealed else {"message": message}),
    }  # fmt: skip

    assert event.digest("reso_1") == hashlib.sha256(("ab" + canonical(row)).encode()).hexdigest()


def test_ids_are_fresh_and_of_their_letters() -> None:
    ids = new_public_ids("msg_", 2000)

    assert len(set(ids)) == 2000
    assert {len(name) for name in ids} == {4 + 14}
    assert set("".join(name[4:] for name in ids)) == set(ALPHABET)
