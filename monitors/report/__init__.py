"""The report: one page that stands by itself, from the store alone."""
