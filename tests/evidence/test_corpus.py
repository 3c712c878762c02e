"""Every hostile file meets its end, and what is kept of one runs nowhere; bytes and rows agree."""

import os
from datetime import timedelta
from pathlib import Path

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.utils import timezone
from pytest_django import Settings

from marketplace.models import User
from resolution import custody
from resolution.evidence import RefusedFile, accept
from resolution.models import Attachment
from tests.evidence import hostile
from tests.evidence.conftest import Stored
from tests.evidence.corpus import EITHER, TAKEN, corpus
from tests.evidence.hostile import upload


def test_every_hostile_file_meets_its_end(bea: User, stored: Stored, settings: Settings) -> None:
    settings.MAX_UNSENT_FILES = 10_000
    files = list(corpus())
    assert len(files) >= 120
    wrong, ran = [], []

    for file in files:
        try:
            taken = accept(upload(file.name, file.content), bea)
        except RefusedFile as refused:
            said = refused.sentence
        else:
            said = TAKEN
            with taken.file.open() as kept:
                content = kept.read()
            if taken.kind == Attachment.Kind.IMAGE and (b"<script" in content or b"PK" in content):
                ran.append(file.name)
        if file.outcome not in (said, EITHER):
            wrong.append((file.name, said))

    assert (wrong, ran) == ([], [])
    assert len(stored()) == Attachment.objects.count()


def test_bytes_without_a_row_go_and_rows_without_bytes_are_told_of(
    bea: User, stored: Stored, caplog: pytest.LogCaptureFixture
) -> None:
    kept, lost, young = (accept(upload("a.png", hostile.picture()), bea) for _ in range(3))
    folder = str(Path(str(kept.file.name)).parent)
    for name in ("old", "new"):
        default_storage.save(f"{folder}/{name}", ContentFile(b"x"))
    two_days_ago = (timezone.now() - timedelta(days=2)).timestamp()
    for name in (f"{folder}/old", str(kept.file.name)):
        os.utime(default_storage.path(name), (two_days_ago, two_days_ago))
    for gone in (lost, young):
        default_storage.delete(str(gone.file.name))
    before = timezone.now() - timedelta(days=2)
    Attachment.objects.filter(pk=lost.pk).update(created_at=before)

    done = [custody.compare_storage(), custody.compare_storage()]

    assert done == [(1, [lost.public_id]), (0, [lost.public_id])]
    assert stored() == sorted([str(kept.file.name), f"{folder}/new"])
    assert "1 files have lost their bytes" in caplog.text
