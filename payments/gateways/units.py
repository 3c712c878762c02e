"""What each provider can write of a sum: the decimals it counts in, and its smallest step."""

from typing import Final

from payments.money import exponent

# Where Stripe's units are not hundredths, as https://docs.stripe.com/currencies lists them.
_WHOLE: Final = frozenset(
    {"BIF", "CLP", "DJF", "GNF", "JPY", "KMF", "KRW", "MGA", "PYG", "RWF", "VND", "VUV"}
    | {"XAF", "XOF", "XPF"}
)
_THOUSANDTHS: Final = frozenset({"BHD", "JOD", "KWD", "OMR", "TND"})

_WITHOUT_DECIMALS_AT_PAYPAL: Final = frozenset({"HUF", "JPY", "TWD"})


def stripe_decimals(currency: str) -> int:
    """How many decimals Stripe counts a currency in; of three, the last is 0 all the same."""
    code = currency.upper()
    return 0 if code in _WHOLE else 3 if code in _THOUSANDTHS else 2


def paypal_decimals(currency: str) -> int:
    """How many decimals PayPal takes in a currency."""
    code = currency.upper()
    return 0 if code in _WITHOUT_DECIMALS_AT_PAYPAL else exponent(code)


def smallest_step(processor: str, currency: str) -> int:
    """The least by which two sums differ that can go back through a provider, in minor units.

    1 almost everywhere. 10 thousandths of a dinar through Stripe, a whole forint through PayPal.
    """
    decimals = {
        "stripe": min(stripe_decimals(currency), 2),
        "paypal": paypal_decimals(currency),
    }.get(processor, exponent(currency))
    return int(10 ** max(0, exponent(currency) - decimals))
