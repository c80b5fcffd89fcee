"""GitHub's jobs, which come in with the token that GitHub gives each of them, and without a key.

What a token says: docs.github.com, "OpenID Connect reference" (claims), and for what is not said
there andreaso/output-oidc-claims-action (a whole token: `job_workflow_ref` is there and equal to
`workflow_ref` when no reusable workflow is called) and kyma-project/test-infra#9976 (`ref` of a
`pull_request_target` is the base branch). Nothing is read from `sub`, whose form a repository may
choose, nor from names, which go to whoever takes them next.

Who sent a pull request no claim says. GitHub itself gives a `pull_request` job of a fork no token
(fishjojo/pyscfad#149; a private repository's setting "Send write tokens to workflows from fork pull
requests" has to stay off), and a `pull_request_target`, which gets one, is refused here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import pulumi
import pulumi_gcp as gcp

from components import permissions as table
from components.settings import Federation as FederationSettings
from components.settings import Settings

ISSUER: Final = "https://token.actions.githubusercontent.com"
PREVIEW, DEPLOY = "preview", "deploy"
"""Ids of the providers."""

SUBJECT: Final = {
    "google.subject": "assertion.sub",
    "attribute.repository_id": "assertion.repository_id",
}
MAPPINGS: Final = {
    PREVIEW: SUBJECT,
    # Of jobs in no environment the token lacks the claim; what Google makes of that is not known.
    DEPLOY: {**SUBJECT, "attribute.environment": "assertion.environment"},
}
ACCOUNT_OF: Final = {
    table.PREVIEW_ACCOUNT: table.PREVIEW,
    table.DEPLOYER_ACCOUNT: table.DEPLOYER,
    table.PLATFORM_ACCOUNT: table.PLATFORM,
}


def conditions(federation: FederationSettings) -> dict[str, str]:
    """What each provider demands of a token, in CEL. What a token lacks is an error, which
    refuses it."""
    ref = f"refs/heads/{federation.branch}"
    names = (federation.rollout_environment, federation.foundation_environment)
    environments = ", ".join(f"'{name}'" for name in names if name)
    own = (
        f"assertion.repository_owner_id == '{federation.owner_id}'"
        f" && assertion.repository_id == '{federation.repository_id}'"
        # No reusable workflow of somebody else.
        " && assertion.job_workflow_ref.startsWith(assertion.repository + '/.github/workflows/')"
    )
    # Other events on the branch may work on what a stranger sent, as pull_request_target does.
    main, ours = f"assertion.ref == '{ref}'", "assertion.event_name in ['push', 'workflow_dispatch'"
    return {
        PREVIEW: f"{own} && (assertion.event_name == 'pull_request'"
        f" || ({main} && {ours}, 'schedule']))",
        DEPLOY: f"{own} && {main} && {ours}]"
        f" && assertion.job_workflow_ref.endsWith('@{ref}')"
        f" && assertion.environment in [{environments}]",
    }


@dataclass(frozen=True)
class FederationArgs:
    settings: Settings
    federation: FederationSettings


class Federation(pulumi.ComponentResource):
    """Owns: the identity pool, its two providers, and the grants to become an account.

    Leaves alone: the accounts themselves, and who has to approve a job in GitHub's environments.

    There are two providers, because only the token of a job in an environment says which: who came
    in through `preview` has no environment, whatever its token says, and can become the preview
    account and nobody else. A deleted pool keeps its id for 30 days, and the gcp plugin does not
    bring it back (hashicorp/terraform-provider-google#14191): after that the setting `pool` has to
    name another one.
    """

    providers: dict[str, pulumi.Output[str]]
    """Full names of the providers by id, as google-github-actions/auth takes them."""

    def __init__(
        self, name: str, args: FederationArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("predictive-maintenance:components:Federation", name, None, opts)
        settings = args.settings
        pool = gcp.iam.WorkloadIdentityPool(
            "github",
            project=settings.project,
            workload_identity_pool_id=settings.pool_id,
            display_name="Predictive maintenance: GitHub",
            description="Jobs of the stack's repository",
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.providers = {
            id: gcp.iam.WorkloadIdentityPoolProvider(
                id,
                project=settings.project,
                workload_identity_pool_id=settings.pool_id,
                workload_identity_pool_provider_id=id,
                attribute_mapping=MAPPINGS[id],
                attribute_condition=condition,
                oidc={"issuer_uri": ISSUER},
                opts=pulumi.ResourceOptions(parent=self, depends_on=[pool]),
            ).name
            for id, condition in conditions(args.federation).items()
        }
        given = args.federation.project_number
        # Of the project's number, which is in the name and nowhere else.
        found = pool.name.apply(lambda name: _number(name, given))
        number = pulumi.Output.from_input(given) if given else found
        for role in table.roles(settings.capabilities):
            if role.identity in table.FEDERATED:
                self._grant(settings, role, number)
        self.register_outputs({"providers": self.providers, "projectNumber": found})

    def _grant(self, settings: Settings, role: table.Role, number: pulumi.Output[str]) -> None:
        gcp.serviceaccount.IAMMember(
            f"{role.identity.replace(' ', '-')}-{role.key}",
            service_account_id=settings.account_name(ACCOUNT_OF[role.on]),
            role=settings.role_name(role.key),
            member=number.apply(lambda number: settings.federated(role.identity, number)),
            opts=pulumi.ResourceOptions(parent=self),
        )


def _number(pool: str, given: str | None) -> str:
    """Of the project in a pool's name. Raises pulumi.RunError where `given` is another."""
    number = pool.split("/")[1]
    if given and number != given:
        raise pulumi.RunError(
            f"federation.projectNumber: {given!r} is not the number of this project, which is "
            f"{number}: whom the pool lets in could become nobody"
        )
    return number
