"""# Alert relay

Sends what the outbox holds, each message once, every five minutes. It is the only DAG that talks
to Slack; without a token messages go to the file sink of `[alerts]`.

Reads and writes the table `notification`. The token comes from the Airflow connection
`slack_alerts` (its password; `base_url` in extra), else from the environment's `SLACK_BOT_TOKEN`.

**When it is red**

* Slack refuses the token or the channel: the log's last line says which scope or channel. Correct
  it; no message is lost, the outbox keeps them and the next run sends them.
* Slack is down or limits the rate: the run is green, messages stay *pending* and go later.
* Messages in state *dead* were refused for good; `tidegauge incidents` shows them.
"""

from __future__ import annotations

from airflow.sdk import dag, task

from dags._common import Report, settings_of, slack_credentials, step

JOB = "alert_relay"


@dag(**settings_of(JOB), doc_md=__doc__, tags=["tidegauge", "alerts"])
def alert_relay() -> None:
    @task
    def deliver() -> Report:
        with slack_credentials():
            return step(JOB, "deliver")

    deliver()


alert_relay()
