"""Every part of the pages with made-up contents: what the tests of this folder look at.

Used as a URLconf. Nothing is read from the database.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import css_inline
from django import forms
from django.contrib import admin
from django.contrib.auth import views as auth
from django.contrib.auth.forms import AuthenticationForm
from django.http import HttpRequest, HttpResponse
from django.template import engines
from django.template.loader import render_to_string
from django.urls import include, path
from django.utils import timezone
from django.utils.html import format_html

from marketplace import clock
from resolution.views import account

PAGES = Path(__file__).parent / "pages"
EASTERN = ZoneInfo("America/New_York")


@dataclass
class Person:
    name: str
    email: str
    is_authenticated: bool = True
    is_staff: bool = True

    def has_usable_password(self) -> bool:
        return True


MAYA = Person("Maya Okafor", "maya@example.com")
HOSTILE = '<script>alert("x")</script>'
LONG = "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft" * 2
ARABIC = "ليلى حداد"


def july(day: int, hour: int = 12, minute: int = 0) -> datetime:
    """A moment in July of the present year, on the east coast."""
    return datetime(clock.now().year, 7, day, hour, minute, tzinfo=EASTERN)


class ManyFiles(forms.ClearableFileInput):
    allow_multiple_selected = True


class Message(forms.Form):
    message = forms.CharField(label="Your answer", max_length=4000, widget=forms.Textarea)
    files = forms.FileField(required=False, widget=ManyFiles)  # type: ignore[assignment]


class Respond(forms.Form):
    action = forms.ChoiceField(
        label="Your response",
        widget=forms.RadioSelect,
        choices=[("accept", ""), ("request_info", ""), ("deny", "")],
    )
    accept_message = forms.CharField(
        label="Message to Theo", required=False, widget=forms.Textarea, max_length=4000
    )
    ends_membership = forms.BooleanField(
        label="End the membership too",
        required=False,
        help_text="Access to Sideproject Club Pro ends at once.",
    )
    request_info_message = forms.CharField(
        label="What do you need to know?",
        help_text="Ask for one thing you need to decide. Theo gets 7 days to answer.",
        widget=forms.Textarea,
    )
    deny_message = forms.CharField(
        label="Why not?",
        help_text="Answer what Theo says went wrong. If Theo appeals, Whop reads this first.",
        widget=forms.Textarea,
    )
    files = forms.FileField(required=False, widget=ManyFiles)  # type: ignore[assignment]


class OpenCase(forms.Form):
    reason = forms.ChoiceField(
        label="What went wrong?",
        widget=forms.RadioSelect,
        choices=[("not_received", ""), ("not_described", "")],
    )
    ask = forms.ChoiceField(
        label="How much are you asking for?",
        help_text="You paid $19.00. Ask for part of it if part of the product was fine.",
        widget=forms.RadioSelect,
        choices=[("full", ""), ("part", "")],
    )
    amount = forms.DecimalField(label="Amount", max_value=19)
    description = forms.CharField(
        label="What happened?",
        help_text="Say what you expected, what you got, and when you noticed.",
        min_length=30,
        max_length=4000,
        widget=forms.Textarea,
    )
    files = forms.FileField(  # type: ignore[assignment]
        required=False,
        help_text="PNG, JPG, PDF, TXT, or MP4, up to 25 MB each.",
        widget=ManyFiles,
    )
    tell_me = forms.BooleanField(required=False, label="Tell me by email too")


class Decide(forms.Form):
    outcome = forms.ChoiceField(
        label="Outcome", widget=forms.RadioSelect, choices=[("refund", ""), ("none", "")]
    )
    amount = forms.DecimalField(label="Amount", help_text="Up to $120.00")
    why = forms.CharField(
        label="Why", help_text="Both sides read this word for word.", widget=forms.Textarea
    )


FILES = [
    {"name": "listing-live-calls.png", "kind": "image", "size": 397_000, "href": "#file"},
    {"name": "chat-july-1.pdf", "kind": "pdf", "size": 1_200_000, "href": "#file"},
]
KEPT_FILES = [
    {
        "name": "listing-june-20.png",
        "kind": "image",
        "size": 421_000,
        "note": "uploaded",
        "thumb": "/static/img/favicon.svg",
        "upload": "att_1",
        "remove_name": "remove_file",
        "remove_value": "1",
    },
    {
        "name": "call-recording-june.mp4",
        "kind": "video",
        "size": 63_900_000,
        "problem": "61 MB, not uploaded",
        "remove_name": "remove_file",
        "remove_value": "2",
    },
]
FACTS = [
    ("You asked for", "$49.00", "The full payment"),
    ("Payment", "July 2, 2026", "Visa ending 4242, by Stripe"),
    ("Membership", "Sideproject Club Pro", "Stays active during the case"),
    ("Reason", "Product not as described", ""),
    ("Files", "2 from you", ""),
]
HOW = [
    ("You answer", "The clock goes back to Sideproject Club. They get 7 days."),
    ("They decide", "A refund closes the case. If they deny it, you can appeal to Whop."),
    ("Whop decides", "With reasons, in this timeline. One appeal each, then it’s final."),
]
TURN = {
    "tone": "turn",
    "label": "Your turn",
    "title": "Answer Sideproject Club by Friday, July 17, 6:05 PM EDT",
    "body": "They asked which calls you mean. If you don’t answer, Whop reviews the case with "
    "what it has.",
    "clock_left": "Day 4 of 7",
    "clock_right": "3 days left",
    "day": 4,
    "days": 7,
    "cta_label": "Write your answer",
    "cta_href": "#reply",
    "steps": [
        ("Opened", "July 8", "done"),
        ("Creator", "Replied July 10", "done"),
        ("Your answer", "Due July 17", "now"),
        ("Whop review", "If needed", "maybe"),
        ("Closed", "", ""),
    ],
    "now_line": format_html("<b>Now:</b> {}. <b>Next:</b> Whop reviews.", "your answer"),
}
CREATOR_TURN = TURN | {
    "title": "Reply to Theo by tomorrow, July 15, 9:12 AM EDT",
    "body": "Accept, deny, or request more details. If you don’t reply, Whop decides with "
    "what’s here.",
    "clock_left": "Day 7 of 7",
    "clock_right": "22 hours left",
    "day": 7,
    "cta_label": "Respond",
    "steps": [
        ("Opened", "July 8", "done"),
        ("Your reply", "Due July 15", "now"),
        ("Whop review", "If needed", "maybe"),
        ("Closed", "", ""),
    ],
}


def message(**more: Any) -> dict[str, Any]:
    return {
        "kind": "message",
        "id": "revt_1",
        "party": "buyer",
        "who_name": "Maya Okafor",
        "is_you": True,
        "role_line": "opened the case",
        "text": "The page promises a live call with the founders every Wednesday.\n\n"
        "On June 24 and July 1 the “live” call was a recording from last year.",
        "files": FILES,
        "at": july(8, 16, 12),
    } | more


def entries() -> list[dict[str, Any]]:
    """One entry of every kind."""
    return [
        message(),
        {
            "kind": "status",
            "id": "revt_2",
            "icon": "mail",
            "lead": "Sent to",
            "strong": "Sideproject Club",
            "text": ". They had until July 15 to reply.",
            "at": july(8, 16, 12),
        },
        {
            "kind": "system",
            "id": "revt_3",
            "icon": "log",
            "text": "Whop added your access record: joined July 2, 11 visits.",
            "link_href": "#log",
            "link_label": "See it",
            "at": july(8, 16, 12),
        },
        message(
            id="revt_4",
            party="creator",
            who_name="Sideproject Club",
            is_you=False,
            role_line="Creator",
            text="Can you tell us which calls you joined, and roughly when?",
            files=[],
            tag_icon="reply",
            tag_lead="Asked you for details.",
            tag_strong="The 7 days moved to you",
            tag_text=", until July 17, 6:05 PM.",
            at=july(10, 18, 5),
        ),
        {
            "kind": "status",
            "id": "revt_5",
            "tone": "whop",
            "icon": "scale",
            "strong": "Whop is reviewing.",
            "text": " Both sides’ messages and files were sent to the team.",
            "at": july(11, 9),
        },
        {
            "kind": "note",
            "id": "revt_6",
            "who_name": "Dana Kessler",
            "text": "Same product page as in reso_2HT9QD.",
            "at": july(12, 9),
        },
        {
            "kind": "decision",
            "id": "revt_7",
            "who_name": "Whop",
            "verdict": {
                "id": "verdict_1",
                "title": "Decision: $32.00 in Whop Credits",
                "by": "the Whop resolution team",
                "at": july(14, 9, 40),
                "why": "The product page said the presets work on mobile. They need a desktop app.",
                "looked_at": ["Product page as it was on June 24", "Download and usage record"],
                "next": "Whop pays the credits. Loop & Lens isn’t charged.",
            },
        },
        {
            "kind": "money",
            "id": "revt_8",
            "tone": "good",
            "icon": "credit",
            "strong": "Whop Credits added to your account.",
            "text": "Use them on any product.",
            "amount_text": "+$32.00",
            "at": july(14, 9, 40),
        },
        {
            "kind": "money",
            "id": "revt_9",
            "tone": "bad",
            "icon": "alert",
            "strong": "The refund didn’t go through.",
            "text": "We’ll try again every hour.",
            "amount_text": "",
            "at": july(14, 9, 41),
        },
    ]


def composer(form: forms.Form | None = None) -> dict[str, Any]:
    return {
        "id": "reply",
        "party": "buyer",
        "who_name": "Maya Okafor",
        "action": "#reply",
        "form": form or Message(auto_id="reply_%s"),
        "button": "Send answer",
        "left": "Up to 3 with this answer",
        "max_files": 3,
        "max_bytes": 25 * 2**20,
        "upload_href": "/ui/uploads/",
        "draft_href": "/ui/draft/",
        "draft_note": "From July 14, 9:40 AM. Not sent yet.",
        "secondary": [("accept", "Close the case without a refund")],
    }


def respond(form: forms.Form | None = None) -> dict[str, Any]:
    return {
        "id": "reply",
        "party": "creator",
        "who_name": "Sideproject Club",
        "action": "#reply",
        "form": form or Respond(auto_id="respond_%s"),
        "options": [
            ("accept", "Accept and refund", "Closes the case"),
            ("request_info", "Request more details", "The 7 days move to Theo"),
            ("deny", "Deny the request", "Theo can appeal to Whop"),
        ],
        "accept_note_lead": "$79.00 leaves your balance today",
        "accept_note": "and goes back to Theo’s Mastercard. You can’t undo a refund.",
        "keeps_note": "Theo keeps access to Sideproject Club Pro.",
        "ends_note": "Theo’s membership ends at once.",
        "draft_href": "/ui/draft/",
        "accept_button": "Refund $79.00 and close",
        "left": "Up to 3 files that show your side",
    }


HUB_NAV = {"tab": "cases", "cases_turn_count": 1, "help_href": "#help", "dash_href": "#dash"}
DASH_NAV = {
    "tab": "cases",
    "cases_turn_count": 4,
    "company": {"name": "Sideproject Club"},
    "companies": [
        {"name": "Sideproject Club", "href": "#1", "current": True, "turn_count": 4},
        {"name": "Loop & Lens", "href": "#2", "current": False, "turn_count": 1},
    ],
    "rules_href": "#rules",
    "hub_href": "#hub",
}
HUB_HEAD = {
    "title": "$49.00 back for Sideproject Club Pro",
    "crumb_label": "Your cases",
    "crumb_href": "#cases",
    "meta": [
        format_html('Case <span class="ref">{}</span>', "reso_4F7K2M"),
        "Product not as described",
        "Opened July 8",
    ],
}
EMAIL = {
    "subject": "Theo Lindqvist asks for $79.00 back. Reply by July 15",
    "preheader": "Product not received, Portfolio review. If you don’t reply, Whop decides.",
    "tone": "turn",
    "label": "Your turn",
    "heading": "Theo Lindqvist asks for $79.00 back",
    "lead": format_html(
        "Reply by <strong>{}</strong>. If you don’t, Whop decides with what’s in the case.",
        "Wednesday, July 15, 9:12 AM EDT",
    ),
    "lead_text": "Reply by Wednesday, July 15, 9:12 AM EDT. If you don't, Whop decides with "
    "what's in the case.",
    "day": 1,
    "days": 7,
    "clock": "Day 1 of 7",
    "facts": [
        ("Product", "Portfolio review"),
        ("Reason", "Product not received"),
        ("Paid", "July 1, 2026, Mastercard ending 8806"),
        ("Case", "reso_7B2HNP"),
    ],
    "quote_label": "Theo wrote",
    "quote": "I booked a portfolio review on July 1. The page says “written feedback within 5 "
    "days”. I sent my link the same day & have had nothing back.",
    "quote_note": "2 files attached in the case.",
    "button_label": "Respond to Theo",
    "button_href": "https://example.com/dash/resolution-center/cases/reso_7B2HNP/",
    "after": "You can accept and refund, request more details, or deny the request.",
    "why": "You get this because you manage cases for Sideproject Club.",
}
DECISION_EMAIL = EMAIL | {
    "subject": "Whop decided: you get $32.00 in Whop Credits",
    "tone": "whop",
    "label": "Whop decided",
    "heading": "You get $32.00 in Whop Credits",
    "lead": "You asked Loop & Lens for $64.00 back. The credits are in your account now.",
    "lead_text": "",
    "day": None,
    "facts": [],
    "quote": "",
    "sections": [
        ("Why", "The product page on June 24 said the presets work on mobile without a computer."),
        ("If you disagree", "You can appeal until Tuesday, July 21, 9:40 AM EDT."),
    ],
    "button_label": "See your case",
}


def page(name: str, request: HttpRequest | None = None, **context: Any) -> str:
    """One of the pages beside this file, as a reader on the east coast gets it."""
    with timezone.override(EASTERN):
        template = engines["django"].from_string((PAGES / f"{name}.html").read_text())
        return template.render({"user": MAYA} | context, request)


def hub_case(request: HttpRequest | None = None, **more: Any) -> str:
    return page(
        "hub-case",
        request,
        **{
            "nav": HUB_NAV,
            "head": HUB_HEAD,
            "turn": TURN,
            "facts": FACTS,
            "how": HOW,
            "earlier": {"href": "#all", "label": "Show 4 earlier entries, June 30 to July 2"},
            "entries": entries(),
            "composer": composer(),
            "unsent": [{"text": "My answer to the\nfirst question.", "discard_href": "#discard"}],
            "withdraw_href": "#withdraw",
            "page_href": "#page",
            "live_href": "/ui-live/",
            "seconds": 1,
            **more,
        },
    )


def dash_case(request: HttpRequest | None = None, **more: Any) -> str:
    return page(
        "dash-case",
        request,
        **{
            "nav": DASH_NAV,
            "head": HUB_HEAD | {"title": "Theo Lindqvist asks for $79.00 back"},
            "turn": CREATOR_TURN,
            "facts": FACTS,
            "how": HOW,
            "entries": entries()[:2],
            "respond": respond(),
            **more,
        },
    )


def long_names(request: HttpRequest | None = None) -> str:
    """A case between people whose names never break, one of them written from right to left."""
    nav = DASH_NAV | {"company": {"name": LONG}, "companies": [{"name": LONG, "href": "#"}] * 2}
    files = [{"name": f"{LONG}.png", "kind": "image", "size": 1, "href": "#"}]
    return dash_case(
        request,
        nav=nav,
        head={"title": LONG, "meta": [LONG], "crumb_label": LONG, "crumb_href": "#"},
        facts=[("Buyer", LONG, LONG)],
        turn=CREATOR_TURN
        | {"title": f"Reply to {LONG}", "body": LONG, "label": f"Wait for {LONG}"},
        entries=[
            message(is_you=False, who_name=LONG, text=LONG, files=files),
            message(is_you=False, who_name=ARABIC, text=f"{ARABIC}: شكرا. OK?", files=files),
            entries()[1] | {"strong": LONG},
            entries()[7] | {"strong": LONG},
            entries()[6],
        ],
    )


def refused_response(request: HttpRequest | None = None) -> str:
    form = Respond({"action": "deny", "request_info_message": "x"}, auto_id="respond_%s")
    return dash_case(request, respond=respond(form) | {"files": KEPT_FILES})


def refused_case(request: HttpRequest | None = None) -> str:
    form = OpenCase(
        {
            "reason": "not_described",
            "ask": "part",
            "amount": "190",
            "description": "not what I wanted",
        }
    )
    form.add_error("files", "“call-recording-june.mp4” is 61 MB. Choose a file smaller than 25 MB.")
    return page(
        "open-case",
        request,
        nav=HUB_NAV,
        head={"title": "Open a case", "crumb_label": "Sideproject Club Pro", "crumb_href": "#"},
        form=form,
        reasons=[
            ("not_received", "Product not received", "You paid, but never got access."),
            ("not_described", "Product not as described", "What you got differs from the page."),
        ],
        asks=[
            ("full", "All of it", "$19.00 back to your PayPal account"),
            ("part", "Part of it", "You name the amount"),
        ],
        files=KEPT_FILES,
        facts=FACTS[:3],
        how=HOW,
    )


def parts(request: HttpRequest | None = None, name: str = "Theo Lindqvist") -> str:
    now = clock.now()
    rows = [
        {
            "buyer": buyer,
            "product": "Portfolio review",
            "amount": 7900 * day,
            "of": of,
            "reason": "Not received",
            "day": day,
            "tone": "turn" if day > 5 else "calm",
            "due": now + timedelta(days=7 - day, hours=1),
            "left": "22 hours left",
            "last": "Opened July 8",
        }
        for buyer, day, of in [(name, 7, None), ("Priya Raman", 5, 99900), (ARABIC, 1, None)]
    ]
    return page(
        "parts",
        request,
        nav=DASH_NAV,
        head={"title": "Parts and states", "art": "prod_2", "meta": ["$49.00 a month"]},
        rows=rows,
        tabs=[
            {"label": "Needs your reply", "href": "#1", "current": True, "count": 4, "turn": True},
            {"label": "With buyer", "href": "#2", "count": 3},
            {"label": "Closed", "href": "#3", "count": None},
        ],
        pager={"newer_href": "#n", "older_href": "#o", "text": ""},
        clocks=[
            (1, "calm", "Day 1 of 7, 6 days left"),
            (4, "turn", "Day 4 of 7, 3 days left (yours)"),
            (4, "wait", "Day 4 of 7, 3 days left (theirs)"),
            (8, "whop", "Time is up, Whop took over"),
        ],
        tones=["turn", "wait", "whop", "good", "bad", "calm"],
        files=[*FILES, *KEPT_FILES, {"name": f"{name}.pdf", "kind": "pdf", "size": 900}],
        empty={
            "icon": "inbox",
            "title": "Nothing needs your reply",
            "text": "When a buyer opens a case it shows up here.",
            "cta_label": "Set up auto-respond",
            "cta_href": "#rules",
        },
    )


def staff(request: HttpRequest | None = None) -> str:
    return page(
        "staff",
        request,
        has_permission=True,
        crumbs=[("Cases", "#cases"), ("reso_6LQ4ZE", "")],
        head={"title": "Nadia Kowalski asks Dawn Patrol for $120.00", "meta": ["Not as described"]},
        files=FILES,
        entries=entries()[4:6],
        form=Decide({"outcome": "refund", "amount": "60.00"}),
        outcomes=[
            ("refund", "Refund Nadia", "From Dawn Patrol’s balance"),
            ("none", "No refund", "The creator’s denial stands"),
        ],
    )


def email(context: dict[str, Any]) -> str:
    """An e-mail as it is sent: its first style block moved into the elements."""
    return css_inline.inline(render_to_string("notifications/email/base.html", {"email": context}))


def login(request: HttpRequest | None = None, **data: str) -> str:
    context = {
        "form": AuthenticationForm(data=data or None),
        "next": "/hub/",
        "demo_logins": [
            {
                "name": "Bea Buyer",
                "role": "Buys things",
                "email": "bea@example.com",
                "password": "demo",
            },
            {
                "name": "Cleo Creator",
                "role": "Sells Sideproject Club",
                "email": "cleo@example.com",
                "password": "demo",
            },
        ],
    }
    return render_to_string("registration/login.html", context, request)


SHOWN = {
    "hub-case": hub_case,
    "dash-case": dash_case,
    "dash-refused": refused_response,
    "open-refused": refused_case,
    "parts": parts,
    "long-list": lambda request: parts(request, name=LONG),
    "long-case": long_names,
    "staff": staff,
    "login": login,
    "email": lambda request: email(EMAIL),
    "email-decision": lambda request: email(DECISION_EMAIL),
    "conflict": lambda request: render_to_string(
        "409.html",
        {"reason": "Dawn Patrol denied this case.", "case_href": "#", "kept": "My answer.\n\nIt."},
        request,
    ),
    "not-found": lambda request: render_to_string("404.html", {}, request),
    "broken": lambda request: render_to_string("500.html"),
}


def show(request: HttpRequest, name: str) -> HttpResponse:
    return HttpResponse(SHOWN[name](request))


def live(request: HttpRequest) -> HttpResponse:
    """What an open page hears after a second."""
    context = {"live_href": "/ui-live/", "seconds": 60, "told": True, "messages_count": 1}
    return HttpResponse(render_to_string("rc/_news.html", context | {"page_href": "#page"}))


urlpatterns = [
    path("ui/<name>/", show),
    path("ui-live/", live),
    path("login/", auth.LoginView.as_view(), name="login"),
    path("language/", account.choose_language, name="language"),
    path("", include("accounts.urls")),
    path("admin/", admin.site.urls),
]
