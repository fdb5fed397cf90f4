"""# Pin a baseline

Asks a provider its regression prompts several times, stores the answers as a candidate, and makes
the candidate the pin once a person approves it with a reason. From then on `provider_drift`
compares with it. Started by hand, with a form: which provider, why, how many answers a prompt.

| Task | Reads | Writes (our store) |
|---|---|---|
| `pin` | the provider's API, the prompts file | `baseline` (content-addressed, never changed) |
| `approval` | a person: **Approve** or **Reject**, with a reason | who answered, and when |
| `approve` | both | `pin` |

`approval` waits in *Required Actions* for up to seven days and takes no worker meanwhile. Only the
users in the environment's `TIDEGAUGE_APPROVERS` (ids, with commas between) may answer; while it
is empty, everybody who may edit runs.

**When it is red**

* `pin`: the provider cannot be reached, or too many answers failed to make a sound baseline.
* `approval` ran out of time: nothing was pinned, the old pin stands. Clear the task to ask again.
* `approval` failed in the second in which it was answered: Airflow lost the answer. Clear it, and
  answer again.
* `approve` says that a reason is needed: clear `approval` and write one.
"""

from __future__ import annotations

import os
from datetime import timedelta

from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk import Param, dag, task

from dags._common import Report, configured, settings_of, step
from sql.errors import ConfigurationError

JOB = "pin_baseline"
APPROVERS = [name for name in os.environ.get("TIDEGAUGE_APPROVERS", "").split(",") if name]
PROVIDERS = sorted(configured().get("providers", {}))
FORM = {
    "name": Param(
        PROVIDERS[0] if PROVIDERS else "",
        type="string",
        title="Provider",
        description="A [providers.*] section of tidegauge.toml.",
        # With one section and more the form is a list to choose from.
        **({"enum": PROVIDERS} if PROVIDERS else {}),
    ),
    "reason": Param("", type="string", title="Why now", description="Kept with the answers."),
    "repeats": Param(
        None,
        type=["null", "integer"],
        minimum=1,
        maximum=20,
        title="Answers for each prompt",
        description="Empty: the section's `repeats`. Three and more show the model's own noise.",
    ),
    "prompts": Param(
        "",
        type="string",
        title="Prompts file",
        description="Empty: the section's own. Replays ask the section's prompts, so a pin of "
        "others is compared only once the section names them.",
    ),
}


@dag(**settings_of(JOB, params=FORM), doc_md=__doc__, tags=["tidegauge", "provider", "by hand"])
def pin_baseline() -> None:
    @task
    def pin(params: dict) -> Report:
        given = {key: str(params[key]) for key in FORM if params[key]}
        return step(JOB, "pin", params={"actor": "pin_baseline", **given})

    approval = ApprovalOperator(
        task_id="approval",
        subject="Make this the baseline of {{ params.name }}?",
        body="{% for key, value in ti.xcom_pull(task_ids='pin').items() %}"
        "* {{ key }}: **{{ value }}**\n{% endfor %}",
        params={"reason": Param("", type="string", title="Reason (kept for audit)")},
        assigned_users=[{"id": name, "name": name} for name in APPROVERS],
        response_timeout=timedelta(days=7),
        execution_timeout=None,
        retries=0,
    )

    @task
    def approve(params: dict, candidate: dict, answer: dict) -> Report:
        reason = str(answer["params_input"].get("reason", "")).strip()
        if not reason:
            raise ConfigurationError(
                "a pin needs a reason", where="approval", mend="clear `approval` and write one"
            )
        person = answer["responded_by_user"] or {}
        given = {
            "name": params["name"],
            "digest": str(candidate["digest"]),
            "actor": str(person.get("name") or "unknown"),
            "reason": reason,
        }
        return step(JOB, "approve", params=given)

    candidate = pin()
    candidate >> approval
    approve(candidate=candidate, answer=approval.output)


pin_baseline()
