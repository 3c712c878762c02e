"""What becomes of files once they are taken: checked for viruses, kept for a time, removed.

A file that waits for the virus scanner is in quarantine: nobody but its uploader gets it, whatever
happens to the scanner. Bytes go in two steps, as everything does that reaches beyond the database:
the row says that they are to be gone, then they are removed, then the row forgets where they were.
"""

import logging
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.core.files.storage import default_storage
from django.db import transaction
from django.db.models import Exists, OuterRef, QuerySet
from django.utils import timezone

from marketplace import clock
from marketplace.doorbell import ring
from payments.models import Payment
from resolution import cases, scanner
from resolution.evidence import CHUNK, STORAGE_ERRORS
from resolution.models import Attachment, Case
from resolution.terms import SYSTEM, State

log = logging.getLogger(__name__)

CHECKING, READY, INFECTED, REMOVED = Attachment.State
HELD_FOR = timedelta(minutes=3)
"""How long a file is one worker's to have scanned; longer than the scanner may take to answer."""
NOT_SCANNED_AGAIN = timedelta(minutes=30)
TOO_LONG = timedelta(minutes=15)
"""A file that waits longer for the scanner is a reason to look after it."""
SCANNED_AT_ONCE = 200
BATCH = 200
STRAY = timedelta(days=1)
"""How old bytes without a row must be, by the storage's clock, to be nobody's."""
FOLDER = "evidence"


# ── Quarantine ────────────────────────────────────────────────────────────────────────────────────


def scan_waiting() -> int:
    """Have the files in quarantine scanned, the oldest first; answer how many are through.

    Stops when the scanner cannot be reached: whatever is left waits, and is never passed on.
    """
    through = 0
    for attachment in _claimed():
        try:
            through += _scan(attachment)
        except scanner.ScannerUnavailable as reason:
            log.error("files wait for the virus scanner: %s", reason)  # noqa: TRY400
            break
    if through:
        remove_bytes()
    return through


def _claimed() -> Iterator[Attachment]:
    """The files that are due, each held by this worker before it is answered."""
    for _ in range(SCANNED_AT_ONCE):
        now = timezone.now()
        with transaction.atomic():
            due = Attachment.objects.filter(state=CHECKING, scan_at__lte=now)
            found = due.select_for_update(skip_locked=True).order_by("scan_at", "pk").first()
            if found is None:
                return
            Attachment.objects.filter(pk=found.pk).update(scan_at=now + HELD_FOR)
        yield found


class _Unreadable(Exception):
    """The storage does not give the bytes now."""


def _scan(attachment: Attachment) -> bool:
    """Have one file scanned and settle it; False when nothing could be learned of it."""
    try:
        found = scanner.virus_in(_chunks(attachment))
    except (scanner.NotScanned, _Unreadable) as reason:
        log.error("%s stays in quarantine: %s", attachment.public_id, reason)  # noqa: TRY400
        later = timezone.now() + NOT_SCANNED_AGAIN
        Attachment.objects.filter(pk=attachment.pk, state=CHECKING).update(scan_at=later)
        return False
    if found:
        _refuse(attachment.pk, found)
    else:
        Attachment.objects.filter(pk=attachment.pk, state=CHECKING).update(
            state=READY, scan_at=None
        )
    return True


def _chunks(attachment: Attachment) -> Iterator[bytes]:
    try:
        with attachment.file.open("rb") as file:
            while chunk := file.read(CHUNK):
                yield chunk
    except STORAGE_ERRORS as reason:
        raise _Unreadable(f"its bytes can’t be read: {reason!r}") from reason


def _refuse(pk: int, found: str) -> None:
    """Mark a file as infected and tell the case it was sent in. Taken twice, it counts once.

    The door locks the case before the row of the file, as it does when a file is sent.
    """
    with transaction.atomic():
        infected = Attachment.objects.filter(pk=pk, state=CHECKING)
        unsent = infected.filter(event=None).update(state=INFECTED, scan_at=None)
        attachment = Attachment.objects.select_related("event__case").get(pk=pk)
        log.warning("a virus in %s: %s", attachment.public_id, found)
        if unsent or attachment.event is None:
            return
        event = attachment.event
        if not event.staff_only:
            facts = {"files": [attachment.public_id], "from": event.party, "found": found}
            cases.take_step(event.case, "refuse_file", SYSTEM, facts=facts)
        if not infected.update(state=INFECTED, scan_at=None):
            transaction.set_rollback(True)  # somebody else has settled it meanwhile


def tell_of_long_waits() -> int:
    """Log when files wait too long for the scanner; answer how many do."""
    since = timezone.now() - TOO_LONG
    many = Attachment.objects.filter(state=CHECKING, created_at__lt=since).count()
    if many:
        minutes = TOO_LONG.seconds // 60
        log.error("%s files have waited over %s minutes for the virus scanner", many, minutes)
    return many


