"""Training started from outside: processes of `reel train`, one each, and what is said to them.

`link` carries lines to and from one process, `wire` knows their words, `trainee` is one
training, `manager` all of a server's, `schema` what their parameters may be.
"""
