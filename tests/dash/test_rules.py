"""The auto-respond rules as a creator's team writes, orders and reads them."""

import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from marketplace.models import Company, Product, User
from resolution import cases, rules, sweeps
from resolution.models import Case, Rule
from tests.people import MakePayment

RULES = "/dash/resolution-center/auto-respond/"
NEW = f"{RULES}new/"

MakeRule = Callable[..., Rule]


@pytest.fixture
def make_rule(company: Company) -> MakeRule:
    def make(name: str = "A rule", **columns: Any) -> Rule:
        values = {"reasons": ["not_as_described"], "message": "Sorry, {{ first_name }}."}
        return rules.add(company, name=name, **(values | columns))

    return make


def typed(**changes: Any) -> dict[str, Any]:
    """What somebody fills in for a rule that is fine."""
    values = {
        "name": "Small ones",
        "reasons": ["product_not_received", "fraudulent"],
        "maximum": "25",
        "currency": "USD",
        "product": "",
        "message": "Hi {{ first_name }}, {{ amount }} is on its way.",
        "enabled": "on",
        "do": "save",
    }
    return values | changes


def address(rule: Rule, act: str = "") -> str:
    return f"{RULES}{rule.pk}/{f'{act}/' if act else ''}"


def text_of(answer: Any) -> str:
    return str(answer.content.decode())


def order() -> list[tuple[str, int]]:
    return list(Rule.objects.order_by("position").values_list("name", "position"))


def test_a_new_rule_is_saved_as_written(dash: Client, product: Product) -> None:
    answer = dash.post(NEW, typed(product=product.public_id))

    rule = Rule.objects.get()
    assert (answer.status_code, answer.url) == (302, f"{RULES}#rule-{rule.pk}")  # type: ignore[attr-defined]
    assert (rule.company, rule.product, rule.name) == (product.company, product, "Small ones")
    assert rule.reasons == ["product_not_received", "fraudulent"]
    assert (rule.maximum_minor, rule.currency) == (2500, "USD")
    assert rule.message == "Hi {{ first_name }}, {{ amount }} is on its way."
    assert (rule.enabled, rule.version, rule.position) == (True, 1, 1)


def test_a_rule_without_an_amount_has_no_limit(dash: Client, product: Product) -> None:
    dash.post(NEW, typed(maximum=""))

    rule = Rule.objects.get()
    assert (rule.maximum_minor, rule.currency, rule.product) == (None, "", None)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"name": ""}, "Give the rule a name."),
        ({"name": "\u200b\u200b"}, "Give the rule a name."),
        ({"name": "one\ntwo"}, "Write the name on one line, without special characters."),
        ({"reasons": []}, "Choose at least one reason."),
        ({"reasons": ["rudeness"]}, "Choose from the reasons below."),
        ({"maximum": "a lot"}, "Enter an amount above zero and up to $1,000,000.00"),
        ({"maximum": "-5"}, "Enter an amount above zero and up to $1,000,000.00"),
        ({"maximum": "1.999"}, "USD amounts have 2 decimals at most."),
        ({"product": "prod_of_another"}, "Choose one of your own products."),
        ({"product": "a\0b"}, "Choose one of your own products."),
        ({"message": " \n "}, "Write what the buyer reads."),
        ({"message": "\u200b"}, "Write what the buyer reads."),
        (
            {"message": "Hi {{ frist_name }}"},
            "{{ frist_name }} is not a variable. You can use buyer_name, first_name, product, "
            "amount, method, company, case_id.",
        ),
        (
            {"message": "{{7*7}} {{ x.__class__ }} {{7*7}}"},
            "{{ 7*7 }} and {{ x.__class__ }} are not variables. You can use buyer_name, ",
        ),
        ({"message": "Hi {{ first_name }"}, "A variable begins with {{ and ends with }}."),
    ],
)
def test_what_is_wrong_is_said_and_nothing_is_lost(
    dash: Client, product: Product, changes: dict[str, Any], sentence: str
) -> None:
    answer = dash.post(NEW, typed(**changes))

    html = text_of(answer)
    assert answer.status_code == 422
    assert html.split("<title>")[1].startswith("Error: ")
    assert sentence in html
    assert ("Small ones" in html) == ("name" not in changes)
    assert ("is on its way." in html) == ("message" not in changes)
    assert not Rule.objects.exists()


