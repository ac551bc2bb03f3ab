"""From a recording to a result with its report and record."""
