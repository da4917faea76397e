from __future__ import annotations

import hashlib
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from swarmworks.domain.plan import Plan, Source
from swarmworks.domain.spec import Specification
from swarmworks.policy.graph import Reach, dependencies, find_cycle
from swarmworks.policy.lint import lint
from swarmworks.policy.planning.decompose import decompose
from swarmworks.policy.planning.names import class_name, module_name, plural, singular, snake
from swarmworks.policy.planning.remarks import remarks
from swarmworks.policy.shape import shape_of
from swarmworks.wire.planfile import dump_plan, parse_plan
from swarmworks.wire.spec import load_specification, parse_specification

EXAMPLES = Path(__file__).parents[2] / "examples"
SOURCE = Source("resources", "spec.yaml", hashlib.sha256(b"").hexdigest())
ALL = ("task-management", "library", "school")


def example(name: str) -> Specification:
    return load_specification(EXAMPLES / name / "spec.yaml")[0]


def planned(text: str) -> Plan:
    return decompose(parse_specification("spec.yaml", text.encode()), SOURCE)


def facts(plan: Plan, task_id: str):
    return yaml.safe_load(plan.task(task_id).specification)


@pytest.mark.parametrize("name", ALL)
def test_the_examples_plan_and_lint_clean(name):
    assert lint(decompose(example(name), SOURCE)) == ()


def test_task_management_has_the_promised_size():
    plan = decompose(example("task-management"), SOURCE)
    assert 50 <= len(plan.tasks) <= 56
    assert shape_of(plan).width >= 12
    assert plan.floors == {"coverage": 85.0}


def test_dependencies_are_real():
    plan = decompose(example("task-management"), SOURCE)
    reach = Reach(dependencies(plan.tasks))
    chain = [
        "scaffold",
        "security",
        "schema-user",
        "schema-project",
        "schema-task",
        "endpoint-task-read",
        "tests-task-read",
    ]
    assert all(reach.before(first, second) for first, second in pairwise(chain))
    assert reach.before("endpoint-auth-login", "tests-task-read")
    assert reach.before("endpoint-project-create", "tests-task-read")
    assert reach.together("endpoint-task-read", "endpoint-task-delete")
    assert all(reach.before(task.id, "verify-quality") for task in plan.tasks[:-1])


def test_requirements_become_tasks_and_gates():
    plan = decompose(example("library"), SOURCE)
    ids = {task.id for task in plan.tasks}
    assert {
        "security",
        "rate-limit",
        "tests-latency",
        "tests-concurrency",
        "tests-pagination",
        "tests-documentation",
    } <= ids
    assert {"tests-authentication", "tests-password-hashing", "tests-rate-limit", "tests-input-validation"} <= ids
    assert facts(plan, "rate-limit")["requirement"]["requests"] == 300
    assert facts(plan, "tests-latency")["requirement"]["milliseconds"] == 300
    verify = plan.task("verify-quality")
    assert "coverage" in verify.gates
    assert verify.depends_on


def test_a_requirement_nobody_knows_is_still_a_task():
    plan = planned(
        "name: x\nresources:\n  a:\n    fields: [{b: string}]\n    endpoints: [GET /as (list)]\n"
        "security:\n  - answers carry no server header\n"
    )
    task = plan.task("tests-answers-carry-no-server-header")
    assert "answers carry no server header" in task.instructions
    assert task.owns == ("tests/requirements/test_answers_carry_no_server_header.py",)


def test_a_self_reference_is_data_and_its_constraint_comes_later():
    plan = decompose(example("library"), SOURCE)
    links = plan.task("links-category")
    assert links.depends_on == ("schema-category",)
    assert links.owns == ("app/models/category_links.py", "tests/test_category_links.py")
    assert facts(plan, "schema-category")["resource"]["belongs_to"][0]["constraint"] == "later"


