"""The least that Django can do for a page: the floors that our own pages are measured against.

Each reads what it shows by one statement, beside the session and the user that every page reads,
and shows it by one compiled template without tags of ours. The addresses are ours and these.
"""

from typing import Any

from django.contrib.auth.decorators import login_required
from django.db import connection
from django.http import HttpRequest, HttpResponse
from django.template import engines
from django.urls import path
from django.views.decorators.csrf import csrf_exempt

from config.urls import urlpatterns as ours

ROW = """
<tr><th scope="row"><a href="/dash/resolution-center/cases/{{ row.0 }}/"><bdi>{{ row.1 }}</bdi></a>
<small><bdi>{{ row.2 }}</bdi></small></th><td><b>{{ row.3 }}</b></td><td>{{ row.4 }}</td>
<td>{{ row.5 }}</td><td>{{ row.6 }}</td></tr>
"""
ENTRY = """
<li id="{{ row.0 }}"><article><div><b><bdi>{{ row.1 }}</bdi></b> <span>{{ row.2 }}</span>
<time datetime="{{ row.3 }}">{{ row.4 }}</time></div><p>{{ row.5 }}</p></article></li>
"""
LIST_SQL = """
SELECT c.public_id, u.name, p.name, c.currency || ' ' || c.asked_minor / 100, c.reason,
       to_char(c.due_at, 'FMMon FMDD'), to_char(c.updated_at, 'FMMon FMDD')
  FROM resolution_case AS c
  JOIN marketplace_user AS u ON u.id = c.buyer_id
  JOIN marketplace_product AS p ON p.id = c.product_id
 WHERE c.company_id IN (SELECT company_id FROM marketplace_teammember WHERE user_id = %s)
   AND c.state <> 'closed' AND c.waiting_on = 'creator'
 ORDER BY c.due_at, c.id LIMIT 25
"""
CASE_SQL = """
SELECT * FROM (
SELECT e.public_id, u.name, e.party, e.created_at::text, to_char(e.created_at, 'FMMon FMDD'),
       e.message, e.seq
  FROM resolution_event AS e
  JOIN resolution_case AS c ON c.id = e.case_id
  LEFT JOIN marketplace_user AS u ON u.id = e.actor_id
 WHERE c.public_id = %s AND c.buyer_id = %s AND NOT e.staff_only
 ORDER BY e.seq DESC LIMIT %s) AS newest ORDER BY seq
"""


def _template(row: str, around: str) -> object:
    return engines["django"].from_string(
        "<!doctype html><html lang=en><title>{{ user.name }}</title><main><h1>{{ title }}</h1>"
        f"<{around}>{{% for row in rows %}}{row}{{% endfor %}}</{around}></main></html>"
    )


LIST_PAGE, CASE_PAGE = _template(ROW, "table"), _template(ENTRY, "ol")


def _rows(sql: str, *given: Any) -> list[tuple[object, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql, given)
        return cursor.fetchall()


@csrf_exempt
def bare(request: HttpRequest) -> HttpResponse:
    """Nothing at all."""
    return HttpResponse("")


@csrf_exempt
@login_required
def me(request: HttpRequest) -> HttpResponse:
    """Session and user, and no more."""
    return HttpResponse(request.user.get_username())


@login_required
def case_list(request: HttpRequest) -> HttpResponse:
    """25 cases of a creator's."""
    rows = _rows(LIST_SQL, request.user.pk)
    return HttpResponse(LIST_PAGE.render({"rows": rows, "title": "Cases"}, request))  # type: ignore[attr-defined]


@login_required
def case(request: HttpRequest, public_id: str, events: int) -> HttpResponse:
    """The newest so many events of a buyer's case."""
    rows = _rows(CASE_SQL, public_id, request.user.pk, events)
    return HttpResponse(CASE_PAGE.render({"rows": rows, "title": public_id}, request))  # type: ignore[attr-defined]


urlpatterns = [
    path("bench/bare/", bare),
    path("bench/me/", me),
    path("bench/cases/", case_list),
    path("bench/cases/<str:public_id>/<int:events>/", case),
    *ours,
]
