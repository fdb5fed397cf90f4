"""# Decide a quarter

Lays the quarter's evidence before people and records what they decide, by name and with a reason:
may the judge go on, are the anchors good, does the golden set cover the traffic, does the rubric
ask what matters, can everybody judge, did the rules speak when they should. Started by hand once
`quarterly_evaluation` is through, with a form: which quarter.

| Task | Reads | Writes (our store) |
|---|---|---|
| `ask` | `measurement`, `label`, `golden_example`, `incident` | the page `reports/quarter/….html` |
| `approval` | a person: a choice for each question, and the reason | who answered, and when |
| `record` | the answer | `audit`; the page anew |

`approval` waits in *Required Actions* for up to 30 days and takes no worker meanwhile. Only the
users in the environment's `TIDEGAUGE_APPROVERS` may answer; while it is empty, everybody who may
edit runs. What stays *undecided* can be decided by another run, or by `tidegauge quarter decide`.
A decision is recorded and does nothing else: to retrain, run the DAG `retrain_judge`.

**When it is red**

* `ask` says that a text is not a quarter: write it as 2026-Q2.
* `record` says that a reason is needed: clear `approval` and write one.
"""

from __future__ import annotations

import os
from datetime import timedelta

from airflow.providers.standard.operators.hitl import HITLEntryOperator
from airflow.sdk import Param, dag, task

from dags._common import Report, settings_of, step
from monitors.review.questions import QUESTIONS
from sql.errors import ConfigurationError

JOB = "quarter_decisions"
OPEN = "undecided"
APPROVERS = [name for name in os.environ.get("TIDEGAUGE_APPROVERS", "").split(",") if name]
FORM = {"quarter": Param("", type="string", title="Quarter", description="As 2026-Q2.")}
ANSWERS = {
    question.name: Param(OPEN, type="string", enum=[OPEN, *question.choices], title=question.asks)
    for question in QUESTIONS
}


@dag(**settings_of(JOB, params=FORM), doc_md=__doc__, tags=["tidegauge", "review", "by hand"])
def quarter_decisions() -> None:
    @task
    def ask(params: dict) -> Report:
        return step(JOB, "ask", params={"quarter": params["quarter"]})

    approval = HITLEntryOperator(
        task_id="approval",
        subject="What is decided of {{ params.quarter }}?",
        body="The page with the evidence: **reports/quarter/"
        "{{ ti.xcom_pull(task_ids='ask')['report'] }}**\n\n"
        "{% for key, value in ti.xcom_pull(task_ids='ask').items() %}"
        "* {{ key }}: **{{ value }}**\n{% endfor %}",
        params={**ANSWERS, "reason": Param("", type="string", title="Reason (kept for audit)")},
        assigned_users=[{"id": name, "name": name} for name in APPROVERS],
        defaults=None,
        response_timeout=timedelta(days=30),
        execution_timeout=None,
        retries=0,
    )

    @task
    def record(params: dict, answer: dict) -> Report:
        given = answer["params_input"]
        chosen = {name: str(given.get(name, OPEN)) for name in ANSWERS}
        chosen = {name: choice for name, choice in chosen.items() if choice != OPEN}
        reason = str(given.get("reason", "")).strip()
        if chosen and not reason:
            raise ConfigurationError(
                "a decision needs a reason", where="approval", mend="clear `approval`, write one"
            )
        person = answer["responded_by_user"] or {}
        facts = {"quarter": params["quarter"], "reason": reason}
        facts["actor"] = str(person.get("name") or "unknown")
        return step(JOB, "record", params={**facts, **chosen})

    asked = ask()
    asked >> approval
    record(answer=approval.output)


quarter_decisions()
