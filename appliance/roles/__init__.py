"""The processes of ``serve``: smtp takes mail in, mail serves the pages, worker does what follows."""
