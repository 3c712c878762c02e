"""A case as a sealed file, cut to who reads it: a side, staff, or a bank that asks for the record.

The zip holds `case.json`, `case.pdf` with the same for people, and the files. Each audience reads
what its own pages show: notes and names of staff are for staff, a creator's rules for the creator.
A bank reads what both sides read, with what the provider calls the payment.
"""

import io
import json
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import IO, Any

from django.conf import settings
from django.core.serializers.json import DjangoJSONEncoder
from django.utils import timezone
from django.utils.translation import gettext as _

from marketplace import clock
from marketplace.models import User
from payments.money import format_money
from resolution import print_case, timeline
from resolution.evidence import CHUNK
from resolution.models import Attachment, Case, Event
from resolution.sealing import SealedZip
from resolution.terms import Party, State
from resolution.words import platform

log = logging.getLogger(__name__)

FORMAT = "resolution-center-case/1"


class Audience(StrEnum):
    """Who reads an export."""

    BUYER = "buyer"
    CREATOR = "creator"
    STAFF = "staff"
    BANK = "bank"


READS_AS = {
    Audience.BUYER: Party.BUYER,
    Audience.CREATOR: Party.CREATOR,
    Audience.STAFF: Party.STAFF,
    Audience.BANK: Party.NOBODY,
}
BOTH_READ = (
    *("reason", "asked_minor", "currency", "due_at", "waiting_on", "remedy", "amount_minor"),
    *("looked_at", "asks", "reference", "final", "money", "refund", "membership_ended", "why"),
    *("files", "from", "days"),
)
"""The facts of an event that its entry shows to either side."""


class TooLarge(Exception):
    """The files of a case are more than one export may hold."""


@dataclass(frozen=True)
class _Kept:
    """A file of the case, and where it is in the export; without a path its bytes are gone."""

    attachment: Attachment
    event: Event
    path: str


def write(case: Case, audience: Audience, reader: User, target: IO[bytes]) -> None:
    """Write the sealed export of a case for an audience.

    Raises TooLarge before anything is written, and one of STORAGE_ERRORS when a file's bytes can't
    be read: an export is whole or there is none.
    """
    party = READS_AS[audience]
    events = timeline.events_of(case, party)
    files = list(_files_of(events))
    if sum(kept.attachment.size for kept in files if kept.path) > settings.MAX_EXPORT_BYTES:
        raise TooLarge
    box = SealedZip(target)
    try:
        _fill(box, case, audience, events, files)
    except BaseException:
        box.give_up()
        raise
    box.close(
        {
            "format": FORMAT,
            "platform": platform(),
            "case": case.public_id,
            "audience": audience,
            "made_at": clock.now().isoformat(),
            "made_for": reader.public_id,
            "events": len(events),
            "last_event": events[-1].hash if events else "",
        }
    )


def _fill(
    box: SealedZip, case: Case, audience: Audience, events: Sequence[Event], files: Sequence[_Kept]
) -> None:
    box.add("case.json", [_json(_case_as_told(case, audience, events, files))])
    with timezone.override(UTC):
        box.add("case.pdf", [_printed(case, audience, events, files)])
    for kept in files:
        if kept.path:
            box.add(kept.path, _bytes_of(kept.attachment), packed=False)


def _json(told: Mapping[str, Any]) -> bytes:
    return json.dumps(told, indent=2, ensure_ascii=False, cls=DjangoJSONEncoder).encode()


def _files_of(events: Iterable[Event]) -> Iterator[_Kept]:
    for event in events:
        for attachment in sorted(event.attachments.all(), key=lambda file: file.position or 0):
            there = attachment.state == Attachment.State.READY
            path = f"files/{attachment.public_id} {attachment.filename}" if there else ""
            yield _Kept(attachment, event, path)


def _bytes_of(attachment: Attachment) -> Iterator[bytes]:
    with attachment.file.open("rb") as file:
        while chunk := file.read(CHUNK):
            yield chunk


# ── For programs ──────────────────────────────────────────────────────────────────────────────────


def _case_as_told(
    case: Case, audience: Audience, events: Sequence[Event], files: Sequence[_Kept]
) -> dict[str, Any]:
    payment = case.payment
    told: dict[str, Any] = {
        "format": FORMAT,
        "case": {
            "id": case.public_id,
            "state": case.state,
            "reason": case.reason,
            "asked": _money(case.asked_minor, case.currency),
            "opened_at": case.opened_at,
            "closed_at": case.closed_at,
            "decided_by": case.decided_by,
            "outcome": case.outcome,
            "remedy": case.remedy,
            "awarded": _money(case.remedy_minor, case.currency),
            "money": case.money,
            "final": case.final,
        },
        "payment": {
            "id": payment.public_id,
            "amount": _money(payment.amount_minor, payment.currency),
            "processor": payment.processor,
            "method": payment.way_back,
            "paid_at": payment.paid_at,
        },
        "product": case.product.name,
        "buyer": {"id": case.buyer.public_id, "name": case.buyer.name},
        "company": {"id": case.company.public_id, "name": case.company.name},
        "events": [_event_as_told(event, case, audience) for event in events],
        "files": [_file_as_told(kept) for kept in files],
    }
    if audience != Audience.CREATOR:
        told["buyer"]["email"] = case.buyer.email
    if audience in (Audience.STAFF, Audience.BANK):
        told["payment"]["charge_id"] = payment.charge_id
        told["refunds"] = [
            {
                "id": refund.public_id,
                "amount": _money(refund.amount_minor, refund.currency),
                "state": refund.state,
                "provider_id": refund.provider_id,
                "created_at": refund.created_at,
            }
            for refund in payment.refunds.order_by("pk")
        ]
    return told


