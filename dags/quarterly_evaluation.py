"""# Quarterly evaluation

Examines the yardstick itself: does the judge still agree with people, and does the golden set
still cover what is asked?

| Task | Reads | Writes (our store) |
|---|---|---|
| `measure` | `label`, `score`, `golden_example` | `measurement` (agreement, kappa, coverage) |
| `report` | the same, `incident`, `review_entry` | the page `reports/quarter/….html` |
| `alert` | `measurement`, the rules | `evaluation`, `incident`, `notification` |

The page asks people for decisions: the DAG `quarter_decisions` takes them, or `tidegauge quarter
decide`.

**When it is red**

* `measure` is rarely at fault. *insufficient* means that the quarter's review batches were not
  rated; finish them, then clear this run.
* A judge that has gone stale: add labelled examples to the golden set, train a candidate, and
  approve it (`tidegauge judge`); scores of two judges are never compared.
"""

from __future__ import annotations

from airflow.sdk import dag, task

from dags._common import Report, measured, measurements_of, settings_of, step

JOB = "quarterly_evaluation"


@dag(**settings_of(JOB), doc_md=__doc__, tags=["tidegauge", "review", "quarterly"])
def quarterly_evaluation() -> None:
    @task(outlets=[measurements_of(JOB)])
    def measure() -> Report:
        return measured(JOB)

    @task
    def report() -> Report:
        return step(JOB, "report")

    @task
    def alert() -> Report:
        return step(JOB, "alert")

    measure() >> report() >> alert()


quarterly_evaluation()
