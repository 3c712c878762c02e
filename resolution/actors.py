"""In which capacity a signed-in person stands before a case."""

from marketplace.models import Company, TeamMember, User
from resolution.models import Case
from resolution.terms import Actor, Party


def as_buyer(user: User) -> Actor:
    """The person as somebody who bought something."""
    return Actor(Party.BUYER, user)


def as_creator(user: User, company: Company | None = None) -> Actor:
    """The person as one of a company's team; without a company, only good for looking things up."""
    role = ""
    if company is not None:
        place = TeamMember.objects.filter(user=user, company=company).first()
        role = place.role if place else ""
    return Actor(Party.CREATOR, user, role=role)


def as_staff(user: User, case: Case | None = None) -> Actor:
    """The person as staff; marked as conflicted on a case whose buyer or creator they are."""
    conflicted = case is not None and (
        case.buyer_id == user.pk
        or TeamMember.objects.filter(user=user, company_id=case.company_id).exists()
    )
    return Actor(Party.STAFF, user, role=user.staff_role, conflicted=conflicted)