def _money(minor: int, currency: str) -> dict[str, Any]:
    return {"minor": minor, "currency": currency, "text": format_money(minor, currency)}


def _event_as_told(event: Event, case: Case, audience: Audience) -> dict[str, Any]:
    known = set(BOTH_READ) | ({"rule"} if audience == Audience.CREATOR else set())
    for_staff = audience == Audience.STAFF
    told: dict[str, Any] = {
        "id": event.public_id,
        "at": event.created_at,
        "step": event.step,
        "by": event.party,
        "before": event.state_before,
        "after": event.state_after,
        "message": event.message,
        "words_erased": event.was_blanked,
        "facts": {name: value for name, value in event.data.items() if for_staff or name in known},
        "files": [file.public_id for file in event.attachments.all()],
        "hash": event.hash,
    }
    if event.actor and _knows_by_name(event, audience):
        told["person"] = event.actor.name
    if for_staff:
        told |= {"seq": event.seq, "staff_only": event.staff_only, "proof": _proof(event)}
    return told


def _knows_by_name(event: Event, audience: Audience) -> bool:
    """Whether this audience reads who acted: buyers by name, a team's people on their own side."""
    if event.party == Party.BUYER or audience == Audience.STAFF:
        return True
    return event.party == Party.CREATOR and audience == Audience.CREATOR


def _proof(event: Event) -> dict[str, Any]:
    """What it takes besides to compute the event's hash again."""
    return {
        "previous_hash": event.previous_hash,
        "actor": event.actor_id,
        "salt": event.salt,
        "words_digest": event.words_digest,
        "files": [
            {"sealed_as": file.sealed_as, "salt": file.salt}
            for file in sorted(event.attachments.all(), key=lambda file: file.position or 0)
        ],
        "at": event.created_at.isoformat(timespec="microseconds"),
    }


def event_of_proof(told: Mapping[str, Any]) -> tuple[Event, list[Attachment]]:
    """An event as an export for staff tells it, to compute its hash and its words' digest again."""
    proof = told["proof"]
    event = Event(
        public_id=told["id"],
        seq=told["seq"],
        step=told["step"],
        party=told["by"],
        actor_id=proof["actor"],
        state_before=told["before"],
        state_after=told["after"],
        message=told["message"],
        salt=proof["salt"],
        words_digest=proof["words_digest"],
        data=told["facts"],
        staff_only=told["staff_only"],
        created_at=datetime.fromisoformat(proof["at"]),
        previous_hash=proof["previous_hash"],
        hash=told["hash"],
    )
    return event, [_sealed(*file["sealed_as"]) for file in proof["files"]]


def _sealed(public_id: str, *seal: str) -> Attachment:
    if len(seal) == 1:
        return Attachment(public_id=public_id, seal=seal[0])
    return Attachment(public_id=public_id, filename=seal[0], sha256=seal[1])


def _file_as_told(kept: _Kept) -> dict[str, Any]:
    attachment = kept.attachment
    return {
        "id": attachment.public_id,
        "event": kept.event.public_id,
        "from": kept.event.party,
        "name": attachment.filename,
        "content_type": attachment.content_type,
        "size": attachment.size,
        "sha256": attachment.sha256,
        "state": attachment.state,
        "path": kept.path or None,
    }


# ── For people ────────────────────────────────────────────────────────────────────────────────────


def _printed(
    case: Case, audience: Audience, events: Sequence[Event], files: Sequence[_Kept]
) -> bytes:
    payment = case.payment
    for_whom = {
        Audience.BUYER: case.buyer.name,
        Audience.CREATOR: case.company.name,
        Audience.STAFF: _("the staff of %(platform)s") % {"platform": platform()},
        Audience.BANK: _("a bank or a court"),
    }[audience]
    buyer = case.buyer.name
    if audience != Audience.CREATOR:
        buyer += f", {case.buyer.email}"
    facts = [
        (_("Case"), case.public_id),
        (_("Buyer"), buyer),
        (_("Creator"), case.company.name),
        (_("Product"), case.product.name),
        (_("Reason"), case.get_reason_display()),
        (_("Asked for"), format_money(case.asked_minor, case.currency)),
        (
            _("Payment"),
            f"{payment.public_id}, {format_money(payment.amount_minor, payment.currency)}, "
            f"{print_case.moment(payment.paid_at)}, {payment.way_back}",
        ),
        (_("Opened"), print_case.moment(case.opened_at)),
        (_("Stands"), _standing(case)),
    ]
    if audience in (Audience.STAFF, Audience.BANK) and payment.charge_id:
        facts.append(
            (_("At the provider"), f"{payment.get_processor_display()} {payment.charge_id}")
        )
    told = timeline.entries(case, events, READS_AS[audience])
    rows = [
        (
            kept.attachment.filename,
            kept.attachment.public_id,
            kept.attachment.sha256,
            "" if kept.path else str(kept.attachment.get_state_display()),
        )
        for kept in files
    ]
    out = io.BytesIO()
    print_case.write(
        out,
        title=_("The record of case %(id)s") % {"id": case.public_id},
        about=_("Made for %(whom)s on %(at)s by %(platform)s. All times are UTC.")
        % {"whom": for_whom, "at": print_case.moment(clock.now()), "platform": platform()},
        facts=facts,
        entries=told,
        files=rows,
    )
    return out.getvalue()


def _standing(case: Case) -> str:
    state = str(State(case.state).label)
    outcome = case.get_outcome_display() if case.outcome else ""
    money = f", {format_money(case.remedy_minor, case.currency)}" if case.remedy_minor else ""
    return f"{state}{f', {outcome}' if outcome else ''}{money}"
