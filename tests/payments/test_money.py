"""Amounts as people write and read them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from payments.gateways.units import smallest_step
from payments.money import currency_symbol, exponent, format_money, parse_money

CURRENCIES = ["USD", "EUR", "JPY", "KWD", "HUF"]


@pytest.mark.parametrize(
    ("minor", "currency", "text"),
    [
        (7900, "USD", "$79.00"),
        (1200, "JPY", "¥1,200"),
        (-500, "USD", "−$5.00"),
        (0, "USD", "$0.00"),
        (123_456_789, "EUR", "€1,234,567.89"),
        (1234, "KWD", "KWD\N{NO-BREAK SPACE}1.234"),
        (-1234, "KWD", "−KWD\N{NO-BREAK SPACE}1.234"),
        (7900, "usd", "$79.00"),
    ],
)
def test_an_amount_is_written_as_people_read_it(minor: int, currency: str, text: str) -> None:
    assert format_money(minor, currency) == text


def test_another_locale_writes_an_amount_its_own_way() -> None:
    assert format_money(123_456, "EUR", locale="de_DE") == "1.234,56\N{NO-BREAK SPACE}€"


def test_a_currency_has_its_decimals_and_its_symbol() -> None:
    known = {code: (exponent(code), currency_symbol(code)) for code in CURRENCIES}

    assert known == {
        "USD": (2, "$"),
        "EUR": (2, "€"),
        "JPY": (0, "¥"),
        "KWD": (3, "KWD"),
        "HUF": (2, "HUF"),
    }


@pytest.mark.parametrize(
    ("text", "currency", "minor"),
    [
        ("79", "USD", 7900),
        ("79.0", "USD", 7900),
        ("79.5", "USD", 7950),
        (" $79.00 ", "USD", 7900),
        ("79.00 USD", "USD", 7900),
        ("usd 79", "USD", 7900),
        ("1,200.50", "USD", 120_050),
        ("¥1,200", "JPY", 1200),
        ("0.01", "USD", 1),
        ("1.234", "KWD", 1234),
        ("007", "USD", 700),
    ],
)
def test_an_amount_is_read_as_people_write_it(text: str, currency: str, minor: int) -> None:
    assert parse_money(text, currency, maximum_minor=1_000_000) == minor


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            " ",
            "abc",
            "-1",
            "−1",
            "+1",
            "1e309",
            "1e3",
            "NaN",
            "inf",
            "0x10",
            "1_000",
            "$",
            ".",
        ),
        *(
            "1,20",
            "1,2000",
            "12,34,567",
            "1.2.3",
            "1 200",
            ".50",
            "5.",
            "€5",
            "$$5",
            "5\x00",
            "\x00",
        ),
        *("٥", "５", "5\N{ZERO WIDTH SPACE}", "5\n6", "9" * 5000, "{{7*7}}", "%s"),
    ],
)
def test_what_is_no_amount_is_refused_and_the_maximum_named(text: str) -> None:
    with pytest.raises(ValueError) as refused:
        parse_money(text, "USD", maximum_minor=7900)

    assert str(refused.value) == "Enter an amount above zero and up to $79.00, in figures only."


@pytest.mark.parametrize(
    ("text", "currency", "sentence"),
    [
        ("0", "USD", "Enter an amount above zero and up to $79.00."),
        ("0.00", "USD", "Enter an amount above zero and up to $79.00."),
        ("79.01", "USD", "That is more than can be given. Enter up to $79.00."),
        ("99999999999999999999", "USD", "That is more than can be given. Enter up to $79.00."),
        ("1.005", "USD", "USD amounts have 2 decimals at most. Enter up to $79.00."),
        ("12.00", "JPY", "JPY amounts have no decimals. Enter up to ¥7,900."),
        ("1.2345", "KWD", "KWD amounts have 3 decimals at most. Enter up to KWD\xa07.900."),
    ],
)
def test_a_wrong_amount_is_told_what_is_wrong_with_it(
    text: str, currency: str, sentence: str
) -> None:
    with pytest.raises(ValueError) as refused:
        parse_money(text, currency, maximum_minor=7900)

    assert str(refused.value) == sentence


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("4.505", "It can’t be paid back to the last digit. Enter KWD\xa04.500 or KWD\xa04.510."),
        ("0.001", "It can’t be paid back to the last digit. Enter KWD\xa00.010."),
        ("7.899", "It can’t be paid back to the last digit. Enter KWD\xa07.890."),
    ],
)
def test_an_amount_between_two_steps_is_told_the_nearest(text: str, sentence: str) -> None:
    with pytest.raises(ValueError) as refused:
        parse_money(text, "KWD", maximum_minor=7899, step_minor=10)

    assert str(refused.value) == sentence


@pytest.mark.parametrize(
    ("processor", "currency", "step"),
    [
        *(("stripe", "USD", 1), ("stripe", "JPY", 1), ("stripe", "UGX", 1), ("stripe", "KWD", 10)),
        *(("paypal", "USD", 1), ("paypal", "JPY", 1), ("paypal", "HUF", 100), ("crypto", "KWD", 1)),
    ],
)
def test_the_smallest_step_is_the_providers(processor: str, currency: str, step: int) -> None:
    assert smallest_step(processor, currency) == step


@given(minor=st.integers(1, 10**15), currency=st.sampled_from(CURRENCIES))
def test_what_was_written_is_read_back_unchanged(minor: int, currency: str) -> None:
    assert parse_money(format_money(minor, currency), currency, maximum_minor=minor) == minor


@given(text=st.text(max_size=60))
def test_any_text_gives_an_amount_in_bounds_or_a_sentence(text: str) -> None:
    try:
        said = format_money(parse_money(text, "USD", maximum_minor=7900), "USD")
    except ValueError as refused:
        said = str(refused)

    assert said.startswith(("$", "Enter an amount", "That is more", "USD amounts"))
