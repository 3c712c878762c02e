"""Attacks a demo of its own, on this machine only: `make attack`, with SECONDS for each role.

Wapiti walks the pages as each kind of person and tries what it knows on every form and parameter;
sqlmap tries the parameters of lists and searches; bandit reads the code. The tools have an
environment of their own. It ends with 1 when any finds something of medium severity or worse.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.e2e.stack import HERE, Stack, running_stack

SECONDS = int(os.environ.get("SECONDS", "120"))
MEDIUM = 2
MODULES = (
    "cookieflags", "crlf", "csp", "csrf", "exec", "file", "http_headers", "ldap", "methods",
    "permanentxss", "redirect", "shellshock", "sql", "timesql", "upload", "xss",
)  # fmt: skip
"""All that need no other machine; where we call others is tested in tests/webhooks."""

OF_A_DEMO = {
    # A demo speaks plain HTTP. `make rehearse` looks at both in the shape of production.
    "Secure Flag cookie",
    "HTTP Strict Transport Security (HSTS)",
    "Unencrypted Channels",
}
LEAVES = ("logout", "password_change", "password-reset", "account/security", "login/second")
"""Addresses that end the session or the account's own way in: not for a walk that needs both."""

ROLES = ("stranger", "buyer", "owner", "agent", "finance")
LISTS = (
    ("buyer", "/hub/cases/?after=1"),
    ("buyer", "/hub/?view=all"),
    (
        "owner",
        "/dash/resolution-center/?view=all&q=a&reason=fraudulent&product=p&sort=newest&after=1",
    ),
    ("owner", "/dash/resolution-center/insights/?days=30"),
    ("finance", "/admin/resolution/case/?q=a&o=1&p=1"),
    ("finance", "/admin/payments/refund/?q=a&o=1"),
    ("stranger", "/login/?next=/hub/"),
)
WHO = """
import sys
from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.sessions.backends.db import SessionStore
from marketplace.models import User
user = User.objects.get(email="{email}")
session = SessionStore()
session[SESSION_KEY] = str(user.pk)
session[BACKEND_SESSION_KEY] = settings.AUTHENTICATION_BACKENDS[0]
session[HASH_SESSION_KEY] = user.get_session_auth_hash()
session.create()
print(session.session_key)
"""


def say(text: str) -> None:
    print(text, flush=True)  # noqa: T201


