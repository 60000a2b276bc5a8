"""Playing recorded episodes again in their environment: is it what was recorded, how did it look.

An environment is code of somebody else's: it is imported, made and stepped in a process of
its own (`worker`), which the rest of the package only talks to.
"""
