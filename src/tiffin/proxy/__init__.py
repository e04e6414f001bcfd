"""Services on the data path of a node: one nftables table of ours, kept equal to the Services and EndpointSlices of the cluster.

A packet costs one lookup, whatever the number of services: the map `services` (address . protocol . port) or, for the node's own
addresses, `ports` (protocol . port) holds the verdict. Nearly all verdicts go to chains that services share: `pick-3` draws a
number below 3 and looks the packet up in the map `endpoints-0`, `-1` or `-2`. So a change of endpoints is a few map elements, and no rule. Only services with session affinity have chains and sets of their own.

`state` knows services, slices and the node; `plan` says which items (elements, chains, sets) one service needs; `ledger` keeps who
needs what and gives the difference as `Changes`; `nftables` writes it as one transaction and reads back what is there; `run` does it.

NetworkPolicies share table and transactions: `policyrules` reads one policy, `policies` keeps who is isolated and who is whose peer, as
owners of their own in the ledger, and `policywatch` follows the pods of the cluster while there is any policy. Two maps lead from a pod's
address to its chain; so, too, a packet costs one lookup for each side, whatever the number of policies.
"""
