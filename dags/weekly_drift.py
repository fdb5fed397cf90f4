"""# Weekly drift

Compares last week's inputs, outputs and embeddings with the reference period: has what people ask
moved, and where to?

| Task | Reads | Writes |
|---|---|---|
| `measure` | `profile`, `sample` of the week and the references | `measurement`, `embedding` |
| `report` | the same, `measurement` | `reports/drift` (redacted texts), `reports/evidently` |
| `alert` | `measurement`, the rules | `evaluation`, `incident`, `notification` |

**When it is red**

* `measure` was killed: the embedding model needs about 1.5 GB of memory; embeddings already made
  are kept, so that clearing the task goes on where it stopped.
* Days are missing in the week (see the coverage page): run `daily_quality` for them first, then
  clear this run. A week with gaps is measured with status *partial*.
"""

from __future__ import annotations

from airflow.sdk import dag, task

from dags._common import Report, measured, measurements_of, settings_of, step

JOB = "weekly_drift"


@dag(**settings_of(JOB), doc_md=__doc__, tags=["tidegauge", "drift", "weekly"])
def weekly_drift() -> None:
    @task(outlets=[measurements_of(JOB)])
    def measure() -> Report:
        return measured(JOB)

    @task
    def report() -> Report:
        return step(JOB, "report")

    @task
    def alert() -> Report:
        return step(JOB, "alert")

    measure() >> [report(), alert()]


weekly_drift()
