"""Who is on a case: colleagues see each other, and the audit tells what each did there."""

from datetime import timedelta

from django.test import Client

from marketplace.models import TeamMember, User
from resolution import cases, presence
from resolution.models import Case, Presence
from resolution.terms import Actor
from tests.conftest import Later
from tests.staff.conftest import QUEUE, now_at, page_of

HTMX = {"HX-Request": "true"}


def address(case: Case, page: str) -> str:
    return page_of(case).replace("/change/", f"/{page}/")


def test_two_on_one_case_see_each_other_until_one_is_gone(
    at_sams: Client, at_adas: Client, escalated: Case, later: Later
) -> None:
    alone = at_sams.get(page_of(escalated)).context["others"]
    both = at_adas.get(page_of(escalated)).context["others"]
    told = at_sams.get(address(escalated, "present"), headers=HTMX).content.decode()
    queue = at_sams.get(QUEUE).context["rows"][0].others
    later(presence.THERE)
    at_sams.get(address(escalated, "present"), headers=HTMX)
    gone = at_sams.get(QUEUE).context["rows"][0].others
    still = at_adas.get(QUEUE).context["rows"][0].others

    assert (alone, both) == ([], ["Sam Reyes"])
    assert "Ada Moss has this open now." in told
    assert (queue, gone, still) == (["Ada Moss"], (), ["Sam Reyes"])


def test_who_was_there_long_ago_is_forgotten(
    at_sams: Client, escalated: Case, later: Later
) -> None:
    at_sams.get(page_of(escalated))
    early = presence.forget()
    later(timedelta(days=2))

    assert (early, presence.forget()) == (0, 1)


def test_the_audit_tells_of_acts_looks_and_who_had_it(
    at_sams: Client, sam: User, escalated: Case, buyer: Actor, later: Later
) -> None:
    at_sams.get(page_of(escalated))
    later(timedelta(minutes=4))
    at_sams.get(address(escalated, "present"), headers=HTMX)
    at_sams.post(address(escalated, "assign"), {"seen": 0})
    at_sams.post(address(escalated, "assign"), {"seen": sam.pk})
    at_sams.post(address(escalated, "assign"), {"seen": sam.pk})
    later(timedelta(minutes=1))
    cases.take_step(escalated, "comment", buyer, message="Count them once more.")

    audit = at_sams.get(address(escalated, "audit")).context["audit"]

    told = [(line.who, line.what, line.detail) for line in audit.lines]
    assert told[:4] == [
        ("Bea Lind", "Comment", ""),
        ("Sam Reyes", "Let the case go", ""),
        ("Sam Reyes", "Took the case", ""),
        ("Sam Reyes", "Looked at the case", ""),
    ]
    assert told[-1] == ("Bea Lind", "Open a case", "Open")
    assert len(told) == 3 + now_at(escalated).last_seq
    assert audit.flaw == ""


def test_a_party_to_the_case_does_not_read_who_of_the_staff_was_there(
    at_sams: Client, sam: User, escalated: Case
) -> None:
    TeamMember.objects.create(company=escalated.company, user=sam, role="viewer")

    assert at_sams.get(address(escalated, "audit")).status_code == 403


def test_buyers_and_creators_are_not_seen(escalated: Case, buyer: Actor, creator: Actor) -> None:
    for actor, page in ((buyer, "/hub/cases/"), (creator, "/dash/resolution-center/cases/")):
        client = Client()
        assert actor.user
        client.force_login(actor.user)
        assert client.get(f"{page}{escalated.public_id}/").status_code == 200

    assert list(Presence.objects.all()) == []
