"""Asking a tape from the command line: one small module for each kind of question.

What the commands print is computed elsewhere in the room, where Python programs find it;
here are arguments, tables for people, and JSON and CSV for programs.
"""
