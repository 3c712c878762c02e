"""Public ids: a prefix that names the kind, then random letters and digits."""

import os
import string
from functools import partial
from typing import Any

from django.db import models

ALPHABET = string.ascii_letters + string.digits
LENGTH = 14

# What a random byte stands for. The last few are thrown away, or some letters would come oftener.
_FAIR = 256 - 256 % len(ALPHABET)
_LETTERS = bytes(ord(ALPHABET[byte % len(ALPHABET)]) for byte in range(256))
_LEFT_OUT = bytes(range(_FAIR, 256))


def new_public_id(prefix: str) -> str:
    """A fresh id such as `reso_4F7k2MxQ9bTzLa`; 83 bits of chance, never guessable."""
    return new_public_ids(prefix, 1)[0]


def new_public_ids(prefix: str, many: int) -> list[str]:
    """So many fresh ids, of one question to the system's source of chance."""
    wanted, letters = many * LENGTH, b""
    while len(letters) < wanted:
        letters += os.urandom(wanted + wanted // 16 + 8).translate(_LETTERS, _LEFT_OUT)
    text = letters.decode()
    return [prefix + text[at : at + LENGTH] for at in range(0, wanted, LENGTH)]


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
