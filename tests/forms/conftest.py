"""The storage that files of forms go to."""

from tests.evidence.conftest import stored as stored
