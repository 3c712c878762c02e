"""The production shape without an engine: `make rehearse` runs what docker-compose.yml runs.

Each service of ours is started by its own command with its own settings; PostgreSQL, Valkey, S3 and
the mail server are ones of this machine. Requests come as through a proxy that ends TLS. Then every
health check is asked, the processes are told to stop, and a backup is restored and compared: every
row is there, every timeline is as it was written, and every promise of tests/invariants.py holds.
"""

import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import boto3
import requests
import yaml
from moto.server import ThreadedMotoServer

from config.embedded import DATABASE, DATABASE_USER, Embedded

HERE = Path(__file__).resolve().parent.parent
SECONDS = 240  # a busy machine needs some of them
HOST = "resolution.example"
TOKEN = "the-token-of-a-rehearsal-only"
SECRET = "only good for this rehearsal; "
SETTINGS = {
    "SECRET_KEY": SECRET * 2, "SEALING_KEY": SECRET + "which ends", "SITE_URL": f"https://{HOST}",
    "POSTGRES_PASSWORD": "unused", "S3_SECRET_KEY": "unused-here", "METRICS_TOKEN": TOKEN,
    "STRIPE_API_KEY": "sk_test_rehearsal", "STRIPE_WEBHOOK_SECRET": "whsec_rehearsal",
    "PAYPAL_CLIENT_ID": "rehearsal", "PAYPAL_CLIENT_SECRET": "rehearsal",
    "PAYPAL_WEBHOOK_ID": "WH-REHEARSAL",
}  # fmt: skip
CHARGE = "ch_rehearsal"
SALE = f"""
from datetime import timedelta
from django.utils import timezone
from marketplace.models import Company, Membership, Product, TeamMember, User
from payments.models import Payment
from resolution import cases
bea = User.objects.create_user("bea@buyers.example", "a long password", name="Bea")
cleo = User.objects.create_user("cleo@sellers.example", "a long password", name="Cleo")
company = Company.objects.create(name="Loop & Lens")
TeamMember.objects.create(company=company, user=cleo, role="owner")
product = Product.objects.create(company=company, name="A course", price_minor=6400, currency="USD")
payment = Payment.objects.create(
    buyer=bea, company=company, product=product, processor="stripe", currency="USD",
    membership=Membership.objects.create(user=bea, product=product), method="Visa ending 4242",
    amount_minor=6400, charge_id="{CHARGE}", paid_at=timezone.now() - timedelta(days=1))
"""
"""Somebody has bought something."""
ACCEPT = """
from marketplace import trail
from marketplace.models import User
from payments.models import Payment
from resolution import cases, sweeps
from resolution.actors import as_creator
from resolution.models import Case
payment = Payment.objects.get()
opened = cases.open_case(payment, payment.buyer, reason="not_as_described",
    message="It is not what the page says.", asked_minor=6400)
sweeps.advance([opened.pk])
cleo = User.objects.get(email="cleo@sellers.example")
with trail.work(request="the-request-that-accepts"):
    cases.take_step(Case.objects.get(), "accept", as_creator(cleo, payment.company))
"""
"""They want their money back and get it: by the worker, whom a nudge has told."""

