"""Orders: commands, a read model, a web service and a worker, in a file each."""
