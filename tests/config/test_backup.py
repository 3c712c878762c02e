"""A backup brings everything back, and one that would not is found out."""

import json
from pathlib import Path

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.core.management import CommandError, call_command
from django.db import connection

from config import backup
from marketplace.models import User
from resolution.models import Attachment, Case, Event

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def folder(waiting_case: Case, bea: User, tmp_path: Path) -> Path:
    """A backup of one case with two events, and of a file."""
    Attachment.objects.create(
        uploader=bea, file=ContentFile(b"proof", "proof.png"), filename="proof.png", size=5,
        content_type="image/png", kind=Attachment.Kind.IMAGE, sha256="0" * 64,
    )  # fmt: skip
    backup.back_up(tmp_path / "backup")
    return tmp_path / "backup"


def test_what_was_backed_up_is_what_comes_back(
    folder: Path, waiting_case: Case, capsys: pytest.CaptureFixture[str]
) -> None:
    home = connection.settings_dict["NAME"]
    Event.objects.create(
        case=waiting_case, seq=99, step="comment", party="buyer", state_after="open",
        created_at=waiting_case.opened_at, hash="written after the backup",
    )  # fmt: skip

    call_command("restore_rehearsal", str(folder))

    said = capsys.readouterr().out.splitlines()
    assert said[0].endswith(" is restored.")
    assert said[1] == "All 1 timelines are as they were written."
    assert said[2].endswith("and 1 of 1 files were found in the storage.")
    assert connection.settings_dict["NAME"] == home
    assert Event.objects.filter(seq=99).exists()
    with connection.cursor() as cursor:
        cursor.execute("SELECT datname FROM pg_database WHERE datname = %s", [f"{home}_rehearsal"])
        assert cursor.fetchall() == []


def test_what_does_not_come_back_is_named(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["rows"]["resolution_event"] += 1
    (folder / "manifest.json").write_text(json.dumps(manifest))
    [name] = manifest["files"]
    default_storage.delete(name)

    with pytest.raises(CommandError, match=r"^2 differences"):
        call_command("restore_rehearsal", str(folder))

    assert capsys.readouterr().out.splitlines()[1:3] == [
        "resolution_event had 3 rows and has 2.",
        f"The file {name} is not in the storage.",
    ]


def test_a_damaged_backup_is_not_restored(folder: Path) -> None:
    with (folder / "database.dump").open("r+b") as dump:
        dump.seek(-100, 2)
        dump.write(b"damaged")

    with pytest.raises(CommandError, match="is not what was written"):
        call_command("restore_rehearsal", str(folder))


def test_nobody_else_may_read_a_backup(folder: Path) -> None:
    assert folder.stat().st_mode & 0o077 == 0
    assert (folder / "database.dump").stat().st_mode & 0o077 == 0


def test_an_earlier_backup_is_never_written_over(folder: Path) -> None:
    with pytest.raises(CommandError, match="File exists"):
        call_command("backup", str(folder))
