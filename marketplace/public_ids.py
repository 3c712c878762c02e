"""Public ids: a prefix that names the kind, then random letters and digits."""

import os
import string
from functools import partial
from typing import Any

from django.db import models

ALPHABET = string.ascii_letters + string.digits
LENGTH = 14


def new_public_id(prefix: str) -> str:
    """A fresh id such as `reso_4F7k2MxQ9bTzLa`; 83 bits of chance, never guessable."""
    # One question to the system's source of chance: 128 bits leave no bias that could be seen.
    number = int.from_bytes(os.urandom(16), "big")
    letters = []
    for _ in range(LENGTH):
        number, place = divmod(number, len(ALPHABET))
        letters.append(ALPHABET[place])
    return prefix + "".join(letters)


class PublicIdField(models.CharField):
    """A unique, unchangeable id with a prefix, filled in on creation.

    Its column type is spelled out in full because Django adds a second, `LIKE`-only index to every
    unique column whose type begins with `varchar`; nobody searches an id by its beginning.
    """

    def __init__(self, prefix: str = "", **kwargs: Any) -> None:
        self.prefix = prefix
        kwargs.update(max_length=40, unique=True, editable=False)
        kwargs.setdefault("default", partial(new_public_id, prefix))
        super().__init__(**kwargs)

    def db_type(self, connection: Any) -> str:
        return "character varying(40)"

    def deconstruct(self) -> Any:
        name, path, args, kwargs = super().deconstruct()
        for known in ("max_length", "unique", "editable", "default"):
            kwargs.pop(known, None)
        return name, path, args, {"prefix": self.prefix, **kwargs}
