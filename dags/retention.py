"""# Retention

Removes texts and vectors that are older than `[privacy] retention_days`, every night. Scores and
measurements stay: they hold no text.

Reads and writes `sample`, `embedding` and the other tables that keep text.

**When it is red**

* The store refused: the error names the table. Clear the task; what is too old goes next time.
* Keep an eye on it: while it is red, texts are kept longer than was promised to people.
"""

from __future__ import annotations

from airflow.sdk import dag, task

from dags._common import Report, settings_of, step

JOB = "retention"


@dag(**settings_of(JOB), doc_md=__doc__, tags=["tidegauge", "privacy"])
def retention() -> None:
    @task
    def purge() -> Report:
        return step(JOB, "purge")

    purge()


retention()
