"""When things run: one file per DAG, wiring only."""
