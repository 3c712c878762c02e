"""Where the mail service reports what became of messages."""

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from notifications import bounces


@csrf_exempt  # the report is signed
@require_POST
def email_reports(request: HttpRequest) -> HttpResponse:
    """Take a report in; without a secret there is nothing here."""
    if not settings.EMAIL_WEBHOOK_SECRET:
        raise Http404
    try:
        many = bounces.take_in(request.body, request.headers.get("Email-Signature", ""))
    except bounces.Refused as reason:
        return JsonResponse({"error": str(reason)}, status=400)
    return JsonResponse({"taken": many})
