"""The README's pictures, taken from a finished demo: ``python -m tests.pictures FOLDER``.

``FOLDER`` is where `tidegauge demo` has run; Airflow is started there and stopped again.
"""

from __future__ import annotations

import json
import sys
import urllib.request
from pathlib import Path

from PIL import Image

from monitors.local import server
from tests.browser import Browser, browser

PICTURES = Path(__file__).resolve().parent.parent / ".github" / "pictures"
_SETTLE_S = 3.0


def main(folder: Path) -> None:
    """Take them all."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    config = folder / "demo.toml"
    with browser(1180, 860) as tab:
        tab.open((folder / "reports" / "index.html").resolve().as_uri())
        tab.picture(PICTURES / "report.png")
        tab.run(
            "document.querySelector('.charts').parentNode.querySelectorAll('h2')[3].scrollIntoView()"
        )
        tab.picture(PICTURES / "report-charts.png")
        # The second week of the planted topic: it is at its largest.
        topics = sorted((folder / "reports" / "drift").glob("*-topics.html"))[1]
        tab.open(topics.resolve().as_uri())
        tab.picture(PICTURES / "topics.png")
        started = server.up(config)
        try:
            _sign_in(tab, started.url, started.users["admin"][1])
            for name, path, settle in (
                ("airflow", "/dags", _SETTLE_S),
                ("incidents", "/tidegauge/incidents", 0.5),
            ):
                tab.open(started.url + path, settle)
                tab.picture(PICTURES / f"{name}.png")
        finally:
            server.down(config)
    for picture in sorted(PICTURES.glob("*.png")):
        # A page has few colours: a palette takes a third of the room and looks the same.
        Image.open(picture).convert("RGB").quantize(96).save(picture, optimize=True)
        print(f"{picture.name}\t{picture.stat().st_size:,} bytes")


def _sign_in(tab: Browser, url: str, password: str) -> None:
    body = json.dumps({"username": "admin", "password": password}).encode()
    request = urllib.request.Request(
        f"{url}/auth/token", data=body, headers={"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=20) as answer:
        tab.cookie("_token", json.load(answer)["access_token"], url)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
