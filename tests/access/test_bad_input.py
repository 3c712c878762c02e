"""Whatever is sent to a page, it answers: no error of ours, no text that runs, nothing changed."""

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from marketplace.models import Company, User
from resolution.models import Case
from tests.access.fuzz import SCRIPT, Range, few_shots, forgotten
from tests.access.test_policy import World
from tests.people import MakePayment


def logged_in(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def urlencoded(fields: dict[str, Any]) -> bytes:
    """As a browser that was told to misbehave sends it: every byte escaped, surrogates too."""
    return "&".join(
        f"{name}=" + "".join(f"%{byte:02X}" for byte in str(value).encode("utf-8", "surrogatepass"))
        for name, value in fields.items()
    ).encode()


def post(client: Client, address: str, fields: dict[str, Any]) -> Any:
    return client.post(address, urlencoded(fields), "application/x-www-form-urlencoded")


def test_no_form_takes_anything_that_is_hostile_badly(world: World) -> None:
    range_ = Range(world)
    targets = list(range_.targets(every=False))

    wrong = [
        range_.shoot(target, target.people[0], field, kind)
        for target, field, kind in few_shots(targets, of_each=1)
    ]

    assert ([what for what in wrong if what], forgotten(targets)) == ([], [])


@pytest.mark.parametrize("place", ["12:30", "hub", "a:b:c", "//evil.example", "\x08//evil.example"])
def test_a_language_leads_nowhere_by_name(db: None, place: str) -> None:
    answer = post(Client(), "/language/", {"language": "de", "next": place})

    assert (answer.status_code, answer["Location"]) == (302, "/")


def test_hostile_words_are_kept_as_they_are(waiting_case: Case, bea: User, cleo: User) -> None:
    said = f"{SCRIPT} {{{{7*7}}}} {{x.__class__}} %s \u202egnp.exe 👩‍👩‍👧"
    number = waiting_case.public_id

    sent = post(logged_in(bea), reverse("hub-act", args=[number, "comment"]), {"message": said})
    read = logged_in(cleo).get(reverse("dash-case", args=[number])).content.decode()

    assert sent.status_code == 302
    assert waiting_case.events.get(step="comment").message == said
    assert (
        SCRIPT in read,
        "&lt;script&gt;alert(1)&lt;/script&gt; {{7*7}} {x.__class__} %s" in read,
    ) == (
        False,
        True,
    )


@pytest.mark.parametrize(
    ("amount", "asked_minor"),
    [
        ("1200", 1200), ("1,000", 1000), ("¥1", 1), ("0", None), ("-1", None), ("1e3", None),
        ("1e309", None), ("NaN", None), ("1201", None), ("10.5", None), ("1.00", None),
        ("10 USD", None), ("", None), ("1 000", None), ("٣", None), ("0x10", None), ("+1", None),
    ],
)  # fmt: skip
def test_an_amount_is_one_that_can_be_paid_back(
    make_payment: MakePayment, bea: User, amount: str, asked_minor: int | None
) -> None:
    payment = make_payment(currency="JPY", amount_minor=1200)

    answer = logged_in(bea).post(
        reverse("hub-open-case", args=[payment.public_id]),
        {
            "reason": "fraudulent", "ask": "part", "amount": amount,
            "description": "It is not at all what I ordered from them.",
        },
    )  # fmt: skip

    asked = [case.asked_minor for case in Case.objects.filter(payment=payment)]
    if asked_minor is None:
        assert (answer.status_code, asked) == (422, [])
        errors = answer.context["form"].errors["amount"]
        assert errors == ["Enter an amount from ¥1 to ¥1,200, without decimals."]
    else:
        assert (answer.status_code, asked) == (302, [asked_minor])


# ── How it is sent ────────────────────────────────────────────────────────────────────────────────

LIE = "multipart/form-data; boundary=another"
SENT = {
    "another type": (b'{"message": "Hello."}', "application/json"),
    "no type": (b"message=Hello.", ""),
    "a lying boundary": (b"--one\r\n\r\nHello.\r\n--one--\r\n", LIE),
    "no boundary": (b"Hello.", "multipart/form-data"),
    "a broken boundary": (b"Hello.", "multipart/form-data; boundary=" + "x" * 300),
    "half a part": (b'--another\r\nContent-Disposition: form-data; name="message"', LIE),
    "1,001 fields": (
        b"&".join(b"a%d=1" % n for n in range(1001)),
        "application/x-www-form-urlencoded",
    ),
    "3 MB": (b"message=" + b"x" * 3_000_000, "application/x-www-form-urlencoded"),
    "not UTF-8": (b"message=\xff\xfe&version=\xff", "application/x-www-form-urlencoded"),
    "another charset": (b"message=Hello.", "application/x-www-form-urlencoded; charset=utf-7"),
    "no such charset": (b"message=Hello.", "application/x-www-form-urlencoded; charset=nonsense"),
}


@pytest.mark.parametrize("how", SENT)
def test_a_body_that_is_none_changes_nothing(waiting_case: Case, bea: User, how: str) -> None:
    body, content_type = SENT[how]
    client, number = logged_in(bea), waiting_case.public_id
    before = waiting_case.events.count()

    answers = [
        client.generic("POST", address, body, content_type).status_code
        for address in (
            reverse("hub-act", args=[number, "reply"]),
            reverse("hub-act", args=[number, "withdraw"]),
            reverse("hub-open-case", args=[waiting_case.payment.public_id]),
            "/password-reset/",
        )
    ]

    assert [status for status in answers if status >= 500] == []
    assert waiting_case.events.count() == before


def test_a_million_characters_are_an_error_of_the_field(waiting_case: Case, bea: User) -> None:
    sent = {"message": "x" * 1_000_000}

    answer = logged_in(bea).post(reverse("hub-act", args=[waiting_case.public_id, "comment"]), sent)

    assert answer.status_code == 422
    assert "This is 1,000,000 characters long. Shorten it to 4,000." in answer.content.decode()


QUERIES = [
    "after=x", "after=reso_x", "after=%FF%FE", "after=" + "a" * 5000, "before=x%00",
    "sort=nonsense", "view=nonsense", "view=%ED%A0%80", "q=%", "q=%25%5F%5C", "q=" + "reso_" * 400,
    "q=a&q=b",
    "company=biz_x", "company=%FF", "product=prod_x", "reason=nonsense", "amount=x&why=x", "=&&=",
    "inline=2", "page=0", "p=999999", "o=99.-1", "_popup=1&_to_field=x", "all=",
    "q=%F0%9F%91%A9&view=%F0%9F%91%A9", "id__in=1,x", "e=1",
]  # fmt: skip


def test_no_query_breaks_a_page(
    waiting_case: Case, bea: User, cleo: User, sam: User, company: Company
) -> None:
    pages = {
        bea: ["/hub/", "/hub/cases/", "/hub/credits/", f"/hub/cases/{waiting_case.public_id}/"],
        cleo: ["/dash/resolution-center/", "/dash/resolution-center/auto-respond/"],
        sam: [
            "/admin/resolution/case/", "/admin/payments/payment/", "/admin/payments/refund/",
            "/admin/marketplace/user/", "/admin/notifications/notification/",
            "/admin/resolution/rule/", "/admin/",
        ],
    }  # fmt: skip

    broken = [
        f"{page}?{query}"
        for user, addresses in pages.items()
        for client in [logged_in(user)]
        for page in addresses
        for query in QUERIES
        if client.get(f"{page}?{query}").status_code >= 500
    ]

    assert broken == []


@pytest.mark.parametrize(
    "cookie", ["session=" + "x" * 100_000, "csrf=\xff; session=\xff", "=; ;;==", "session=a\x01b"]
)
def test_a_cookie_that_is_none_is_a_strangers(db: None, cookie: str) -> None:
    answer = Client(headers={"cookie": cookie}).get("/hub/")

    assert (answer.status_code, answer["Location"]) == (302, "/login/?next=/hub/")
