"""# Retrain the judge

Trains a judge on the golden set as it stands, shows what it would change on labels that neither
it nor the judge in force has learned from, and puts it in force once a person approves it with a
reason. Started by hand, with a form: train anew, or show a judge that exists (a candidate of
`tidegauge judge train`, or an earlier one that is to come back). Where the golden set has enough
examples that people graded unsafe, a classifier of unsafe answers is trained too; it is approved by
a run of its own, with its digest in the form.

| Task | Reads | Writes (our store) |
|---|---|---|
| `train` | `golden_example`, people's labels | `model_artifact`: the judge and its figures |
| `waits` | what `train` says | – (ends the run when that judge is in force already) |
| `approval` | a person: **Approve** or **Reject**, with a reason | who answered, and when |
| `approve` | both | `judge_approval`, `audit` |

`approval` waits in *Required Actions* for up to 30 days and takes no worker meanwhile. Only the
users in the environment's `TIDEGAUGE_APPROVERS` may answer; while it is empty, everybody who may
edit runs. The very first judge is in force without an answer: there is nothing to compare it with.

**When it is red**

* `train` says that the golden set is too small or of one verdict: import labelled examples.
* `approval` ran out of time: the judge in force stays. Clear the task to ask again.
* `approve` says that a reason is needed: clear `approval` and write one.
"""

from __future__ import annotations

import os
from datetime import timedelta

from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk import Param, dag, task

from dags._common import Report, settings_of, step
from sql.errors import ConfigurationError

JOB = "retrain_judge"
APPROVERS = [name for name in os.environ.get("TIDEGAUGE_APPROVERS", "").split(",") if name]
FORM = {
    "judge": Param(
        "",
        type="string",
        title="Judge",
        description="Empty: train one on the golden set. Else the first characters of the digest "
        "of one that exists.",
    )
}


@dag(**settings_of(JOB, params=FORM), doc_md=__doc__, tags=["tidegauge", "review", "by hand"])
def retrain_judge() -> None:
    @task
    def train(params: dict) -> Report:
        return step(JOB, "train", params={"judge": params["judge"], "actor": JOB})

    @task.short_circuit
    def waits(offered: dict) -> bool:
        return offered["state"] != "in force"

    approval = ApprovalOperator(
        task_id="approval",
        subject="Shall this judge speak for people from now on?",
        body="{% for key, value in ti.xcom_pull(task_ids='train').items() %}"
        "* {{ key.replace('_', ' ') }}: **{{ value }}**\n{% endfor %}",
        params={"reason": Param("", type="string", title="Reason (kept for audit)")},
        assigned_users=[{"id": name, "name": name} for name in APPROVERS],
        response_timeout=timedelta(days=30),
        execution_timeout=None,
        retries=0,
    )

    @task
    def approve(offered: dict, answer: dict) -> Report:
        reason = str(answer["params_input"].get("reason", "")).strip()
        if not reason:
            raise ConfigurationError(
                "an approval needs a reason", where="approval", mend="clear `approval`, write one"
            )
        person = answer["responded_by_user"] or {}
        given = {
            "judge": str(offered["digest"]),
            "actor": str(person.get("name") or "unknown"),
            "reason": reason,
        }
        return step(JOB, "approve", params=given)

    offered = train()
    waits(offered) >> approval
    approve(offered=offered, answer=approval.output)


retrain_judge()
