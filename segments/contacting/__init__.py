"""Who of a night's candidates is contacted, through what and when: caps, quiet hours, arbitration and capacities."""
