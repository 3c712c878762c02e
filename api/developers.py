"""The developers’ pages: tokens and webhooks of a company, and a person’s own tokens.

A company’s are for its owners and admins. A secret is shown once, in answer to the form that made
it, and never again.
"""

import json
from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts.fresh import needs_fresh
from api import announced, tokens
from api.errors import ApiError
from api.forms import TestEventForm, TokenForm, WebhookForm
from api.models import ApiToken
from api.paging import Window, page_of
from api.webhooks import BY_SENDING
from marketplace.models import Company
from notifications import webhooks
from notifications.models import WebhookAttempt, WebhookEndpoint
from notifications.webhooks import MOST_ENDPOINTS, WebhookRefused
from resolution.views import hub
from resolution.views.desk import Office, href, no_company, signed_in

PAGE = 25


class DevelopersOffice(Office):
    """One company of this person's, whose tokens and webhooks are theirs to manage."""

    prefers = tokens.RUNS_THE_COMPANY

    def check(self) -> None:
        if self.place.role not in self.prefers:
            raise PermissionDenied(
                _("Only owners and admins of {company} manage its tokens and webhooks.").format(
                    company=self.company.name
                )
            )

    def context(self, **more: Any) -> dict[str, Any]:
        """What every page of a company's needs."""
        return {
            "base": "dash/base.html",
            "nav": self.desk.nav("developers"),
            "home_href": self.href("dash-developers"),
            "home_label": _("Developers"),
            **more,
        }

    def token_addresses(self) -> dict[str, str]:
        return {"new_token_href": self.href("dash-token-new"), "revoke": "dash-token-revoke"}


def _office(request: HttpRequest) -> DevelopersOffice:
    office = DevelopersOffice.asked(request)
    if office is None:
        raise Http404("On no team.")
    return office


def _endpoint(request: HttpRequest, public_id: str) -> tuple[DevelopersOffice, WebhookEndpoint]:
    """The endpoint with its office, for those on its company's team; for others there is none."""
    found = WebhookEndpoint.objects.select_related("company").filter(
        public_id=public_id, company__members__user=signed_in(request)
    )
    endpoint = found.first()
    if endpoint is None:
        raise Http404("No such webhook.")
    office = DevelopersOffice.of(signed_in(request), endpoint.company.public_id)
    assert office, "whoever sees an endpoint is on the company's team"
    return office, endpoint


@login_required
@require_safe
@never_cache
def home(request: HttpRequest) -> HttpResponse:
    """A company's tokens and webhooks."""
    office = DevelopersOffice.asked(request)
    if office is None:
        return no_company(request)
    endpoints = office.company.webhooks.order_by("-created_at", "-pk")
    return render(
        request,
        "dash/developers.html",
        office.context(
            company=office.company,
            tokens=tokens_shown(office.company.api_tokens.select_related("user")),
            endpoints=endpoints,
            most_endpoints=MOST_ENDPOINTS,
            new_webhook_href=office.href("dash-webhook-new"),
            **office.token_addresses(),
        ),
    )


# ── Tokens ────────────────────────────────────────────────────────────────────────────────────────


def tokens_shown(found: "QuerySet[ApiToken]") -> list[dict[str, Any]]:
    """Tokens for a table; the revoked ones are gone, the expired ones say so."""
    return [
        {
            "id": token.public_id,
            "name": token.name,
            "ends_in": token.ends_in,
            "scopes": [
                said
                for scope, said in tokens.SCOPES.items()
                if scope != tokens.ALL_OF_CASES and tokens.allows(token, scope)
            ],
            "made_by": token.user.name,
            "created_at": token.created_at,
            "last_used_at": token.last_used_at,
            "expires_at": token.expires_at,
            "usable": token.is_usable,
        }
        for token in found.filter(revoked_at=None).order_by("-created_at", "-pk")
    ]


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@needs_fresh
def token_new(request: HttpRequest) -> HttpResponse:
    """Make a token for a company."""
    office = _office(request)
    return _make_token(
        request,
        office.context(company=office.company, action=office.href("dash-token-new")),
        office.company,
    )


def _make_token(
    request: HttpRequest, context: dict[str, Any], company: Company | None
) -> HttpResponse:
    """The form; or, once it is right, the one page on which the token can be read."""
    form = TokenForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            token, secret = tokens.make(
                signed_in(request),
                form.cleaned_data["name"],
                form.cleaned_data["scopes"],
                company=company,
                expires_at=form.expires_at,
            )
        except tokens.TokenRefused as refusal:
            form.add_error(None, str(refusal))
        else:
            shown = {
                "title": _("“{token}” is ready").format(token=token.name),
                "label": _("Token"),
                "secret": secret,
                "says": _("Programs send it as Authorization: Bearer, followed by the token."),
            }
            return render(request, "dash/secret.html", context | shown)
    refused = request.method == "POST"
    status = 422 if refused else 200
    context |= {"form": form, "title": _("New token"), "submit": _("Make token")}
    return render(request, "dash/developer_form.html", context, status=status)


