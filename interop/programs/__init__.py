"""Small programs around the real pymasep, each a process of its own that a test starts and talks to."""
