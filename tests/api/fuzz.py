"""Throws at a running demo what its OpenAPI document allows, and what it does not: `make api-fuzz`.

Schemathesis makes the requests up, call by call and in chains, as a buyer and as an owner, and
looks whether each answer is one that the document promises. It has an environment of its own.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

from tests.e2e.stack import Stack, running_stack

EXAMPLES = "40"
# A cursor or a date can have the right letters and still be none: that is refused, as it should be.
LEFT_OUT = "positive_data_acceptance"


def main(schemathesis: str) -> int:
    """Fuzz as each side; answer how many of the two found something."""
    with running_stack() as stack, tempfile.TemporaryDirectory() as folder:
        return sum(
            fuzz(schemathesis, stack, role, Path(folder) / f"{role}.toml")
            for role in ("buyer", "owner")
        )


def fuzz(schemathesis: str, stack: Stack, role: str, config: Path) -> bool:
    """Whether anything was found as the first person of a role. Their own ids are used often."""
    user = next(user for user in stack.accounts["users"] if user["role"] == role)
    cases = [case["id"] for case in _get(stack, user, "resolution_center_cases?first=100")["data"]]
    payments = [
        row["id"]
        for row in stack.accounts["payments"]["eligible"]
        if row["buyer"] == user["email"]
    ]  # fmt: skip
    told = {"cases": cases, "payments": payments or ["pay_00000000000000"]}
    config.write_text(
        "".join(f"[dictionaries.{name}]\nvalues = {ids}\n" for name, ids in told.items())
        + "[parameters]\n"
        + '"path.case_id" = { dictionary = "cases", probability = 0.9 }\n'
        + '"body.receipt_id" = { dictionary = "payments", probability = 0.9 }\n'
    )
    command = [
        schemathesis, "--config-file", str(config), "run",
        f"{stack.base_url}/api/v1/openapi.json",
        "-H", f"Authorization: Bearer {user['token']}",
        "--max-examples", EXAMPLES, "--exclude-checks", LEFT_OUT,
    ]  # fmt: skip
    print(f"As {user['email']}:", flush=True)  # noqa: T201
    return subprocess.run(command, check=False, cwd=config.parent).returncode != 0


def _get(stack: Stack, user: dict[str, str], path: str) -> Any:
    headers = {"Authorization": f"Bearer {user['token']}"}
    with urlopen(Request(f"{stack.base_url}/api/v1/{path}", headers=headers)) as answer:
        return json.load(answer)


if __name__ == "__main__":
    sys.exit(main(str(Path(sys.argv[1]).absolute())))
