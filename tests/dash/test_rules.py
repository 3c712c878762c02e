"""The auto-respond rules as a creator's team writes, orders and reads them."""

import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from marketplace import clock
from marketplace.models import Company, Product, User
from resolution import cases, rules, sweeps
from resolution.models import Case, Event, Rule
from resolution.terms import Actor
from tests.dash.conftest import MakeCases
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
        "maximum_USD": "25",
        "buyer_limit": "1",
        "delay_hours": "0",
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
    answer = dash.post(NEW, typed(products=[product.public_id]))

    rule = Rule.objects.get()
    assert (answer.status_code, answer.url) == (302, f"{RULES}#rule-{rule.pk}")  # type: ignore[attr-defined]
    assert (rule.company, rule.name) == (product.company, "Small ones")
    assert (rule.product_ids, rule.processor, rule.membership) == ([product.pk], "", "")
    assert rule.reasons == ["product_not_received", "fraudulent"]
    assert (rule.maximums, rule.day_limits, rule.month_limits) == ({"USD": 2500}, {}, {})
    assert (rule.buyer_limit, rule.delay_hours) == (1, 0)
    assert rule.message == "Hi {{ first_name }}, {{ amount }} is on its way."
    assert (rule.enabled, rule.version, rule.position) == (True, 1, 1)


def test_a_rule_without_an_amount_has_no_limit(dash: Client, product: Product) -> None:
    dash.post(NEW, typed(maximum_USD="", buyer_limit=""))

    rule = Rule.objects.get()
    assert (rule.maximums, rule.product_ids, rule.buyer_limit) == ({}, [], None)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"name": ""}, "Give the rule a name."),
        ({"name": "\u200b\u200b"}, "Give the rule a name."),
        ({"name": "one\ntwo"}, "Write the name on one line, without special characters."),
        ({"reasons": []}, "Choose at least one reason."),
        ({"reasons": ["rudeness"]}, "Choose from the reasons below."),
        ({"maximum_USD": "a lot"}, "Enter an amount above zero and up to $1,000,000.00"),
        ({"day_USD": "-5"}, "Enter an amount above zero and up to $1,000,000.00"),
        ({"month_USD": "1.999"}, "USD amounts have 2 decimals at most."),
        ({"products": ["prod_of_another"]}, "Choose from your own products."),
        ({"products": ["a\0b"]}, "Choose from your own products."),
        ({"day_USD": "24.99"}, "less than one case may ask for. Enter at least $25.00."),
        ({"day_USD": "90", "month_USD": "80"}, "Enter at least $90.00."),
        ({"month_USD": "20"}, "Enter at least $25.00."),
        ({"buyer_limit": "0"}, "Enter 1 or more, or nothing."),
        ({"buyer_limit": "many"}, "Enter a number, or nothing."),
        ({"processor": "crypto"}, "crypto is not one of the available choices."),
        ({"delay_hours": "9999"}, "9999 is not one of the available choices."),
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

    answer = dash.post(NEW, typed(maximum_KWD="1.999"))

    assert answer.status_code == 422
    assert "last digit. Enter KWD\xa01.990 or KWD\xa02.000." in text_of(answer)
    assert not Rule.objects.exists()


def test_another_companys_product_is_none_of_theirs(
    dash: Client, product: Product, nia: User
) -> None:
    theirs = Product.objects.create(
        company=nia.companies.get(), name="Theirs", price_minor=100, currency="USD"
    )

    answer = dash.post(NEW, typed(products=[theirs.public_id]))

    assert answer.status_code == 422
    assert "Theirs" not in text_of(answer)


