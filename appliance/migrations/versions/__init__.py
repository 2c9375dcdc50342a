"""One file a step, named by its day. A step that was ever shipped is never changed."""
