"""Where the providers knock. Answers at once; what is to be done about it is done elsewhere."""

import logging

from django.http import HttpRequest, HttpResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from marketplace.doorbell import ring
from payments import signatures, webhooks

log = logging.getLogger(__name__)


@csrf_exempt
@require_POST
def webhook(request: HttpRequest, provider: str) -> HttpResponse:
    """Take in one event: 200 when it is stored, 400 for what is not the provider's.

    503 asks the provider to send it again, because its certificate could not be had.
    """
    if int(request.headers.get("Content-Length") or 0) > webhooks.LARGEST:
        return _refused(provider, "too large")
    try:
        webhooks.take_in(provider, request.body, request.headers)
    except (signatures.Forged, webhooks.Malformed) as reason:
        return _refused(provider, str(reason))
    except signatures.CannotCheck as trouble:
        log.warning("An event of %s waits outside: %s", provider, trouble)
        return HttpResponse("Send it again later.", status=503, content_type="text/plain")
    ring("payments.tasks.handle_events")
    return HttpResponse("", content_type="text/plain")


def _refused(provider: str, reason: str) -> HttpResponse:
    log.warning("An event in the name of %s is refused: %s", provider, reason)
    return HttpResponse("Not accepted.", status=400, content_type="text/plain")
