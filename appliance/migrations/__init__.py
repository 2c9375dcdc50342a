"""How the row database came to its present form, step by step: dated, forward only, each proved with data.

The keystore is not here: it has one form, says its version in its header, and opens with no other
(``mailstore.keystore``).
"""
