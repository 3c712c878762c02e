"""Everybody reads in their own language: pages, dates, amounts, e-mails; programs read English."""

from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import Any

import pytest
from babel.messages.catalog import Catalog
from django.conf import settings
from django.core import mail
from django.core.mail import EmailMultiAlternatives
from django.core.management import CommandError, call_command
from django.template.loader import render_to_string
from django.test import Client
from django.urls import reverse
from django.utils import timezone, translation

from config import translations
from marketplace import clock
from marketplace.models import User
from notifications import outbox
from notifications.models import Notification
from payments.money import format_money, parse_money
from resolution import messages, words
from resolution.models import Case
from resolution.templatetags import rc

GERMAN = {"Accept-Language": "de-AT,de;q=0.9,en;q=0.5"}


def test_a_browser_is_answered_in_the_language_it_asks_for(db):
    german = Client(headers=GERMAN).get(reverse("login"))
    klingon = Client(headers={"Accept-Language": "tlh"}).get(reverse("login"))

    assert '<html lang="de" dir="ltr">' in german.text
    assert german.headers["Content-Language"] == "de"
    assert {"Accept-Language", "Cookie"} <= {
        name.strip() for name in german.headers["Vary"].split(",")
    }
    assert '<html lang="en" dir="ltr">' in klingon.text


def test_a_choice_before_the_login_is_kept_and_comes_back_to_the_page(db):
    browser = Client()

    chosen = browser.post(reverse("language"), {"language": "de", "next": "/login/?next=/hub/"})
    away = browser.post(reverse("language"), {"language": "de", "next": "https://evil.example/"})

    assert chosen.headers["Location"] == "/login/?next=/hub/"
    assert away.headers["Location"] == "/"
    assert browser.get(reverse("login")).headers["Content-Language"] == "de"


def test_who_logs_in_for_the_first_time_is_known_to_read_as_their_browser(bea: User):
    bea.set_password("a long password")
    bea.save()

    Client(headers=GERMAN).post(
        reverse("login"), {"username": bea.email, "password": "a long password"}
    )

    bea.refresh_from_db()
    assert bea.language == "de"


def test_a_person_reads_in_the_language_of_their_account_wherever_they_are(bea: User):
    bea.language = "de"
    bea.save()
    browser = Client(headers={"Accept-Language": "en"})
    browser.force_login(bea)

    assert browser.get(reverse("hub")).headers["Content-Language"] == "de"


def test_the_account_holds_the_language(bea: User):
    browser = Client()
    browser.force_login(bea)

    browser.post(
        reverse("account"), {"name": "Bea Berg", "language": "de", "time_zone": "Europe/Berlin"}
    )

    bea.refresh_from_db()
    assert bea.language == "de"
    assert browser.get(reverse("account")).headers["Content-Language"] == "de"
    assert browser.cookies[settings.LANGUAGE_COOKIE_NAME].value == "de"


def test_a_program_reads_english_whoever_it_works_for(db):
    answer = Client(headers=GERMAN).get("/api/v1/nothing")

    assert answer.json()["error"]["message"] == "There is nothing at this address."


def test_a_forgotten_password_is_answered_in_the_language_of_its_owner(bea: User):
    bea.language = "de"
    bea.set_password("a long password")
    bea.save()

    Client(headers={"Accept-Language": "en"}).post(reverse("password_reset"), {"email": bea.email})
    outbox.deliver(messages.compose)

    [letter] = mail.outbox
    assert isinstance(letter, EmailMultiAlternatives)
    assert '<html lang="de"' in str(letter.alternatives[0][0])


@pytest.mark.parametrize(
    ("style", "words"),
    [
        ("full", "Freitag, 17. Juli, 18:05 MESZ"),
        ("weekday", "Freitag, 17. Juli"),
        ("datetime", "17. Juli, 18:05"),
        ("date", "17. Juli"),
        ("day", "17. Juli 2026"),
        ("short", "Fr, 17. Juli, 18:05"),
        ("time", "18:05"),
    ],
)
def test_a_moment_reads_as_in_germany(monkeypatch, style, words):
    monkeypatch.setattr(clock, "now", lambda: datetime(2026, 7, 14, 14, 20, tzinfo=UTC))
    moment = datetime(2026, 7, 17, 16, 5, tzinfo=UTC)

    with translation.override("de"), timezone.override("Europe/Berlin"):
        assert rc.when_text(moment, style) == words


def test_hours_are_named_as_people_say_them():
    said = {}
    for language in ("en", "de"):
        with translation.override(language):
            said[language] = [rc.hour_name(hour) for hour in (0, 12, 22)]

    assert said == {"en": ["12 AM", "12 PM", "10 PM"], "de": ["00 Uhr", "12 Uhr", "22 Uhr"]}


