"""``tidegauge slack``: what a workspace does, and the buttons below a message."""

from __future__ import annotations

import os
import signal
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated

import typer

from monitors import terminal
from monitors.commands.options import Config, Json, suite_of
from sql.errors import ConfigurationError

if TYPE_CHECKING:
    from monitors.suite import Suite

APP_TOKEN = "SLACK_APP_TOKEN"  # noqa: S105 - the name of the variable
app = typer.Typer(help="Slack: try a workspace; listen to buttons.", no_args_is_help=True)


@app.command(epilog="Example: tidegauge slack selftest")
def selftest(
    channel: Annotated[str, typer.Option(help="Channel id; default: [slack] channel.")] = "",
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Post, look, answer, upload and hurry in a channel, delete it all, and say what is
    guaranteed there; exit 1 when an interrupted message might be said twice."""
    from alerts import selftest as trial
    from alerts.channels import AmbiguousError, MisconfiguredError, NotSentError
    from alerts.channels.opening import BASE_URL, TOKEN
    from alerts.channels.slack import SlackChannel

    place = channel or suite_of(config).alerting.slack.channel
    token = os.environ.get(TOKEN, "")
    if not place or place == "webhook" or not token:
        raise ConfigurationError(
            "there is no channel or no token to try",
            where="[slack] channel" if token else TOKEN,
            mend="give --channel C0123456789 and set SLACK_BOT_TOKEN",
        )
    there = SlackChannel(token, place, os.environ.get(BASE_URL) or None)
    try:
        with terminal.err.status("trying Slack"):
            report = trial.selftest(there, clock=time.monotonic, pause=time.sleep)
    except (NotSentError, AmbiguousError, MisconfiguredError) as error:
        raise ConfigurationError(
            f"Slack takes no message ({error.code})",
            where=f"slack:{place}",
            mend="check the token, its scope chat:write, and that the bot is in the channel",
        ) from None
    if as_json:
        seen = [{"what": one.what, "good": one.good, "text": one.text} for one in report.seen]
        terminal.json_lines([{"once": report.once, "guarantee": report.guarantee, "seen": seen}])
    else:
        for one in report.seen:
            mark = "[green]ok[/]  " if one.good else "[bold red]bad[/] "
            terminal.out.print(f"{mark} {one.what}: {one.text}", soft_wrap=True)
        terminal.out.print(f"Guarantee: {report.guarantee}", markup=False, soft_wrap=True)
    if not report.once:
        raise typer.Exit(1)


@app.command(epilog="Example: tidegauge slack listen")
def listen(config: Config = None) -> None:
    """Serve the buttons below messages (Socket Mode) until it is stopped; set [slack] buttons
    and may_press."""
    from slack_sdk.errors import SlackClientError

    from alerts import listening
    from alerts.channels.opening import BASE_URL, TOKEN, wanted_channels
    from alerts.permission import permission

    suite = suite_of(config)
    secrets = {name: os.environ.get(name, "") for name in (APP_TOKEN, TOKEN)}
    for name, secret in secrets.items():
        if not secret:
            raise ConfigurationError(
                "there is no token to listen with", where=name, mend="set it in the environment"
            )
    if not suite.alerting.slack.buttons:
        raise ConfigurationError(
            "messages have no buttons", where="[slack] buttons", mend="set it to true"
        )
    base_url = os.environ.get(BASE_URL) or None
    may = permission(suite.alerting.slack, secrets[TOKEN], base_url, suite.clock)
    places = [name.partition(":") for name in wanted_channels(suite.alerting)]
    try:
        client = listening.listen(
            suite.store,
            app_token=secrets[APP_TOKEN],
            bot_token=secrets[TOKEN],
            channels={place for kind, _, place in places if kind == "slack"},
            clock=suite.clock,
            allowed=may.allows,
            done=lambda: _sent(suite),
            base_url=base_url,
        )
    except SlackClientError as error:
        raise ConfigurationError(
            f"Slack does not let us listen ({type(error).__name__})",
            where=APP_TOKEN,
            mend="it needs an app-level token (xapp-…) with connections:write",
        ) from None
    terminal.err.print(f"listening, {may}; Ctrl-C ends it")
    stopped = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopped.set())
    try:
        stopped.wait()
    except KeyboardInterrupt:
        terminal.err.print("stopped")
    finally:
        client.close()


def _sent(suite: Suite) -> None:
    """What the press had to say goes out now; what cannot, waits for the relay."""
    with suppress(ConfigurationError):
        suite.deliver()
