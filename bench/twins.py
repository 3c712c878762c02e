"""The least that Django can do for a page: the floors that our own pages are measured against.

A twin goes through the same middleware, signs the same person in, reads all that the page shows by
as few statements as can be, written by hand, and answers the same HTML, to the letter but for
spaces, by one compiled template that holds the frame as text and gets finished strings for what
varies. `alike` makes that template out of a page of ours, and a bench compares what both answer.
The addresses are ours and these.
"""

import re
from typing import Any

from django.contrib.auth.decorators import login_required
from django.db import connection
from django.http import HttpRequest, HttpResponse
from django.template import engines
from django.urls import path
from django.utils.safestring import SafeString
from django.views.decorators.csrf import csrf_exempt

from config.urls import urlpatterns as ours

ROW = """<tr>
<th scope="row"><span class="cluster one-line"><span class="who who--buyer who--m" aria-hidden="true">{{ row.1 }}</span><span class="cell2"><a class="row__link" href="/dash/resolution-center/cases/{{ row.0 }}/"><bdi>{{ row.2 }}</bdi></a><small><bdi>{{ row.3 }}</bdi></small></span></span></th>
<td class="r nowrap"><span class="cell2"><b>{{ row.4 }}</b></span></td>
<td class="why"><span class="muted">{{ row.5 }}</span></td>
<td class="due"><span class="cluster one-line"><span class="meter meter--s" data-tone="calm" role="img" aria-label="Day {{ row.6 }} of {{ row.7 }}">{{ row.11 }}</span><span class="cell2"><span class="nowrap">{{ row.8 }}</span><small>{{ row.9 }}</small></span></span></td>
<td class="hide-s hide-m"><span class="muted">{{ row.10 }}</span></td>
</tr>"""  # noqa: E501
ENTRY = """<li id="{{ row.0 }}">
<span class="who who--{{ row.1 }}" aria-hidden="true">{{ row.2 }}</span>
<article class="msg{{ row.3 }}" aria-label="{{ row.4 }}, {{ row.5 }}">
<div class="msg__head"><b>{% if row.3 %}{{ row.4 }}{% else %}<bdi>{{ row.4 }}</bdi>{% endif %}</b><span class="role">{{ row.5 }}</span><time datetime="{{ row.6 }}">{{ row.7 }}</time></div>
<div class="msg__body"><p class="said">{{ row.8 }}</p></div>
</article>
</li>"""  # noqa: E501
LIST_SQL = """
SELECT c.public_id, left(u.name, 1) || left(split_part(u.name, ' ', 2), 1), u.name, p.name,
       '$' || to_char(c.asked_minor / 100.0, 'FM999990.00'),
       CASE c.reason WHEN 'not_as_described' THEN 'Not as described' ELSE c.reason END,
       1 + extract(day FROM now() - c.clock_started_at)::int,
       greatest(1, round(extract(epoch FROM c.due_at - c.clock_started_at) / 86400))::int,
       to_char(c.due_at, 'Dy, FMMonth FMDD, FMHH12:MI AM'),
       extract(day FROM c.due_at - now()) || ' days left',
       coalesce((SELECT CASE e.party WHEN 'creator' THEN 'You added a message'
                                     ELSE 'Added a message' END || to_char(e.created_at, ', FMMonth FMDD')
                   FROM resolution_event AS e WHERE e.case_id = c.id AND NOT e.staff_only
                  ORDER BY e.seq DESC LIMIT 1), '')
  FROM resolution_case AS c
  JOIN marketplace_user AS u ON u.id = c.buyer_id
  JOIN marketplace_product AS p ON p.id = c.product_id
  JOIN payments_payment AS y ON y.id = c.payment_id
 WHERE c.id IN (SELECT id FROM resolution_case
                 WHERE company_id IN (SELECT company_id FROM marketplace_teammember
                                       WHERE user_id = %s)
                   AND state <> 'closed' AND waiting_on = 'creator'
                 ORDER BY due_at, id LIMIT 26)
 ORDER BY c.due_at, c.id LIMIT 25
"""  # noqa: E501
COUNTS_SQL = """
SELECT m.company_id, o.name, count(c.id) FILTER (WHERE c.waiting_on = 'creator'),
       count(c.id) FILTER (WHERE c.waiting_on = 'buyer'),
       count(c.id) FILTER (WHERE c.waiting_on = 'staff'),
       count(c.id) FILTER (WHERE c.state = 'decided'), min(c.due_at),
       ARRAY(SELECT thread FROM notifications_notification
              WHERE recipient_id = m.user_id AND read_at IS NULL LIMIT 100),
       ARRAY(SELECT name FROM marketplace_product WHERE company_id = m.company_id)
  FROM marketplace_teammember AS m
  JOIN marketplace_company AS o ON o.id = m.company_id
  LEFT JOIN resolution_case AS c ON c.company_id = m.company_id AND c.state <> 'closed'
 WHERE m.user_id = %s GROUP BY 1, 2, m.user_id
"""
CASE_SQL = """
SELECT * FROM (
SELECT e.public_id, e.party,
       CASE e.party WHEN 'buyer' THEN left(u.name, 1) || left(split_part(u.name, ' ', 2), 1)
                    ELSE left(o.name, 1) || left(split_part(o.name, ' ', 2), 1) END,
       CASE e.party WHEN 'buyer' THEN ' msg--you' ELSE '' END,
       CASE e.party WHEN 'buyer' THEN 'You' ELSE o.name END,
       CASE WHEN e.step = 'open_case' THEN 'opened the case' WHEN e.party = 'buyer' THEN 'Buyer'
            ELSE 'Creator' END,
       to_char(e.created_at, 'YYYY-MM-DD"T"HH24:MI') || '+00:00',
       to_char(e.created_at, 'FMMonth FMDD, FMHH12:MI AM'), e.message, e.seq
  FROM resolution_event AS e
  JOIN resolution_case AS c ON c.id = e.case_id
  JOIN payments_payment AS y ON y.id = c.payment_id
  JOIN marketplace_company AS o ON o.id = c.company_id
  JOIN marketplace_user AS u ON u.id = c.buyer_id
 WHERE c.public_id = %s AND c.buyer_id = %s AND NOT e.staff_only
 ORDER BY e.seq DESC LIMIT %s) AS newest ORDER BY seq
"""