def test_a_mutual_reference_is_split_where_it_is_optional():
    plan = planned(
        "name: x\nresources:\n"
        "  team:\n    fields: [{a: string}]\n    relationships: [belongs_to: person as lead (optional)]\n"
        "  person:\n    fields: [{a: string}]\n    relationships: [belongs_to: team]\n"
    )
    assert plan.task("schema-person").depends_on == ("scaffold", "schema-team")
    assert plan.task("links-team").depends_on == ("schema-team", "schema-person")


def test_odd_names_become_files_that_can_be_imported():
    school, library = decompose(example("school"), SOURCE), decompose(example("library"), SOURCE)
    assert "app/models/class_.py" in school.task("schema-class").owns
    assert "app/models/person_details.py" in library.task("schema-person_details").owns
    assert facts(library, "schema-order")["resource"]["table"] == "orders"
    attributes = {each["name"]: each.get("attribute") for each in facts(library, "schema-loan")["resource"]["fields"]}
    assert attributes == {"from": "from_", "due": None, "state": None}


def test_a_verb_that_names_a_state_sets_it():
    endpoint = facts(decompose(example("library"), SOURCE), "endpoint-order-cancel")["endpoint"]
    assert (endpoint["action"], endpoint["sets"]) == ("custom", {"status": "cancelled"})


def test_a_verb_of_several_words_at_a_plain_path_means_its_first():
    plan = planned(
        "name: x\nresources:\n  task:\n    fields: [{a: string}]\n"
        "    endpoints: [GET /tasks (list with filters), GET /tasks/late (list late)]\n"
    )
    assert facts(plan, "endpoint-task-list_with_filters")["endpoint"]["action"] == "list"
    assert facts(plan, "endpoint-task-list_late")["endpoint"]["action"] == "custom"


def test_nested_paths_are_understood():
    endpoint = facts(decompose(example("task-management"), SOURCE), "endpoint-project-list_tasks")["endpoint"]
    assert (endpoint["action"], endpoint["target"], endpoint["key"]) == ("list_related", "task", "project_id")


def test_who_must_exist_before_signing_in_is_made_without_a_token():
    plan = planned(
        "name: x\nresources:\n"
        "  team:\n    fields: [{a: string}]\n    endpoints: [POST /teams (create)]\n"
        "  user:\n    fields: [email: 'email (required, unique)', password: password (required)]\n"
        "    relationships: [belongs_to: team]\n    endpoints: [POST /users (create)]\n"
        "security: [authentication]\n"
    )
    assert facts(plan, "schema-team")["factory"]["through"] == "module"
    assert facts(plan, "schema-user")["factory"]["through"] == "POST /users"
    assert facts(plan, "endpoint-team-create")["endpoint"]["protected"] is True
    assert facts(plan, "endpoint-user-create")["endpoint"]["protected"] is False


def test_endpoints_that_would_share_an_id_or_a_file_are_told_apart_by_their_path():
    plan = planned(
        "name: x\nresources:\n"
        '  order:\n    fields: [{a: string}]\n    endpoints: ["POST /orders/{id}/x (item_create)", GET /orders (list), GET /archive/orders (list)]\n'
        "  order_item:\n    fields: [{a: string}]\n    endpoints: [POST /order-items (create)]\n"
    )
    ids = [task.id for task in plan.tasks]
    assert "endpoint-order-list" in ids
    assert "endpoint-order-list-archive-orders-get" in ids
    assert plan.task("endpoint-order_item-create").owns == ("app/api/order_item_create.py",)
    assert plan.task("endpoint-order-item_create").owns == ("app/api/order_item_create_orders_by_id_x_post.py",)
    assert lint(plan) == ()


@pytest.mark.parametrize(
    ("framework", "language", "path"),
    [
        ("express", "javascript", "src/endpoints/task_read.js"),
        ("django", "python", "api/views/task_read.py"),
        ("gin", "go", "src/endpoints/task_read.go"),
    ],
)
def test_other_frameworks_get_a_layout_of_their_own(framework, language, path):
    specification = example("task-management")
    stack = replace(specification.architecture, framework=framework, language=language)
    plan = decompose(replace(specification, architecture=stack), SOURCE)
    assert lint(plan) == ()
    assert plan.task("endpoint-task-read").owns == (path,)
    assert "app/" not in plan.task("endpoint-task-read").instructions
    assert any("general layout" in remark for remark in remarks(replace(specification, architecture=stack)))


