"""Floor 3: pages inside Airflow's UI, without scripts and for signed-in people only."""
