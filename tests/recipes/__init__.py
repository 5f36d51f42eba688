"""The recipes whose blocks are files or cells, run as their readers would run them."""
