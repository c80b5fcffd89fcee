"""A report as SARIF 2.1.0, as GitHub's code scanning takes it.

What GitHub reads of it, and what it makes of each part: docs.github.com, "SARIF support for code
scanning". Written as it stands in the file: of the libraries for it, `sarif-om` and `pysarif` are
no longer kept, and `sarif-pydantic` has `suppression` for `suppressions` and lets any key pass.
"""

from __future__ import annotations

from collections import Counter
from hashlib import sha256
from typing import Any, Final

from .pack import Finding
from .report import Report
from .rules import RULES
from .rules.rule import Rule

SCHEMA: Final = (
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
)
SCORES: Final = {"critical": "9.5", "high": "8.0", "medium": "5.5", "low": "2.0"}
"""GitHub calls above 9.0 critical, from 7.0 high, from 4.0 medium."""
LEVELS: Final = {True: "error", False: "warning"}
"""By whether it blocks."""


def sarif(report: Report, tool: str, file: str = "Pulumi.yaml") -> dict[str, Any]:
    """One run, of one stack. `file`: where alerts are shown, by its path in the repository.

    Resources have no line in it, so each alert is at its beginning, and names its URN.
    """
    project, stack = report.program
    seen: Counter[str] = Counter()
    return {
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [
            {
                "tool": {"driver": {"name": tool, "rules": [_rule(rule) for rule in RULES]}},
                # What is before the last slash tells the runs of two stacks apart.
                "automationDetails": {"id": f"{tool}/{project}/{stack}/"},
                "columnKind": "unicodeCodePoints",
                "results": [_result(one, file, seen) for one in (*report.findings, *report.waived)],
                "properties": {"profile": report.profile, "configuration": list(report.sources)},
            }
        ],
    }


def _rule(rule: Rule) -> dict[str, Any]:
    return {
        "id": rule.id,
        "name": rule.title,
        "shortDescription": {"text": rule.title},
        "fullDescription": {"text": rule.protects},
        "helpUri": rule.docs,
        "help": {
            "text": f"{rule.protects}\n\nThe change:\n\n{rule.remedy}\n\n{rule.docs}",
            "markdown": f"{rule.protects}\n\n```python\n{rule.remedy}\n```\n\n<{rule.docs}>",
        },
        "defaultConfiguration": {"level": LEVELS[rule.mandatory]},
        "properties": {"tags": ["security"], "security-severity": SCORES[rule.severity]},
    }


def _result(finding: Finding, file: str, seen: Counter[str]) -> dict[str, Any]:
    resource = finding.resource
    suppressed = {}
    if waiver := finding.waiver:
        why = f"{waiver.reason} (until {waiver.expires}, by {waiver.owner})"
        suppressed = {
            "suppressions": [{"kind": "external", "status": "accepted", "justification": why}]
        }
    return {
        "ruleId": finding.rule.id,
        "level": LEVELS[finding.mandatory],
        "message": {"text": f"{resource.where}: {finding.said}"},
        "locations": [
            {
                "physicalLocation": {
                    "artifactLocation": {"uri": file},
                    "region": {"startLine": 1},
                },
                "logicalLocations": [
                    {
                        "name": resource.name,
                        "fullyQualifiedName": resource.urn,
                        "kind": "resource",
                    }
                ],
            }
        ],
        "partialFingerprints": {"primaryLocationLineHash": _fingerprint(finding, seen)},
        **suppressed,
    }


def _fingerprint(finding: Finding, seen: Counter[str]) -> str:
    """The same from run to run: what is said may have counts and dates in it, so it is left out.

    `primaryLocationLineHash` is the only one that GitHub reads.
    """
    of = sha256(f"{finding.rule.id} {finding.resource.urn}".encode()).hexdigest()[:16]
    seen[of] += 1
    return f"{of}:{seen[of]}"
