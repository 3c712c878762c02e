"""What a bench measures on: a database of its own, people, and cases opened by the door."""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count

numbers = count(1)


@contextmanager
def a_fresh_database() -> Iterator[None]:
    """Migrate an empty database beside the usual one, and drop it afterwards."""
    import django
    from django.conf import settings
    from django.db import connection

    if settings.EMBEDDED_POSTGRES:
        settings.EMBEDDED.start()
    django.setup()
    usual = connection.settings_dict["NAME"]
    connection.creation.create_test_db(verbosity=0, autoclobber=True)
    try:
        yield
    finally:
        connection.creation.destroy_test_db(usual, verbosity=0)
        if settings.EMBEDDED_POSTGRES:
            settings.EMBEDDED.release()


def messages_of_cases(wanted: int) -> None:
    """Open cases until so many messages wait: of new cases, questions, answers and denials."""
    from marketplace import clock
    from marketplace.models import Company, Membership, Product, TeamMember, User
    from notifications.models import Notification
    from payments.models import Payment
    from resolution import cases, sweeps
    from resolution.actors import as_buyer, as_creator
    from resolution.models import Case

    company = Company.objects.create(name="Loop & Lens")
    cleo = User.objects.create_user("cleo@example.com", name="Cleo Park", time_zone="Europe/Paris")
    TeamMember.objects.create(company=company, user=cleo, role="owner")
    product = Product.objects.create(
        company=company, name="Golden Hour presets", price_minor=6400, currency="USD"
    )
    said = "The presets do not look like the pictures on the page. " * 6
    while Notification.objects.count() < wanted:
        number = next(numbers)
        buyer = User.objects.create_user(
            f"buyer.{number}@example.com", name=f"Bea Lind {number}", time_zone="America/New_York"
        )
        payment = Payment.objects.create(
            buyer=buyer, company=company, product=product, processor="stripe", currency="USD",
            membership=Membership.objects.create(user=buyer, product=product),
            amount_minor=6400, charge_id=f"ch_{number}", method="Visa ending 4242",
            paid_at=clock.now(),
        )  # fmt: skip
        case = cases.open_case(
            payment, buyer, reason="not_as_described", message=said, asked_minor=6400
        )
        sweeps.advance([case.pk])
        for step, actor in (
            ("request_info", as_creator(cleo, company)), ("reply", as_buyer(buyer)),
            ("comment", as_buyer(buyer)), ("deny", as_creator(cleo, company)),
        ):  # fmt: skip
            cases.take_step(Case.objects.get(pk=case.pk), step, actor, message=said)
    extra = Notification.objects.order_by("-pk")[: Notification.objects.count() - wanted]
    Notification.objects.filter(pk__in=[row.pk for row in extra]).delete()
