"""Google groups, and which of them someone is in."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, MutableMapping


class Groups(MutableMapping[str, frozenset[str]]):
    """Group address -> members, as IAM writes them (`user:a@b`, `group:c@d`).

    Members are replaced as a whole, so that the way back from a member to its groups stays right;
    a look-up takes time by how many groups the member is in, not by how many there are.
    """

    def __init__(self) -> None:
        self._members: dict[str, frozenset[str]] = {}
        self._groups: dict[str, set[str]] = {}
        self._known: dict[str, tuple[str, ...]] = {}

    def __getitem__(self, group: str) -> frozenset[str]:
        return self._members[group]

    def __setitem__(self, group: str, members: Iterable[str]) -> None:
        self._forget(group)
        self._members[group] = frozenset(members)
        for member in self._members[group]:
            self._groups.setdefault(member, set()).add(f"group:{group}")

    def __delitem__(self, group: str) -> None:
        self._forget(group)
        del self._members[group]

    def __iter__(self) -> Iterator[str]:
        return iter(self._members)

    def __len__(self) -> int:
        return len(self._members)

    def add(self, group: str, members: Iterable[str]) -> None:
        self[group] = self.get(group, frozenset()) | frozenset(members)

    def of(self, members: tuple[str, ...]) -> tuple[str, ...]:
        """The groups, as members of a policy, that any of these is in: directly or by another
        group, each once. Groups that contain each other are no trouble."""
        key = members[0] if len(members) == 1 else "\n".join(members)
        found = self._known.get(key)
        if found is None:
            if len(self._known) > 50_000:
                self._known.clear()
            reached: dict[str, None] = {}
            waiting = list(members)
            while waiting:
                new = self._groups.get(waiting.pop(), set()) - reached.keys()
                reached.update(dict.fromkeys(sorted(new)))
                waiting += new
            found = self._known[key] = tuple(reached)
        return found

    def _forget(self, group: str) -> None:
        self._known.clear()
        for member in self._members.get(group, ()):
            self._groups[member].discard(f"group:{group}")
