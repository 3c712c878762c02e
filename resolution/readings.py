"""Writes down which of the staff has looked at which case. Rows are added, and never changed."""

from marketplace.models import User
from resolution.models import Case, Reading


def note(reader: User, case: Case, what: Reading.What, detail: str = "") -> None:
    """One of the staff looks at a case, at a file of it (its id), or takes an export (for whom)."""
    Reading.objects.create(reader=reader, case=case, what=what, detail=detail)
