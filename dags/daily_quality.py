"""# Daily quality

Scores yesterday. **Safety** is checked on every output, the other layers of the pyramid on the
day's sample; latency, errors, cost and fallbacks on every row.

| Task | Reads | Writes (our store) |
|---|---|---|
| `ready` | the log: has the day landed? | — |
| `sample` | the log | `sample`, `quarantine` (texts redacted) |
| `profile` | every row's columns | `profile` (sketches, no texts), for the weekly comparison |
| `safety` | every output of the day, in shards | counts only |
| `score` | `sample` | `score` |
| `measure` | all of these | `measurement`, with 95 % intervals |
| `alert` | `measurement`, the rules | `evaluation`, `incident`, `notification` |
| `late` | how many rows the week before has now | all of these, of the worst two days that grew |

`late` measures days again of which more than `[source] late_tolerance` came in after they were
measured; what they said before is kept as a difference (coverage page, `tidegauge explain`).

Every task may be run again: the same window gives the same rows. To repeat one day, trigger with
*Window that holds this day*, or type `tidegauge run daily --window 2026-06-01`.

**When it is red**

* `ready` waits up to six hours for the day; after that the day is measured as it is, and the
  intake monitor says what is missing. If it fails, the log cannot be reached: `tidegauge check`.
* Any task that fails at its first try with *the settings cannot work*: the last log line names the
  setting and the mend. Correct `tidegauge.toml`, then clear the task.
* With `[alerts] deadline_hours` a run that is not done so long after it was queued opens an
  incident `missed_window`; the alert relay tells it, and that it is over.
* `LockHeld`: another run works on the same window. Wait; the retry comes by itself.
* `late` fails: this day is done all the same. An earlier one could not be measured again; clear the
  task, or leave it to tomorrow's run.
* One broken monitor or scorer does not make `measure` red: it stands on the monitors page with
  status *error*, the others go on.
"""

from __future__ import annotations

from airflow.sdk import PokeReturnValue, dag, task

from dags._common import Report, landed, measured, measurements_of, settings_of, step

JOB = "daily_quality"


@dag(**settings_of(JOB), doc_md=__doc__, tags=["tidegauge", "quality", "daily"])
def daily_quality() -> None:
    @task.sensor(mode="reschedule", poke_interval=300, timeout=8 * 3600)
    def ready() -> PokeReturnValue:
        return landed(JOB)

    @task
    def sample() -> Report:
        return step(JOB, "sample")

    @task
    def profile() -> Report:
        return step(JOB, "profile")

    @task
    def safety(shard: int, shards: list[int]) -> Report:
        return step(JOB, "safety", shard=shard, shards=len(shards))

    @task
    def score() -> Report:
        return step(JOB, "score")

    @task(outlets=[measurements_of(JOB)])
    def measure() -> Report:
        return measured(JOB)

    @task
    def alert() -> Report:
        return step(JOB, "alert")

    @task
    def late() -> Report:
        return step(JOB, "late")

    shards = ready()
    scanned = safety.partial(shards=shards).expand(shard=shards)
    published = measure()
    shards >> sample() >> score() >> published
    shards >> profile() >> published
    scanned >> published >> alert() >> late()


daily_quality()
