"""Our books against the sandbox's own: what was paid twice, lost, stuck, or told otherwise."""

from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from typing import Any

from payments.models import CreditTransfer, Discrepancy, Payment, Refund
from resolution.management.commands.verify_timeline import flaws
from resolution.models import Case
from resolution.terms import Money, Party, Remedy
from tests import invariants
from tests.sandbox_fixture import SandboxClient

State = Refund.State
Kind = Discrepancy.Kind


@dataclass
class Findings:
    """What is wrong, in sentences.

    `double`: a decision with more than one refund in effect, or more sent than it gave. `lost`: one
    that gave money, and neither the provider nor the staff knows. `stuck`: something still moves,
    or waits for a worker. `mismatched`: a broken promise, and whatever else our books say and the
    provider's do not.
    """

    double: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    stuck: list[str] = field(default_factory=list)
    mismatched: list[str] = field(default_factory=list)

    def any(self) -> bool:
        return any(getattr(self, each.name) for each in fields(self))


def charge_of(payment: Payment, sandbox: SandboxClient) -> dict[str, Any]:
    """A payment as the sandbox has it."""
    charge: dict[str, Any]
    [charge] = sandbox.control("GET", f"ledger?charge={payment.charge_id}")["charges"]
    return charge


def compare(payment_id: int, charge: dict[str, Any], findings: Findings) -> None:
    """Hold everything that we say of one payment and its case against its provider's ledger."""
    payment = Payment.objects.get(pk=payment_id)
    rows = list(payment.refunds.order_by("pk"))
    known = {
        (row.kind, row.reference)
        for row in payment.discrepancies.filter(gone_at=None, settled_at=None)
    }
    in_effect = [one for one in charge["refunds"] if one["state"] != "failed"]
    ours = {row.public_id: row for row in rows if not row.elsewhere}
    for row in ours.values():
        made = [one for one in in_effect if one["refund_id"] == row.public_id]
        _compare_refund(row, made, findings)
    _compare_others(rows, charge["refunds"], ours, known, findings)
    _compare_sums(payment, rows, charge, in_effect, known, findings)
    sent = sum(one["amount_minor"] for one in in_effect if one["refund_id"])
    for case in Case.objects.select_related("refund").filter(payment=payment):
        _compare_case(case, sent, findings)
        findings.mismatched += flaws([case])


def waiting(since: int) -> list[str]:
    """What of payments past the id `since` still waits for a worker; mail is left out."""
    return [said for said in invariants.unsettled(since) if "a message waits to leave" not in said]


def _compare_refund(row: Refund, made: list[dict[str, Any]], findings: Findings) -> None:
    """One refund of ours and what the provider has made of it."""
    if len(made) > 1:
        findings.double.append(f"{row} was made {len(made)} times.")
    if row.state in Refund.IN_FLIGHT:
        findings.stuck.append(f"{row} is still {row.state}.")
    elif row.state == State.SUCCEEDED and not made:
        findings.mismatched.append(f"{row} succeeded here, and there is none there.")
    elif row.state in (State.FAILED, State.CANCELED, State.HELD) and made:
        findings.mismatched.append(f"{row} is {row.state} here, and was made there.")
    for one in made:
        here = (row.amount_minor, row.currency, row.provider_id)
        if here != (one["amount_minor"], one["currency"], one["id"]):
            findings.mismatched.append(f"{row} has other terms there: {one}")


def _compare_others(
    rows: Iterable[Refund],
    listed: Iterable[dict[str, Any]],
    ours: dict[str, Refund],
    known: set[tuple[str, str]],
    findings: Findings,
) -> None:
    """What was refunded without us is known here, in the state that it is in there."""
    by_provider = {row.provider_id: row for row in rows if row.elsewhere}
    for one in listed:
        if one["refund_id"] in ours:
            continue
        row = by_provider.get(one["id"])
        if one["refund_id"]:
            findings.mismatched.append(f"{one['id']} bears an id that is none of ours.")
        elif row is None and one["state"] != "failed" and (Kind.NO_ROOM, one["id"]) not in known:
            findings.mismatched.append(f"{one['id']} was made elsewhere and is not known here.")
        elif row is not None and (row.state == State.FAILED) != (one["state"] == "failed"):
            findings.mismatched.append(f"{row} is {row.state} here, {one['state']} there.")


def _compare_sums(
    payment: Payment,
    rows: Iterable[Refund],
    charge: dict[str, Any],
    in_effect: Iterable[dict[str, Any]],
    known: set[tuple[str, str]],
    findings: Findings,
) -> None:
    """The sums on the payment are those of its rows, and of the provider's."""
    arrived = sum(row.amount_minor for row in rows if row.state == State.SUCCEEDED)
    reserved = sum(row.amount_minor for row in rows if row.state in Refund.RESERVING)
    if (payment.refunded_minor, payment.reserved_minor) != (arrived, reserved):
        findings.mismatched.append(f"{payment} says {payment.refunded_minor} of {arrived}.")
    counted = [one for one in in_effect if (Kind.NO_ROOM, one["id"]) not in known]
    there = sum(one["amount_minor"] for one in counted if one["state"] == "succeeded")
    if there != arrived:
        findings.mismatched.append(f"{arrived} of {payment} came back here, {there} there.")
    blocked = payment.chargeback in (Payment.Chargeback.OPEN, Payment.Chargeback.LOST)
    if blocked != charge["disputed"]:
        findings.mismatched.append(f"The bank’s word on {payment} is {payment.chargeback!r} here.")


def _compare_case(case: Case, sent: int, findings: Findings) -> None:
    """A decision gave what it says once, or staff have it in front of them."""
    gives = case.remedy_minor if case.remedy == Remedy.REFUND and case.final else 0
    if case.money == Money.BY_HAND:
        gives = 0
    if sent > gives:
        findings.double.append(f"{case} gave {gives} and {sent} was sent.")
    credited = list(CreditTransfer.objects.filter(payment=case.payment_id))
    wanted = 1 if case.remedy == Remedy.CREDIT and case.final else 0
    if len(credited) != wanted:
        findings.double.append(f"{case} was credited {len(credited)} times, not {wanted}.")
    if case.remedy != Remedy.REFUND or not case.final or case.money == Money.BY_HAND:
        return
    arrived = (
        case.money == Money.ARRIVED
        and case.refund is not None
        and case.refund.state == State.SUCCEEDED
        and sent == gives
    )
    with_staff = case.money == Money.FAILED and case.waiting_on == Party.STAFF
    if not arrived and not with_staff:
        findings.lost.append(
            f"{case} gave {gives}: money {case.money!r}, waits on {case.waiting_on}, "
            f"refund {case.refund and case.refund.state}, sent {sent}."
        )
