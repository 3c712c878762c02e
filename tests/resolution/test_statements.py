"""Statements that are put together once: what they find, and that values are sent as they are."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from marketplace.addresses import address
from marketplace.models import User
from marketplace.statements import Statement
from resolution.actors import as_buyer
from resolution.models import Case, CaseQuerySet
from resolution.templatetags.rc import _said, drawn

pytestmark = pytest.mark.django_db


def _hers(person: int, public_id: str) -> CaseQuerySet:
    seen = Case.objects.visible_to(as_buyer(User(pk=person)))
    return seen.select_related("buyer", "refund").filter(public_id=public_id)


def test_a_statement_finds_what_its_query_finds_with_what_it_refers_to(case: Case):
    ask: Statement[Case] = Statement(_hers, int, str)

    found = [ask(case.buyer_id, case.public_id) for _ in range(4)]  # prepared from the third on

    assert found == [[case]] * 4
    with CaptureQueriesContext(connection) as queries:
        told = [(row.buyer.name, row.refund, row.due_at) for [row] in found]
    assert len(queries) == 0
    assert told == [(case.buyer.name, None, case.due_at)] * 4


def test_a_statement_finds_nothing_for_somebody_else(case: Case, nia: User):
    ask: Statement[Case] = Statement(_hers, int, str)

    assert ask.first(nia.pk, case.public_id) is None
    assert ask.first(case.buyer_id, "reso_%s'; --") is None


def test_a_value_that_is_changed_on_its_way_into_the_query_is_found_out():
    ask: Statement[Case] = Statement(
        lambda text: Case.objects.filter(public_id__contains=text), str
    )

    with pytest.raises(AssertionError, match="not sent as it is"):
        ask("reso_")


def test_what_may_be_told_apart_only_by_where_it_stands_in_memory_is_not_kept():
    with pytest.raises(TypeError, match="cannot be told"):
        drawn({}, "rc/_facts.html", facts=[object()])


def test_a_finished_part_of_a_page_is_not_taken_for_the_same_text_unfinished():
    from django.utils.safestring import SafeString

    assert _said({"a": SafeString("<b>")}) != _said({"a": "<b>"})
    assert "&lt;b&gt;" in drawn({}, "rc/_facts.html", facts=[("Note", "<b>", "")])
    assert "<dd><b></dd>" in drawn({}, "rc/_facts.html", facts=[("Note", SafeString("<b>"), "")])


def test_an_address_is_the_one_that_the_table_of_addresses_gives(case: Case):
    assert address("hub-act", case.public_id, "reply") == f"/hub/cases/{case.public_id}/reply/"
    assert address("hub-case", "a b") == "/hub/cases/a%20b/"