def test_each_currency_has_amounts_of_its_own(
    dash: Client, company: Company, product: Product
) -> None:
    Product.objects.create(company=company, name="Yen", price_minor=900, currency="JPY")

    refused = dash.post(NEW, typed(maximum_JPY="10.50"))
    dash.post(
        NEW,
        typed(
            maximum_JPY="¥1,200",
            day_JPY="5000",
            day_USD="$100",
            month_USD="400",
            processor="paypal",
        ),
    )

    assert "JPY amounts have no decimals." in text_of(refused)
    rule = Rule.objects.get()
    assert rule.maximums == {"USD": 2500, "JPY": 1200}
    assert (rule.day_limits, rule.month_limits) == ({"JPY": 5000, "USD": 10000}, {"USD": 40000})
    form = text_of(dash.get(address(rule)))
    values = re.findall(r'<input type="text" name="(\w+_[A-Z]{3})"(?: value="([^"]*)")?', form)
    assert dict(values) == {
        "maximum_JPY": "1200", "day_JPY": "5000", "month_JPY": "",
        "maximum_USD": "25.00", "day_USD": "100.00", "month_USD": "400.00",
    }  # fmt: skip


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
    assert ("A rule" in listed, 'role="switch"' in listed) == (True, status == 200)
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
    assert len(queries) == 5  # session, person, teams with the menu's counts, refunds, rules
    event = Case.objects.order_by("pk")[0].events.get(step="auto_refund")
    assert event.data["rule"] == {"id": rule.pk, "version": 1, "name": "Busy"}


def test_a_rule_reads_as_a_sentence(dash: Client, make_rule: MakeRule, product: Product) -> None:
    make_rule(
        reasons=["product_not_received", "fraudulent"], product_ids=[product.pk],
        maximums={"USD": 2500, "EUR": 2000}, processor="paypal", membership="ended",
        day_limits={"USD": 9000}, buyer_limit=1, delay_hours=48,
    )  # fmt: skip

    html = text_of(dash.get(RULES))

    sentence = re.search(r'<p class="rule__say muted">(.*?)</p>', html)
    assert sentence
    assert re.sub("<[^>]+>", "", sentence[1]) == (
        "When the reason is Not received or Charge not recognized and the buyer asks for up to "
        "€20.00 or up to $25.00 for Golden Hour presets, paid by PayPal, and the membership has "
        "ended, refund it after 2 days and send your message."
    )
    assert (
        "At most $90.00 in any 24 hours, 1 refund to one buyer in 30 days. Cases over the limit "
        "wait for you."
    ) in html


def test_what_people_write_is_text_and_never_markup(
    dash: Client, make_rule: MakeRule, product: Product
) -> None:
    hostile = "<script>alert(1)</script>"
    Product.objects.filter(pk=product.pk).update(name=hostile)
    product.refresh_from_db()
    rule = make_rule(hostile, message=hostile + "{% debug %}", product_ids=[product.pk])

    shown = [text_of(dash.get(RULES)), text_of(dash.get(address(rule)))]
    rules.change(rule, 1, name=f"{hostile}!")
    shown.append(text_of(dash.post(address(rule), typed(name=hostile, version=1))))

    for html in shown:
        assert re.findall(r"<script(?! src=)", html) == []
        assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html
    assert "{% debug %}" in shown[1]


# ── What happens to a rule is kept, and what it would do is shown before ──────────────────────────


def history_of(dash: Client) -> list[str]:
    """The entries of the history as lines: who did what, and each before and after."""
    html = text_of(dash.get(f"{RULES}history/"))
    items = re.findall(r'<li class="card rule">(.*?)</li>', html, re.DOTALL)
    return [" ".join(re.sub("<[^>]+>", " ", item).split()) for item in items]


def test_the_history_says_who_changed_what_and_keeps_what_is_deleted(
    dash: Client, make_rule: MakeRule, cleo: User, product: Product
) -> None:
    rule, other = make_rule("Small ones", maximums={"USD": 2500}), make_rule("Other")
    rule = rules.change(rule, 1, by=cleo, maximums={"USD": 4000}, product_ids=[product.pk])
    dash.post(address(rule, "off"), {"version": 2})
    dash.post(address(rule, "down"), {"version": 3})
    dash.post(address(rule, "delete"), {"version": 3})

    told = history_of(dash)

    assert [line.split(" AM")[-1].split(" PM")[-1].partition(" ")[2] for line in told[:4]] == [
        "Cleo Park deleted it.",
        "Cleo Park moved it. Place 1 2",
        "Cleo Park turned it off. State on off",
        "Cleo Park changed it. Products all Golden Hour presets Up to $25.00 $40.00",
    ]
    assert told[0].startswith("Small ones version 3")
    assert len(told) == 6
    assert other.changes.count() == 1


