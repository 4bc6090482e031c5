"""In-engine scheduling: a batch chosen anew between iterations, for the policies that preempt.

A gateway orders what waits; the papers' own implementations sit inside the engine, see each token and may put
a running request aside. `engine` is the loop, `policy` what a policy has to say in it, `preemption` what
putting aside costs, and one module per policy.
"""
