"""Reading production logs: sources, importers, intake checks, sampling and redaction."""
