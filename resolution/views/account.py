"""A person's own settings: name, language, time zone, and what they get by e-mail."""

from typing import TypeVar

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import BadRequest
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect, render
from django.utils import translation
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods, require_POST

from marketplace.models import User
from notifications import preferences
from notifications.models import Preferences
from resolution.forms.account import AccountForm, LanguageForm, MailForm
from resolution.messages import groups
from resolution.views.desk import signed_in

Answer = TypeVar("Answer", bound=HttpResponse)


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def settings_page(request: HttpRequest) -> HttpResponse:
    """Name, language and time zone."""
    user = signed_in(request)
    data = request.POST if request.method == "POST" else None
    form = AccountForm(data, instance=User.objects.get(pk=user.pk))
    if form.is_bound and form.is_valid():
        language = form.save().language
        with translation.override(language):
            messages.success(request, _("Saved."))
        return remember_language(redirect("account"), language)
    status = 422 if form.errors else 200
    return render(request, "account/settings.html", {"form": form, "tab": "account"}, status=status)


@require_POST
def choose_language(request: HttpRequest) -> HttpResponse:
    """Read on in another language; nobody has to be logged in."""
    form = LanguageForm(request.POST)
    if not form.is_valid():
        raise BadRequest("There is no such language.")
    language, back = form.cleaned_data["language"], form.cleaned_data["next"]
    if isinstance(request.user, User):
        request.user.language = language
        request.user.save(update_fields=["language"])
    ours = url_has_allowed_host_and_scheme(back, {request.get_host()}, request.is_secure())
    place = back if ours and back.startswith("/") else "/"
    return remember_language(HttpResponseRedirect(place), language)


def remember_language(response: Answer, language: str) -> Answer:
    """Let the browser keep the language, for the pages before a login."""
    response.set_cookie(
        settings.LANGUAGE_COOKIE_NAME,
        language,
        max_age=settings.LANGUAGE_COOKIE_AGE,
        secure=settings.LANGUAGE_COOKIE_SECURE,
        httponly=settings.LANGUAGE_COOKIE_HTTPONLY,
        samesite="Lax",
    )
    return response


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def mail_page(request: HttpRequest) -> HttpResponse:
    """What of their cases a person gets by e-mail, and at which hours."""
    user = signed_in(request)
    chosen = Preferences.objects.filter(user=user).first() or Preferences(user=user)
    offered = groups()
    data = request.POST if request.method == "POST" else None
    form = MailForm(data, chosen, {name: group.label for name, group in offered.items()})
    if form.is_bound and form.is_valid():
        preferences.choose(user, **form.chosen)
        messages.success(request, _("Saved."))
        return redirect("account-mail")
    context = {
        "form": form,
        "tab": "mail",
        "choices": [
            (choice, group.hint)
            for choice, group in zip(form["wanted"], offered.values(), strict=True)
        ],
        "refused": chosen.refused_at and chosen.refused_address == user.email,
    }
    return render(request, "account/mail.html", context, status=422 if form.errors else 200)


@csrf_exempt  # mail programs send it, and the signed link names the person
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def unsubscribe(request: HttpRequest, token: str) -> HttpResponse:
    """End the e-mails of one group for whom the link was made; a GET only shows the button.

    Nobody has to be logged in: whoever holds the link got it in such an e-mail.
    """
    try:
        user, name = preferences.read_stop_token(token)
        group = groups()[name]
    except (preferences.BadLink, KeyError):
        raise Http404("No such link.") from None
    if request.method == "POST":
        preferences.mute(user, name)
    context = {"group": group, "done": request.method == "POST"}
    return render(request, "account/unsubscribe.html", context)
