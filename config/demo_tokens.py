"""The demo's API tokens: one for everybody, the same at each start, and good only there."""

from django.conf import settings

from api import tokens
from api.models import ApiToken
from marketplace.models import User

NAME = "Demo"


def secret_of(user: User) -> str:
    """The token that a person of the demo has. Whoever reads this can work it out."""
    return f"{tokens.PREFIX}demo_{tokens.digest_of(user.email)[:32]}"


def give_everybody_one() -> None:
    """Make the tokens that are not there yet; the people of the story are few."""
    assert settings.DEMO, "these tokens are known to everybody"
    have = ApiToken.objects.filter(name=NAME).values_list("user", flat=True)
    for user in User.objects.exclude(pk__in=list(have)).order_by("pk"):
        tokens.make(user, NAME, list(tokens.SCOPES), secret=secret_of(user))
