"""# Provider drift

Has the model behind the API changed? Asks every provider of `[providers.*]` the prompts of its
pinned baseline again, compares the answers with the pinned ones within their own noise, and reads
in the log which model truly answered.

| Task | Reads | Writes (our store) |
|---|---|---|
| `replay` | the pin, the provider's API (within the day's budget) | `replay_answer` |
| `measure` | `replay_answer`, `baseline`, the log's response models | `measurement` |
| `report` | the answers of a day that moved | a page in the reports' folder |
| `alert` | `measurement`, the rules | `evaluation`, `incident`, `notification` |

An answer that is already there is not asked for (or paid for) again: `replay` resumes.

**When it is red**

* `replay` cannot reach the provider: its status page; then clear the task. Days without answers
  have status *no data* and neither open nor close an incident.
* *there is no pin*: run the DAG `pin_baseline` and approve the candidate.
* An incident after a wanted change of model: pin a new baseline; the old one stays for comparison.
"""

from __future__ import annotations

from airflow.sdk import dag, task

from dags._common import Report, measured, measurements_of, settings_of, step

JOB = "provider_drift"


@dag(**settings_of(JOB), doc_md=__doc__, tags=["tidegauge", "provider", "daily"])
def provider_drift() -> None:
    @task
    def replay() -> Report:
        return step(JOB, "replay")

    @task(outlets=[measurements_of(JOB)])
    def measure() -> Report:
        return measured(JOB)

    @task
    def report() -> Report:
        return step(JOB, "report")

    @task
    def alert() -> Report:
        return step(JOB, "alert")

    replay() >> measure() >> report() >> alert()


provider_drift()
