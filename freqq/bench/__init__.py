"""Measure methods in a serving engine: throughput, time to first token, memory of the key-value cache."""