def test_a_maximum_that_cannot_be_paid_back_to_the_last_digit_is_refused(
    dash: Client, product: Product
) -> None:
    Product.objects.filter(pk=product.pk).update(currency="KWD")

    answer = dash.post(NEW, typed(currency="KWD", maximum="1.999"))

    assert answer.status_code == 422
    assert "last digit. Enter KWD\xa01.990 or KWD\xa02.000." in text_of(answer)
    assert not Rule.objects.exists()


def test_another_companys_product_is_none_of_theirs(
    dash: Client, product: Product, nia: User
) -> None:
    theirs = Product.objects.create(
        company=nia.companies.get(), name="Theirs", price_minor=100, currency="USD"
    )

    answer = dash.post(NEW, typed(product=theirs.public_id))

    assert answer.status_code == 422
    assert "Theirs" not in text_of(answer)


def test_a_maximum_is_in_the_currency_that_the_product_is_sold_in(
    dash: Client, company: Company, product: Product
) -> None:
    yen = Product.objects.create(company=company, name="Yen", price_minor=900, currency="JPY")

    refused = dash.post(NEW, typed(product=yen.public_id, currency="USD"))
    dash.post(NEW, typed(product=yen.public_id, currency="JPY", maximum="¥1,200"))

    assert "“Yen” is sold in JPY" in text_of(refused)
    assert Rule.objects.values_list("maximum_minor", "currency").get() == (1200, "JPY")


def test_a_preview_shows_what_the_buyer_reads_and_saves_nothing(
    dash: Client, product: Product
) -> None:
    message = "Dear {{ buyer_name }}, {{amount}} for {{ product }} from {{ company }}. {{ method }}"

    answer = dash.post(NEW, typed(do="preview", message=message))

    html = text_of(answer)
    assert answer.status_code == 200
    assert (
        '<p class="said">Dear Hana Suzuki, $25.00 for Golden Hour presets from Loop &amp; Lens. '
        "Visa ending 4242</p>"
    ) in html
    assert "{{amount}} for" in html
    assert not Rule.objects.exists()


def test_a_changed_rule_gets_the_next_version(dash: Client, make_rule: MakeRule) -> None:
    rule = make_rule()

    form = text_of(dash.get(address(rule)))
    dash.post(address(rule), typed(name="Renamed", version=rule.version))

    rule.refresh_from_db()
    assert 'name="version" value="1"' in form
    assert (rule.name, rule.version) == ("Renamed", 2)


def test_who_comes_second_keeps_their_text_and_sees_the_others(
    dash: Client, make_rule: MakeRule
) -> None:
    rule = make_rule("Theirs")
    rules.change(rule, 1, message="Their own words.")

    late = dash.post(address(rule), typed(version=1))
    html = text_of(late)
    rule.refresh_from_db()
    unchanged = rule.message
    again = dash.post(address(rule), typed(version=2))

    assert late.status_code == 409
    assert "Somebody changed this rule while you were writing" in html
    assert "Their own words." in html
    assert "{{ amount }} is on its way." in html
    assert 'name="version" value="2"' in html
    assert unchanged == "Their own words."
    assert again.status_code == 302
    rule.refresh_from_db()
    assert (rule.name, rule.version) == ("Small ones", 3)


def test_a_rule_deleted_meanwhile_is_offered_as_a_new_one(
    dash: Client, make_rule: MakeRule, company: Company
) -> None:
    rule = make_rule()
    form = text_of(dash.get(address(rule)))
    rules.remove(rule, 1)

    late = dash.post(address(rule), typed(version=1, company=company.public_id))

    assert f'name="company" value="{company.public_id}"' in form
    assert late.status_code == 409
    assert "Somebody deleted this rule while you were writing" in text_of(late)
    assert "{{ amount }} is on its way." in text_of(late)
    assert f'action="{NEW}"' in text_of(late)
    assert order() == []


