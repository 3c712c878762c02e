"""What one of the staff has proposed and may not do alone, and who says yes or no to it."""

import uuid
from typing import Any

from django.utils.translation import gettext as _

from marketplace.models import User
from resolution import timeline
from resolution.admin import record
from resolution.admin.desk import Desk
from resolution.terms import Party

STAFF = Party.STAFF


def standing(desk: Desk) -> dict[str, Any] | None:
    """What stands proposed, in words, and who may answer it; None when nothing does."""
    event, case = desk.proposal, desk.case
    if event is None:
        return None
    what = timeline.proposal_in_words(case, event)
    mine = case.proposed_by_id == desk.user.pk
    finance = User.StaffRole.FINANCE
    able = [p for p in desk.others if p.staff_role == finance and p.pk != event.actor_id]
    names = [person.name for person in able]
    key = event.form_key and uuid.uuid5(event.form_key, "note")
    return {
        "what": what,
        "button": _("Approve: {what}").format(what=what),
        "event": event,
        "who": _("You") if mine else event.actor.name if event.actor else "",
        "mine": mine,
        "looked_at": [_(item) for item in event.data.get("looked_at", ()) if item],
        "reference": event.data.get("reference", ""),
        "note": next((e.message for e in desk.events if key and e.form_key == key), ""),
        "waits_for": record.any_of(names[:4]) if names else _("somebody else of finance"),
    }
