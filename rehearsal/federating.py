"""GitHub's jobs come in by the stack's own federation, and become whom they may and nobody else."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import urlencode

from components import permissions as table
from rehearsal import callers
from rehearsal.callers import Caller
from rehearsal.environment import NUMBER
from rehearsal.report import Stage, StageFailed
from rehearsal.run import Rehearsal
from rehearsal.sandbox import Google, GoogleError, Sandbox
from vertexops.google import SCOPE

STS: Final = "https://sts.googleapis.com/v1/token"
ACCOUNTS: Final = "https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts"
TYPES: Final = "urn:ietf:params:oauth:token-type:"
FORM: Final = {"Content-Type": "application/x-www-form-urlencoded"}

MAY: Final = {
    table.PULL_REQUESTS: {table.PREVIEW},
    table.ROLLOUT_JOBS: {table.PREVIEW, table.DEPLOYER},
    table.FOUNDATION_JOBS: {table.PREVIEW, table.PLATFORM},
}
"""Whom each kind of job may become: any job of the repository may read."""

HOSTILE: Final[tuple[dict[str, Any], ...]] = (
    {"repository_id": "99"},
    {"repository_owner_id": "99"},
    {"event_name": "pull_request_target", "ref": "refs/heads/main"},
    {"job_workflow_ref": "eve/tools/.github/workflows/ci.yml@refs/heads/main"},
)
"""What others' jobs say of themselves: re-used names, a fork's pull request, a foreign workflow."""


def come_in(run: Rehearsal, stage: Stage) -> None:
    """Each kind of job, and jobs that are not to come in at all."""
    settings, jobs = run.environment.settings, run.environment.jobs
    accounts = [table.PREVIEW, table.DEPLOYER]
    accounts += [table.PLATFORM] if table.FOUNDATION_JOBS in jobs else []
    became = refused = 0
    for identity, job in jobs.items():
        token = exchanged(run.sandbox, job)
        for account in accounts:
            done = becomes(run.sandbox, token, settings.email(account))
            if done != (account in MAY[identity]):
                verb = "became" if done else "could not become"
                raise StageFailed("GitHub's jobs are mixed up", f"{identity} {verb} {account}")
            became, refused = became + done, refused + (not done)
        for claims in HOSTILE:
            stranger = callers.job(settings, NUMBER, identity, **claims)
            try:
                exchanged(run.sandbox, stranger)
            except GoogleError:
                refused += 1
            else:
                raise StageFailed("a stranger came in from GitHub", f"as {identity}: {claims}")
    stage.note = f"{len(jobs)} kinds of jobs became {became} accounts; {refused} attempts refused"


def exchanged(sandbox: Sandbox, caller: Caller) -> str:
    """What Google's token service gives for the caller's token. Raises GoogleError."""
    subject = sandbox.control("POST", "/subject-token", caller.token_request())["subject_token"]
    asked = {
        "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
        "audience": caller.audience,
        "scope": SCOPE,
        "requested_token_type": f"{TYPES}access_token",
        "subject_token": subject,
        "subject_token_type": caller.token_type,
    }
    answer = sandbox.anybody().call("POST", STS, urlencode(asked).encode(), FORM)
    return str(answer["access_token"])


def entered(sandbox: Sandbox, caller: Caller) -> Google:
    """Calls as a caller that came in, or as the account that it becomes. Raises GoogleError."""
    if caller.account:
        return sandbox.google(caller.account)
    return sandbox.bearer(exchanged(sandbox, caller))


def becomes(sandbox: Sandbox, token: str, account: str) -> bool:
    """Whether who holds `token` gets one of the account's."""
    try:
        become(sandbox, token, account)
    except GoogleError as error:
        if error.status != 403:
            raise
        return False
    return True


def become(sandbox: Sandbox, token: str, account: str) -> None:
    """Ask for a token of the account's by `token`. Raises GoogleError."""
    asked = {"scope": [SCOPE]}
    sandbox.bearer(token).call("POST", f"{ACCOUNTS}/{account}:generateAccessToken", asked)