@pytest.mark.django_db(transaction=True)
def test_rules_written_at_once_get_places_of_their_own(company: Company) -> None:
    def write(name: str) -> int:
        try:
            return rules.add(company, name=name, reasons=["fraudulent"], message="x").position
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as team:
        places = sorted(team.map(write, "abcd"))

    assert places == [1, 2, 3, 4]


def test_rules_keep_their_order_and_change_places(dash: Client, make_rule: MakeRule) -> None:
    first, _, third = make_rule("one"), make_rule("two"), make_rule("three")

    dash.post(address(third, "up"), {"version": 1})
    after_up = order()
    dash.post(address(first, "up"), {"version": 1})
    dash.post(address(first, "down"), {"version": 1})

    assert after_up == [("one", 1), ("three", 2), ("two", 3)]
    assert order() == [("three", 1), ("one", 2), ("two", 3)]


def test_a_rule_is_switched_off_and_on(dash: Client, make_rule: MakeRule) -> None:
    rule = make_rule()

    dash.post(address(rule, "off"), {"version": 1})
    off = Rule.objects.get()
    dash.post(address(rule, "on"), {"version": 2})
    on = Rule.objects.get()

    assert (off.enabled, off.version) == (False, 2)
    assert (on.enabled, on.version) == (True, 3)


def test_an_old_page_switches_and_deletes_nothing(dash: Client, make_rule: MakeRule) -> None:
    rule = make_rule()
    rules.change(rule, 1, name="Renamed")

    switched = dash.post(address(rule, "off"), {"version": 1})
    deleted = dash.post(address(rule, "delete"), {"version": 1})

    assert (switched.status_code, deleted.status_code) == (409, 409)
    assert "has changed meanwhile" in text_of(deleted)
    assert Rule.objects.values_list("name", "enabled").get() == ("Renamed", True)


def test_a_deleted_rule_is_gone_and_the_others_stay(dash: Client, make_rule: MakeRule) -> None:
    first, _ = make_rule("one"), make_rule("two")

    answer = dash.post(address(first, "delete"), {"version": 1})

    assert (answer.status_code, answer.url) == (302, RULES)  # type: ignore[attr-defined]
    assert order() == [("two", 2)]
    assert rules.add(first.company, name="three", reasons=["fraudulent"], message="x").position == 3


@pytest.mark.parametrize("data", [{}, {"version": "x"}, {"version": "-1"}])
def test_an_act_without_its_version_is_no_act(
    dash: Client, make_rule: MakeRule, data: dict[str, str]
) -> None:
    rule = make_rule()

    assert dash.post(address(rule, "delete"), data).status_code == 400
    assert dash.post(address(rule, "explode"), {"version": 1}).status_code == 404
    assert dash.get(address(rule, "delete")).status_code == 405
    assert order() == [("A rule", 1)]


@pytest.mark.parametrize(
    ("role", "status"), [("owner", 200), ("admin", 200), ("support", 403), ("viewer", 403)]
)
def test_only_owners_and_admins_change_rules(
    client: Client, join: Callable[[str], User], make_rule: MakeRule, role: str, status: int
) -> None:
    rule = make_rule()
    client.force_login(join(role))

    listed = text_of(client.get(RULES))
    tried = [
        client.get(NEW).status_code,
        client.get(address(rule)).status_code,
        client.post(NEW, typed(do="preview")).status_code,
        client.post(address(rule), typed(do="preview")).status_code,
    ]
    moved = client.post(address(rule, "off"), {"version": 1}).status_code

    assert tried == [status] * 4
    assert moved == (302 if status == 200 else 403)
    assert ("A rule" in listed, "Turn off" in listed) == (True, status == 200)
    sentence = (
        f"Only owners and admins of Loop &amp; Lens can change its rules. Your role is {role}."
    )
    assert (sentence in listed) == (status == 403)
    assert Rule.objects.get().enabled == (status == 403)


