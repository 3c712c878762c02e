"""Saved replies: who keeps them, what they may say, and that they are filled in and not sent."""

import re
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from django.test import Client

from marketplace.models import Company, User
from resolution import replies
from resolution.models import Case, Draft, SavedReply
from resolution.terms import Actor

REPLIES = "/dash/resolution-center/replies/"
Take = Callable[..., Case]


@pytest.fixture
def reply(company: Company) -> SavedReply:
    return SavedReply.objects.create(
        company=company, title="How to cancel", text="Hi {{ first_name }}, {{ amount }} it is."
    )


def text_of(answer: Any) -> str:
    return str(answer.content.decode())


def test_a_reply_is_written_changed_and_removed(dash: Client, company: Company) -> None:
    made = dash.post(f"{REPLIES}new/", {"title": "Hello", "text": "Hi {{ buyer_name }}."})
    one = SavedReply.objects.get()
    changed = dash.post(f"{REPLIES}{one.pk}/", {"title": "Hello", "text": "Hey.", "version": 1})
    shown = text_of(dash.get(REPLIES))
    fresh = SavedReply.objects.get()
    removed = dash.post(f"{REPLIES}{one.pk}/remove/", {"version": 2})

    assert [answer.status_code for answer in (made, changed, removed)] == [302, 302, 302]
    assert (one.company, one.text) == (company, "Hi {{ buyer_name }}.")
    assert (fresh.title, fresh.text, fresh.version) == ("Hello", "Hey.", 2)
    assert '<p class="said muted" dir="auto">Hey.</p>' in shown
    assert not SavedReply.objects.exists()


@pytest.mark.parametrize(
    ("typed", "sentence"),
    [
        ({"title": "", "text": "Hi."}, "Give the reply a title."),
        ({"title": "A", "text": " "}, "Write what the buyer reads."),
        ({"title": "A", "text": "{{ password }}"}, "{{ password }} is not a variable."),
        ({"title": "A", "text": "{{ amount }"}, "A variable begins with {{ and ends with }}."),
        ({"title": "How to cancel", "text": "Hi."}, "Another reply has this title."),
    ],
)
def test_a_reply_that_cannot_be_kept_comes_back_with_a_sentence(
    dash: Client, reply: SavedReply, typed: dict[str, str], sentence: str
) -> None:
    answer = dash.post(f"{REPLIES}new/", typed)

    assert answer.status_code == 422
    assert sentence in text_of(answer)
    assert list(SavedReply.objects.all()) == [reply]


def test_who_comes_late_loses_nothing_and_overwrites_nothing(
    dash: Client, company: Company, reply: SavedReply
) -> None:
    replies.change(reply, 1, title="How to leave", text="Theirs.")

    late = dash.post(f"{REPLIES}{reply.pk}/", {"title": "Mine", "text": "Mine.", "version": 1})
    late_removal = dash.post(f"{REPLIES}{reply.pk}/remove/", {"version": 1})
    kept = SavedReply.objects.get()
    kept.delete()
    gone = dash.post(
        f"{REPLIES}{reply.pk}/",
        {"title": "Mine", "text": "Mine.", "version": 2, "company": company.public_id},
    )

    assert [answer.status_code for answer in (late, late_removal, gone)] == [409, 409, 409]
    assert (kept.title, kept.text) == ("How to leave", "Theirs.")
    assert "Theirs." in text_of(late)
    assert "Mine.</textarea>" in text_of(late)
    assert "Mine.</textarea>" in text_of(gone)
    assert f'action="{REPLIES}new/"' in text_of(gone)


def test_a_company_keeps_no_more_than_it_can_look_through(
    dash: Client, reply: SavedReply, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replies, "MOST", 1)

    answer = dash.post(f"{REPLIES}new/", {"title": "One more", "text": "Hi."})

    assert answer.status_code == 422
    assert list(SavedReply.objects.all()) == [reply]


