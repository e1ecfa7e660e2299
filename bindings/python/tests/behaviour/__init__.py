"""The statements of pymasep's documentation on ``pymasep.communication``, as tests that run unchanged against it
and against ``masep.communication``.

A file for each class; ``test_names.py`` has the names, parameters and attributes of all. Where pymasep
itself does not do what is said, ``pymasep_fails`` says so and why; a test with that mark that passes on
pymasep is a failure.
"""
