"""Hand-written requests about a resource that occurs nowhere else, with as many odd names and rules as are legal."""

from __future__ import annotations

import json

import pytest

from tests.provider.rehearsal.application import lint_problems, run, run_tests, served, start
from tests.provider.rehearsal.loop import AnthropicChat, OpenAIChat, Workspace, run_task
from tests.provider.rehearsal.prompts import prompt

SCAFFOLD = """
about: scaffold
application: {name: Apiary "Book"}
"""
SHELL = [
    "app/__init__.py",
    "app/main.py",
    "app/database.py",
    "app/api/__init__.py",
    "app/models/__init__.py",
    "app/middleware/__init__.py",
    "tests/__init__.py",
    "tests/conftest.py",
    "tests/factories/__init__.py",
    "tests/test_health.py",
]
HIVE = r"""
  name: hive
  class: Hive
  module: app/models/hive.py
  table: hives
  id: uuid
  migration: 001_hives
  fields:
  - {name: order, type: integer, required: true, unique: true, min: 1, max: 50}
  - {name: class, attribute: class_, type: enum, values: [national, 'top bar', "o'brien"], default: national}
  - {name: queen-name, attribute: queen_name, type: string, required: true, min_length: 2, max_length: 40}
  - {name: code, type: string, required: true, unique: true, pattern: '^(?=.*[A-Z])[A-Z]{2}-\d{3}$'}
  - {name: weight, type: number, min: 0.5}
  - {name: date, type: date}
  - {name: time, type: datetime}
  - {name: until, type: datetime}
  - {name: inspected, type: boolean, default: false}
  - {name: notes, type: json}
  - {name: swarm, type: hologram}
  - {name: select, type: url}
  - {name: numbered, type: integer, generated: create}
  - {name: updated_at, type: datetime, generated: change}
  validations:
  - {text: queen-name must not be blank, field: queen-name, rule: not_blank}
  - {text: until must be after time, field: until, rule: after, value: time}
  - {text: date must not be in the future, field: date, rule: not_in_future}
  - {text: the bees must be happy}
  belongs_to:
  - {resource: hive, key: mother_id, required: false, table: hives, module: app/models/hive.py, id: uuid, constraint: later}
  example: {order: 1, class: national, queen-name: Beatrix, code: AB-123, weight: 12.5, date: 2020-01-15,
    time: '2030-01-15T12:00:00+00:00', until: '2030-01-15T12:00:00+00:00', inspected: false, notes: {mites: 3},
    swarm: Sample, select: 'https://example.com/page'}
"""
ENDPOINTS = {
    "create": "{method: POST, path: /hives, verb: create, action: create, success: 201, order: 10}",
    "list": "{method: GET, path: /hives, verb: list, action: list, success: 200, order: 10, filters: [mother_id]}",
    "read": "{method: GET, path: '/hives/{id}', verb: read, action: read, success: 200, order: 20}",
    "update": "{method: PUT, path: '/hives/{id}', verb: update, action: update, success: 200, order: 20}",
    "delete": "{method: DELETE, path: '/hives/{id}', verb: delete, action: delete, success: 204, order: 20}",
    "inspect": (
        "{method: POST, path: '/hives/{id}/inspect', verb: inspect, action: custom, success: 200, order: 20,"
        " sets: {inspected: 'true', class: top bar}, needs: {inspected: 'false'}}"
    ),
    "daughters": (
        "{method: GET, path: '/hives/{id}/hives', verb: daughters, action: list_related, success: 200, order: 20,"
        " target: hive, key: mother_id}"
    ),
}
CASES = {
    "create": """
- {case: missing, field: order, expect: 422}
- {case: missing, field: queen-name, expect: 422}
- {case: invalid, field: class, value: no-such-value, expect: 422}
- {case: invalid, field: code, value: ab-1, expect: 422}
- {case: invalid, field: date, value: not-date, expect: 422}
- {case: duplicate, field: code, expect: 409}
""",
    "update": "\n- {case: invalid, field: order, value: 51, expect: 422}\n- {case: unknown_id, expect: 404}\n",
    "inspect": "\n- {case: wrong_state, needs: {inspected: 'false'}, expect: 409}\n- {case: unknown_id, expect: 404}\n",
}
UNKNOWN = "\n- {case: unknown_id, expect: 404}\n"