# ── Removing bytes ────────────────────────────────────────────────────────────────────────────────


def remove_bytes() -> int:
    """Remove the bytes of files that are refused or kept no longer; answer how many.

    Safe to run twice and at once: what cannot be removed now is left for the next time.
    """
    removed = 0
    gone = Attachment.objects.filter(state__in=(INFECTED, REMOVED)).exclude(file="")
    for attachment in gone.order_by("pk")[:BATCH]:
        try:
            attachment.file.storage.delete(str(attachment.file.name))
        except STORAGE_ERRORS as reason:
            log.warning("%s could not be removed: %r", attachment.public_id, reason)
            continue
        removed += Attachment.objects.filter(pk=attachment.pk).update(file="")
    return removed


# ── Kept no longer ────────────────────────────────────────────────────────────────────────────────


def remove_old() -> int:
    """Remove the files of cases that were closed long ago; answer of how many cases.

    Not while a chargeback is open on the payment: the bank may still ask for them.
    """
    if not settings.EVIDENCE_KEPT_DAYS:
        return 0
    since = clock.now() - timedelta(days=settings.EVIDENCE_KEPT_DAYS)
    has_files = Attachment.objects.filter(event__case=OuterRef("pk"), state__in=(CHECKING, READY))
    over = (
        Case.objects.filter(Exists(has_files), state=State.CLOSED, closed_at__lte=since)
        .exclude(payment__chargeback=Payment.Chargeback.OPEN)
        .order_by("closed_at")[:BATCH]
    )
    done = 0
    for case in over:
        kept = Attachment.objects.filter(event__case=case, event__staff_only=False)
        done += bool(remove_files(case, kept, why="kept_long_enough"))
        notes = Attachment.objects.filter(event__case=case, state__in=(CHECKING, READY))
        notes.update(state=REMOVED, scan_at=None)
    remove_bytes()
    return done


def remove_files(case: Case, files: "QuerySet[Attachment]", *, why: str, **facts: Any) -> int:
    """Give up files of a case: its timeline says so, and their bytes go. Answers how many.

    Of what only staff may see, the timeline that both sides read says nothing.
    """
    with transaction.atomic():
        there = files.filter(state__in=(CHECKING, READY))
        ids = list(there.order_by("pk").values_list("public_id", flat=True))
        if not ids:
            return 0
        told = {"why": why, "files": ids, **facts}
        cases.take_step(case, "remove_files", SYSTEM, facts=told)
        Attachment.objects.filter(public_id__in=ids).update(state=REMOVED, scan_at=None)
        ring("resolution.tasks.remove_bytes")
    return len(ids)


# ── Rows and bytes ────────────────────────────────────────────────────────────────────────────────


def compare_storage() -> tuple[int, list[str]]:
    """Remove bytes that no row names, and find rows whose bytes are missing, older than a day.

    Answers how many were removed, and the public ids of the rows. Looks at one month at a time:
    a folder of the storage on one side, the rows that name it on the other.
    """
    removed, missing = 0, []
    for folder in _months():
        names = {f"{folder}/{name}" for name in _files_in(folder)}
        rows = Attachment.objects.filter(file__startswith=f"{folder}/")
        known = set(rows.values_list("file", flat=True))
        removed += sum(_remove_stray(name) for name in sorted(names - known))
        if lost := known - names:
            old = timezone.now() - STRAY
            there_before = rows.filter(file__in=lost, created_at__lt=old).order_by("pk")
            missing += list(there_before.values_list("public_id", flat=True))
    if missing:
        log.error("%s files have lost their bytes, the first is %s", len(missing), missing[0])
    return removed, missing


def _files_in(folder: str) -> list[str]:
    try:
        return default_storage.listdir(folder)[1]
    except FileNotFoundError:
        return []


def _months() -> Iterator[str]:
    """The folders that hold files or should: those of the storage and those that rows name."""
    months = {
        f"{FOLDER}/{day:%Y/%m}"
        for day in Attachment.objects.exclude(file="").datetimes("created_at", "month")
    }
    try:
        years = default_storage.listdir(FOLDER)[0]
    except FileNotFoundError:
        years = []
    for year in years:
        folder = f"{FOLDER}/{year}"
        months |= {f"{folder}/{month}" for month in default_storage.listdir(folder)[0]}
    yield from sorted(months)


def _remove_stray(name: str) -> bool:
    """Remove bytes that are nobody's, unless they are young: their row may be yet to come."""
    if default_storage.get_modified_time(name) > timezone.now() - STRAY:
        return False
    log.warning("bytes that belong to no file are removed: %s", name)
    default_storage.delete(name)
    return True
