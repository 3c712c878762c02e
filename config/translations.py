"""The catalogs of texts: what the code and the templates say, and how it reads in each language.

`locale/<language>/LC_MESSAGES/django.po` is the source, kept by people with `manage.py messages`.
The compiled `.mo` beside it is made when the project starts, whenever the source is newer.
"""

import os
import re
import tempfile
from collections.abc import Iterator, Sequence
from io import BytesIO
from itertools import chain
from pathlib import Path
from typing import Any

from babel.messages.catalog import Catalog, Message
from babel.messages.extract import extract
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po
from django.apps import apps
from django.conf import settings
from django.contrib import admin
from django.db.models import Field
from django.utils.translation import override, pgettext_lazy
from django.utils.translation.template import templatize

APPS = ("api", "config", "marketplace", "notifications", "payments", "resolution")
KEYWORDS = {
    "_": None,
    "_lazy": None,
    "gettext": None,
    "gettext_lazy": None,
    "gettext_noop": None,
    "ngettext": (1, 2),
    "ngettext_lazy": (1, 2),
    "pgettext": ((1, "c"), 2),
    "pgettext_lazy": ((1, "c"), 2),
    "npgettext": ((1, "c"), 2, 3),
    "npgettext_lazy": ((1, "c"), 2, 3),
}
COMMENT = "Translators:"
UNTOLD = tuple(
    f'"{name}'
    for name in (
        *("Project-Id", "Report-Msgid", "POT-Creation", "PO-Revision", "Last-Translator"),
        *("Language-Team", "Generated-By"),
    )
)
"""Fields of a catalog's head that say nothing here, and would change with every run."""

PLACEHOLDER = re.compile(r"%\((\w+)\)[sd]|\{(\w*)[^{}]*\}")
TAG = re.compile(r"</?[a-z]+>")


def catalog_paths() -> list[Path]:
    """The catalog of each language but the one that the code is written in."""
    return sorted(Path(settings.LOCALE_PATHS[0]).glob("*/LC_MESSAGES/django.po"))


# ── Compiled ──────────────────────────────────────────────────────────────────────────────────────


def compile_what_is_newer() -> None:
    """Make the `.mo` of each `.po` that has none or an older one.

    Any number of processes may start at once: each puts a whole file in place.
    """
    for path in catalog_paths():
        compiled = path.with_suffix(".mo")
        if compiled.exists() and compiled.stat().st_mtime_ns >= path.stat().st_mtime_ns:
            continue
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".", delete=False) as file:
            write_mo(file, read(path))
            os.fchmod(file.fileno(), 0o644)
        Path(file.name).replace(compiled)


def read(path: Path) -> Catalog:
    with path.open("rb") as file:
        return read_po(file, locale=path.parts[-3])


# ── Names of records ──────────────────────────────────────────────────────────────────────────────

RECORDS = "a record"
"""The context of the names of models and fields, which the administration shows as they are."""


def name_records_in_every_language() -> None:
    """Let the administration name apps, models and fields in the language of whoever looks."""
    for named, attribute in _names():
        setattr(named, attribute, pgettext_lazy(RECORDS, str(getattr(named, attribute))))


def _names() -> Iterator[tuple[Any, str]]:
    for label in APPS:
        app = apps.get_app_config(label)
        yield app, "verbose_name"
        for model in app.get_models():
            if not admin.site.is_registered(model):
                continue
            yield model._meta, "verbose_name"
            yield model._meta, "verbose_name_plural"
            for field in model._meta.get_fields():
                if isinstance(field, Field):
                    yield field, "verbose_name"


# ── Extracted ─────────────────────────────────────────────────────────────────────────────────────


def extracted(root: Path) -> Catalog:
    """Every text that the code and the templates mark as one to translate."""
    catalog = Catalog(charset="utf-8", fuzzy=False)
    for name, line, text, comments, context in _found(root):
        catalog.add(text, None, [(name, line)], auto_comments=comments, context=context)
    with override(settings.LANGUAGE_CODE):
        for named, attribute in _names():
            catalog.add(str(getattr(named, attribute)), None, context=RECORDS)
    return catalog


def _found(root: Path) -> Iterator[tuple[str, int, str | tuple[str, ...], list[str], str | None]]:
    code = chain.from_iterable((root / app).rglob("*.py") for app in APPS)
    templates = (
        path for path in (root / "templates").rglob("*") if path.suffix in {".html", ".txt"}
    )
    for path in sorted(chain(code, templates)):
        name = path.relative_to(root).as_posix()
        source = path.read_text()
        if path.suffix != ".py":
            # Only calls are left of it; nothing may look like Python's indentation.
            calls = templatize(source, origin=name)
            source = "\n".join(line.lstrip() for line in calls.splitlines())
        found = extract(
            "python", BytesIO(source.encode()), KEYWORDS, [COMMENT], None, strip_comment_tags=True
        )
        for line, text, comments, context in found:
            yield name, line, text, comments, context


def update(path: Path, texts: Catalog) -> None:
    """Bring a catalog up to date: new texts without a translation, none that is said no more."""
    catalog = read(path)
    catalog.update(
        texts, no_fuzzy_matching=True, update_creation_date=False, keep_user_comments=True
    )
    catalog.obsolete.clear()
    written = BytesIO()
    write_po(written, catalog, width=100, include_lineno=False, ignore_obsolete=True)
    lines = written.getvalue().decode().splitlines(keepends=True)
    path.write_text("".join(line for line in lines if not line.startswith(UNTOLD)))


# ── Checked ───────────────────────────────────────────────────────────────────────────────────────


def faults(catalog: Catalog, texts: Catalog) -> Iterator[str]:
    """What keeps a catalog from being complete and right, a line each."""
    for text in texts:
        if not text.id:
            continue
        found = catalog.get(text.id, text.context)
        said = _shown(text)
        if found is None:
            yield f"missing: {said}"
        elif found.fuzzy:
            yield f"fuzzy: {said}"
        elif not all(_forms(found.string)) or len(_forms(found.string)) != (
            catalog.num_plurals if text.pluralizable else 1
        ):
            yield f"not translated: {said}"
        else:
            yield from _slips(found, said)
    for text in catalog:
        if text.id and texts.get(text.id, text.context) is None:
            yield f"said nowhere any more: {_shown(text)}"


def _slips(message: Message, said: str) -> Iterator[str]:
    wanted = [_placeholders(form) for form in _forms(message.id)]
    for form in _forms(message.string):
        # One of several forms may leave the number out: "a day is left".
        if _placeholders(form) not in wanted:
            yield f"other placeholders: {said}"
        if sorted(TAG.findall(form)) != sorted(TAG.findall(_forms(message.id)[-1])):
            yield f"other tags: {said}"
        if (form[:1].isspace(), form[-1:].isspace()) != (said[:1].isspace(), said[-1:].isspace()):
            yield f"other white space around it: {said}"


def _forms(text: str | Sequence[str] | None) -> list[str]:
    return [text or ""] if text is None or isinstance(text, str) else list(text)


def _placeholders(text: str) -> set[str]:
    return {named or braced for named, braced in PLACEHOLDER.findall(text)}


def _shown(message: Message) -> str:
    return _forms(message.id)[-1]
