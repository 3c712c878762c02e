"""A person's own settings: name, time zone, and what they get by e-mail."""

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods

from marketplace.models import User
from notifications import preferences
from notifications.models import Preferences
from resolution.forms.account import AccountForm, MailForm
from resolution.messages import groups
from resolution.views.desk import signed_in


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def settings_page(request: HttpRequest) -> HttpResponse:
    """Name and time zone."""
    user = signed_in(request)
    data = request.POST if request.method == "POST" else None
    form = AccountForm(data, instance=User.objects.get(pk=user.pk))
    if form.is_bound and form.is_valid():
        form.save()
        messages.success(request, "Saved.")
        return redirect("account")
    status = 422 if form.errors else 200
    return render(request, "account/settings.html", {"form": form, "tab": "account"}, status=status)


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
        messages.success(request, "Saved.")
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