def test_a_custom_requirement_and_another_hash_are_remarked():
    found = remarks(
        parse_specification(
            "s",
            b"name: x\nresources:\n  user:\n    fields: [{email: email (unique)}, {password: password}]\n"
            b'    endpoints: ["POST /users/{id}/wave (wave)"]\nsecurity: [passwords hashed with bcrypt, no cookies]\n',
        )
    )
    assert any("nothing says what it does" in each for each in found)
    assert any("scrypt is planned instead of bcrypt" in each for each in found)
    assert any("`no cookies`" in each for each in found)


NOTES = "name: x\nresources:\n  note:\n    fields: [{title: string}]\n"
LONG = "every answer of the whole application without any exception names the version of the interface"


def custom_tests(plan: Plan) -> list[str]:
    return [facts(plan, task.id)["requirement"]["text"] for task in plan.tasks if task.owns[0].startswith("tests/req")]


@pytest.mark.parametrize("endpoints", ["", '    endpoints: ["POST /notes (create)"]\n'])
@pytest.mark.parametrize(
    "said",
    [
        ["выдержать нагрузку", "работать без сети"],
        ["no cookies"],
        [f"{LONG} {end}" for end in ("that answered", "that was asked", "in use", "in use, and its date")],
        ["note create", "note-create", "note create!"],
    ],
)
def test_no_requirement_is_dropped_whatever_it_is_called(endpoints, said):
    plan = planned(f"{NOTES}{endpoints}{yaml.safe_dump({'quality': said}, allow_unicode=True)}")
    assert custom_tests(plan) == said
    assert parse_plan("plan.yaml", dump_plan(plan).encode()) == plan
    assert lint(plan) == ()


def test_a_requirement_written_twice_is_one_task():
    assert custom_tests(planned(f"{NOTES}quality: [no cookies, no cookies]\n")) == ["no cookies"]


def test_a_requirement_that_nothing_could_show_is_said():
    found = remarks(parse_specification("s", f"{NOTES}performance: [p95 latency below 100 ms]\n".encode()))
    assert any("`p95 latency below 100 ms`: nothing is specified" in each for each in found)


def test_names_as_long_as_they_may_be_give_ids_that_a_plan_may_hold():
    name = "a" + "b" * 58
    plan = planned(
        f"name: x\nresources:\n  {name}c:\n    fields: [{{title: string}}]\n"
        f'    endpoints: ["POST /n/{{id}}/x ({name}c)", "POST /n/{{id}}/y ({name}d)"]\n'
    )
    assert parse_plan("plan.yaml", dump_plan(plan).encode()) == plan


@pytest.mark.parametrize(
    ("word", "one", "many"),
    [("users", "user", "users"), ("categories", "category", "categories"), ("class", "class", "classes"),
     ("classes", "class", "classes"), ("status", "status", "statuses"), ("people", "person", "people"),
     ("person_details", "person_detail", "person_details"), ("bus", "bus", "buses")],
)  # fmt: skip
def test_singular_and_plural(word, one, many):
    assert singular(word) == one
    assert plural(one) == many


def test_names_for_programs():
    assert [snake(each) for each in ("PersonDetails", "person-details", "HTTPRoute", "a b")] == [
        "person_details",
        "person_details",
        "http_route",
        "a_b",
    ]
    assert class_name("person_details") == "PersonDetails"
    assert module_name("import") == "import_"


NAMES = [
    "user",
    "order",
    "class",
    "person-details",
    "order-item",
    "category",
    "select",
    "Group",
    "import",
    "health",
    "auth",
]
FIELDS = ["name: string (required)", "from: date", "class: string", "code: string (unique)", "n: integer (min 1)",
          "s: enum(open|closed|cancelled)", "data: json", "password: password (required)", "mail: email (required, unique)"]  # fmt: skip
