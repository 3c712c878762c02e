"""The words, shapes and safety of the small parts, rendered without a browser."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from django.conf import settings
from django.template import engines
from django.template.loader import get_template, render_to_string
from django.utils import timezone

from marketplace import clock
from resolution.templatetags import rc
from tests.ui import gallery

TEMPLATES = Path(settings.BASE_DIR) / "templates"
STATIC = Path(settings.BASE_DIR) / "static"
HOSTILE = gallery.HOSTILE
pytestmark = pytest.mark.urls("tests.ui.gallery")


def now_is(monkeypatch: pytest.MonkeyPatch, moment: datetime) -> None:
    monkeypatch.setattr(clock, "now", lambda: moment)


@pytest.fixture(autouse=True)
def _the_east_coast_in_july(monkeypatch):
    now_is(monkeypatch, datetime(2026, 7, 14, 14, 20, tzinfo=UTC))
    with timezone.override("America/New_York"):
        yield


@pytest.mark.parametrize(
    ("style", "words"),
    [
        ("full", "Friday, July 17, 6:05 PM EDT"),
        ("weekday", "Friday, July 17"),
        ("datetime", "July 17, 6:05 PM"),
        ("date", "July 17"),
        ("day", "July 17, 2026"),
        ("short", "Fri, July 17, 6:05 PM"),
        ("time", "6:05 PM"),
    ],
)
def test_a_moment_reads_in_the_time_zone_of_the_reader(style, words):
    moment = datetime(2026, 7, 17, 22, 5, tzinfo=UTC)

    said = rc.when(moment, style)

    assert said == f'<time datetime="2026-07-17T18:05-04:00">{words}</time>'


@pytest.mark.parametrize(
    ("style", "words"),
    [
        ("full", "Thursday, July 17, 2025, 6:05 PM EDT"),
        ("datetime", "July 17, 2025, 6:05 PM"),
        ("date", "July 17, 2025"),
        ("short", "Thu, July 17, 2025, 6:05 PM"),
    ],
)
def test_another_year_is_said(style, words):
    moment = datetime(2025, 7, 17, 22, 5, tzinfo=UTC)

    assert rc.when_text(moment, style) == words


@pytest.mark.parametrize(
    ("days", "words"),
    [
        (-2, "Sun, July 12, 10:20 AM"),
        (-1, "Yesterday, 10:20 AM"),
        (0, "Today, 10:20 AM"),
        (1, "Tomorrow, 10:20 AM"),
        (2, "Thu, July 16, 10:20 AM"),
    ],
)
def test_a_near_day_is_named(days, words):
    moment = clock.now() + timedelta(days=days)

    assert rc.when_text(moment, "short") == words


@pytest.mark.parametrize(
    ("zone", "name"),
    [
        ("America/New_York", "EDT"),
        ("Asia/Kolkata", "IST"),
        ("America/Sao_Paulo", "UTC−3"),
        ("Asia/Kathmandu", "UTC+5:45"),
        ("UTC", "UTC"),
    ],
)
def test_a_zone_is_named_or_counted(zone, name):
    with timezone.override(zone):
        assert rc.time_zone_name() == name


@pytest.mark.parametrize(
    ("hour", "words"), [(0, "12:00 AM"), (9, "9:00 AM"), (12, "12:00 PM"), (23, "11:00 PM")]
)
def test_the_hours_are_twelve(hour, words):
    assert rc.clock_time(datetime(2026, 7, 14, hour)) == words


def test_no_moment_is_nothing():
    assert rc.when(None) == ""
    assert rc.when_text_filter(None) == ""


def test_an_unknown_style_is_refused():
    with pytest.raises(ValueError, match=r"A date has no style called 'ago'\."):
        rc.when_text(clock.now(), "ago")


@pytest.mark.parametrize(
    ("size", "words"),
    [
        (0, "0 bytes"),
        (1, "1 byte"),
        (1023, "1023 bytes"),
        (1024, "1 KB"),
        (397_000, "388 KB"),
        (1023 * 1024 + 1, "1 MB"),
        (1_200_000, "1.2 MB"),
        (25 * 2**20, "25 MB"),
        (25 * 2**20 + 1, "25.1 MB"),
    ],
)
def test_a_file_never_reads_smaller_than_it_is(size, words):
    assert rc.filesize(size) == words


@pytest.mark.parametrize(
    ("name", "letters"),
    [
        ("Maya Okafor", "MO"),
        ("Loop & Lens", "LL"),
        ("Whop", "W"),
        ("Ludwig van Beethoven", "LB"),
        ("  éric  ", "É"),
        (gallery.ARABIC, "لح"),
        ("!!!", ""),
        ("", ""),
    ],
)
def test_initials_are_the_first_and_the_last(name, letters):
    assert rc.initials(name) == letters


@pytest.mark.parametrize(
    ("party", "shape"),
    [("buyer", "buyer"), ("creator", "creator"), ("staff", "whop"), ("system", "whop")],
)
def test_the_shape_says_who(party, shape):
    badge = rc.who(party, "Maya Okafor")

    assert badge == f'<span class="who who--{shape}" aria-hidden="true">MO</span>'


def test_a_clock_on_day_four():
    drawn = rc.meter(4, "turn")

    assert drawn == (
        '<span class="meter" data-tone="turn" role="img" aria-label="Day 4 of 7">'
        '<i class="on"></i><i class="on"></i><i class="on"></i><i class="now"></i>'
        "<i></i><i></i><i></i></span>"
    )


def test_a_clock_that_ran_out():
    drawn = rc.meter(8, "whop")

    assert (drawn.count('class="on"'), drawn.count('class="now"')) == (7, 0)
    assert 'aria-label="Time is up"' in drawn


@pytest.mark.parametrize(
    ("minor", "signed", "words"),
    [
        (7900, False, "$79.00"),
        (3200, True, "+$32.00"),
        (-6000, True, "−$60.00"),
        (0, True, "$0.00"),
    ],
)
def test_money_is_exact_and_signed_in_ledgers(minor, signed, words):
    assert rc.money(minor, "USD", signed) == words


def test_every_icon_that_is_used_is_drawn():
    drawn = set(re.findall(r'id="i-([a-z]+)"', (STATIC / "img" / "icons.svg").read_text()))
    used = set(rc.TONE_ICONS.values()) | set(rc.FILE_ICONS.values())
    for template in TEMPLATES.rglob("*.html"):
        used |= set(re.findall(r'{% icon "([a-z]+)"', template.read_text()))
        used |= set(re.findall(r'icon\|default:"([a-z]+)"', template.read_text()))

    assert used - drawn == set()


@pytest.mark.parametrize("kind", ["message", "note", "status", "system", "money", "decision"])
def test_what_people_typed_is_never_markup(kind):
    entry = {
        "kind": kind,
        "id": "revt_1",
        "at": clock.now(),
        "party": "buyer",
        "tone": "calm",
        "files": [{"name": HOSTILE, "kind": "pdf", "size": 1, "href": "/a"}],
        "verdict": dict.fromkeys(["id", "title", "by", "why", "next"], HOSTILE)
        | {"at": clock.now(), "looked_at": [HOSTILE]},
    }
    typed = ["who_name", "role_line", "text", "tag_lead", "tag_strong", "tag_text", "lead"]
    typed += ["strong", "link_label", "link_href", "amount_text"]

    html = render_to_string(
        "rc/_timeline.html", {"entries": [entry | dict.fromkeys(typed, HOSTILE)]}
    )

    assert html.count("<script") == 0
    assert html.count("&lt;script&gt;alert(&quot;x&quot;)&lt;/script&gt;") > 0


def test_names_in_lists_menus_and_files_are_never_markup():
    hostile = gallery.Person(HOSTILE, HOSTILE)
    nav = gallery.DASH_NAV | {
        "company": {"name": HOSTILE},
        "companies": [{"name": HOSTILE, "href": "/"}, {"name": HOSTILE, "href": "/"}],
    }

    pages = [
        gallery.parts(name=HOSTILE),
        gallery.dash_case(nav=nav, user=hostile),
        gallery.hub_case(head={"title": HOSTILE, "meta": [HOSTILE]}, facts=[(HOSTILE,) * 3]),
        gallery.hub_case(turn=gallery.TURN | dict.fromkeys(["label", "title", "body"], HOSTILE)),
    ]

    assert [html.count("<script>") for html in pages] == [0, 0, 0, 0]


def test_a_hostile_quote_in_an_email_is_only_text():
    email = gallery.EMAIL | {"quote": HOSTILE, "heading": HOSTILE, "facts": [(HOSTILE, HOSTILE)]}

    html = gallery.email(email)
    text = render_to_string("notifications/email/base.txt", {"email": email})

    assert html.count("<script") == 0
    assert text.count(HOSTILE) == 4


def test_a_text_email_holds_no_entities():
    email = gallery.DECISION_EMAIL | {"lead": "You asked Loop & Lens for $64.00 back."}

    text = render_to_string("notifications/email/base.txt", {"email": email})

    assert text == (
        "WHOP DECIDED\n"
        "You get $32.00 in Whop Credits\n"
        "\n"
        "You asked Loop & Lens for $64.00 back.\n"
        "\n"
        "Why\n"
        "The product page on June 24 said the presets work on mobile without a\n"
        "computer.\n"
        "\n"
        "If you disagree\n"
        "You can appeal until Tuesday, July 21, 9:40 AM EDT.\n"
        "\n"
        "See your case:\n"
        "https://example.com/dash/resolution-center/cases/reso_7B2HNP/\n"
        "\n"
        "You can accept and refund, request more details, or deny the request.\n"
        "\n"
        "--\n"
        "You get this because you manage cases for Sideproject Club.\n"
        "Whop never asks for your password or card number by email.\n"
    )


def test_an_email_keeps_its_dark_mode_and_nothing_else_in_its_head():
    html = gallery.email(gallery.EMAIL)

    assert html.count("<style") == 1
    assert html.count("prefers-color-scheme: dark") == 1
    assert 'class="head head--turn m-pad" style=' in html


@pytest.mark.parametrize("name", [gallery.LONG, gallery.ARABIC, HOSTILE])
def test_unusual_names_stand_apart_from_the_sentence(name):
    html = render_to_string(
        "rc/_event_message.html",
        {"entry": gallery.message(who_name=name, is_you=False, files=[])},
    )

    assert html.count("<bdi>") == html.count("</bdi>") == 1


def test_a_refused_field_says_so_to_a_screen_reader():
    form = gallery.OpenCase({"description": "short"})

    html = render_to_string("rc/_field.html", {"field": form["description"]})

    described = 'aria-describedby="id_description_helptext id_description_error"'
    assert described in html
    assert 'aria-invalid="true"' in html
    assert [html.count(f'id="id_description{part}"') for part in ("", "_helptext", "_error")] == [
        1,
        1,
        1,
    ]


def test_a_field_is_label_hint_error_control_in_that_order():
    form = gallery.OpenCase({"description": "short"})

    html = form["description"].as_field_group()

    order = [html.index(part) for part in ("<label", 'class="hint"', 'class="err"', "<textarea")]
    assert order == sorted(order)


def test_an_error_summary_leads_to_each_control():
    form = gallery.OpenCase({"reason": "", "ask": "full", "amount": "1", "description": ""})

    html = render_to_string("rc/_errors.html", {"form": form})

    assert re.findall(r'href="([^"]+)"', html) == ["#id_reason_error", "#id_description"]
    assert "There are 2 things to fix" in html


def test_a_form_without_errors_has_no_summary():
    assert render_to_string("rc/_errors.html", {"form": gallery.OpenCase()}).strip() == ""


def test_an_answer_that_is_not_open_has_no_panel():
    respond = gallery.respond()
    respond["options"] = [option for option in respond["options"] if option[0] != "request_info"]

    html = render_to_string("rc/_respond.html", {"respond": respond})

    assert re.findall(r'name="do" value="(\w+)"', html) == ["accept", "deny"]


@pytest.mark.parametrize(
    ("pager", "links"),
    [
        ({"newer_href": None, "older_href": "?after=x"}, ["?after=x"]),
        ({"newer_href": "?before=x", "older_href": None}, ["?before=x"]),
        ({"newer_href": None, "older_href": None, "text": "That’s everything."}, []),
    ],
)
def test_a_pager_offers_only_what_there_is(pager, links):
    html = render_to_string("rc/_pager.html", {"pager": pager})

    assert re.findall(r'<a [^>]*href="([^"]+)"', html) == links


PAGES = [
    template
    for template in sorted(TEMPLATES.rglob("*.html"))
    if "notifications/email" not in template.as_posix()
    and not template.name.endswith("_email.html")
]


@pytest.mark.parametrize("template", PAGES, ids=lambda path: str(path.relative_to(TEMPLATES)))
def test_a_template_obeys_the_content_security_policy(template):
    source = re.sub(r"{% comment %}.*?{% endcomment %}", "", template.read_text(), flags=re.DOTALL)

    forbidden = re.findall(r"\sstyle=|\son[a-z]+=|javascript:|<style", source)
    inline_scripts = [tag for tag in re.findall(r"<script[^>]*>", source) if "src=" not in tag]

    assert (forbidden, inline_scripts) == ([], [])


@pytest.mark.parametrize(
    "template", sorted((TEMPLATES / "rc").glob("_*.html")), ids=lambda p: p.name
)
def test_a_partial_says_what_it_needs(template):
    source = template.read_text()

    assert source.startswith(("{% comment %}", "{#"))
    assert get_template(f"rc/{template.name}")


def test_the_page_for_a_broken_server_needs_nothing():
    source = (TEMPLATES / "500.html").read_text()

    needless = re.sub(r"\{% if reference %\}.*?\{% endif %\}", "", source)
    needless = re.sub(r"\{% if away %\}.*?\{% else %\}(.*?)\{% endif %\}", r"\1", needless)
    assert engines["django"].from_string(source).render() == needless
