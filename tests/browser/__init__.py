"""The page in a real browser, against a real server, compared with the tape."""
