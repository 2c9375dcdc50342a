"""One module per command of the ``strongroom`` program."""
