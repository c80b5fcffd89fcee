"""What all services ask of the platform under them. Each of these is fulfilled by one service."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable


class Containers(ABC):
    """Projects, folders and organizations, as all services ask about them; Resource Manager's."""

    @abstractmethod
    def exists(self, reference: str) -> bool:
        """Whether there is a project of this id or number."""

    @abstractmethod
    def id(self, reference: str) -> str:
        """The project id for an id or a number; an unknown reference comes back unchanged."""

    @abstractmethod
    def number(self, project_id: str) -> str:
        """KeyError for a project that is not there."""

    @abstractmethod
    def numbered(self, name: str) -> str:
        """A name of a project, or of what lies below one, with the project's number."""


class Apis(ABC):
    """Which APIs are enabled; Service Usage's."""

    @abstractmethod
    def enabled(self, project: str) -> set[str]:
        """The services that are on in a project, such as `pubsub.googleapis.com`."""


class Constraints(ABC):
    """What organization policies forbid; Org Policy's. Each check raises what Google answers."""

    @abstractmethod
    def check_members(self, resource: str, members: Iterable[str]) -> None:
        """`members` are about to be added to the allow policy of `resource`."""

    @abstractmethod
    def check_account_creation(self, project: str) -> None:
        """An account is about to be created in `projects/P`."""

    @abstractmethod
    def check_key_creation(self, account: str) -> None:
        """A key is about to be created for `projects/P/serviceAccounts/EMAIL`."""

    @abstractmethod
    def key_hours(self, account: str) -> float | None:
        """How long a new key of such an account is good; None for as long as it is there."""
