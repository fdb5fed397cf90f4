"""Airflow on this one machine: its home beside the configuration, a rehearsal, up and down.

Floor 3, next to the command line. Airflow itself is imported only while a rehearsal runs.
"""
