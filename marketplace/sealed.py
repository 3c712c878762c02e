"""Secrets that have to be read again, sealed before they reach the database and its backups.

The first of SEALING_KEYS seals; each opens what it has sealed. What is sealed names its key, so
that `reseal` finds what an older one has sealed, or what is still in the clear.
"""

import base64
import hashlib
from collections.abc import Callable, Iterator
from typing import Any

from cryptography.fernet import Fernet, InvalidToken
from django.apps import apps
from django.conf import settings
from django.db import connection, models

MARK = "sealed:"
OTHERS: list[Callable[[str, int], int]] = []
"""Reseal what is sealed but not in a column of its own: by the newest key's mark, up to a limit."""


class CannotOpen(Exception):
    """None of the keys opens this: the key that has sealed it is gone."""


def seal(text: str) -> str:
    """The text as only who has the key can read it; another one each time."""
    key = settings.SEALING_KEYS[0]
    return _mark(key) + _fernet(key).encrypt(text.encode()).decode()


def unseal(stored: str) -> str:
    """What was sealed; a text that never was is answered as it is. Raises CannotOpen."""
    if not stored.startswith(MARK):
        return stored
    for key in settings.SEALING_KEYS:
        if stored.startswith(_mark(key)):
            try:
                return _fernet(key).decrypt(stored.removeprefix(_mark(key)).encode()).decode()
            except InvalidToken as reason:
                raise CannotOpen("A sealed secret was changed in the database.") from reason
    raise CannotOpen("A secret is sealed with a key that is not among SEALING_KEY any more.")


def _mark(key: str) -> str:
    return f"{MARK}{hashlib.sha256(b'name:' + key.encode()).hexdigest()[:8]}:"


def _fernet(key: str) -> Fernet:
    return Fernet(base64.urlsafe_b64encode(hashlib.sha256(b"key:" + key.encode()).digest()))


class SealedField(models.TextField):
    """A text that is sealed in the database. Nothing can be looked up by it."""

    def get_prep_value(self, value: Any) -> Any:
        return seal(value) if isinstance(value, str) else value

    def from_db_value(self, value: str | None, *_: object) -> str | None:
        return None if value is None else unseal(value)

    def get_lookup(self, lookup_name: str) -> Any:
        if lookup_name == "isnull":
            return super().get_lookup(lookup_name)
        raise TypeError(f"{self.name} is sealed: nothing can be looked up by it.")


def reseal(limit: int = 1000) -> int:
    """Seal with the newest key what is not, up to `limit` of each kind; answer how many there were.

    Raises CannotOpen where the key of one is gone; the others of its kind wait with it.
    """
    newest = _mark(settings.SEALING_KEYS[0])
    done = sum(reseal_others(newest, limit) for reseal_others in OTHERS)
    for model, field in _sealed_fields():
        table = connection.ops.quote_name(model._meta.db_table)
        column = connection.ops.quote_name(field.attname)
        with connection.cursor() as cursor:
            cursor.execute(
                f"SELECT id, {column} FROM {table}"  # noqa: S608 (our own names)
                f" WHERE NOT starts_with({column}, %s) ORDER BY id LIMIT %s",
                [newest, limit],
            )
            for pk, stored in cursor.fetchall():
                # Only if nobody has changed it meanwhile.
                cursor.execute(
                    f"UPDATE {table} SET {column} = %s WHERE id = %s AND {column} = %s",  # noqa: S608
                    [seal(unseal(stored)), pk, stored],
                )
                done += cursor.rowcount
    return done


def _sealed_fields() -> Iterator[tuple[type[models.Model], SealedField]]:
    for model in apps.get_models():
        for field in model._meta.local_concrete_fields:
            if isinstance(field, SealedField):
                yield model, field
