"""What a whole PVE cluster says, compared with Nautobot. May import services, search and models; never ui or api.

snapshot.py understands what PVE said, plan.py says what follows from it: both are pure, without Django.
"""
