"""A copy of all that cannot be made again, and the proof that it can be brought back.

A backup is a folder: `database.dump` (pg_dump's custom format) and `manifest.json`, which says how
many rows each table has and which files the database knows, both as of the moment of the dump. The
files themselves stay where they are stored: their storage keeps its own copies. Secrets in the
dump are sealed; SEALING_KEY is not in it.
"""

import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from django.apps import apps
from django.core.files.storage import default_storage
from django.db import connection, models, transaction
from django.db.backends.postgresql.client import DatabaseClient

from config.embedded import postgres_programs

DUMP, MANIFEST = "database.dump", "manifest.json"


class BackupFailed(Exception):
    """There is no backup, or it does not bring everything back; the message says what is wrong."""


def back_up(folder: Path) -> dict[str, Any]:
    """Write a backup into a new folder and answer its manifest. Nothing is locked for it."""
    folder.mkdir(mode=0o700, parents=True)
    with transaction.atomic(), connection.cursor() as cursor:
        # What is counted here is what is dumped: both see the same moment.
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        cursor.execute("SELECT pg_export_snapshot()")
        [[snapshot]] = cursor.fetchall()
        dump = folder / DUMP
        _run(
            *("pg_dump", "--format=custom", "--no-owner", "--no-privileges"),
            *(f"--snapshot={snapshot}", f"--file={dump}"),
        )
        manifest = {
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
            "sha256": _digest(dump),
            "rows": rows_by_table(),
            "files": sorted(_files()),
        }
    dump.chmod(0o600)
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=1))
    return manifest


@contextmanager
def brought_back(folder: Path) -> Iterator[dict[str, Any]]:
    """Restore a backup into a database of its own that this process works with meanwhile.

    Answers the manifest. The database is on the same server and is dropped at the end. Raises
    BackupFailed when the backup is damaged or cannot be restored.
    """
    manifest = json.loads((folder / MANIFEST).read_text())
    dump = folder / DUMP
    if _digest(dump) != manifest["sha256"]:
        raise BackupFailed(f"{dump} is not what was written when the backup was made.")
    home = connection.settings_dict["NAME"]
    other = f"{home}_rehearsal"
    quoted = connection.ops.quote_name(other)
    with connection.cursor() as cursor:
        cursor.execute(f"DROP DATABASE IF EXISTS {quoted}")
        cursor.execute(f"CREATE DATABASE {quoted} TEMPLATE template0")
    try:
        _work_with(other)
        _run("pg_restore", "--exit-on-error", "--no-owner", "--no-privileges", str(dump))
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE")
        yield manifest
    finally:
        _work_with(home)
        with connection.cursor() as cursor:
            cursor.execute(f"DROP DATABASE IF EXISTS {quoted} WITH (FORCE)")


def differences(manifest: dict[str, Any], *, most_files: int) -> Iterator[str]:
    """What the present database lacks of a manifest, a sentence each; and files that are gone.

    Of the files the newest `most_files` are looked for.
    """
    found = rows_by_table()
    for table in sorted({*found, *manifest["rows"]}):
        there, here = manifest["rows"].get(table), found.get(table)
        if there != here:
            yield f"{table} had {there} rows and has {here}."
    if sorted(_files()) != manifest["files"]:
        yield "The database knows other files than before."
    for name in sorted(manifest["files"], reverse=True)[:most_files]:
        if not default_storage.exists(name):
            yield f"The file {name} is not in the storage."


def rows_by_table() -> dict[str, int]:
    """How many rows each table has that a model of ours or of Django's writes."""
    tables = sorted({model._meta.db_table for model in apps.get_models(include_auto_created=True)})
    counts = " UNION ALL ".join(
        f"SELECT %s, count(*) FROM {connection.ops.quote_name(table)}"  # noqa: S608 (our own names)
        for table in tables
    )
    with connection.cursor() as cursor:
        cursor.execute(counts, tables)
        return dict(cursor.fetchall())


def _files() -> Iterator[str]:
    for model in apps.get_models():
        for field in model._meta.local_concrete_fields:
            if isinstance(field, models.FileField):
                known: models.QuerySet[models.Model] = models.QuerySet(model).exclude(
                    **{field.name: ""}
                )
                yield from known.values_list(field.name, flat=True)


def _work_with(name: str) -> None:
    connection.close()
    connection.settings_dict["NAME"] = name


def _run(program: str, *arguments: str) -> None:
    """Run one of PostgreSQL's programs on the present database. Raises BackupFailed."""
    said, more = DatabaseClient.settings_to_cmd_args_env(connection.settings_dict, [])
    [*address, name] = said[1:]
    own = postgres_programs() / program
    command = [str(own) if own.exists() else shutil.which(program) or program, *address]
    done = subprocess.run(
        [*command, "--dbname", name, *arguments],
        env={**os.environ, **(more or {})},
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise BackupFailed(f"{program} failed: {done.stderr.strip()}")


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
