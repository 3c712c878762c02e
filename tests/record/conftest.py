from tests.evidence.conftest import stored as stored
