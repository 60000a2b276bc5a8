"""Measurements of Reel, each a ratio to something measured in the same run.

`python -m benchmarks.NAME [--json] [--quick]` prints one JSON object, or a table.
"""
