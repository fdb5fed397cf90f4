"""# Alert relay

Sends what the outbox holds, each message once, every five minutes. It is the only DAG that talks
to Slack, PagerDuty and webhooks; a place whose secret is missing keeps its messages waiting.

Reads and writes the table `notification`. Secrets come from the passwords of Airflow's connections
`slack_alerts`, `slack_webhook`, `pagerduty_alerts` and `webhook_alerts` (the first and third may
name another `base_url` in extra), else from the environment's `SLACK_BOT_TOKEN`,
`SLACK_WEBHOOK_URL`, `PAGERDUTY_ROUTING_KEY` and `TIDEGAUGE_WEBHOOK_SECRET`.

**When it is red**

* A place refuses the secret or the channel: the log's last line names the place. Correct
  it; no message is lost, the outbox keeps them and the next run sends them.
* A place is down or limits the rate: the run is green, messages stay *pending* and go later.
* Messages in state *dead* were refused for good; `tidegauge incidents` shows them.
"""

from __future__ import annotations

from airflow.sdk import dag, task

from dags._common import Report, alert_credentials, settings_of, step

JOB = "alert_relay"


@dag(**settings_of(JOB), doc_md=__doc__, tags=["tidegauge", "alerts"])
def alert_relay() -> None:
    @task
    def deliver() -> Report:
        with alert_credentials():
            return step(JOB, "deliver")

    deliver()


alert_relay()
