"""A storage of the test's own, of which it can say whether anything is left in it."""

from collections.abc import Callable
from pathlib import Path

import pytest
from django.core.files.storage import FileSystemStorage, default_storage

from resolution.models import Attachment

Stored = Callable[[], list[str]]


@pytest.fixture
def stored(settings: object, tmp_path: Path) -> Stored:
    """The names of all files in the storage, which starts empty."""
    settings.STORAGES = settings.STORAGES | {  # type: ignore[attr-defined]
        "default": {
            "BACKEND": "django.core.files.storage.FileSystemStorage",
            "OPTIONS": {"location": str(tmp_path / "media")},
        }
    }
    assert isinstance(default_storage, FileSystemStorage)
    folder = tmp_path / "media"

    def names() -> list[str]:
        return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())

    return names


@pytest.fixture
def nothing_kept(stored: Stored) -> Callable[[], bool]:
    """Neither a row nor a byte."""
    return lambda: not Attachment.objects.exists() and stored() == []