RESTORE = """
from pathlib import Path
from django.core.management import call_command
from django.db import connection
from config import backup
from resolution.models import Case
from tests import invariants
folder = Path("FOLDER")
backup.back_up(folder)
with backup.brought_back(folder) as manifest:
    broken = [*invariants.violations(), *backup.differences(manifest, most_files=1000)]
    assert not broken, broken
    call_command("verify_timeline")
    print(f"{len(invariants.ALL)} invariants hold of the copy with its {Case.objects.count()} case")
    with connection.cursor() as cursor:
        cursor.execute("UPDATE payments_payment SET refunded_minor = refunded_minor - 1")
    told = invariants.violations()
    assert told, "A cent was taken from the copy, and nothing has missed it."
    print(f"A cent that is taken from the copy is missed: {told[0]}")
assert invariants.violations() == []
"""
"""A backup is brought back and asked what a running system is; then it is broken, and says so."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def say(text: str) -> None:
    print(text, flush=True)  # noqa: T201


class Rehearsal:
    """The services, told of servers of this machine."""

    def __init__(self, state: Path, parts: ExitStack) -> None:
        self.state, self.parts, self.port = state, parts, free_port()
        self.compose: dict[str, Any] = yaml.safe_load((HERE / "docker-compose.yml").read_text())
        services = self.compose["services"]
        image = services["web"]["image"]
        self.ours = [name for name, one in services.items() if one["image"] == image]
        self.ours.remove("migrate")  # that one ends by itself
        self.running: dict[str, subprocess.Popen[bytes]] = {}
        servers = Embedded(state)
        servers.start()
        parts.callback(servers.remove)
        s3 = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
        s3.start()
        parts.callback(s3.stop)
        address = "http://{}:{}".format(*s3.get_host_and_port())
        boto3.client(
            "s3", endpoint_url=address, region_name="us-east-1", aws_access_key_id="resolution",
            aws_secret_access_key="unused-here",
        ).create_bucket(Bucket="evidence")  # fmt: skip
        mail, provider = free_port(), free_port()
        python = [sys.executable, "-m"]
        provide = [*python, "payments.sandbox", "--port", str(provider), "--settle-seconds", "0"]
        take = [*python, "config.mail_sink", "--port", str(mail), "--folder", str(state / "mail")]
        self.start("sandbox", provide, dict(os.environ))
        self.start("mail", take, dict(os.environ))
        self.sandbox = f"http://127.0.0.1:{provider}"
        self.here = {
            "DATABASE_URL": f"postgres://{DATABASE_USER}@/{DATABASE}?host={servers.postgres_host}",
            "REDIS_URL": servers.redis_url,
            "EMAIL_URL": f"smtp://127.0.0.1:{mail}",
            "S3_ENDPOINT_URL": address,
            "CLAMD_URL": "",
            "STRIPE_API_BASE": self.sandbox,
        }

    def environment(self, service: str) -> dict[str, str]:
        """What the service is told, and nothing else of this process."""
        told: dict[str, str] = {}
        for name, value in self.compose["services"][service]["environment"].items():
            said = re.sub(r"\$\{(\w+)(?::[?-][^}]*)?\}", lambda m: SETTINGS.get(m[1], ""), value)
            told[name] = self.here.get(name, said)
        state = self.state / service
        state.mkdir(exist_ok=True)
        return told | {
            "PATH": f"{HERE / '.venv/bin'}:/usr/bin:/bin", "TMPDIR": str(state),
            "PORT": str(self.port), "VAR_DIR": str(state),
            "STATIC_ROOT": str(self.state / "static"),
            "PYTHONDONTWRITEBYTECODE": "1", "STRIPE_API_BASE": self.here["STRIPE_API_BASE"],
            "DJANGO_SETTINGS_MODULE": "config.settings",
        }  # fmt: skip

    def command(self, service: str) -> list[str]:
        """The service's own command; the image's where it has none."""
        own = self.compose["services"][service].get("command")
        if own is None:
            found = re.search(r"\nCMD (\[[^]]*\])", (HERE / "Dockerfile").read_text())
            assert found
            own = json.loads(found[1])
        return [str(part).replace("0.0.0.0:8000", f"127.0.0.1:{self.port}") for part in own]

    def start(self, name: str, command: list[str], environment: dict[str, str]) -> None:
        log = (self.state / f"{name}.log").open("wb")
        process = subprocess.Popen(
            command, cwd=HERE, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            start_new_session=True,
        )  # fmt: skip
        self.running[name] = process
        self.parts.callback(self.stop, name)

    def stop(self, name: str) -> int | None:
        """Tell a process to stop and answer its code; None when it had to be killed."""
        process = self.running.pop(name, None)
        if process is None:
            return 0
        process.send_signal(signal.SIGTERM)
        try:
            return process.wait(SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            return None

    def run(self, service: str, command: list[str], **more: Any) -> str:
        """Run a command as a service would, and answer what it says. Raises when it fails."""
        done = subprocess.run(
            command, cwd=HERE, env=self.environment(service), capture_output=True, text=True, **more
        )
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout

    def log(self, name: str) -> list[dict[str, Any]]:
        lines = (self.state / f"{name}.log").read_text().splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]

    def provider_knows(self, path: str, body: dict[str, Any]) -> bool:
        """Tell the sandbox something; whether it listens already."""
        try:
            answer = requests.post(f"{self.sandbox}/_sandbox/{path}", json=body, timeout=10)
        except requests.ConnectionError:
            return False
        return answer.status_code == 200

    def ledger(self) -> dict[str, Any]:
        """What the provider has of our one charge."""
        told = requests.get(f"{self.sandbox}/_sandbox/ledger", json={}, timeout=10).json()
        return next(charge for charge in told["charges"] if charge["id"] == CHARGE)

    def healthy(self, service: str) -> bool:
        test = self.compose["services"][service]["healthcheck"]["test"]
        assert test[0] == "CMD"
        done = subprocess.run(
            test[1:], cwd=HERE, env=self.environment(service), capture_output=True
        )
        return done.returncode == 0


class Browser:
    """Somebody who comes through a proxy that ends TLS."""

    def __init__(self, port: int) -> None:
        self.port, self.cookies = port, dict[str, str]()

    def ask(
        self, method: str, path: str, form: dict[str, str] | None = None, **headers: str
    ) -> tuple[int, dict[str, str], str]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        said = {"Host": HOST, "X-Forwarded-Proto": "https", "Referer": f"https://{HOST}/"}
        said["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        body = None
        if form is not None:
            said["Content-Type"] = "application/x-www-form-urlencoded"
            body = urlencode(form)
        connection.request(method, path, body, said | headers)
        answer = connection.getresponse()
        for cookie in answer.headers.get_all("Set-Cookie") or ():
            name, value = cookie.split(";")[0].split("=", 1)
            assert name.startswith("__Host-"), cookie
            assert "secure" in cookie.lower(), cookie
            self.cookies[name] = value
        return answer.status, dict(answer.headers), answer.read().decode()

    def submit(self, page: str, to: str, **form: str) -> tuple[int, dict[str, str], str]:
        """Fill in the form of a page; what it holds hidden goes along."""
        _, _, html = self.ask("GET", page)
        hidden = dict(re.findall(r'type="hidden" name="([^"]+)" value="([^"]*)"', html))
        return self.ask("POST", to, hidden | form)


def wait_until(fact: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + SECONDS
    while not fact():
        assert time.monotonic() < deadline, f"It is not so after {SECONDS} s: {what}."
        time.sleep(0.3)


@contextmanager
def files_unchanged() -> Iterator[None]:
    """Nothing is written where the code is, as where it cannot be."""

    def seen() -> dict[str, int]:
        kept = (p for p in HERE.rglob("*") if not {".venv", ".git", "var"} & set(p.parts))
        return {
            str(path): path.stat().st_mtime_ns
            for path in kept
            if path.is_file() and "cache" not in str(path)
        }

    before = seen()
    yield
    after = seen()
    changed = {path for path in {*before, *after} if before.get(path) != after.get(path)}
    assert not changed, f"Written beside the code: {sorted(changed)}"


def rehearse(state: Path, parts: ExitStack) -> None:
    rehearsal = Rehearsal(state, parts)
    say("Static files and migrations")
    rehearsal.run("web", ["python", "manage.py", "collectstatic", "--no-input", "--verbosity", "0"])
    rehearsal.run("migrate", rehearsal.command("migrate"))
    sale = {"processor": "stripe", "id": CHARGE, "amount_minor": 6400, "currency": "USD"}
    wait_until(lambda: rehearsal.provider_knows("charges", sale), "the sandbox takes a sale in")
    rehearsal.run("migrate", ["python", "manage.py", "shell", "-c", SALE])
    for service in rehearsal.ours:
        rehearsal.start(service, rehearsal.command(service), rehearsal.environment(service))
    for service in rehearsal.ours:
        wait_until(lambda s=service: rehearsal.healthy(s), f"{service} is healthy")  # type: ignore[misc]
        say(f"{service} runs and its health check says so")

    plain = http.client.HTTPConnection("127.0.0.1", rehearsal.port)
    plain.request("GET", "/login/", headers={"Host": HOST})
    answer = plain.getresponse()
    assert (answer.status, answer.headers["Location"]) == (301, f"https://{HOST}/login/")
    bea = Browser(rehearsal.port)
    status, headers, _ = bea.ask("GET", "/login/")
    assert status == 200
    assert headers["Strict-Transport-Security"].startswith("max-age=63072000")
    assert "unsafe" not in headers["Content-Security-Policy"]
    assert bea.ask("GET", "/login/", Host="evil.example")[0] == 400
    say("Behind a proxy: HTTPS only, cookies bound to it, a strict policy, no other host")

    status, headers, _ = bea.ask("GET", "/metrics", Authorization=f"Bearer {TOKEN}", Host=HOST)
    assert status == 200
    assert bea.ask("GET", "/metrics")[0] == 401
    wait_until(
        lambda: (
            'resolution_sweep_age_seconds{task="resolution.tasks.sweep_cases"}'
            in bea.ask("GET", "/metrics", Authorization=f"Bearer {TOKEN}")[2]
        ),
        "beat has sent, a worker has run and the web tells of it",
    )
    say("Metrics for who has the token: beat sends, workers run, the web tells of it")

    rehearsal.run("web", ["python", "manage.py", "shell", "-c", ACCEPT])
    wait_until(lambda: rehearsal.ledger()["refunded_minor"] == 6400, "the money is back")
    wait_until(lambda: len(list((state / "mail").glob("*.eml"))) >= 2, "both sides have mail")
    assert rehearsal.ledger()["create_calls"] == 1
    say("A refund goes out once, by the worker, and both sides have mail")

    before = len(list((state / "mail").glob("*.eml")))
    status, headers, _ = bea.submit(
        "/password-reset/", "/password-reset/", email="bea@buyers.example"
    )
    wait_until(lambda: len(list((state / "mail").glob("*.eml"))) > before, "mail has left")
    assert all(f"https://{HOST}/" in mail.read_text() for mail in (state / "mail").glob("*.eml"))
    request = headers["X-Request-ID"]
    [line] = [line for line in rehearsal.log("web") if line.get("request") == request]
    assert (line["view"], line["status"]) == ("password_reset", 302)
    say("Mail leaves; the request is one line of log, by its id")

    for service in reversed(rehearsal.ours):
        code = rehearsal.stop(service)
        assert code == 0, f"{service} ended with {code} when told to stop"
        told = [x for x in rehearsal.log(service) if x["level"] in ("error", "critical")]
        assert told == [], told
    say("Told to stop, each ends by itself, and none has logged an error")

    say(rehearsal.run("web", ["python", "manage.py", "restore_rehearsal"]).strip())
    restore = RESTORE.replace("FOLDER", str(state / "backup"))
    say(rehearsal.run("web", ["python", "manage.py", "shell", "-c", restore]).strip())


def main() -> None:
    with ExitStack() as parts:
        state = Path(tempfile.mkdtemp(prefix="rc-", dir="/tmp"))  # paths of sockets must be short
        parts.callback(shutil.rmtree, state, ignore_errors=True)
        state.chmod(0o711)
        with files_unchanged():
            rehearse(state, parts)
    say("The production shape works.")


if __name__ == "__main__":
    main()