@login_required
@require_POST
def token_revoke(request: HttpRequest, public_id: str) -> HttpResponse:
    """Revoke a company's token, whoever of the company made it."""
    token = ApiToken.objects.select_related("company").filter(
        public_id=public_id, company__members__user=signed_in(request)
    )
    found = token.first()
    if found is None or found.company is None:
        raise Http404("No such token.")
    office = DevelopersOffice.of(signed_in(request), found.company.public_id)
    assert office, "whoever sees a company's token is on its team"
    tokens.revoke(found)
    messages.success(request, _("“{found}” no longer works.").format(found=found.name))
    return redirect(office.href("dash-developers"))


# ── A person's own tokens ─────────────────────────────────────────────────────────────────────────


def _own(request: HttpRequest, **more: Any) -> dict[str, Any]:
    return {
        "base": "hub/base.html",
        "nav": hub.menu(request, ""),
        "home_href": reverse("hub-tokens"),
        "home_label": _("Your API tokens"),
        **more,
    }


@login_required
@require_safe
@never_cache
def own_tokens(request: HttpRequest) -> HttpResponse:
    """A person's own tokens: they see and do what the person may."""
    mine = signed_in(request).api_tokens.filter(company=None).select_related("user")
    addresses = {"new_token_href": reverse("hub-token-new"), "revoke": "hub-token-revoke"}
    context = _own(request, tokens=tokens_shown(mine), **addresses)
    return render(request, "hub/tokens.html", context)


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@needs_fresh
def own_token_new(request: HttpRequest) -> HttpResponse:
    """Make a token of one's own."""
    return _make_token(request, _own(request, action=reverse("hub-token-new")), None)


@login_required
@require_POST
def own_token_revoke(request: HttpRequest, public_id: str) -> HttpResponse:
    """Revoke a token of one's own."""
    token = ApiToken.objects.filter(
        public_id=public_id, user=signed_in(request), company=None
    ).first()  # fmt: skip
    if token is None:
        raise Http404("No such token.")
    tokens.revoke(token)
    messages.success(request, _("“{token}” no longer works.").format(token=token.name))
    return redirect("hub-tokens")


# ── Webhooks ──────────────────────────────────────────────────────────────────────────────────────


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@needs_fresh
def webhook_new(request: HttpRequest) -> HttpResponse:
    """Make an endpoint; its secret is on the page that answers, and on no other."""
    office = _office(request)
    form = WebhookForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            endpoint = webhooks.make_endpoint(office.company, **form.cleaned_data)
        except WebhookRefused as refusal:
            form.add_error(refusal.field, str(refusal))
        else:
            return _show_secret(request, office, endpoint, _("Your webhook is ready"))
    context = office.context(
        form=form,
        title=_("New webhook"),
        submit=_("Make webhook"),
        action=office.href("dash-webhook-new"),
        company=office.company,
    )
    status = 422 if request.method == "POST" else 200
    return render(request, "dash/developer_form.html", context, status=status)


def _show_secret(
    request: HttpRequest, office: DevelopersOffice, endpoint: WebhookEndpoint, title: str
) -> HttpResponse:
    shown = {
        "title": title,
        "label": _("Signing secret"),
        "secret": endpoint.secret,
        "says": _("Check the signature of every request with it, prefix and all."),
        "home_href": reverse("dash-webhook", args=[endpoint.public_id]),
        "home_label": _("This webhook"),
    }
    return render(request, "dash/secret.html", office.context() | shown)


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@needs_fresh
def webhook(request: HttpRequest, public_id: str) -> HttpResponse:
    """One endpoint: where it is, what it hears, and what became of the latest deliveries."""
    office, endpoint = _endpoint(request, public_id)
    form = WebhookForm(
        request.POST or None, initial={"url": endpoint.url, "events": endpoint.events}
    )
    if request.method == "POST" and form.is_valid():
        try:
            webhooks.change_endpoint(endpoint, **form.cleaned_data)
        except WebhookRefused as refusal:
            form.add_error(refusal.field, str(refusal))
        else:
            messages.success(request, _("The webhook is saved."))
            return redirect("dash-webhook", public_id)
    attempts, older = _log(endpoint, request.GET.get("after", ""))
    context = office.context(
        endpoint=endpoint,
        form=form,
        test_form=TestEventForm(),
        attempts=attempts,
        older_href=href("dash-webhook", {"after": older}, public_id) if older else "",
        newer_href=reverse("dash-webhook", args=[public_id]) if request.GET.get("after") else "",
        missed=endpoint.deliveries.filter(state=webhooks.DEAD).count() if endpoint.enabled else 0,
        waiting=endpoint.deliveries.filter(state__in=["pending", "sending"]).count(),
    )
    status = 422 if request.method == "POST" else 200
    return render(request, "dash/webhook.html", context, status=status)


