"""Work in threads, messages, preferences."""
