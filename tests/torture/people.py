"""Who takes part in the histories, and the payments that they are about."""

import random
from dataclasses import dataclass
from datetime import timedelta
from itertools import count

from marketplace import clock
from marketplace.models import Company, Product, TeamMember, User
from payments.models import Payment
from resolution.actors import as_buyer, as_creator, as_staff
from resolution.models import Rule
from resolution.terms import Actor, Reason
from tests.sandbox_fixture import SandboxClient

CURRENCIES = {
    "stripe": ["USD", "EUR", "JPY", "KWD", "ISK", "UGX"],
    "paypal": ["USD", "EUR", "JPY", "HUF", "TWD"],
}
RULED = Reason.CANCELED
"""The company refunds cases of this reason by itself."""

LONE = "LONE"
"""How a charge begins whose refunds PayPal does not list: only its keys tell of them."""

numbers = count(1)


@dataclass(frozen=True)
class People:
    """The same people for all histories of a database."""

    buyer: User
    company: Company
    product: Product
    actors: tuple[Actor, ...]

    @classmethod
    def move_in(cls) -> "People":
        """Make them: a buyer, a company with its team and a rule, an agent and two of finance."""
        company = Company.objects.create(name="Loop & Lens")
        buyer = _user("Bea Lind")
        owner, support = _user("Cleo Park"), _user("Tom Vale")
        TeamMember.objects.create(company=company, user=owner, role="owner")
        TeamMember.objects.create(company=company, user=support, role="support")
        agent = _user("Kim Ode", is_staff=True, staff_role="agent")
        sam = _user("Sam Reyes", is_staff=True, staff_role="finance")
        ada = _user("Ada Moss", is_staff=True, staff_role="finance")
        product = Product.objects.create(
            company=company, name="Golden Hour presets", price_minor=6400, currency="USD"
        )
        Rule.objects.create(
            company=company, name="Canceled", position=1, reasons=[RULED], message="Here it is."
        )
        return cls(
            buyer,
            company,
            product,
            (
                *(as_buyer(buyer), as_creator(owner, company), as_creator(support, company)),
                *(as_staff(agent), as_staff(sam), as_staff(ada)),
            ),
        )

    def pay(self, chance: random.Random, name: str, sandbox: SandboxClient) -> Payment:
        """A payment that its provider knows of, ten to fifty times what will be asked back."""
        processor = chance.choice(["stripe", "paypal"])
        currency = chance.choice(CURRENCIES[processor])
        amount = chance.randrange(200, 6000) * 100
        order = known_order = account = ""
        sale = processor == "paypal" and chance.random() < 0.3
        if processor == "stripe":
            charge = f"{chance.choice(['ch', 'pi'])}_{name}"
            account = chance.choice(["", "acct_1"])
        else:
            order = chance.choice([f"PAY-{name}" if sale else f"ORDER{name}"] * 4 + [""])
            known_order = order if chance.random() < 0.7 else ""
            charge = f"{'SALE' if sale else 'CAP'}{name}" if order else f"{LONE}{name}"
        sandbox.register(
            processor, charge, amount, currency, order_id=order, account=account, sale=sale
        )
        return Payment.objects.create(
            buyer=self.buyer,
            company=self.company,
            product=self.product,
            processor=processor,
            currency=currency,
            amount_minor=amount,
            charge_id=charge,
            order_id=known_order,
            account=account,
            method="Visa ending 4242",
            paid_at=clock.now() - timedelta(days=1),
        )


def _user(name: str, **fields: object) -> User:
    email = f"{name.lower().replace(' ', '.')}.{next(numbers)}@example.com"
    return User.objects.create_user(email, "pw", name=name, **fields)
