"""Files of other systems as fields of `Interaction`.

`files` reads containers (JSON, CSV, Parquet) record by record; each other module knows one
system's records and says ``recognises(record)`` and ``rows(record)``.
"""
