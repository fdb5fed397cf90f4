"""Where Airflow lives on this machine, and the environment that tells it so."""

from __future__ import annotations

import importlib.util
import json
import os
import secrets
import sys
from dataclasses import dataclass
from pathlib import Path

from monitors.settings import find_file, load_settings
from sql.errors import ConfigurationError

PORT = 8080
_PARALLELISM = 4  # LocalExecutor forks this many workers at once, busy or idle


@dataclass(frozen=True, slots=True)
class Home:
    """Airflow's folder beside a configuration file.

    Args:
        folder: ``.airflow``: metadata database, logs, passwords, process ids; all of it can be
            deleted and is made anew, only the history in the UI is lost.
        config: the configuration file that the DAGs shall use.
    """

    folder: Path
    config: Path

    @classmethod
    def beside(cls, config: str | Path | None = None) -> Home:
        """The home of a configuration; neither is read or written yet."""
        path = find_file(config).resolve()
        return cls(path.parent / ".airflow", path)

    @property
    def roles(self) -> dict[str, str]:
        """User → role in Airflow: an administrator, one who is on call and may approve, evaluators.

        Raises:
            ConfigurationError: there is no usable configuration.
        """
        evaluators = load_settings(self.config).review.evaluators
        return {"admin": "admin", "oncall": "op", **dict.fromkeys(evaluators, "user")}

    @property
    def run_log(self) -> Path:
        return self.folder / "run.log"

    @property
    def processes(self) -> Path:
        return self.folder / "processes.json"

    def make(self) -> dict[str, str]:
        """Create the folder, readable by its owner alone, and a password for each user.

        Returns:
            user name → password.
        """
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        (self.folder / "logs").mkdir(exist_ok=True)
        file = self.folder / "passwords.json"
        known = json.loads(file.read_text()) if file.exists() else {}
        users = {name: known.get(name) or secrets.token_urlsafe(9) for name in self.roles}
        if users != known:
            file.touch(mode=0o600)
            file.write_text(json.dumps(users))
        return users

    def environment(self, *, port: int = PORT) -> dict[str, str]:
        """What every Airflow process of this home needs, the rehearsal and the four of ``up``."""
        here = f"http://127.0.0.1:{port}"
        return {
            "AIRFLOW_HOME": str(self.folder),
            "TIDEGAUGE_CONFIG": str(self.config),
            "TIDEGAUGE_APPROVERS": "admin,oncall",
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}",
            "AIRFLOW__CORE__DAGS_FOLDER": str(dags_folder()),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
            "AIRFLOW__CORE__PARALLELISM": str(_PARALLELISM),
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{here}/execution/",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": ",".join(
                f"{name}:{role}" for name, role in self.roles.items()
            ),
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(
                self.folder / "passwords.json"
            ),
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{self.folder}/airflow.db",
            "AIRFLOW__DATABASE__LOAD_DEFAULT_CONNECTIONS": "False",
            "AIRFLOW__API__HOST": "127.0.0.1",
            "AIRFLOW__API__PORT": str(port),
            "AIRFLOW__API__BASE_URL": here,
            "AIRFLOW__API__WORKERS": "1",
            "AIRFLOW__LOGGING__LOGGING_LEVEL": "WARNING",
            "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
        }


def dags_folder() -> Path:
    """The folder of the DAG files, wherever the project is installed."""
    found = importlib.util.find_spec("dags")
    if found is None or not found.submodule_search_locations:
        raise ConfigurationError("the DAG files are not installed", mend="make setup")
    return Path(next(iter(found.submodule_search_locations))).resolve()