class Attack:
    """A running demo, and somebody of each role who is logged in."""

    def __init__(self, tools: Path, stack: Stack, folder: Path) -> None:
        self.tools, self.stack, self.folder = tools, stack, folder
        self.base = f"http://127.0.0.1:{urlsplit(stack.base_url).port}"
        self.cookies = {"stranger": ""}
        for role in ROLES[1:]:
            user = next(user for user in stack.accounts["users"] if user["role"] == role)
            made = stack.manage("shell", "-c", WHO.format(email=user["email"]))
            self.cookies[role] = f"session={made.split()[-1]}"

    def wapiti(self, role: str) -> Iterator[str]:
        """What wapiti finds as somebody of this role."""
        report = self.folder / f"{role}.json"
        starts = {"buyer": "/hub/", "owner": "/dash/resolution-center/", "stranger": "/login/"}
        command = [
            str(self.tools / "wapiti"), "-u", f"{self.base}/",
            "-s", self.base + starts.get(role, "/admin/"), "--scope", "domain",
            "-m", ",".join(MODULES), "-d", "4", "--flush-session",
            "--store-session", str(self.folder / "sessions"), "--store-config", str(self.folder),
            "--max-links-per-page", "40", "--max-files-per-dir", "12", "--max-parameters", "20",
            "--max-scan-time", str(SECONDS), "--max-attack-time", str(max(10, SECONDS // 6)),
            "-S", "normal", "-t", "15", "--tasks", "4", "-v", "0", "--no-bugreport",
            "--drop-set-cookie", "-f", "json", "-o", str(report),
        ]  # fmt: skip
        for part in LEAVES:
            command += ["-x", f"{self.base}/*{part}*"]
        if self.cookies[role]:
            command += ["-C", self.cookies[role]]
        subprocess.run(command, cwd=self.folder, stdout=subprocess.DEVNULL, check=False)
        told = json.loads(report.read_text())
        say(f"wapiti as {role}: {told['infos']['crawled_pages_nbr']} pages")
        for kind in ("vulnerabilities", "anomalies"):
            for category, found in told[kind].items():
                for one in found:
                    if category in OF_A_DEMO or (
                        kind == "vulnerabilities" and one["level"] < MEDIUM
                    ):
                        continue
                    asked = one["http_request"].splitlines()[0]
                    yield f"wapiti as {role}: {category}: {one['info']} ({asked})"

    def sqlmap(self, role: str, path: str) -> Iterator[str]:
        """Whether sqlmap gets anything out of the parameters of an address."""
        command = [
            str(self.tools / "sqlmap"), "-u", self.base + path, "--batch", "--dbms", "PostgreSQL",
            "--level", "2", "--risk", "1", "--technique", "BEUT", "--time-sec", "3",
            "--threads", "2",
            "--output-dir", str(self.folder / "sqlmap"), "--disable-coloring", "--flush-session",
            "--skip", "csrfmiddlewaretoken", "--ignore-code", "400,404", "--ignore-stdin",
        ]  # fmt: skip
        if self.cookies[role]:
            command += ["--cookie", self.cookies[role], "--drop-set-cookie"]
        try:
            done = subprocess.run(
                command,
                cwd=self.folder,
                capture_output=True,
                text=True,
                timeout=SECONDS,
                check=False,
            )
            said = done.stdout
        except subprocess.TimeoutExpired as late:
            said = (late.stdout or b"").decode()
        tried = said.count("testing '")
        say(f"sqlmap as {role} at {path}: {tried} tests")
        if tried == 0:
            yield f"sqlmap as {role} at {path} has tested nothing:\n{said[-600:]}"
        if "identified the following injection point" in said or "is vulnerable" in said:
            yield f"sqlmap as {role} at {path}:\n{said[-1500:]}"

    def served_well(self) -> Iterator[str]:
        """Whatever was tried, no request ended with an error of ours."""
        for line in (self.stack.state / "log" / "web.log").read_text().splitlines():
            if line.startswith("{") and (told := json.loads(line)).get("status", 0) == 500:
                yield f"500 at {told['view']}: request {told['request']}"


def bandit(tools: Path) -> Iterator[str]:
    """What bandit finds in the code; a line whose `noqa: S…` or `nosec` says why is reviewed."""
    done = subprocess.run(
        [str(tools / "bandit"), "-q", "-r", "-ll", "-f", "json", "manage.py", "bench", "accounts",
         "api", "config", "marketplace", "notifications", "payments", "resolution"],
        cwd=HERE, capture_output=True, text=True, check=False,
    )  # fmt: skip
    told: dict[str, Any] = json.loads(done.stdout)
    say(f"bandit: {told['metrics']['_totals']['loc']} lines")
    for one in told["results"]:
        lines = (HERE / one["filename"]).read_text().splitlines()
        if not any("# noqa: S" in lines[number - 1] for number in one["line_range"]):
            yield f"bandit: {one['filename']}:{one['line_number']}: {one['issue_text']}"


def main(tools: Path) -> int:
    """Attack, and answer whether anything was found."""
    found = list(bandit(tools))
    with running_stack() as stack:
        attack = Attack(tools, stack, stack.state)
        for role in ROLES:
            found += attack.wapiti(role)
        for role, path in LISTS:
            found += attack.sqlmap(role, path)
        found += attack.served_well()
    for one in dict.fromkeys(found):
        say(one)
    say(f"{len(found)} findings of medium severity or worse.")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]).absolute()))
