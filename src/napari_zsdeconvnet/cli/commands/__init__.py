"""What each command does, a module each: read files, call the package, write, say what happened."""
