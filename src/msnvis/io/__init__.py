"""Reading frames from files, folders and cameras; writing results, one format a file."""
