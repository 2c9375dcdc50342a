"""The archive: capture, search, retention, legal holds and disposal."""
