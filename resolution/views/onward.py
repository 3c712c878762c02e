"""Where a form leads that was taken: on to a page, however the form was sent."""

from urllib.parse import urlsplit

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django_htmx.http import HttpResponseClientRedirect


def onward(request: HttpRequest, address: str) -> HttpResponse:
    """On to this page. A page that sent the form by itself is told to go there.

    Where it is there already, and only another place of it is meant, it is loaded anew.
    """
    if not request.headers.get("HX-Request"):
        return redirect(address)
    response = HttpResponseClientRedirect(address)
    here = urlsplit(request.headers.get("HX-Current-URL", "")).path
    if urlsplit(address).path == here:
        response["HX-Refresh"] = "true"
    return response
