"""One module per page: parse the request, make one call, render the answer."""
