"""Commands of the command line that are larger than a few lines."""
