"""What is timed and measured; each module is run by one command, `python -m`."""
