"""fastnn beside its peers: the same work in each, in a process of its own, in alternating rounds.

Run `python -m bench.compare --help` from the root of the repository.
"""
