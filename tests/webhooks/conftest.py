"""A receiver of webhooks, and the servers that it takes for something to happen."""

import pytest

from marketplace.models import Company
from notifications import webhooks
from notifications.models import WebhookEndpoint
from tests.notifications.conftest import mail_server  # noqa: F401
from tests.sandbox_fixture import sandbox, sandbox_process  # noqa: F401
from tests.webhooks.receiver import Receiver, receiver  # noqa: F401


@pytest.fixture
def endpoint(company: Company, receiver: Receiver) -> WebhookEndpoint:  # noqa: F811
    """An endpoint of the company's that listens to everything."""
    return webhooks.make_endpoint(company, f"{receiver.url}/hook", list(webhooks.EVENTS))
