"""A buyer and a company that has something of everything, marked in all that they write."""

from datetime import timedelta
from typing import Any
from uuid import uuid4

from allauth.mfa.models import Authenticator

from api import attachments, files, tokens
from api.models import FileUpload
from marketplace import clock
from marketplace.models import Company, Membership, Product, TeamMember, User
from notifications import preferences, webhooks
from notifications.models import WebhookAttempt, WebhookEndpoint
from payments import credits, refunds
from payments.gateways import RefundAnswer
from payments.models import Payment
from resolution import cases, drafts, sweeps
from resolution.actors import as_buyer, as_creator, as_staff
from resolution.evidence import accept
from resolution.models import Case, Rule, SavedReply
from tests.evidence.hostile import picture, upload
from tests.people import make_user

NAMELESS_ID = "0000000000000X"
MISSING: dict[str, Any] = {
    "membership": f"mem_{NAMELESS_ID}", "payment": f"pay_{NAMELESS_ID}",
    "case": f"reso_{NAMELESS_ID}", "file": f"att_{NAMELESS_ID}", "upload": f"file_{NAMELESS_ID}",
    "refund": f"rfnd_{NAMELESS_ID}", "endpoint": f"hook_{NAMELESS_ID}",
    "delivery": f"whdel_{NAMELESS_ID}", "token": f"tok_{NAMELESS_ID}",
    "company token": f"tok_{NAMELESS_ID}", "rule": 2**31 - 1, "reply": 2**31 - 1,
    "passkey": 2**31 - 1,
}  # fmt: skip
"""An id of each kind that nothing has."""


class Tenant:
    """A buyer and a company, with something of everything; `mark` stands in all that they wrote.

    `note` stands in what staff wrote for themselves.
    """

    def __init__(self, mark: str, staff: User) -> None:
        self.mark, self.note = mark, f"note{mark}"
        self.buyer, self.owner = make_user(f"Bea {mark}"), make_user(f"Cleo {mark}")
        self.company = Company.objects.create(name=f"Shop {mark}")
        TeamMember.objects.create(company=self.company, user=self.owner, role="owner")
        self.product = Product.objects.create(
            company=self.company, name=f"Presets {mark}", price_minor=4000, currency="USD"
        )
        membership = Membership.objects.create(user=self.buyer, product=self.product)
        self.membership = membership
        self.endpoint = WebhookEndpoint.objects.create(
            company=self.company, url=f"https://{mark}.example/", events=list(webhooks.EVENTS)
        )
        attempt = WebhookAttempt.objects.create(
            endpoint=self.endpoint, type="refund.created", request_body=f'{{"id": "{mark}"}}',
            success=False, seconds=0.1,
        )  # fmt: skip
        reply = SavedReply.objects.create(company=self.company, title=mark, text=mark)
        free = self._pay()
        self.case = self._open()
        escalated = self._open()
        seller, buyer, clerk = (
            as_creator(self.owner, self.company), as_buyer(self.buyer), as_staff(staff),
        )  # fmt: skip
        cases.take_step(escalated, "deny", seller, message=mark)
        cases.take_step(escalated, "appeal", buyer, message=mark)
        cases.take_step(escalated, "note", clerk, message=self.note)
        self.escalated = escalated
        accepted = self._open()
        cases.take_step(accepted, "accept", seller, message=mark)
        accepted.refresh_from_db()
        assert accepted.refund
        refunds.settle(accepted.refund.pk, RefundAnswer("", "failed"), token=None)
        sweeps.notice_refund(accepted.pk)
        rule = Rule.objects.create(
            company=self.company, name=mark, reasons=["fraudulent"], message=mark, position=1,
            enabled=False,
        )  # fmt: skip
        credits.grant(free, 100, key=f"k{mark}", cause="c", note=mark)
        drafts.keep(self.buyer, self.case.public_id, "comment", {"message": mark})
        file = self.case.events.get(step="open_case").attachments.get()
        unsent = FileUpload.objects.create(user=self.buyer, filename=f"{mark}.png")
        own, self.own_secret = tokens.make(self.buyer, mark, list(tokens.SCOPES))
        companys, self.company_secret = tokens.make(
            self.owner, mark, list(tokens.SCOPES), company=self.company
        )
        passkey = Authenticator.objects.create(user=self.buyer, type="webauthn", data={})
        self.unsubscribe = preferences.stop_token(self.buyer, "news")
        self.ids: dict[str, Any] = {
            "membership": membership.public_id, "payment": free.public_id,
            "case": self.case.public_id, "file": file.public_id, "upload": unsent.public_id,
            "refund": accepted.refund.public_id, "endpoint": self.endpoint.public_id,
            "delivery": attempt.public_id, "token": own.public_id,
            "company token": companys.public_id, "rule": rule.pk, "reply": reply.pk,
            "passkey": passkey.pk,
        }  # fmt: skip
        self.signatures = {
            "api:download": attachments.signer.sign(f"{file.public_id}:{own.public_id}"),
            "api:put_content": files.signer.sign(unsent.public_id),
        }

    def _pay(self) -> Payment:
        return Payment.objects.create(
            buyer=self.buyer, company=self.company, product=self.product, amount_minor=4000,
            membership=self.membership, processor="stripe", currency="USD", method="Visa",
            charge_id=f"ch_{uuid4().hex}", paid_at=clock.now() - timedelta(days=1),
        )  # fmt: skip

    def _open(self) -> Case:
        attached = accept(upload(f"{self.mark}.png", picture()), self.buyer)
        case = cases.open_case(
            self._pay(), self.buyer, reason="fraudulent", message=f"{self.mark} is not me.",
            asked_minor=4000, files=[attached],
        )  # fmt: skip
        sweeps.advance([case.pk])
        return Case.objects.get(pk=case.pk)

    def query(self, name: str) -> str:
        """The signature that an address of the API takes instead of a token."""
        signed = self.signatures.get(name, "")
        return f"?signature={signed.partition(':')[2]}" if signed else ""