def requests() -> list[dict]:
    schema = f"about: schema\nresource:{HIVE}references: []\nfactory: {{function: make_hive, through: POST /hives}}\n"
    late = f"about: links\nresource:{HIVE}migration: 900_hives_links\n"
    found = [
        {"kind": "scaffold", "owns": SHELL, "specification": SCAFFOLD},
        {
            "kind": "implement_database",
            "owns": ["app/models/hive.py", "tests/factories/hive.py"],
            "specification": schema,
        },
        {
            "kind": "implement_database",
            "owns": ["app/models/hive_links.py", "tests/test_hive_links.py"],
            "specification": late,
        },
    ]
    for verb, facts in ENDPOINTS.items():
        module = facts[:-1] + f", module: app/api/hive_{verb}.py}}"
        cases = CASES.get(verb, "" if verb == "list" else UNKNOWN)
        listed = f"cases:{cases}" if cases else "cases: [{case: success, expect: 200}]\n"
        found += [
            {
                "kind": "implement_endpoint",
                "owns": [f"app/api/hive_{verb}.py"],
                "specification": f"about: endpoint\nendpoint: {module}\nresource:{HIVE}",
            },
            {
                "kind": "write_tests",
                "owns": [f"tests/test_hive_{verb}.py"],
                "specification": f"about: tests\nendpoint: {module}\nresource:{HIVE}{listed}",
            },
        ]
    return found


class FormattingWorkspace(Workspace):
    """Runs the linter and the formatter; the tests are run once, at the end."""

    def tool_run_command(self, command: str, timeout_s: int = 120) -> str:
        if " ruff " in command:
            return super().tool_run_command(command, timeout_s)
        return "exit code 0\n1 passed\n"


@pytest.fixture(scope="module")
def built(model, tmp_path_factory):
    """The hives' application: every task through the model, by turns over one wire format and the other."""
    root = tmp_path_factory.mktemp("hives")
    start(root)
    handoffs = []
    for number, request in enumerate(requests()):
        text = prompt(task=f"hive-{number}", **request)
        chat = (AnthropicChat if number % 2 else OpenAIChat)(model, text)
        handoffs.append(run_task(chat, FormattingWorkspace(root)).handoff)
        assert handoffs[-1], request["owns"]
    return root, handoffs


def test_every_file_is_clean_and_every_test_passes(built):
    root, _ = built
    assert lint_problems(root) == ""
    tested = run_tests(root)
    assert tested.returncode == 0, tested.stdout[-4000:]
    assert int(tested.stdout.rsplit(" passed", 1)[0].split()[-1]) > 40


def test_what_was_checked_by_the_model_needs_no_formatting(built):
    root, _ = built
    assert run(root, "ruff", "format", "--no-cache", "--check", ".").returncode == 0


def test_what_is_not_understood_is_said_as_a_risk(built):
    _, handoffs = built
    risks = " ".join(handoffs[1]["risks"])
    assert "hologram" in risks
    assert "the bees must be happy" in risks


def test_the_application_keeps_odd_names_and_rules_from_outside(built):
    root, _ = built
    body = {"order": 7, "queen-name": "Ann", "code": "QX-001", "class": "o'brien", "notes": {"a": [1, None]}}
    with served(root) as client:
        made = client.post("/hives", json=body)
        assert made.status_code == 201, made.text
        hive = made.json()
        assert {key: hive[key] for key in body} == body
        assert hive["numbered"] == 1
        path = f"/hives/{hive['id']}"
        assert client.get(path).json() == hive
        assert client.post("/hives", json={**body, "order": 8}).status_code == 409
        assert client.post("/hives", json={**body, "order": 8, "code": "QX-002", "queen-name": "  "}).status_code == 422
        assert client.put(path, json={"date": "2999-01-01"}).status_code == 422
        times = {"time": "2030-01-02T00:00:00", "until": "2030-01-02T01:00:00+02:00"}
        assert client.put(path, json=times).status_code == 422
        assert client.put(path, json={"queen-name": None}).status_code == 422
        assert client.put(path, json={"mother_id": "00000000-0000-4000-8000-000000000000"}).status_code == 422
        assert client.put(path, json={"mother_id": hive["id"]}).json()["mother_id"] == hive["id"]
        assert client.post(f"{path}/inspect").json()["class"] == "top bar"
        assert client.post(f"{path}/inspect").status_code == 409
        assert [each["id"] for each in client.get(f"{path}/hives").json()] == [hive["id"]]
        assert client.delete(path).status_code == 204
        assert client.get(path).status_code == 404


def test_a_one_line_specification_is_enough(model, tmp_path):
    specification = """
resource:
  name: queen
  fields:
    - "name: string (required, unique, max 60)"
    - "marked: boolean (default: true)"
    - colour: enum(white, yellow, red) (default white)
    - born: date
    - mood: feeling (required)
  validations:
    - name must not be blank
"""
    start(tmp_path)
    (tmp_path / "app/models").mkdir(parents=True)
    request = prompt(task="q", kind="implement_database", owns=["app/models/queen.py"], specification=specification)
    outcome = run_task(OpenAIChat(model, request), Workspace(tmp_path))
    assert outcome.handoff["outcome"] == "submitted"
    text = (tmp_path / "app/models/queen.py").read_text()
    assert 'QueenColour = Literal["white", "yellow", "red"]' in text
    assert "name: NonBlank = Field(max_length=60)" in text
    assert "marked: bool = True" in text
    assert any("feeling" in risk for risk in outcome.handoff["risks"])
    assert json.dumps(outcome.handoff).isascii()
