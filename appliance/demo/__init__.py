"""A practice to try out: five staff, two patients, two outside mail servers, and the whole life of a message."""
