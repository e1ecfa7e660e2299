"""Messages through the real pymasep, kept as files that any implementation can be tested with."""
