"""What a pipeline's sinks must hold, worked out a second time: single-threaded, record by record, in plain Python.

It shares no code with the program. A feed's rules are written by hand (`amazon_sales.py`); the engine knows only the
rules of time, dedup, windows and the ledger, and takes from the log nothing but ranges, floors and G.
"""
