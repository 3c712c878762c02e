"""What `verify_timeline` finds, once somebody has got past the triggers."""

from collections.abc import Callable
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from resolution import cases
from resolution.models import Case
from resolution.terms import Actor

Tamper = Callable[..., None]


@pytest.fixture
def tamper(db: None) -> Tamper:
    """Run SQL with the triggers out of the way, as only a superuser of the database can."""

    def run(sql: str, *values: Any) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL session_replication_role = replica")
            cursor.execute(sql, values)
            cursor.execute("SET LOCAL session_replication_role = origin")

    return run


@pytest.fixture
def denied(waiting_case: Case, creator: Actor) -> Case:
    """A case of three events."""
    cases.take_step(waiting_case, "deny", creator, message="It is as the page says.")
    return Case.objects.get(pk=waiting_case.pk)


def verify(capsys: pytest.CaptureFixture[str], **options: Any) -> str:
    call_command("verify_timeline", **options)
    return capsys.readouterr().out


def flaw_of(case: Case, capsys: pytest.CaptureFixture[str]) -> str:
    """The one line on the one broken timeline."""
    with pytest.raises(CommandError, match=r"^1 of 1 timelines are broken\.$"):
        call_command("verify_timeline")
    return capsys.readouterr().out.removeprefix(f"{case.public_id}: ").strip()


def event(case: Case, seq: int) -> str:
    found = case.events.get(seq=seq)
    return f"event {seq} ({found.public_id}, {found.step})"


def test_a_timeline_as_it_was_written_passes(
    denied: Case, capsys: pytest.CaptureFixture[str]
) -> None:
    assert verify(capsys) == "All 1 timelines are as they were written.\n"
    assert verify(capsys, case=denied.public_id) == "All 1 timelines are as they were written.\n"


def test_a_changed_word_is_found(
    denied: Case, tamper: Tamper, capsys: pytest.CaptureFixture[str]
) -> None:
    name = event(denied, 3)
    tamper("UPDATE resolution_event SET message = 'It is not.' WHERE step = 'deny'")

    assert flaw_of(denied, capsys) == f"{name}: its words are not the ones that were written."


def test_a_missing_row_is_found(
    denied: Case, tamper: Tamper, capsys: pytest.CaptureFixture[str]
) -> None:
    name = event(denied, 3)
    tamper("DELETE FROM resolution_event WHERE seq = 2")

    assert flaw_of(denied, capsys) == f"{name}: number 2 is missing before it."


def test_a_missing_end_is_found(
    denied: Case, tamper: Tamper, capsys: pytest.CaptureFixture[str]
) -> None:
    tamper("DELETE FROM resolution_event WHERE seq = 3")

    assert flaw_of(denied, capsys) == "rows are missing at the end: 2 of 3 are there."


def test_a_state_that_no_step_led_to_is_found(
    denied: Case, tamper: Tamper, capsys: pytest.CaptureFixture[str]
) -> None:
    tamper("UPDATE resolution_case SET state = 'escalated' WHERE id = %s", denied.pk)

    assert flaw_of(denied, capsys) == "replayed it is 'decided', the case says 'escalated'."


def test_a_step_that_the_table_does_not_have_is_found_even_with_its_hash(
    denied: Case, tamper: Tamper, capsys: pytest.CaptureFixture[str]
) -> None:
    name = event(denied, 3)
    forged = denied.events.get(seq=3)
    forged.state_after = "closed"
    digest = forged.digest(denied.public_id)
    tamper("UPDATE resolution_event SET state_after = 'closed', hash = %s WHERE seq = 3", digest)

    assert flaw_of(denied, capsys) == (
        f"{name}: no such step leads from 'awaiting_creator' to 'closed'."
    )


def test_a_case_that_does_not_exist_is_said_to(db: None) -> None:
    with pytest.raises(CommandError, match=r"^There is no case reso_nowhere\.$"):
        call_command("verify_timeline", case="reso_nowhere")
