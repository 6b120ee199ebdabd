"""What a method saves in a serving engine: throughput, time to first token, memory of the key-value cache."""
