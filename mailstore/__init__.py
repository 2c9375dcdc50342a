"""The encrypted store: bytes, keys, rows, and the record of what happened to them."""
