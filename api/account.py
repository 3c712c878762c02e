"""Who a token belongs to."""

from ninja import Router, Schema

from api.auth import ApiRequest
from api.errors import documented

router = Router(tags=["Account"])


class AccountRole(Schema):
    """A company that the caller answers cases for."""

    id: str
    title: str
    role: str


class Me(Schema):
    """The person behind the token, what the token may do, and on which side."""

    id: str
    name: str
    email: str
    token_id: str
    scopes: list[str]
    account_id: str | None
    accounts: list[AccountRole]


@router.get("/me", response={200: Me, **documented()}, operation_id="me")
def me(request: ApiRequest) -> Me:
    """The caller: the user, the token's scopes, and the accounts they are a team member of."""
    caller = request.auth
    return Me(
        id=caller.user.public_id,
        name=caller.user.name,
        email=caller.user.email,
        token_id=caller.token.public_id,
        scopes=caller.token.scopes,
        account_id=caller.company.public_id if caller.company else None,
        accounts=[
            AccountRole(id=place.company.public_id, title=place.company.name, role=place.role)
            for place in caller.places.values()
        ],
    )
