"""Pure functions on numbers: intervals, sequential tests, two-sample tests, multiplicity."""
