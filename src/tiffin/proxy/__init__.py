"""Services on the data path of a node: one nftables table of ours, kept equal to the Services and EndpointSlices of the cluster.

A packet costs one lookup, whatever the number of services: the map `services` (address . protocol . port) or, for the node's own
addresses, `ports` (protocol . port) holds the verdict. Nearly all verdicts go to chains that services share: `pick-3` draws a
number below 3 and looks up `endpoints` (address . protocol . port . number). So a change of endpoints is a few map elements,
and no rule. Only services with session affinity have chains and sets of their own.

`state` knows services, slices and the node; `plan` says which items (elements, chains, sets) one service needs; `ledger` keeps who
needs what and gives the difference as `Changes`; `nftables` writes it as one transaction and reads back what is there; `run` does it.

Another set of rules shares table and transactions like this: an owner of its own name prefix in the ledger (`("policy", namespace, name)`),
items made with `ledger.chain`, `ledger.declared_set` and `ledger.element`, and a jump to its entry chain from a base chain in
`skeleton.py`. Everything else, atomicity, retries and the correction of drift, comes with it.
"""