def test_a_reply_is_filled_in_below_what_was_typed_and_never_sent(
    dash: Client, cleo: User, waiting_case: Case, reply: SavedReply
) -> None:
    where = f"/dash/resolution-center/cases/{waiting_case.public_id}/"
    events = waiting_case.events.count()
    typed = {
        "form_key": str(uuid4()), "version": waiting_case.version, "action": "deny",
        "deny_message": "Typed before.", "accept_message": "Kept too.",
        "saved_reply": str(reply.pk), "fill_in": "yes", "do": "",
    }  # fmt: skip

    answer = dash.post(f"{where}respond/", typed)

    html = text_of(answer)
    filled = "Typed before.\n\nHi Bea, $64.00 it is."
    now = Case.objects.get(pk=waiting_case.pk)
    draft = Draft.objects.get(user=cleo)
    assert answer.status_code == 200
    assert f"{filled}</textarea>" in html
    assert "Kept too.</textarea>" in html
    assert "Nothing is sent yet." in html
    assert "Error:" not in html
    assert draft.fields["deny_message"] == filled
    assert (now.version, now.state, now.events.count()) == (
        waiting_case.version, "awaiting_creator", events,
    )  # fmt: skip
    assert f"{filled}</textarea>" in text_of(dash.get(where))


def test_an_answer_to_staff_takes_a_reply_too(
    dash: Client, waiting_case: Case, creator: Actor, buyer: Actor, staff: Actor,
    reply: SavedReply, take: Take,
) -> None:  # fmt: skip
    take(waiting_case, "deny", creator, message="No.")
    take(waiting_case, "appeal", buyer, message="But.")
    asked = take(waiting_case, "ask_party", staff, message="Why?", asks="creator")
    where = f"/dash/resolution-center/cases/{asked.public_id}/"

    html = text_of(dash.post(f"{where}reply/", {"saved_reply": reply.pk, "fill_in": "yes"}))

    assert "\nHi Bea, $64.00 it is.</textarea>" in html
    assert Case.objects.get(pk=asked.pk).version == asked.version


@pytest.mark.parametrize("number", ["", "0", "x", "9" * 40, "²"])
def test_a_reply_that_is_not_there_fills_in_nothing(
    dash: Client, waiting_case: Case, reply: SavedReply, number: str
) -> None:
    where = f"/dash/resolution-center/cases/{waiting_case.public_id}/respond/"

    answer = dash.post(
        where, {"action": "deny", "deny_message": "Mine.", "saved_reply": number, "fill_in": "yes"}
    )

    assert answer.status_code == 200
    assert "Mine.</textarea>" in text_of(answer)
    assert "Choose a saved reply first." in text_of(answer)


def test_another_company_s_reply_and_a_viewer_s_wish_fill_in_nothing(
    waiting_case: Case, creator: Actor, nia: User, reply: SavedReply
) -> None:
    other = Company.objects.get(members__user=nia)
    theirs = SavedReply.objects.create(company=other, title="Theirs", text="Secret.")
    viewer = Actor(creator.party, creator.user, role="viewer")

    assert replies.filled_in(waiting_case, creator, str(theirs.pk)) == ""
    assert replies.filled_in(waiting_case, viewer, str(reply.pk)) == ""
    assert replies.filled_in(waiting_case, creator, str(reply.pk)) == "Hi Bea, $64.00 it is."


def test_only_those_who_answer_are_offered_replies(
    client: Client, join: Callable[[str], User], waiting_case: Case, reply: SavedReply
) -> None:
    where = f"/dash/resolution-center/cases/{waiting_case.public_id}/"
    offered = {}
    for role in ("support", "viewer"):
        client.force_login(join(role))
        html = text_of(client.get(where))
        titles = set(re.findall(r'<option value="(\d+)">([^<]+)', html))
        offered[role] = titles, REPLIES in html

    assert offered == {
        "support": ({(str(reply.pk), "How to cancel")}, True), "viewer": (set(), False),
    }  # fmt: skip