VERBS = ["POST /{p} (create)", "GET /{p} (list)", "GET /{p}/{{id}} (read)", "PATCH /{p}/{{id}} (update)", "DELETE /{p}/{{id}} (delete)",
         "POST /{p}/{{id}}/cancel (cancel)", "GET /x/{p} (list)", "POST /{p}/import (links)", "POST /{p}/login (login)"]  # fmt: skip
WANTS = {
    "performance": ["p95 latency below 100 ms", "20 concurrent users", "lists are paginated"],
    "quality": ["coverage 70 %", "docs are good documentation", "lint"],
    "security": ["rate limit 5 per minute", "passwords hashed", "no cookies", "sql injection"],
}


@st.composite
def specifications(draw):
    names = draw(st.lists(st.sampled_from(NAMES), min_size=1, max_size=5, unique=True))
    resources = {name: draw(resource(names)) for name in names}
    signed_in = any({FIELDS[7], FIELDS[8]} <= set(each["fields"]) for each in resources.values())
    document = {"name": "Random", "resources": {name: _as_written(each) for name, each in resources.items()}}
    for area, sentences in WANTS.items():
        document[area] = draw(st.lists(st.sampled_from(sentences), unique=True))
    first = next((each for each in resources.values() if FIELDS[7] in each["fields"]), None)
    if signed_in and first and FIELDS[8] in first["fields"] and draw(st.booleans()):
        document["security"].append("authentication")
    return document


@st.composite
def resource(draw, names):
    fields = draw(st.lists(st.sampled_from(FIELDS), min_size=1, unique=True))
    verbs = draw(st.lists(st.sampled_from(VERBS), unique=True))
    links = draw(
        st.lists(
            st.tuples(st.sampled_from(names), st.sampled_from(["", " (optional)"])),
            max_size=3,
            unique_by=lambda e: e[0],
        )
    )
    return {"fields": fields, "verbs": verbs, "links": links}


def _as_written(each):
    found = {"fields": [dict([field.split(": ", 1)]) for field in each["fields"]]}
    prefix = hashlib.sha256(repr(each).encode()).hexdigest()[:6]
    if each["verbs"]:
        found["endpoints"] = [verb.format(p=prefix) for verb in each["verbs"]]
    if each["links"]:
        found["relationships"] = [{"belongs_to": f"{name}{optional}"} for name, optional in each["links"]]
    return found


def _plan_of(document) -> Plan:
    return planned(yaml.safe_dump(document, sort_keys=False, allow_unicode=True))


@settings(max_examples=40, deadline=None)
@given(specifications())
def test_any_specification_gives_a_plan_that_can_run(document):
    plan = _plan_of(document)
    ids = [task.id for task in plan.tasks]
    assert len(set(ids)) == len(ids)
    assert find_cycle(dependencies(plan.tasks)) == ()
    assert lint(plan) == ()
    endpoints = {task_id.removeprefix("endpoint-") for task_id in ids if task_id.startswith("endpoint-")}
    assert sum(len(each.get("endpoints", ())) for each in document["resources"].values()) <= len(endpoints)
    assert {f"tests-{name}" for name in endpoints} <= set(ids)
    assert parse_plan("plan.yaml", dump_plan(plan).encode()) == plan
    assert _plan_of(document) == plan


@settings(max_examples=30, deadline=None)
@given(specifications())
def test_adding_a_resource_keeps_the_ids_of_the_others(document):
    before = _plan_of(document)
    document["resources"]["newcomer"] = {"fields": [{"a": "string"}], "endpoints": ["GET /newcomers (list)"]}
    after = {task.id: task for task in _plan_of(document).tasks}
    for task in before.tasks:
        assert task.id in after
        assert after[task.id].owns == task.owns


@settings(max_examples=30, deadline=None)
@given(specifications())
def test_files_that_run_together_never_overlap(document):
    plan = _plan_of(document)
    reach = Reach(dependencies(plan.tasks))
    for number, task in enumerate(plan.tasks):
        for other in plan.tasks[number + 1 :]:
            if reach.together(task.id, other.id):
                assert not set(task.owns) & set(other.owns)