def test_an_amount_reads_as_in_the_language():
    with translation.override("de"):
        german = format_money(123450, "EUR"), format_money(-7900, "USD"), format_money(1200, "JPY")
    english = format_money(123450, "EUR")

    assert german == (
        "1.234,50\N{NO-BREAK SPACE}€",
        "−79,00\N{NO-BREAK SPACE}$",
        "1.200\N{NO-BREAK SPACE}¥",
    )
    assert english == "€1,234.50"


@pytest.mark.parametrize(
    ("language", "typed", "minor"),
    [
        ("de", "1.234,50", 123450),
        ("de", "1234,5 €", 123450),
        ("de", "79.00", 7900),
        ("de", "1.234", 123400),
        ("en", "1,234.50", 123450),
        ("fr", "1\N{NARROW NO-BREAK SPACE}234,50", 123450),
        ("fr", "1 234,50 €", 123450),
    ],
)
def test_an_amount_is_typed_as_in_the_language(language, typed, minor):
    with translation.override(language):
        assert parse_money(typed, "EUR", maximum_minor=10**9) == minor


@pytest.mark.parametrize(
    ("language", "typed"), [("en", "79,50"), ("de", "1,234.50"), ("de", "1.23.4")]
)
def test_marks_of_another_language_are_not_guessed_at(language, typed):
    with translation.override(language), pytest.raises(ValueError, match="€"):
        parse_money(typed, "EUR", maximum_minor=10**9)


def test_words_that_count_take_the_form_of_their_language():
    said = {}
    for language in ("en", "de"):
        with translation.override(language):
            said[language] = [
                words.time_left(timedelta(days=1)),
                words.time_left(timedelta(days=2)),
                rc.filesize(1),
                rc.filesize(1_300_000),
            ]

    assert said == {
        "en": ["1 day left", "2 days left", "1 byte", "1.3 MB"],
        "de": ["noch 1 Tag", "noch 2 Tage", "1 Byte", "1,3 MB"],
    }


def test_a_language_that_is_written_from_the_right_turns_the_page_round():
    with translation.override("he"):
        page = render_to_string("404.html")

    assert '<html lang="he" dir="rtl">' in page


def test_an_email_is_in_the_language_of_its_reader(waiting_case: Case, bea: User, cleo: User):
    cleo.language = "de"
    cleo.save()
    told = list(Notification.objects.select_related("recipient").order_by("pk"))

    letters = messages.compose(told)

    written = {message.recipient: letters[message.pk] for message in told}
    assert {
        person.language: letter and letter.subject[:25] for person, letter in written.items()
    } == {
        "": "We have your case about G",
        "de": "Bea Lind verlangt 64,00\N{NO-BREAK SPACE}$",
    }
    german = written[cleo]
    assert german
    assert '<html lang="de" dir="ltr">' in german.html
    assert "Sie müssen nichts tun" not in german.text
    assert "Antworten Sie bis" in german.text


# ── The catalogs ──────────────────────────────────────────────────────────────────────────────────


def test_every_language_says_everything():
    texts = translations.extracted(settings.BASE_DIR)

    assert len(texts) > 1500
    for path in translations.catalog_paths():
        assert list(translations.faults(translations.read(path), texts)) == []


def catalog(*texts: tuple[Any, Any, list[str]]) -> Catalog:
    made = Catalog(locale="de")
    for text, said, flags in texts:
        made.add(text, said, flags=flags)
    return made


@pytest.mark.parametrize(
    ("said", "fault"),
    [
        (None, "missing: {files} files"),
        (("", ""), "not translated: {files} files"),
        (("{files} Datei", ""), "not translated: {files} files"),
        (("{files} Datei", "{dateien} Dateien"), "other placeholders: {files} files"),
        (("{files} Datei", "<b>{files}</b> Dateien"), "other tags: {files} files"),
        (("{files} Datei", " {files} Dateien"), "other white space around it: {files} files"),
    ],
)
def test_a_gap_is_found(said, fault):
    texts = catalog((("{files} file", "{files} files"), None, []))
    kept = catalog((("{files} file", "{files} files"), said, [])) if said else catalog()

    assert list(translations.faults(kept, texts)) == [fault]


def test_a_guess_and_a_text_that_is_said_no_more_are_found():
    texts = catalog(("Saved.", None, []))
    kept = catalog(("Saved.", "Gespeichert.", ["fuzzy"]), ("Gone.", "Weg.", []))

    assert list(translations.faults(kept, texts)) == [
        "fuzzy: Saved.",
        "said nowhere any more: Gone.",
    ]


def test_the_check_fails_where_there_is_a_gap(settings, tmp_path):
    folder = tmp_path / "de" / "LC_MESSAGES"
    folder.mkdir(parents=True)
    (folder / "django.po").write_text(
        'msgid ""\nmsgstr "Content-Type: text/plain; charset=utf-8\\n"\n'
    )
    settings.LOCALE_PATHS = [tmp_path]
    said = StringIO()

    with pytest.raises(CommandError, match=r"texts to put right"):
        call_command("messages", check=True, stdout=said)

    assert "de: missing: Saved.\n" in said.getvalue()
    assert (folder / "django.mo").exists()
