"""# Monthly review

Draws the month's review batch for people, with a known probability for every row, and says what
the labels so far say of the automatic scores.

| Task | Reads | Writes |
|---|---|---|
| `batch` | `sample`, `score` of the month | `review_batch`, `_item`, `_assignment`; a file |
| `measure` | `label`, `score` | `measurement` (agreement, corrected quality) |
| `alert` | `measurement`, the rules | `evaluation`, `incident`, `notification` |

The batch is drawn once: a second run finds it and changes nothing, so that nobody's work is lost.
The file holds redacted texts and neither model nor score.

**When it is red**

* `batch`: fewer scored rows than `[review] size`. Look at the coverage page for missing days.
* Measurements say *insufficient*: evaluators have not rated enough yet. See the review page for
  who is due.
"""

from __future__ import annotations

from airflow.sdk import dag, task

from dags._common import Report, measured, measurements_of, settings_of, step

JOB = "monthly_review"


@dag(**settings_of(JOB), doc_md=__doc__, tags=["tidegauge", "review", "monthly"])
def monthly_review() -> None:
    @task
    def batch() -> Report:
        return step(JOB, "batch")

    @task(outlets=[measurements_of(JOB)])
    def measure() -> Report:
        return measured(JOB)

    @task
    def alert() -> Report:
        return step(JOB, "alert")

    batch() >> measure() >> alert()


monthly_review()
