"""Who calls, and in which capacity they stand before a case: the same as in the browser."""

from dataclasses import dataclass
from functools import cached_property

from django.http import HttpRequest
from ninja.security import HttpBearer

from api import limits, tokens
from api.errors import ApiError
from api.models import ApiToken
from marketplace.models import Company, TeamMember, User
from resolution.models import Case, CaseQuerySet
from resolution.terms import Actor, Party


@dataclass(frozen=True)
class Caller:
    """The person or company behind a token."""

    token: ApiToken

    @property
    def user(self) -> User:
        return self.token.user

    @property
    def company(self) -> Company | None:
        """The company of a company token."""
        return self.token.company

    @cached_property
    def places(self) -> dict[int, TeamMember]:
        """Their places in teams, by company; for a company token in that company alone."""
        found = TeamMember.objects.filter(user=self.user).select_related("company")
        if self.token.company_id:
            found = found.filter(company=self.token.company_id)
        return {place.company_id: place for place in found.order_by("company")}

    def may(self, scope: str) -> bool:
        return tokens.allows(self.token, scope)

    def needs(self, scope: str) -> None:
        """Raise ApiError 403 unless the token has this scope."""
        if not self.may(scope):
            raise ApiError(403, "missing_scope", f"This token lacks the scope “{scope}”.")

    def as_buyer(self) -> Actor | None:
        """As somebody who bought something: never with a company token."""
        return None if self.token.company_id else Actor(Party.BUYER, self.user)

    def as_creator(self, company_id: int) -> Actor | None:
        """As one of this company's team, when they are."""
        place = self.places.get(company_id)
        return Actor(Party.CREATOR, self.user, role=place.role) if place else None

    def actors_on(self, case: Case) -> list[Actor]:
        """In which capacities they stand before a case: of those, the case is visible to them."""
        buyer = self.as_buyer() if case.buyer_id == self.user.pk else None
        return [actor for actor in (buyer, self.as_creator(case.company_id)) if actor]

    def lists(self) -> list[CaseQuerySet]:
        """The cases that they see: those that they opened, and one list for each company."""
        buyer = self.as_buyer()
        mine = [Case.objects.visible_to(buyer)] if buyer else []
        creator = Actor(Party.CREATOR, self.user)
        theirs = Case.objects.visible_to(creator)
        return mine + [theirs.filter(company=company_id) for company_id in self.places]


class ApiRequest(HttpRequest):
    """A request that a token came with."""

    auth: Caller


class Bearer(HttpBearer):
    """`Authorization: Bearer apik_…`. A cookie of the browser is never looked at."""

    def authenticate(self, request: HttpRequest, token: str) -> Caller | None:
        found = tokens.find(token.strip()) if token else None
        if found is None:
            return None
        limits.check(found)
        caller = Caller(found)
        if found.company_id and found.company_id not in caller.places:
            return None  # whoever made it has left the company
        return caller
