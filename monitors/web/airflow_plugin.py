"""Hooks the pages into Airflow. Every Airflow process, each task's too, imports this file."""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable
from typing import Any

from airflow.plugins_manager import AirflowPlugin

Scope = dict[str, Any]
App = Callable[[Scope, Callable[..., Any], Callable[..., Any]], Awaitable[None]]


class LazyApp:
    """An ASGI application that is built at its first request, so that tasks never pay for it.

    Args:
        build: returns the application.
    """

    def __init__(self, build: Callable[[], App]) -> None:
        self._build = build
        self._app: App | None = None
        self._lock = threading.Lock()

    async def __call__(
        self, scope: Scope, receive: Callable[..., Any], send: Callable[..., Any]
    ) -> None:
        if self._app is None:
            with self._lock:
                self._app = self._app or self._build()
        await self._app(scope, receive, send)


def _pages() -> App:
    from monitors.web.app import create_app

    return create_app()


class TidegaugePlugin(AirflowPlugin):
    """Adds *Tidegauge* to the navigation; the pages live below ``/tidegauge/``."""

    name = "tidegauge"
    # Airflow protects no plugin's application: monitors.web.app does it, route by route.
    fastapi_apps = [  # noqa: RUF012  (the plug-in manager reads a class attribute)
        {"app": LazyApp(_pages), "url_prefix": "/tidegauge", "name": "Tidegauge"}
    ]
    external_views = [  # noqa: RUF012
        {
            "name": "Tidegauge",
            "href": "tidegauge/",  # relative, so that it follows [api] base_url
            "destination": "nav",
            "url_route": "tidegauge-pages",
            "nav_top_level": True,
        }
    ]