_templates: dict[str, Any] = {}


def alike(name: str, page: str) -> None:
    """Make the template of a twin out of our page: its frame as it is, its rows out of values."""
    if name == "list":
        row, begin, end = ROW, page.index("<tbody>") + len("<tbody>"), page.index("</tbody>")
    else:
        row, begin, end = ENTRY, page.index('<li id="revt_'), page.rindex('<li id="')
    found = r'(name="csrfmiddlewaretoken" value=")[^"]+'
    frame = [re.sub(found, r"\1{{ csrf_token }}", part) for part in (page[:begin], page[end:])]
    text = f"{frame[0]}{{% for row in rows %}}{row}{{% endfor %}}{frame[1]}"
    _templates[name] = engines["django"].from_string(text)


def words_of(page: str) -> str:
    """A page without its spaces, and without what differs each time."""
    page = re.sub(r'(value=")[A-Za-z0-9:_-]{30,}', r"\1", page)
    return re.sub(r"\s+", "", page)


def _rows(sql: str, *given: Any) -> list[tuple[Any, ...]]:
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
    """25 cases of a creator's, and how many there are of each kind."""
    _rows(COUNTS_SQL, request.user.pk)
    rows = [(*row, _cells(row[6], row[7])) for row in _rows(LIST_SQL, request.user.pk)]
    return HttpResponse(_templates["list"].render({"rows": rows}, request))


def _cells(day: int, days: int) -> SafeString:
    over, left = '<i class="on"></i>' * (day - 1), "<i></i>" * (days - day)
    return SafeString(f'{over}<i class="now"></i>{left}')


@login_required
def case(request: HttpRequest, public_id: str, events: int) -> HttpResponse:
    """The newest so many events of a buyer's case."""
    rows = _rows(CASE_SQL, public_id, request.user.pk, events)
    return HttpResponse(_templates["case"].render({"rows": rows}, request))


urlpatterns = [
    path("bench/bare/", bare),
    path("bench/me/", me),
    path("bench/cases/", case_list),
    path("bench/cases/<str:public_id>/<int:events>/", case),
    *ours,
]
