"""An evaluation: settings -> plan -> batches of samples -> rows -> a merged table."""
