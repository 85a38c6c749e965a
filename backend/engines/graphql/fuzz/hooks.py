"""What Schemathesis cannot know of the graph: ids that exist, values of its own
scalars, and what docs/graph.md promises of every answer."""

import json
import os

import schemathesis
from hypothesis import strategies as st
from schemathesis.graphql import nodes, scalar

KNOWN = json.loads(os.environ["BV_FUZZ_KNOWN"])

# An id that exists leads further in than any that is made up.
scalar("ID", st.one_of(st.sampled_from(KNOWN), st.uuids().map(str), st.text(max_size=40)).map(nodes.String))
scalar("Long", st.integers(min_value=-(2**63), max_value=2**63 - 1).map(nodes.Int))
scalar(
    "Decimal",
    st.one_of(
        st.decimals(allow_nan=False, allow_infinity=False, places=2, min_value=-1000, max_value=10**6).map(str),
        st.decimals().map(str),
        st.text(max_size=12),
    ).map(nodes.String),
)
scalar(
    "DateTime",
    st.one_of(st.datetimes().map(lambda at: f"{at.isoformat()}Z"), st.text(max_size=30)).map(nodes.String),
)

FORMS = ("application/graphql-response+json", "application/json")
# Signs of the inside of the house.
INSIDE = ("127.0.0.1", "sqlx", "panicked", "violates", "relation \"", "/subgraphs/", "hive_router")


@schemathesis.check
def answers_are_as_documented(ctx, response, case):
    form = response.headers.get("content-type", [""])[0].split(";")[0].strip()
    assert form in FORMS, f"the answer is {form!r}"
    assert response.status_code in (200, 400, 413), f"status {response.status_code}"
    answer = response.json()
    assert isinstance(answer, dict), "the answer is no object"
    assert set(answer) <= {"data", "errors", "extensions"}, f"members {sorted(answer)}"
    executed = response.status_code == 200
    assert executed == ("data" in answer), f"data with status {response.status_code}, or none"
    errors = answer.get("errors", [])
    assert executed or errors, "refused without a word"
    assert "errors" not in answer or errors, "errors without an error"
    for error in errors:
        judge(error)


def judge(error):
    assert isinstance(error.get("message"), str) and error["message"], f"no message: {error}"
    assert set(error) <= {"message", "locations", "path", "extensions"}, f"members {sorted(error)}"
    extensions = error.get("extensions", {})
    code = extensions.get("code")
    assert isinstance(code, str) and code, f"no code: {error}"
    assert extensions.get("status", 400) < 500, f"a failure of the house: {error}"
    assert code not in ("internal", "graph.failed", "graph.part_away"), f"a failure of the house: {error}"
    told = [word for word in INSIDE if word in error["message"]]
    assert not told, f"{told} is nobody's business: {error}"