def _log(endpoint: WebhookEndpoint, after: str) -> tuple[list[dict[str, Any]], str]:
    """A page of the log, newest first, and the cursor of what is older."""
    rows = WebhookAttempt.objects.select_related("replayed_from")
    mine = [WebhookAttempt.objects.filter(endpoint=endpoint)]
    window = Window.model_construct(first=PAGE, after=after or None, last=None, before=None)
    try:
        found, info = page_of(mine, rows, BY_SENDING, window)
    except ApiError:  # somebody else's cursor: the first page will do
        window = Window.model_construct(first=PAGE, after=None, last=None, before=None)
        found, info = page_of(mine, rows, BY_SENDING, window)
    shown = [
        {
            "id": attempt.public_id,
            "type": attempt.type,
            "resource": attempt.resource,
            "sent_at": attempt.sent_at,
            "number": attempt.number,
            "code": attempt.response_code,
            "success": attempt.success,
            "milliseconds": round(attempt.seconds * 1000),
            "replayed": attempt.replayed_from is not None,
            "answer": attempt.error or attempt.response_body,
            "request": json.dumps(json.loads(attempt.request_body), indent=2, ensure_ascii=False),
        }
        for attempt in found
    ]
    return shown, (info.end_cursor or "") if info.has_next_page else ""


@login_required
@require_POST
@needs_fresh
def webhook_act(request: HttpRequest, public_id: str, act: str) -> HttpResponse:
    """Turn an endpoint on or off, try it, replay what it missed, roll its secret, or delete it."""
    office, endpoint = _endpoint(request, public_id)
    here = redirect("dash-webhook", public_id)
    if act in ("on", "off"):
        webhooks.change_endpoint(endpoint, enabled=act == "on")
        messages.success(
            request, _("The webhook is on.") if act == "on" else _("The webhook is off.")
        )
        return here
    if act == "secret":
        webhooks.roll_secret(endpoint)
        return _show_secret(request, office, endpoint, _("The webhook has a new secret"))
    if act == "delete":
        endpoint.delete()
        messages.success(request, _("The webhook is deleted."))
        return redirect(office.href("dash-developers"))
    if act == "test":
        return _try_out(request, endpoint)
    if act == "replay":
        return _replay_missed(request, endpoint)
    raise Http404("No such act.")


def _try_out(request: HttpRequest, endpoint: WebhookEndpoint) -> HttpResponse:
    form = TestEventForm(request.POST)
    if not form.is_valid():
        messages.error(request, _("Choose one of the events."))
        return redirect("dash-webhook", endpoint.public_id)
    kind = form.cleaned_data["event"]
    content = announced.sample(kind, endpoint.company)
    _tell(request, lambda: webhooks.send_test(endpoint, kind, content)[0])
    return redirect("dash-webhook", endpoint.public_id)


def _replay_missed(request: HttpRequest, endpoint: WebhookEndpoint) -> HttpResponse:
    missed = endpoint.deliveries.order_by("created_at").values_list("created_at", flat=True).first()
    try:
        if missed is not None:
            webhooks.replay(endpoint, sent_after=missed, failed_only=True)
    except WebhookRefused as refusal:
        messages.error(request, str(refusal))
    else:
        messages.success(request, _("What failed is being sent again."))
    return redirect("dash-webhook", endpoint.public_id)


@login_required
@require_POST
def delivery_replay(request: HttpRequest, public_id: str, delivery_id: str) -> HttpResponse:
    """Send what an attempt sent once more, at once."""
    _, endpoint = _endpoint(request, public_id)
    found = endpoint.attempts.select_related("endpoint__company", "delivery")
    attempt = found.filter(public_id=delivery_id).first()
    if attempt is None:
        raise Http404("No such delivery.")
    _tell(request, lambda: webhooks.replay_attempt(attempt)[0])
    return redirect("dash-webhook", public_id)


def _tell(request: HttpRequest, send: Any) -> None:
    """Send, and tell the person what came of it."""
    try:
        attempt: WebhookAttempt = send()
    except WebhookRefused as refusal:
        messages.error(request, str(refusal))
        return
    if attempt.success:
        messages.success(
            request,
            _("Sent. The endpoint answered {response_code}.").format(
                response_code=attempt.response_code
            ),
        )
    elif attempt.response_code:
        messages.error(
            request,
            _("Sent, but the endpoint answered {response_code}.").format(
                response_code=attempt.response_code
            ),
        )
    else:
        messages.error(request, _("It did not arrive: {error}").format(error=attempt.error))