def test_what_is_saved_as_it_was_is_no_change(dash: Client, make_rule: MakeRule) -> None:
    rule = make_rule("Small ones", reasons=["fraudulent"], maximums={"USD": 2500}, buyer_limit=1)

    dash.post(
        address(rule), typed(reasons=["fraudulent"], message=rule.message, version=rule.version)
    )

    assert Rule.objects.get().version == 1
    assert len(history_of(dash)) == 1


def tried(html: str) -> str:
    """The dry run as a reader sees it."""
    part = html.split('id="dry">')[1].split("<section")[0]
    return " ".join(re.sub("<[^>]+>", " ", part).split())


def test_a_dry_run_shows_what_the_rule_would_have_done_and_changes_nothing(
    dash: Client, make_rule: MakeRule, make_cases: MakeCases, take: Callable[..., Case],
    creator: Actor,
) -> None:  # fmt: skip
    earlier = make_rule("First", reasons=["fraudulent"])
    rule = make_rule("Second", reasons=["fraudulent", "not_as_described"], maximums={"USD": 2500})
    make_cases(2, amount_minor=2000, reason="fraudulent")
    make_cases(3, amount_minor=2000)
    denied = make_cases(1, amount_minor=4000, buyer="Piet Jansen")[0]
    take(denied, "deny", creator, message="No.")
    make_cases(1, amount_minor=9000)
    make_cases(1, amount_minor=2000, opened_at=clock.now() - timedelta(days=91))

    now = tried(text_of(dash.get(address(rule))))
    live = dash.post(
        address(rule),
        typed(maximum_USD="40", reasons=rule.reasons, do="preview", version=1, buyer_limit=""),
        headers={"HX-Request": "true"},
    )
    capped = dash.post(
        address(rule),
        typed(maximum_USD="40", day_USD="60", reasons=rule.reasons, do="preview", buyer_limit=""),
    )

    assert now.startswith("Would have matched Last 90 days 3 of 7 cases $60.00 refunded.")
    said = tried(text_of(live))
    assert "4 of 7 cases $100.00 refunded. That’s 1 case and $40.00 more than the rule" in said
    assert "1 of these you denied yourself." in said
    assert "Case Amount You Piet Jansen $40.00 Denied" in said
    assert "<html" not in text_of(live)
    assert "3 of 7 cases $60.00 refunded." in tried(text_of(capped))
    assert "1 more case matches, but its limits leave it to you." in tried(text_of(capped))
    assert (Rule.objects.get(pk=rule.pk).version, earlier.uses.count()) == (1, 0)
    assert not Event.objects.filter(step="auto_refund").exists()


def test_an_unfinished_rule_shows_its_message_alone(dash: Client, product: Product) -> None:
    answer = dash.post(
        NEW, typed(name="", reasons=[], do="preview"), headers={"HX-Request": "true"}
    )

    assert answer.status_code == 200
    assert "Hi Hana, $25.00 is on its way." in text_of(answer)
    assert "Fill in the rule" in tried(text_of(answer))
    assert not Rule.objects.exists()


def test_a_dry_run_costs_a_fixed_number_of_queries(
    dash: Client, make_rule: MakeRule, make_cases: MakeCases
) -> None:
    rule = make_rule()
    make_cases(12)

    with CaptureQueriesContext(connection) as queries:
        dash.get(address(rule))

    # session, person, rule, teams with the menu's counts, products, the other rules, the cases
    assert len(queries) == 7