def test_strangers_find_no_rule(client: Client, nia: User, make_rule: MakeRule) -> None:
    rule = make_rule("Secret")
    client.force_login(nia)

    tried = [
        client.get(address(rule)).status_code,
        client.post(address(rule), typed(version=1)).status_code,
        client.post(address(rule, "delete"), {"version": 1}).status_code,
        client.get(RULES, {"company": rule.company.public_id}).status_code,
        client.post(f"{NEW}?company={rule.company.public_id}", typed()).status_code,
        client.get(f"{RULES}99999999999999999999/").status_code,
    ]

    assert tried == [404] * 6
    assert "Secret" not in text_of(client.get(RULES))
    assert order() == [("Secret", 1)]


def test_who_is_on_no_team_gets_a_kind_page(client: Client, bea: User) -> None:
    client.force_login(bea)

    assert client.get(RULES).status_code == 404
    assert client.get(NEW).status_code == 404


def test_each_company_has_rules_of_its_own(
    dash: Client, make_rule: MakeRule, second_company: Company
) -> None:
    make_rule("Of the first")
    elsewhere = f"{NEW}?company={second_company.public_id}"

    answer = dash.post(elsewhere, typed(name="Of the second"))
    listed = text_of(dash.get(RULES, {"company": second_company.public_id}))

    rule = Rule.objects.get(company=second_company)
    assert (rule.name, rule.position) == ("Of the second", 1)
    assert answer.url == f"{RULES}?company={second_company.public_id}#rule-{rule.pk}"  # type: ignore[attr-defined]
    assert ("Of the second" in listed, "Of the first" in listed) == (True, False)


def test_the_list_says_what_each_rule_refunded(
    dash: Client, make_rule: MakeRule, make_payment: MakePayment, bea: User
) -> None:
    rule = make_rule("Busy")
    make_rule("Idle")
    for _ in range(2):
        case = cases.open_case(
            make_payment(), bea, reason="not_as_described", message="No.", asked_minor=2000
        )
        sweeps.advance([case.pk])

    with CaptureQueriesContext(connection) as queries:
        html = text_of(dash.get(RULES))

    assert re.findall(r'Last 90 days: <b class="ink">([^<]+)</b>', html) == [
        "2 refunds, $40.00",
        "no refunds",
    ]
    assert len(queries) == 6  # session, person, teams, counts for the menu, refunds, rules
    event = Case.objects.order_by("pk")[0].events.get(step="auto_refund")
    assert event.data["rule"] == {"id": rule.pk, "version": 1, "name": "Busy"}


def test_a_rule_reads_as_a_sentence(dash: Client, make_rule: MakeRule, product: Product) -> None:
    make_rule(
        reasons=["product_not_received", "fraudulent"], product=product, maximum_minor=2500,
        currency="USD",
    )  # fmt: skip

    html = text_of(dash.get(RULES))

    sentence = re.search(r'<p class="rule__say muted">(.*?)</p>', html)
    assert sentence
    assert re.sub("<[^>]+>", "", sentence[1]) == (
        "When the reason is Not received or Charge not recognized and the buyer asks for up to "
        "$25.00 for Golden Hour presets, refund it and send your message."
    )


def test_what_people_write_is_text_and_never_markup(
    dash: Client, make_rule: MakeRule, product: Product
) -> None:
    hostile = "<script>alert(1)</script>"
    Product.objects.filter(pk=product.pk).update(name=hostile)
    product.refresh_from_db()
    rule = make_rule(hostile, message=hostile + "{% debug %}", product=product)

    shown = [text_of(dash.get(RULES)), text_of(dash.get(address(rule)))]
    rules.change(rule, 1, name=hostile)
    shown.append(text_of(dash.post(address(rule), typed(name=hostile, version=1))))

    for html in shown:
        assert re.findall(r"<script(?! src=)", html) == []
        assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html
    assert "{% debug %}" in shown[1]
