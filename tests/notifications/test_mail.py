"""From a template of words to an e-mail in two forms."""

from pathlib import Path

import pytest
from pytest_django import Settings

from notifications.mail import Around, Strong, render

WORDS = """\
{# A comment is not said. #}
{% block subject %}{{ who }} wrote by {{ due }}{% endblock %}
{% block tone %}turn{% endblock %}
{% block heading %}{{ who }} wrote{% endblock %}
{% block lead %}
  Answer {{ who }} by {{ due }},
  {% if polite %}please{% endif %}.
{% endblock %}
{% block next_title %}What happens now{% endblock %}
{% block next %}{{ who }} waits.{% endblock %}
{% block button %}Answer{% endblock %}
"""
AROUND = Around(
    button_href="https://rc.example/x/",
    why="You get this because you asked for it.",
    sections=[("Why", "First <line>.\nSecond line.")],
    facts=[("Product", "A & B")],
)


@pytest.fixture(autouse=True)
def _words(settings: Settings, tmp_path: Path) -> None:
    """A template of words beside the project's own."""
    (tmp_path / "words.txt").write_text(WORDS)
    (engine,) = settings.TEMPLATES
    settings.TEMPLATES = [engine | {"DIRS": [tmp_path, *engine["DIRS"]]}]


def test_words_are_escaped_in_the_html_and_nowhere_else() -> None:
    said = render("words.txt", {"who": "<Max> & Co", "due": Strong("July 15")}, AROUND)

    assert said.subject == "<Max> & Co wrote by July 15"
    assert "<Max> & Co wrote\n\nAnswer <Max> & Co by July 15, .\n" in said.text
    assert "What happens now\n<Max> & Co waits.\n" in said.text
    assert "Answer &lt;Max&gt; &amp; Co by <strong" in said.html
    assert "&lt;Max&gt; &amp; Co waits." in said.html
    assert "First &lt;line&gt;.\nSecond line." in said.html
    assert "A &amp; B" in said.html


def test_styles_are_inlined_and_those_for_the_dark_stay() -> None:
    html = render("words.txt", {"who": "Max", "due": "July 15"}, AROUND).html

    assert html.count("<style") == 1
    assert "@media (prefers-color-scheme: dark)" in html
    assert '<body class="m-bg" style="' in html
    assert "background: #fff3ea" in html
    assert "<script" not in html


def test_prose_is_wrapped_for_a_reader_of_text() -> None:
    text = render("words.txt", {"who": "a very long name " * 12, "due": "July 15"}, AROUND).text

    lead = text.split("\n\n")[1]
    assert max(map(len, lead.splitlines())) <= 72
    assert "\n\n\n" not in text
    assert [line for line in text.splitlines() if line != line.rstrip()] == []


def test_a_meter_is_drawn_only_where_a_clock_starts() -> None:
    without = render("words.txt", {"who": "Max", "due": "July 15"}, AROUND).html
    around = Around(button_href="https://rc.example/x/", why="Because.", day=1, days=3)
    drawn = render("words.txt", {"who": "Max", "due": "July 15"}, around).html

    assert (without.count('class="cell '), drawn.count('class="cell ')) == (0, 3)
    assert "Day 1 of 3" in drawn
