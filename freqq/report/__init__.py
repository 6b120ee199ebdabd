"""Evidence from rows: statistics, tables, figures."""
