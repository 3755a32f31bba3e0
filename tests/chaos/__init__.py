"""Chaos: a seeded schedule of faults over real servers and real processes, ending with the comparison of everything.

`schedule` plans, `nemesis` breaks and mends, `proxy` stands between the program and its servers, `keeper` restarts
processes as an operator would, `run` puts it together. Run it with scripts/chaos.
"""
