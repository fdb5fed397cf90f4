"""An Airflow of the tests' own; nothing imports Airflow before `prepare` has been called."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from monitors.local.home import dags_folder


def prepare(folder: Path) -> Path:
    """Set Airflow's environment and migrate its metadata database; once a test session.

    Args:
        folder: becomes AIRFLOW_HOME.
    """
    assert "airflow" not in sys.modules, "a test module imported Airflow at its top"
    for name in [name for name in os.environ if name.startswith("AIRFLOW")]:
        del os.environ[name]
    os.environ.update(
        {
            "AIRFLOW_HOME": str(folder),
            "AIRFLOW__CORE__DAGS_FOLDER": str(dags_folder()),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": "admin:admin,oncall:op,eva:user,vic:viewer",
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{folder}/airflow.db",
            "AIRFLOW__DATABASE__LOAD_DEFAULT_CONNECTIONS": "False",
            "AIRFLOW__LOGGING__LOGGING_LEVEL": "WARNING",
            "AIRFLOW__API_AUTH__JWT_SECRET": "only-for-tests-" * 5,
            "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
        }
    )
    from airflow.utils.db import upgradedb

    upgradedb()
    return folder
