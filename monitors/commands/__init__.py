"""Groups of commands, one file each, that `monitors.cli` puts together."""
